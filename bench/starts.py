"""How long the programs take to start: each `--help`, and an agent up to its first update.

    python bench/starts.py [--times 3]

An agent is started while a round waits for it: what is measured lasts from its process's start
until its update is in the coordinator's ledger, with the session, the task, the model, the
worker, ten steps of training on real patients and the upload in between. The reference is an
interpreter that imports torch and ends; of `--help`, one that ends at once. Of each the fastest
is shown. The figures are appended to build/bench.json.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from logs.figures import fastest, lasting, options, parsed, tell

if TYPE_CHECKING:
    import argparse

BENCH: Final = "starts"
E2E: Final = Path(__file__).parents[1] / "tests" / "e2e"
PROGRAMS: Final = ("concilium-coordinator", "concilium-site", "concilium-ledger")
CONTRIBUTED: Final = (
    "SELECT received_at FROM entries WHERE kind = 'contribution-made' AND actor = ?"
)


def main() -> int:
    given = asked()
    sys.path.insert(0, str(E2E))
    bare = fastest(lambda: ended(sys.executable, "-c", "pass"))
    figures = [
        lasting(BENCH, program, "--help", 1, (fastest(lambda p=program: helps(p)), bare))
        for program in PROGRAMS
    ]
    torch = fastest(lambda: ended(sys.executable, "-c", "import torch"))
    with tempfile.TemporaryDirectory() as folder:
        seconds = min(first_updates(Path(folder), given.times))
    case = "concilium-site run"
    figures.append(lasting(BENCH, case, "until its first update is in", 1, (seconds, torch)))
    tell("Starts", given.out, figures)
    return 0


def asked() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--times", type=int, default=3)
    return parsed(parser)


def helps(program: str) -> None:
    ended(str(Path(sys.executable).with_name(program)), "--help")


def ended(*argv: str) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, timeout=120)


def first_updates(place: Path, times: int) -> list[float]:
    """Return the seconds from an agent's start to its update, in federations all alike."""
    import standing

    standing.found(place / "half", standing.of_three(place / "agreement.yaml"))
    last, *others = standing.SITES
    return [
        first_update(standing.copied(place / "half", place / str(number)), last, others)
        for number in range(times)
    ]


def first_update(fed: Any, last: str, others: list[str]) -> float:  # noqa: ANN401
    """Start the one agent that a round waits for; return how long its update took."""
    try:
        fed.serve()
        fed.run(last, *others)
        for name in (last, *others):
            fed.consent(name)
            fed.until(lambda name=name: consented(fed, name))
            if name == last:
                fed.stop(last)
        began = time.time()
        fed.start(last)
        ((at,),) = fed.until(lambda: fed.rows(CONTRIBUTED, f"site/{last}"))
        return datetime.fromisoformat(at).timestamp() - began
    finally:
        fed.end()


def consented(fed: Any, name: str) -> bool:  # noqa: ANN401
    """Whether a hospital's consent is in the ledger."""
    return any(actor == f"site/{name}" for _, _, actor in fed.entries("consent-given"))


if __name__ == "__main__":
    sys.exit(main())
