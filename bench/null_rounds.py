"""What Concilium's own work in a round takes, beside the bare transport of the same bytes.

    python bench/null_rounds.py [--parameters 100000 1000000 10000000] [--rounds 8] [--sites 5]

Hospitals whose workers train nothing, each an agent of its own, and a coordinator: real
processes over mutual TLS with all that they keep and sign. A round lasts from `round-opened` to
the next one's, by the ledger; the first and the last are left out, and the median of the others
is shown, with its stages and each program's processor time. The reference is `rounds/raw.py`:
gRPC, mutual TLS, 1 MiB chunks, numpy's mean, and nothing else. The most memory of its own that
a program had stands beside what it may have. The figures are appended to build/bench.json.
"""

from __future__ import annotations

import argparse
import stat
import statistics
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any, Final

from logs.figures import figure_of, lasting, options, parsed, tell
from rounds import raw
from rounds.rehearsed import (
    SITES,
    Round,
    hidden_for,
    parameters,
    rehearse,
    rounds_in,
    terms_of,
)
from rounds.watched import AGENT, COORDINATOR, Seen, watched

BENCH: Final = "null-rounds"
_MB: Final = 10**6
_COORDINATOR_BYTES: Final = 300 * _MB
_LINE_BYTES: Final = 16 << 20
_AGENT_BYTES: Final = 150 * _MB
"""What a program may have of its own: a coordinator a line's more for each hospital, an agent
three models."""
_AGENT: Final = Path(__file__).parent / "rounds" / "null_agent.py"


def main() -> int:
    given = asked()
    figures = []
    for wanted in given.parameters:
        with tempfile.TemporaryDirectory() as folder:
            figures += measured(Path(folder), wanted, given)
    tell("Null rounds", given.out, figures)
    return 0


def asked() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--parameters", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--sites", type=int, default=SITES)
    return parsed(parser)


def measured(folder: Path, wanted: int, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a round and its stages, each beside a raw round of as many parameters."""
    size = parameters(hidden_for(wanted))
    rounds, sites = given.rounds, given.sites
    raws = raw.rounds(folder / "raw", size, rounds, sites=sites)
    reference = statistics.median(raws)
    with watched(folder / "ours") as seen:
        terms = without_privacy(wanted, rounds)
        url = rehearse(folder / "ours", terms, programs=programs(folder), sites=sites)
    ours = rounds_in(url)
    case = f"{sites} sites, {size:,} parameters"
    stages = {
        "round": [one.lasted for one in ours],
        "of it: tasks, transfers, spool": [one.updates for one in ours],
        "of it: sum, evaluation": [one.closed - one.updates for one in ours],
        "of it: checkpoint, cosignatures": [one.lasted - one.closed for one in ours],
    }
    return [
        *(
            lasting(BENCH, case, name, 1, (statistics.median(seconds), reference))
            for name, seconds in stages.items()
        ),
        *_taken(case, seen, ours, reference),
        *_memory(case, seen, size, sites),
    ]


def _taken(case: str, seen: Seen, ours: list[Round], reference: float) -> list[dict[str, Any]]:
    """Return each program's processor time in a round, beside how long a raw one lasts."""
    begin, end = ours[0].begun, ours[-1].begun + ours[-1].lasted
    return [
        lasting(BENCH, case, f"{role}: processor", len(ours), (busy, reference * len(ours)))
        for role in (COORDINATOR, AGENT)
        for busy in [seen.busy_s(role, begin, end)]
    ]


def _memory(case: str, seen: Seen, size: int, sites: int) -> list[dict[str, Any]]:
    """Return the most memory of its own that each program had, beside what it may have."""
    most = {
        COORDINATOR: _COORDINATOR_BYTES + sites * _LINE_BYTES,
        AGENT: _AGENT_BYTES + 3 * 4 * size,
    }
    return [
        figure_of(
            BENCH,
            case,
            f"{role}: memory",
            "MB",
            (seen.peak_bytes(role) / _MB, bound / _MB),
        )
        for role, bound in most.items()
    ]


def without_privacy(wanted: int, rounds: int) -> dict[str, Any]:
    """Return terms under which nothing is accounted: no training stands behind an update."""
    terms = terms_of(wanted, rounds)
    terms["round"]["local"] = {"steps": 1, "batch": 8}
    terms["privacy"] = "off"
    terms["aggregation"]["secure"] = False
    return terms


def programs(folder: Path) -> Path:
    """Make an environment like this one, but for a `concilium-site` that trains nothing."""
    place, here = folder / "venv", Path(sys.executable).parent
    venv.create(place, symlinks=True, with_pip=False)
    packages = next(place.glob("lib/python*/site-packages"))
    mine = next(here.parent.glob("lib/python*/site-packages"))
    (packages / "same.pth").write_text(f"import site; site.addsitedir({str(mine)!r})\n")
    python = place / "bin" / "python"
    for name in ("concilium-coordinator", "concilium-ledger"):
        program = (here / name).read_text().split("\n", 1)[1]
        _write(place / "bin" / name, f"#!{python}\n{program}")
    _write(place / "bin" / "concilium-site", f"#!{python}\n{_AGENT.read_text()}")
    return place / "bin"


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


if __name__ == "__main__":
    sys.exit(main())
