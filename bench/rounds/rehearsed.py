"""Rounds of a rehearsal, and when each step of them was entered in the ledger."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml

DEMO: Final = Path(__file__).parents[2] / "configs" / "breast-cancer" / "agreement.yaml"
SITES: Final = 5
INPUTS: Final = 30


def hidden_for(wanted: int, *, inputs: int = INPUTS) -> int:
    """Return the width of two hidden layers that give a model about so many parameters."""
    half = (inputs + 3) / 2
    return max(1, round((half**2 + wanted - 1) ** 0.5 - half))


def parameters(hidden: int, *, inputs: int = INPUTS) -> int:
    """Return how many a model with two such layers has."""
    return hidden * hidden + hidden * (inputs + 3) + 1


def terms_of(wanted: int, rounds: int) -> dict[str, Any]:
    """Return the demonstration's terms for a model of about so many parameters."""
    terms: dict[str, Any] = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    terms["schedule"] = {"rounds": rounds}
    terms["round"] |= {"local": {"steps": 1, "sampling_rate": 0.2}, "stragglers": "wait"}
    terms["model"] = {"name": "mlp", "hidden": [hidden_for(wanted)] * 2, "seed": 1}
    terms["quality"] = {"visible_to": "own-site"}
    return terms


def rehearse(
    folder: Path, terms: dict[str, Any], *, programs: Path | None = None, sites: int = SITES
) -> str:
    """Rehearse a federation by its command line; return the URL of its ledger.

    Args:
        folder: A new one.
        terms: The agreement.
        programs: Where the interpreter and the programs lie, if not where this one does.
        sites: How many hospitals; at most 100.
    """
    folder.mkdir()
    agreement, out = folder / "agreement.yaml", folder / "out"
    agreement.write_text(yaml.safe_dump(terms, sort_keys=False), encoding="utf-8")
    here = programs or Path(sys.executable).parent
    run = [str(here / "concilium-coordinator"), "rehearse", str(agreement), "--synthetic"]
    done = subprocess.run(
        [*run, "--site-count", str(sites), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in {0, 1}:  # 1: the federation gained nothing, which is no matter
        raise SystemExit(done.stderr.strip()[-2000:])
    return f"sqlite:///{out / 'coordinator' / 'state' / 'coordinator.db'}"


@dataclass(frozen=True, slots=True)
class Round:
    """What a round took, in seconds, by the times of its entries in the ledger.

    Attributes:
        begun: When `round-opened` was entered, in seconds since 1970.
        lasted: From `round-opened` to the next round's.
        closed: From `round-opened` to `round-closed`.
        updates: Until the last update was in.
        judged: From then until the last hospital's figures; 0 where none were asked for.
    """

    begun: float
    lasted: float
    closed: float
    updates: float
    judged: float


def rounds_in(url: str) -> list[Round]:
    """Return every round but the first, in which workers warm up, and the last."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
        asked = (
            "SELECT round, kind, received_at FROM entries WHERE round IS NOT NULL ORDER BY seq"
        )
        times: dict[int, dict[str, float]] = {}
        for number, kind, at in database.execute(asked):
            times.setdefault(number, {})[kind] = datetime.fromisoformat(at).timestamp()
    ended = [number for number, kinds in sorted(times.items()) if "round-closed" in kinds]
    return [_round(times[number], times[number + 1]) for number in ended[1:-1]]


def _round(this: dict[str, float], following: dict[str, float]) -> Round:
    begun, updates = this["round-opened"], this["contribution-made"]
    judged = this.get("evaluation-made", updates)
    return Round(
        begun=begun,
        lasted=following["round-opened"] - begun,
        closed=this["round-closed"] - begun,
        updates=updates - begun,
        judged=judged - updates,
    )
