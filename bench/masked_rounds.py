"""What a whole masked round takes, beside a plain one of the same federation.

    python bench/masked_rounds.py [--parameters 1000000] [--rounds 6] [--out build/bench.json]

Five hospitals, each an agent of its own with its worker, and a coordinator: real processes over
mutual TLS on one machine, as `rehearse` runs them, once with masks and once without, everything
else alike. A round lasts from `round-opened` to `round-closed` in the ledger; the first one,
in which workers warm up, and the last one are left out, and the median of the others is shown.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Final

from logs.figures import lasting, options, parsed, tell
from rounds.rehearsed import SITES, hidden_for, parameters, rehearse, rounds_in, terms_of

BENCH: Final = "masked-rounds"


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


def rounds_of(folder: Path, given: argparse.Namespace, *, secure: bool) -> list[float]:
    """Rehearse a federation; return the seconds of each round but the first and the last."""
    terms = terms_of(given.parameters, given.rounds)
    terms["privacy"]["budget"] = {"epsilon": 100}
    terms["aggregation"]["secure"] = secure
    return [one.closed for one in rounds_in(rehearse(folder, terms))]


if __name__ == "__main__":
    sys.exit(main())
