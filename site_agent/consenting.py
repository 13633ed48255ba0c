"""What the officer's verbs do, and what they say when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance import canonical, terminal
from governance.agreement.plan import plan
from governance.consent import Consent
from governance.identity.folder import Identity
from governance.identity.keys import SigningKey
from governance.ledger import operators
from governance.privacy.releases import declared
from protos.errors import Refused
from site_agent import (
    desk,
    doorbell,
    drafts,
    erasing,
    exiting,
    freshness,
    office,
    patients,
    recovering,
    released,
    trusting,
    turning,
)
from site_agent.membership import chosen
from site_agent.office import Answer
from site_agent.store import work

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from governance.agreement.load import Document
    from site_agent.drafts import Draft
    from site_agent.membership import Membership
    from site_agent.review import Reviewed

_STANDING: Final = (Consent.IN_FORCE, Consent.PAUSED, Consent.OBJECTED, Consent.OUTDATED)


@dataclass(frozen=True, slots=True)
class Given:
    """What the officer said on the command line; the rest comes from agreement and cohort."""

    officer: str
    role: str
    until: datetime | None
    declared_patients: int | None
    basis: Mapping[str, str]


def drafted(m: Membership, document: Document, reviewed: Reviewed, given: Given) -> Draft:
    """Compose the consent.

    Raises:
        Refused: the ledger's proposal, where it came here, names other operators.
    """
    digest = document.digest
    proposed = released.in_copy(m, lambda c: operators.proposal(c, digest))
    if proposed is not None:
        operators.check_stated(proposed, document.agreement)
    has = declared(desk.patients_of(m, document))
    number = has if given.declared_patients is None else given.declared_patients
    patients.check_number(document, number, has)
    until = given.until
    end = document.agreement.valid.until if until is None else until
    answer = Answer(given.officer, given.role, end, number, given.basis)
    return m.store.look(lambda c: office.consent_draft(c, m, document, reviewed, answer))


def export(draft: Draft, path: Path) -> None:
    """Write a statement to be signed on another machine."""
    path.write_bytes(drafts.to_file(draft))
    terminal.tell(f"Wrote {path}. Where the officer's key lives: concilium-site sign {path}")
    terminal.tell(f"Then, here: concilium-site consent --import {path}")


def deliver_file(m: Membership, path: Path) -> None:
    """Take a statement that was signed elsewhere.

    Raises:
        Refused: nobody has signed it yet, or it is none of this site's.
    """
    draft = drafts.from_file(path)
    if not draft.envelope:
        raise Refused(
            "nobody has signed this statement yet",
            where=str(path),
            todo="Where the officer's key lives: concilium-site sign "
            f"{path.name} --officer-key KEY; then bring the file back and import it.",
            rule="not-signed",
        )
    _delivered(m, draft)


def sign_file(path: Path, key: Path, *, passphrase_file: Path | None, yes: bool) -> None:
    """Show an exported statement and sign it here."""
    draft = drafts.from_file(path)
    kind = drafts.check_shown(draft)
    terminal.tell(draft.shown)
    terminal.tell(f"Your signature makes this a statement of the kind {kind}.")
    if not terminal.confirmed("Sign this?", yes=yes):
        return
    secret = terminal.passphrase("of the officer's key", file=passphrase_file)
    signed = drafts.sign(draft, SigningKey.load(key, passphrase=secret))
    path.write_bytes(drafts.to_file(signed))
    terminal.tell(f"Signed {path}. Bring it back: concilium-site consent --import {path}")


def sign_and_deliver(m: Membership, draft: Draft, passphrase_file: Path | None) -> None:
    """Sign with the officer's key of this machine, and deliver."""
    _delivered(m, drafts.sign(draft, _officer(m, passphrase_file)))


def pause(m: Membership) -> None:
    """Pause every consent in force."""
    document = desk.in_state(m, Consent.IN_FORCE)
    before = _at_work(m)
    m.store.now(lambda c: office.suspend(c, m, document))
    _said(m, f"Paused: {m.site} takes no task under «{document.agreement.title}».")
    _tell_cancelled(m, before)
    terminal.tell("Go on with: concilium-site resume")


def object_to(m: Membership, reason: str) -> None:
    """Object to the agreement that this site consented to, or to a change of it by notice."""
    document = desk.in_state(m, Consent.IN_FORCE)
    m.store.now(lambda c: office.object_to(c, m, document, reason))
    _said(m, f"Objected: {m.site} takes no task under «{document.agreement.title}».")
    terminal.tell("The operator sees the reason. This hospital stays enrolled.")
    terminal.tell("Go on with: concilium-site resume, or consent to a new version.")


def withdraw(m: Membership, *, dry_run: bool, yes: bool) -> None:
    """Withdraw from the agreement that this site consented to, or say what would follow."""
    document = desk.in_state(m, *_STANDING)
    terminal.tell(f"Withdrawing from «{document.agreement.title}»:")
    for sentence in plan(document).sections.get("exits", ()):
        terminal.tell(f"  {sentence}")
    terminal.tell("  This hospital stays enrolled; a new proposal can be consented to.")
    if dry_run or not terminal.confirmed("Withdraw?", yes=yes):
        return
    before = _at_work(m)
    m.store.now(lambda c: office.withdraw(c, m, document))
    _said(m, "Withdrawn. No further task is taken.")
    _tell_cancelled(m, before)


def _at_work(m: Membership) -> list[str]:
    return [held.task.task for held in m.store.look(lambda c: work.active(c, m.federation))]


def _tell_cancelled(m: Membership, before: list[str]) -> None:
    gone = [task for task in before if task not in _at_work(m)]
    if gone:
        terminal.tell(f"Cancelled: {', '.join(gone)}. What was reserved for it stays spent.")


def rotate(m: Membership, usage: str, *, old: Path | None, new: Path | None) -> None:
    """Replace the agent's or the officer's key."""
    if usage == turning.AGENT:
        place = chosen(m.settings, m.federation).folder
        turning.turn_agent(m, Identity.load(place), [_officer(m, old)])
    elif usage == turning.OFFICER:
        present = terminal.passphrase("of the present officer's key", file=old)
        following = terminal.passphrase("for the new officer's key", file=new, confirm=True)
        turning.turn_officer(m, _officer_path(m), present, following)
    else:
        raise Refused(f"there is no key {usage}", todo="Say agent or officer.", rule="usage")
    _said(m, f"The {usage} key is replaced. Hand auditors the new one: concilium-site key")


def _officer(m: Membership, passphrase_file: Path | None) -> SigningKey:
    path = _officer_path(m)
    secret = terminal.passphrase("of the officer's key", file=passphrase_file)
    return SigningKey.load(path, passphrase=secret)


def _officer_path(m: Membership) -> Path:
    path = m.settings.officer_key
    if path is None or not path.exists():
        raise Refused(
            "the officer's key is not on this machine",
            todo="Write the statement with --export, sign it with `concilium-site sign` where "
            "the key lives, and bring it back with --import.",
            rule="officer-elsewhere",
        )
    return path


_DELIVERED: Final = {
    "exit-requested": exiting.deliver,
    "erasure-requested": erasing.deliver,
    "log-accepted": trusting.deliver,
    "store-recovered": recovering.deliver,
}
"""What is of no agreement."""


def _delivered(m: Membership, draft: Draft) -> None:
    kind = str(canonical.decode(draft.payload).get("kind"))
    deliver = _DELIVERED.get(kind, office.deliver)
    statement = m.store.now(lambda c: deliver(c, m, draft))
    _said(m, f"Signed and written down: {statement.kind} ({statement.digest[:12]}).")


def _said(m: Membership, sentence: str) -> None:
    terminal.tell(sentence)
    live = doorbell.ring(m.premises.state)
    if live is None:
        terminal.tell("The agent is not running; it will be delivered when it is.")
    for warning in freshness.warnings(live, m.settings):
        terminal.tell(f"Note: {warning}")
