"""Attacks on the demonstration's patients, with privacy off and on, masks off and on.

    python bench/attacks.py [--worlds 33] [--trials 100] [--docs]

Who was in a training, and what stands in a record: from what the coordinator sees of a round
without masks and with them, from what another hospital sees, and from the last model alone. A
few minutes. Prints tables, writes them into docs/threat-model.md with `--docs`, and exits 1
where an attack that must work does not, or one works that must not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from adversary import campaign, page
from adversary.campaign import BARE, MASKED, SUM

from governance.terminal import Format, say, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).resolve().parent.parent
WORKS: Final = 0.65
FAILS: Final = 0.55
CHANCE: Final = 0.1
"""How far from 0 the mean cosine of a reading that failed may be."""


def main() -> int:
    """Attack, say what came of it, and whether that is what must come of it."""
    given = asked()
    torch.set_num_threads(1)
    found = page.Outcome(given.worlds, given.trials)
    with tempfile.TemporaryDirectory(prefix="attacks-") as folder:
        for private in (False, True):
            agreement, parts = campaign.demo(Path(folder), private=private)
            tell(f"Privacy {'on' if private else 'off'}: reading records …")
            found.inverted[private] = campaign.inverted(
                agreement, parts, trials=given.trials, seed="inversion"
            )
            tell(f"Privacy {'on' if private else 'off'}: telling who was in …")
            found.members[private] = campaign.membership(
                agreement, parts, count=given.worlds, seed="membership"
            )
    for answer in page.answers(found):
        say(answer, Format.TABLE)
    wrong = [*broken(found)]
    for sentence in wrong:
        tell(f"does not hold: {sentence}")
    if given.docs and not wrong:
        page.write_section(found, HERE / "docs" / "threat-model.md")
    return 1 if wrong else 0


def asked() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", type=int, default=33, help="trainings that could have been")
    parser.add_argument("--trials", type=int, default=100, help="of reading a record")
    parser.add_argument("--docs", action="store_true", help="write into docs/threat-model.md")
    return parser.parse_args()


def broken(found: page.Outcome) -> Iterator[str]:
    """Yield what must hold and does not."""
    off, on = found.members[False], found.members[True]
    if off[BARE].auc <= WORKS:
        yield f"a bare update tells who was in: AUC {off[BARE].auc:.3f}, above {WORKS} wanted"
    failing = [("masked vector, privacy off", off[MASKED]), *on.items()]
    for view, one in failing:
        if one.auc >= FAILS:
            yield f"{view} tells nothing: AUC {one.auc:.3f}, below {FAILS} wanted"
    bare, noised = found.inverted[False], found.inverted[True]
    if bare[BARE].exact < 1:
        yield f"a bare update tells the record exactly: in {bare[BARE].exact:.0%} of trials"
    for view in (BARE, MASKED, SUM):
        if abs(noised[view].mean) >= CHANCE:
            yield f"{view} tells no record: {noised[view].mean:+.3f}"


if __name__ == "__main__":
    sys.exit(main())
