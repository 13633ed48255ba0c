"""What came of the attacks as tables, and as a section of docs/threat-model.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from logs.pages import markdown, put

from adversary.campaign import EPSILON, HIDDEN, INVERSION, MEMBERSHIP, ROUNDS
from governance.terminal import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from adversary.campaign import Inverted
    from adversary.membership import Found

_COLUMNS: Final = ("who sees what", "privacy off", f"ε = {EPSILON:g}")


@dataclass
class Outcome:
    """What came of the attacks, with privacy off (False) and on (True)."""

    worlds: int
    trials: int
    members: dict[bool, dict[str, Found]] = field(default_factory=dict)
    inverted: dict[bool, dict[str, Inverted]] = field(default_factory=dict)


def answers(found: Outcome) -> Iterator[Answer]:
    """Yield a table for each attack."""
    rows = [
        (view, str(found.members[False][view]), str(found.members[True][view]))
        for view in MEMBERSHIP
    ]
    title = "Who was in: AUC (share of those in who are found at one false alarm in a hundred)"
    yield Answer(_COLUMNS, rows, title=title)
    rows = [
        (view, str(found.inverted[False][view]), str(found.inverted[True][view]))
        for view in INVERSION
    ]
    title = "What is in a record: mean cosine with the true one (share read exactly)"
    yield Answer(_COLUMNS, rows, title=title)


_ABOUT: Final = """\
## Attacks, and what becomes of them

`python bench/attacks.py --docs` attacks the demonstration's patients (569 of five hospitals) and writes this section. The
model has {hidden} hidden units, so that there is much to read; {rounds} rounds of 10 steps; with privacy ε = {epsilon:g} at
δ = 10⁻⁵ for all of them. The trainings are those of the program, and so are the masks.

**Who was in.** Of {worlds} trainings that could have been, in each of which every patient took part with probability ½, the
attacker knows all but one, and every patient's record. It takes what it sees of each round apart into the gradients of
those who may have been in, and compares with what the other trainings show of the same patient (LiRA, Carlini et al.
2022). The last row has the model at the end alone. 0.5 and 1 % are chance.

**What is in a record.** The worst batch there is: each hospital takes one step with one patient. The quotient of weights
and bias of the first layer is the record. {trials} trials of five patients; a cosine of 0 is chance.
"""  # noqa: E501 - lines of the page
_MEANS: Final = """\
What follows:

- **A bare update is the patients' data.** Without noise whoever receives it reads records and tells members.
- **Masks hide each hospital, not the patients in the sum.** A masked vector tells nothing, but the sum of five without
  noise still tells who was in, and a member that takes its own part off it knows a little more.
- **Noise protects in each row**, against the coordinator, against another hospital that receives every global model, and
  against whoever gets the last one; with masks the coordinator does not even see single, noised updates.
- These attackers know much. What they do not find here is no proof: ε bounds what any attacker finds, and
  `concilium-site audit-privacy` tries to refute it. A model made to betray (weights that let one record through)
  changes nothing of that: the hospital clips and noises whatever it is sent.
"""  # noqa: E501 - lines of the page


def write_section(found: Outcome, path: Path) -> None:
    """Put the section into a page, in the place of the one before."""
    put(path, "attacks", "bench/attacks.py", _section(found))


def _section(found: Outcome) -> Iterator[str]:
    yield from _ABOUT.format(
        hidden=HIDDEN, rounds=ROUNDS, epsilon=EPSILON, worlds=found.worlds, trials=found.trials
    ).splitlines()
    for answer in answers(found):
        yield from ("", f"{answer.title}:", "")
        yield from markdown(answer)
    yield ""
    yield from _MEANS.splitlines()
    yield ""
