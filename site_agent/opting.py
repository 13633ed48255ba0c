"""Patients who opt out, or in again: lists of identifiers, fit for a nightly feed.

A list may be given again and again, and may name patients whom the cohort does not have yet.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from governance.privacy.releases import declared
from governance.terminal import Answer
from protos.errors import ConciliumError, Refused
from site_agent import desk, patients
from site_agent.readiness import findings
from site_agent.store import optouts

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from governance.settings import CohortSettings
    from site_agent.membership import Membership

LIMIT: Final = 1_000_000
_LONGEST: Final = 200
_STDIN: Final = "-"


def identifiers(path: Path) -> frozenset[str]:
    """Read patients' identifiers, one a line, from a file or, for `-`, from standard input.

    Raises:
        Refused: it cannot be read, or a line is no identifier; the message holds none.
    """
    raw = sys.stdin.buffer.read() if str(path) == _STDIN else _bytes(path)
    try:
        lines = raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise Refused(
            "the list is not UTF-8", where=str(path), todo=_ONE_A_LINE, rule="bad-opt-outs"
        ) from None
    found = set()
    for number, line in enumerate(lines, start=1):
        name = line.strip().strip('"').strip()
        if len(name) > _LONGEST or not name.isprintable() or set(name) & set(",;\t"):
            raise Refused(
                f"line {number} is no identifier of a patient",
                where=f"{path}:{number}",
                todo=_ONE_A_LINE,
                rule="bad-opt-outs",
            )
        if name:
            found.add(name)
    return frozenset(found)


_ONE_A_LINE: Final = "Write one identifier a line, as the cohort's file has it, in UTF-8."


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise Refused(
            f"the list cannot be read: {problem.strerror}",
            where=str(path),
            todo="Name a file, or - for standard input.",
            rule="bad-opt-outs",
        ) from None


def opt_out(m: Membership, cohort: str, names: frozenset[str]) -> str:
    """Leave these patients out from the next task on; return what that means."""

    def change(c: Connection) -> tuple[int, int]:
        new = optouts.add(c, cohort, names, at=m.now())
        held = optouts.count(c, cohort)
        if held > LIMIT:
            raise Refused(
                f"{held} patients would be opted out of {cohort}, and at most {LIMIT} can be",
                todo="Leave out of the list those who are in no file of this hospital.",
                rule="bad-opt-outs",
            )
        return new, held

    new, held = m.store.now(change)
    return f"{_of(new)} newly opted out of the cohort {cohort}; {held} are in all."


def opt_in(m: Membership, cohort: str, names: frozenset[str]) -> str:
    """Let these patients take part again from the next task on."""

    def change(c: Connection) -> tuple[int, int]:
        return optouts.remove(c, cohort, names), optouts.count(c, cohort)

    gone, held = m.store.now(change)
    return f"{_of(gone)} no longer opted out of the cohort {cohort}; {held} are in all."


def listed(m: Membership, cohort: str) -> Answer:
    """Return who opted out, since when, and whether the cohort's file has them."""
    rows = m.store.look(lambda c: optouts.listed(c, cohort))
    try:
        here: frozenset[str] | None = _in_file(m.settings.cohorts[cohort])
    except ConciliumError:
        here = None
    notes = ["The list stays here; the ledger says only that some are left out."]
    if here is None:
        notes.append("The cohort's file cannot be read now: concilium-site check says why.")
    return Answer(
        ("patient", "since", "in_file"),
        [
            (name, since, "unknown" if here is None else "yes" if name in here else "no")
            for name, since in rows
        ],
        title=f"Opted out of {cohort}" if rows else f"Nobody opted out of {cohort}.",
        notes=notes,
    )


def declare(m: Membership, number: int | None) -> str:
    """Have the cohort's patients declared anew with the next task; return what that means.

    Raises:
        Refused: no consent is in force, or the number is not one that can be declared.
    """
    from governance.consent import Consent

    document = desk.in_state(m, Consent.IN_FORCE, Consent.PAUSED, Consent.OBJECTED)
    gone = m.store.look(lambda c: optouts.of_cohort(c, m.cohort))
    found = findings(m.settings.cohorts[m.cohort], document, opt_outs=gone)
    has = declared(found.patients)
    wanted = has if number is None else number
    patients.check_number(document, wanted, has)
    m.store.now(lambda c: patients.ask_for(c, m, document.digest, wanted))
    return (
        f"{wanted} patients are declared with the next task under "
        f"«{document.agreement.title}»; all members see that number."
    )


def _in_file(cohort: CohortSettings) -> frozenset[str]:
    from site_agent.data import csv

    source = cohort.source
    wanted = [cohort.patient_id]
    batches = csv.read(source.csv, encoding=source.encoding, columns=wanted)
    return frozenset(cell.strip() for (own,) in batches for cell in own)


def _of(number: int) -> str:
    return "1 patient is" if number == 1 else f"{number} patients are"
