"""A verdict in words: for eyes, for a machine, for a sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.counts import count, verb
from governance.ledger import gap
from governance.terminal import Answer, Format

if TYPE_CHECKING:
    from governance.ledger.verify import Verdict

_UNREAD: Final = (
    "Names, reasons and figures were not checked: this role may not read what is disclosed."
)


def answer(verdict: Verdict, form: Format) -> Answer:
    """Return what `verify` prints; on a table its sentences alone."""
    said = verdict.to_json()
    unread = (_UNREAD,) if verdict.values_unread else ()
    if form is Format.JSON:
        return Answer((), (), notes=unread, facts=said)
    if form is Format.CSV:
        fault = said.pop("fault") or {"seq": None, "rule": None}
        new_logs = len(said.pop("new_logs"))
        row = {
            **said,
            "new_logs": new_logs,
            "fault_seq": fault["seq"],
            "fault_rule": fault["rule"],
        }
        return Answer(tuple(row), [tuple(row.values())])
    if verdict.fault is not None:
        title = f"FAULT at {verdict.sentence}"
        read = f"{count(verdict.entries, 'entry')} {verb(verdict.entries, 'was', 'were')} read"
        notes = [f"Rule: {verdict.fault.rule}. {read} before it."]
        return Answer((), (), title=title, notes=notes)
    return Answer((), (), title=_title(verdict), notes=[*_notes(verdict), *unread])


def _title(verdict: Verdict) -> str:
    return f"{count(verdict.entries, 'entry')}, every check passed: {verdict.sentence}."


def _taken_over(verdict: Verdict) -> str:
    before = verdict.signatures_from
    return (
        f"Signatures were checked from entry {before} on: you said that you had verified the "
        f"{before} entries before it, and they are the same bytes."
    )


def _notes(verdict: Verdict) -> list[str]:
    newer = verdict.entries - verdict.checkpoint_size
    if verdict.checkpoint_size == 0:
        notes = ["There is no checkpoint in it: nothing shows that no entry was left out."]
    else:
        sites = count(verdict.cosignatures, "site")
        notes = [
            f"Checkpoint of {count(verdict.checkpoint_size, 'entry')}, cosigned by {sites}."
        ]
        if newer:
            are = f"{count(newer, 'newer one')} {verb(newer, 'is', 'are')}"
            notes.append(f"{are} under no checkpoint yet.")
    if 0 < verdict.witnessed < verdict.checkpoint_size:
        first = count(verdict.witnessed, "entry")
        notes.append(f"More than half of the sites cosigned the first {first}, fewer the rest.")
    for begun in verdict.new_logs:
        notes += gap.sentences(begun)
    if verdict.signatures_from:
        notes.append(_taken_over(verdict))
    if verdict.unproven:
        notes.append(f"Not proven, because {verdict.unproven}.")
    return notes
