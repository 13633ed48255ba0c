"""The officer's desk: consent, decline, pause, resume, withdraw; here or on another machine.

Each act is composed, signed, journalled and queued in one transaction, and the running agent is
only rung.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from governance import consent, statements
from governance.agreement import counter
from governance.agreement.load import parse
from governance.agreement.plan import change_lines
from governance.consent import Consent
from governance.privacy.releases import decimal_text
from governance.statements import timestamp
from protos.errors import PeerFault, Refused
from protos.words import Disclosure, KeyId
from site_agent import changing, patients, progress, voice
from site_agent.acceptance import reasons
from site_agent.drafts import Draft
from site_agent.standing import EVENTS, standing_of
from site_agent.store import journal, terms
from site_agent.voice import Saying

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from governance.agreement.load import Document
    from governance.statements import Statement
    from site_agent.membership import Membership
    from site_agent.review import Reviewed
    from site_agent.store.terms import Offered

OFFICERS: Final = frozenset(
    {
        *("consent-given", "consent-declined", "consent-resumed"),
        *("exit-requested", "erasure-requested", "log-accepted", "store-recovered"),
    }
)
"""What only an officer may say; a pause and a withdrawal either key may."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an accountable person says with a consent.

    `officer` and `role` are the person's; only commitments to them are in the ledger.
    """

    officer: str
    role: str
    until: datetime
    declared_patients: int
    basis: Mapping[str, str]


def officers_of(c: Connection, m: Membership) -> tuple[tuple[KeyId, ...], int]:
    """Return the officer keys that this site enrolled with, and how many of them must sign.

    Raises:
        Refused: the journal has no enrolment.
    """
    said = journal.of_kind(c, m.federation, "enrolled")
    if not said:
        raise Refused("this store has no enrolment of this site", rule="not-enrolled")
    body = said[-1].statement.body
    officers = tuple(KeyId(key) for key in body["officers"])
    for turned in journal.of_kind(c, m.federation, "key-rotated"):
        if turned.status != journal.VOID and turned.statement.body["usage"] == "officer":
            old, new = turned.statement.body["old"], KeyId(turned.statement.body["new"])
            officers = tuple(new if key == old else key for key in officers)
    return officers, int(body["needed"])


def agreement_at_hand(c: Connection, m: Membership, digest: str = "") -> Offered:
    """Return the agreement that a verb is about: the named one, or the newest.

    Raises:
        Refused: there is none.
    """
    known = terms.every(c, m.federation)
    found = [one for one in known if one.digest.startswith(digest)]
    if not found:
        raise Refused(
            "no agreement was proposed to this site yet"
            if not digest
            else f"no agreement begins with {digest}",
            todo="The operator proposes one; the agent must run to receive it.",
            rule="no-proposal",
        )
    waiting = [
        one
        for one in found
        if standing_of(c, m.federation, one.digest).state is Consent.PROPOSED
    ]
    return (waiting or found)[-1]


def consent_draft(
    c: Connection, m: Membership, document: Document, reviewed: Reviewed, answer: Answer
) -> Draft:
    """Compose the consent to an agreement, for an officer to sign.

    Raises:
        Refused: this hospital's own file refuses the agreement, the answer is out of range, or
            the consent's state does not allow it.
    """
    if reviewed.objections:
        said = reasons(reviewed.objections)
        raise Refused(
            f"this hospital's own file refuses the agreement{said}", rule="own-policy"
        )
    _check_answer(document, answer, m.now())
    body: dict[str, Any] = {
        "agreement": document.digest,
        "material": document.material,
        "review": reviewed.digest,
        "purposes": list(document.agreement.purpose),
        "basis": {name: answer.basis.get(name, "") for name in _BASIS},
        "until": timestamp(answer.until),
        "declared_patients": answer.declared_patients,
        "cap": _decimal(reviewed.cap),
        "delta": decimal_text(reviewed.delta),
        "stops_in_round": reviewed.stops_in_round,
        "cohort": m.cohort,
    }
    told = (_told("officer", answer.officer), _told("role", answer.role))
    return _draft(c, m, "consent-given", body, told, reviewed.text)


def decline_draft(
    c: Connection,
    m: Membership,
    document: Document,
    reason: str,
    wanted: Document | None = None,
) -> Draft:
    """Compose the answer that this site does not consent, with what it would sign instead.

    Raises:
        Refused: no consent is asked for: the consent before holds on, unless the site objects;
            or the counter-proposal is none.
    """
    change = changing.change_of(c, m, document.digest)
    if change is not None:
        raise Refused(
            f"this is an {change.klass.word} change, which asks for no consent",
            todo="Object to it with: concilium-site object --reason …",
            rule="no-consent-asked",
        )
    body = {"agreement": document.digest}
    shown = f"{m.site} declines {document.agreement.title}: {reason}\n"
    told = [_told("reason", reason)]
    if wanted is not None:
        changes = counter.difference(document, wanted)
        told.append(_told(counter.LABEL, counter.to_text(changes)))
        lines = change_lines(changes, against="the proposal")
        shown += "".join(f"{line}\n" for line in ("It would sign instead:", *lines))
    return _draft(c, m, "consent-declined", body, told, shown)


def resume_draft(c: Connection, m: Membership, document: Document) -> Draft:
    """Compose the end of a pause.

    Raises:
        Refused: the agreement has ended, or the consent's state does not allow it.
    """
    _check_goes_on(c, m, document.digest)
    body = {"agreement": document.digest, "material": document.material}
    shown = f"{m.site} resumes its part in {document.agreement.title}\n"
    return _draft(c, m, "consent-resumed", body, (), shown)


def suspend(c: Connection, m: Membership, document: Document) -> Statement:
    """Pause, with the agent's key: no task from now on; one at work is cancelled.

    Raises:
        Refused: the agreement has ended, or the consent's state does not allow it.
    """
    _check_goes_on(c, m, document.digest)
    return _stop(c, m, document, "consent-suspended")


def object_to(c: Connection, m: Membership, document: Document, reason: str) -> Statement:
    """Object to an agreement with the agent's key: a pause, with a reason for the operator.

    Raises:
        Refused: the agreement has ended, or the consent's state does not allow it.
    """
    _check_goes_on(c, m, document.digest)
    return _stop(c, m, document, "consent-objected", told=(_told("reason", reason),))


def withdraw(c: Connection, m: Membership, document: Document) -> Statement:
    """Withdraw from an agreement, with the agent's key; the site stays enrolled."""
    return _stop(c, m, document, "consent-withdrawn")


def deliver(c: Connection, m: Membership, draft: Draft) -> Statement:
    """Take a signed statement of an officer: journal it, queue it, and what follows from it.

    Raises:
        PeerFault: it is not what was composed.
        Refused: a signature is missing, something else was signed meanwhile, or a resumption is
            of an agreement that has ended.
    """
    statement = statements.read(draft.envelope)
    check_signed(c, m, statement, draft.disclosures)
    kind, agreement = statement.kind, str(statement.body["agreement"])
    if kind == "consent-resumed":
        _check_goes_on(c, m, agreement)
    consent.advance(standing_of(c, m.federation, agreement).at(m.now()), EVENTS[kind])
    saying = Saying(kind, statement.body, "officer", draft.disclosures)
    voice.enqueue(c, m.federation, statement, saying)
    if kind == "consent-given":
        _declare_data(c, m, statement.body)
    return statement


_OVER: Final = frozenset({"complete", "expired", "superseded", "withdrawn"})
"""States of an agreement after which no task follows; a withdrawal from it still can."""


def _check_goes_on(c: Connection, m: Membership, digest: str) -> None:
    """Refuse to pause or resume where no task follows: the ledger would take no resumption."""
    offered = terms.find(c, m.federation, digest)
    if offered is not None and offered.state in _OVER:
        raise Refused(
            f"the agreement is {offered.state}: nothing of it is paused or resumed",
            todo="See concilium-site status; a new proposal asks for a new consent.",
            rule="agreement-state",
        )


_BASIS: Final = ("jurisdiction", "irb", "permit", "dpa")


def _check_answer(document: Document, answer: Answer, now: datetime) -> None:
    patients.check_number(document, answer.declared_patients)
    if answer.until <= now:
        raise Refused("the consent would end before it begins", rule="consent-is-lapsed")
    if not (answer.officer.strip() and answer.role.strip()):
        raise Refused("a consent names the person who signs, and their role", rule="officer")


def _draft(
    c: Connection,
    m: Membership,
    kind: str,
    body: Mapping[str, Any],
    told: Sequence[Disclosure],
    shown: str,
) -> Draft:
    standing = standing_of(c, m.federation, str(body["agreement"]))
    state = standing.at(m.now())
    if kind == "consent-given" and state is Consent.LAPSED:
        raise _ended(state)
    consent.advance(state, EVENTS[kind])
    return compose(c, m, kind, body, told, shown)


def compose(
    c: Connection,
    m: Membership,
    kind: str,
    body: Mapping[str, Any],
    told: Sequence[Disclosure],
    shown: str,
) -> Draft:
    """Compose an officer's statement, with the text that is shown to whoever signs it."""
    officers, _ = officers_of(c, m)
    payload = statements.compose(
        kind,
        body,
        actor=m.voice.actor,
        key=officers[0],
        chain=journal.chain(c, m.federation, officers[0]),
        log=m.voice.log,
        at=m.now(),
        disclosures=told,
    )
    return Draft(payload, tuple(told), shown)


def _ended(state: Consent) -> Refused:
    return Refused(
        f"the consent to this agreement is {state.value}; a new one needs a new proposal",
        rule=f"consent-is-{state.value}",
    )


def check_signed(
    c: Connection, m: Membership, statement: Statement, told: Sequence[Disclosure]
) -> None:
    """Check what an officer signed, perhaps on another machine.

    Raises:
        PeerFault: it is no officer's statement of this site.
        Refused: a signature is missing, or something else was signed meanwhile.
    """
    # 1. An officer's kind, of this site, for this log. Stops another statement in its place.
    if statement.kind not in OFFICERS or statement.actor != m.voice.actor:
        raise PeerFault("this is no officer's statement of this site", rule="wrong-kind")
    if statement.log != m.voice.log:
        raise PeerFault("this statement is for another federation", rule="wrong-log")
    # 2. As many enrolled officers as must. Stops one officer where two are needed.
    officers, needed = officers_of(c, m)
    signed = [key for key in officers if key in statement.signatures]
    if len(signed) < needed:
        raise Refused(
            f"{needed} officers must sign, and {len(signed)} have",
            todo="Sign the file with `concilium-site sign FILE --officer-key KEY`.",
            rule="officer-needed",
        )
    statements.check_signatures(statement, signed)
    # 3. The values are those committed to.
    statements.check_disclosures(statement, told)
    # 4. It follows the last one of its key. Stops a statement composed before another was.
    known = journal.chain(c, m.federation, statement.key)
    if (statement.counter, statement.previous) != (known.counter + 1, known.previous):
        raise Refused(
            "something else was signed since this was composed",
            todo="Compose it anew with --export, and sign that.",
            rule="broken-chain",
        )


def _stop(
    c: Connection,
    m: Membership,
    document: Document,
    kind: str,
    *,
    told: Sequence[Disclosure] = (),
) -> Statement:
    standing = standing_of(c, m.federation, document.digest)
    state = standing.at(m.now())
    consent.advance(state, EVENTS[kind])
    body = {"agreement": document.digest}
    progress.cancel_of_agreement(c, m, document.digest, rule="no-consent")
    return voice.say(c, m.voice, Saying(kind, body, "always-allowed", told))


def _declare_data(c: Connection, m: Membership, given: Mapping[str, Any]) -> None:
    offered = terms.find(c, m.federation, str(given["agreement"]))
    if offered is None:
        return
    patients.declare(c, m, parse(offered.document), int(given["declared_patients"]))


def _told(label: str, value: str) -> Disclosure:
    return statements.disclose(label, value, salt=secrets.token_bytes(32))


def _decimal(value: float) -> str:
    return "inf" if value == float("inf") else decimal_text(value)
