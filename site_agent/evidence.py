"""What a site keeps when the ledger shows two histories: both signed notes, and what they mean.

One key signed both, so nobody but the coordinator can have made them. They are shown by
`status`, and written by `audit --evidence` so that others can check them without this site.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance.ledger import store as ledger
from site_agent.store import notes

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from protos.errors import ConciliumError

NONE_YET: Final = "(none yet)"
_BETWEEN: Final = "\n\n"
_MEANING: Final = (
    "No task is taken and nothing is cosigned: the ledger that this site is shown is not the "
    "one that it knows. Tell the other hospitals, and compare these heads with theirs; the "
    "coordinator's key signed them."
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The head that this site holds, the one it was shown, and the rule that is broken."""

    why: str
    ours: str
    theirs: str


def ours_beside(c: Connection, size: int) -> str:
    """Return the copy's own note of a size, else its latest one."""
    return ledger.checkpoint_of(c, size) or ledger.latest_checkpoint(c) or NONE_YET


def raise_alarm(
    c: Connection, federation: str, problem: ConciliumError, *, ours: str, theirs: str
) -> None:
    """Set the alarm and keep both notes; the first alarm stands."""
    if notes.note(c, federation, notes.ALARM):
        return
    notes.set_note(c, federation, notes.ALARM, f"{problem.rule}: {problem.what}")
    notes.set_note(c, federation, notes.EVIDENCE, f"{ours}{_BETWEEN}{theirs}")
    notes.set_note(c, federation, notes.FAULT, problem.what)
    notes.set_note(c, federation, notes.CHECKPOINT, "")


def found(c: Connection, federation: str) -> Evidence | None:
    """Return what lies behind the alarm, or None where there is none."""
    why = notes.note(c, federation, notes.ALARM)
    if not why:
        return None
    kept = notes.note(c, federation, notes.EVIDENCE)
    if kept.startswith(NONE_YET):
        return Evidence(why, "", kept.removeprefix(NONE_YET + _BETWEEN))
    ours, _, theirs = kept.partition("\n" + _BETWEEN)
    return Evidence(why, f"{ours}\n", theirs)


def sentences(shown: Evidence) -> list[str]:
    """Say in plain words what happened, with the two signed notes."""
    said = [f"INTEGRITY ALARM: {shown.why}.", _MEANING]
    if shown.ours:
        said.append(f"The head that this site holds:\n{shown.ours}")
    said.append(f"The head that it was shown:\n{shown.theirs}")
    said.append("To hand both over as evidence: concilium-site audit --evidence DIR")
    return said
