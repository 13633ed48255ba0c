"""What this site says of its patients: how many are declared, and that some are left out.

Numbers alone, in tens, and never who. Both are said with the task that they first hold for,
before its reservation: whatever comes later in this site's chain already keeps to them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any, Final

from governance.ledger.fields import SOME
from governance.privacy.releases import declared, expected_batch
from protos.errors import Refused
from site_agent import voice
from site_agent.agent import TaskState
from site_agent.standing import standing_of
from site_agent.store import journal, notes, work
from site_agent.voice import Saying

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from governance.agreement.load import Document
    from protos.words import Digest
    from site_agent.membership import Membership
    from site_agent.readiness import Seen

_TEN: Final = 10


def declare(c: Connection, m: Membership, document: Document, patients: int) -> None:
    """Say how many patients of the cohort an agreement may count on."""
    agreement = document.agreement
    rate = agreement.round.local.sampling_rate or 1.0
    contract = agreement.model_dump(mode="json", by_alias=True, include={"data"})
    body: dict[str, Any] = {
        "agreement": document.digest,
        "cohort": m.cohort,
        "declared_patients": patients,
        "schema": hashlib.sha256(json.dumps(contract, sort_keys=True).encode()).hexdigest(),
        "expected_batch": format(expected_batch(rate, patients).normalize(), "f"),
    }
    voice.say(c, m.voice, Saying("data-declared", body, "consent"))


def declare_anew(c: Connection, m: Membership, document: Document, seen: Seen) -> None:
    """Declare another number with this task: what the administrator asked for, or what is left.

    Never more than the cohort has, and never while another training is under way: what a task
    reserves, trains and states goes by one number.
    """
    busy = [
        held
        for held in work.active(c, m.federation)
        if held.task.agreement == document.digest and held.state is not TaskState.OFFERED
    ]
    if busy:
        return
    present = standing_of(c, m.federation, document.digest).declared_patients
    wanted = asked_for(c, m, document.digest)
    number = min(wanted or present, declared(seen.patients))
    if number != present:
        declare(c, m, document, number)
    if wanted is not None:
        notes.set_note(c, m.federation, notes.DECLARED, "")


def ask_for(c: Connection, m: Membership, agreement: str, patients: int) -> None:
    """Have another number declared with the next task under an agreement."""
    notes.set_note(c, m.federation, notes.DECLARED, f"{agreement} {patients}")


def asked_for(c: Connection, m: Membership, agreement: str) -> int | None:
    """Return the number that waits to be declared under an agreement, if one does."""
    words = notes.note(c, m.federation, notes.DECLARED).split()
    return int(words[1]) if words and words[0] == agreement else None


def say_left_out(c: Connection, m: Membership, agreement: str, seen: Seen) -> None:
    """Say that patients are left out from now on, when they are others than before."""
    mark = _mark(m, seen.opted_out)
    if notes.note(c, m.federation, notes.LEFT_OUT) == mark:
        return
    body = {
        "agreement": agreement,
        "cohort": m.cohort,
        "patients": rounded(len(seen.opted_out)),
    }
    voice.say(c, m.voice, Saying("opt-outs-applied", body, "opt-outs"))
    notes.set_note(c, m.federation, notes.LEFT_OUT, mark)


def rounded(patients: int) -> str | int:
    """Return how many are left out as it may be said: `some` under ten, whole tens above."""
    return SOME if 0 < patients < _TEN else patients // _TEN * _TEN


def changed_since(c: Connection, m: Membership, round_: int, update: Digest) -> bool:
    """Tell whether opt-outs took effect after an update of a round was reserved for.

    Such an update was made of patients who are left out now: it is not sent again.
    """
    tasks = [
        held.task.task
        for held in work.of_round(c, m.federation, round_)
        if held.update is not None and held.update.digest == update
    ]
    return _opted_out_since(c, m, tasks)


def left_out_since(c: Connection, m: Membership, round_: int, attempt: int) -> bool:
    """Tell whether opt-outs took effect after an attempt of a round was reserved for."""
    for held in work.of_round(c, m.federation, round_):
        if held.task.attempt == attempt and held.update is not None:
            return changed_since(c, m, round_, held.update.digest)
    return False


def _opted_out_since(c: Connection, m: Membership, tasks: Sequence[str]) -> bool:
    said = journal.of_kind(c, m.federation, "opt-outs-applied")
    paid = [
        one.statement.at
        for task in tasks
        if (one := journal.of_task(c, m.federation, task, kind="budget-reserved")) is not None
    ]
    return bool(said and paid and min(paid) < said[-1].statement.at)


def _mark(m: Membership, patients: frozenset[str]) -> str:
    """Return a digest of who is left out, which nobody without the site's secret can try."""
    if not patients:
        return ""
    secret = m.premises.held_out_secret()
    said = json.dumps([m.cohort, *sorted(patients)]).encode()
    return hmac.digest(secret, said, "sha256").hex()


def check_number(document: Document, patients: int, has: int | None = None) -> None:
    """Refuse a number that an agreement or the cohort does not bear.

    Args:
        document: The agreement.
        patients: What is to be declared.
        has: How many patients the cohort has, to the nearest ten, where that is known.
    """
    least = document.agreement.data.minimum_patients
    if patients < 0 or patients % _TEN:
        raise Refused(
            f"the declared patients are {patients}, but must be in tens",
            rule="declared-patients",
        )
    if patients < least:
        raise Refused(
            f"the declared patients are {patients}, but the agreement wants at least {least}",
            rule="declared-patients",
        )
    if has is not None and patients > has:
        raise Refused(
            f"{patients} patients are declared, but the cohort has {has} in tens",
            todo="Leave the number out, or declare fewer: updates are weighted by it.",
            rule="declared-patients",
        )
