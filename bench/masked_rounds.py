"""What a whole masked round takes, beside a plain one of the same federation.

    python bench/masked_rounds.py [--parameters 1000000] [--rounds 6] [--out build/bench.json]

Five hospitals, each an agent of its own with its worker, and a coordinator: real processes over
mutual TLS on one machine, as `rehearse` runs them, once with masks and once without, everything
else alike. A round lasts from `round-opened` to `round-closed` in the ledger; the first one,
in which workers warm up, is left out, and the median of the others is shown.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml
from logs.figures import lasting, options, parsed, tell

BENCH: Final = "masked-rounds"
DEMO: Final = Path(__file__).parents[1] / "configs" / "breast-cancer" / "agreement.yaml"
SITES: Final = 5
INPUTS: Final = 30


def main() -> int:
    given = asked()
    with tempfile.TemporaryDirectory() as folder:
        plain = rounds_of(Path(folder) / "plain", given, secure=False)
        masked = rounds_of(Path(folder) / "masked", given, secure=True)
    size = parameters(hidden_for(given.parameters))
    case = f"{SITES} sites, {size:,} parameters"
    pair = (statistics.median(masked), statistics.median(plain))
    tell("Masked rounds", given.out, [lasting(BENCH, case, "round", 1, pair)])
    return 0


def asked() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--parameters", type=int, default=10**6)
    parser.add_argument("--rounds", type=int, default=6)
    return parsed(parser)


def hidden_for(wanted: int) -> int:
    """Return the width of two hidden layers that give a model about so many parameters."""
    half = (INPUTS + 3) / 2
    return max(1, round((half**2 + wanted - 1) ** 0.5 - half))


def parameters(hidden: int) -> int:
    """Return how many a model with two such layers has."""
    return hidden * hidden + hidden * (INPUTS + 3) + 1


def rounds_of(folder: Path, given: argparse.Namespace, *, secure: bool) -> list[float]:
    """Rehearse a federation; return the seconds of each round but the first."""
    folder.mkdir()
    terms: dict[str, Any] = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    terms["schedule"] = {"rounds": given.rounds}
    terms["round"] |= {"local": {"steps": 1, "sampling_rate": 0.2}, "stragglers": "wait"}
    terms["model"] = {"name": "mlp", "hidden": [hidden_for(given.parameters)] * 2, "seed": 1}
    terms["privacy"]["budget"] = {"epsilon": 100}
    terms["quality"] = {"visible_to": "own-site"}
    terms["aggregation"]["secure"] = secure
    agreement = folder / "agreement.yaml"
    agreement.write_text(yaml.safe_dump(terms, sort_keys=False), encoding="utf-8")
    programs = Path(sys.executable).parent
    out = folder / "out"
    run = [str(programs / "concilium-coordinator"), "rehearse", str(agreement), "--synthetic"]
    done = subprocess.run(
        [*run, "--site-count", str(SITES), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in {0, 1}:  # 1: the federation gained nothing, which is no matter
        raise SystemExit(done.stderr.strip()[-2000:])
    url = f"sqlite:///{out / 'coordinator' / 'state' / 'coordinator.db'}"
    said = subprocess.run(
        [str(programs / "concilium-ledger"), "rounds", "--url", url, "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [_lasted(row) for row in json.loads(said.stdout)["rows"] if int(row["round"]) > 1]


def _lasted(row: dict[str, Any]) -> float:
    opened, ended = (datetime.fromisoformat(row[name]) for name in ("opened", "ended"))
    return (ended - opened).total_seconds()


if __name__ == "__main__":
    sys.exit(main())
