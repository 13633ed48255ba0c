"""Many rounds with cuts and dead workers: what the long-lived programs take of the machine.

    python tests/chaos/soak.py [--rounds 1000] [--seed 1] [--every 3] [--kills]

Nobody is killed but workers, so that each program lives from the first round to the last; with
`--kills` everybody is, at any moment and at the named instructions, and is started again. Shown
are memory, open files and threads in the first and the last quarter of the rounds, and bytes of
the databases a round.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

_TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(_TESTS / place) for place in ("chaos", "e2e", "integration/coordinator")]

import faults  # noqa: E402 - found by the line above
import five  # noqa: E402
from ordeal import Ordeal  # noqa: E402
from run import say  # noqa: E402

_KINDS = ("cut", "truncate", "duplicate", "reorder", "flip", "slow", "kill-worker")
_KILLS = (faults.KILL, faults.KILL_AT, faults.KILL_BOTH)
_PAGE_MIB = 4096 / 2**20


class Soak(Ordeal):
    """A run that looks at its programs after each round."""

    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        self.seen = {}

    def _look(self, now_s):
        super()._look(now_s)
        closed = self._closed()
        if closed and closed not in self.seen and all(p.alive for p in self.programs.values()):
            self.seen[closed] = {n: taken(p.pid) for n, p in self.programs.items()}
            self.seen[closed]["bytes"] = {
                "coordinator": size_of(self.fed.coordinator / "state" / "coordinator.db"),
                "site": size_of(self.fed.site_file(five.LAST).parent / "state" / "site.db"),
            }
            if closed % 20 == 0:
                say(f"{now_s:.0f} s: {closed} rounds, {self.seen[closed]}")

    def figures(self):
        """Return [(program, what, in the first quarter, in the last)], and bytes a round."""
        rounds = sorted(self.seen)[2:]
        quarter = max(1, len(rounds) // 4)
        early, late = rounds[:quarter], rounds[-quarter:]
        for name in self.programs:
            for what in ("MiB", "files", "threads"):
                yield (
                    name,
                    what,
                    *(
                        round(statistics.median(self.seen[n][name][what] for n in part), 1)
                        for part in (early, late)
                    ),
                )
        for name in ("coordinator", "site"):
            yield (
                name,
                "bytes a round",
                *(
                    round(
                        (self.seen[b]["bytes"][name] - self.seen[a]["bytes"][name])
                        / max(1, b - a)
                    )
                    for a, b in (
                        (rounds[0], rounds[len(rounds) // 2]),
                        (rounds[len(rounds) // 2], rounds[-1]),
                    )
                ),
            )


def grown(figures):
    """Return what is more at the end than a program that lives for months may come to."""
    for name, what, early, late in figures:
        if what in {"files", "threads"} and late > early + 4:
            yield f"{name} holds more {what}: {early}, then {late}"
        if what == "MiB" and late > 1.2 * early + 16:
            yield f"{name} holds more memory: {early} MiB, then {late}"
        if what == "bytes a round" and late > 1.25 * early:
            yield f"the database of {name} grows faster: {early} bytes a round, then {late}"


def taken(pid):
    """Return what a process holds: memory of its own, open files, threads."""
    place = Path(f"/proc/{pid}")
    resident, shared = (int(n) for n in (place / "statm").read_text().split()[1:3])
    return {
        "MiB": round((resident - shared) * _PAGE_MIB, 1),
        "files": len(list((place / "fd").iterdir())),
        "threads": len(list((place / "task").iterdir())),
    }


def size_of(database):
    """Return the bytes of a database with what is not yet in its main file."""
    return sum(path.stat().st_size for path in database.parent.glob(f"{database.name}*"))


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=3.0)
    parser.add_argument("--patience", type=float, default=6 * 3600)
    parser.add_argument("--way", choices=five.WAYS, default="masked")
    parser.add_argument("--kills", action="store_true", help="of coordinator and agents, too")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as place:
        five.found(Path(place) / "found", rounds=given.rounds, way=given.way)
        run = Soak(Path(place) / "found", Path(place) / "run", rounds=given.rounds, light=True)
        schedule = faults.draw(
            given.seed,
            five.SITES,
            lasting_s=given.patience,
            every_s=given.every,
            kinds=_KINDS + _KILLS if given.kills else _KINDS,
        )
        outcome = run.run(schedule, patience_s=given.patience, seed=given.seed)
    for row in run.figures():
        say("  ".join(str(one) for one in row))
    outcome.findings += grown(run.figures())
    for finding in outcome.findings:
        say(f"FINDING {finding[:2000]}")
    return 1 if outcome.findings else 0


if __name__ == "__main__":
    sys.exit(main())
