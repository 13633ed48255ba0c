"""`trust --log`: what a new log lost, in plain words, and the officers' word to go on with it.

The text is made from three things that lie here: the new log as the agent took it in, this
site's own copy of the one before, and its journal. Whoever signs is shown what of this
hospital's own is lost; what its officers signed is sent again as far as it can follow.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from governance import statements
from governance.counts import count, verb
from governance.ledger import checkpoint, gap, note
from governance.ledger import store as ledger
from governance.ledger.new_log import ACCEPTED
from governance.privacy.releases import decimal_text
from governance.statements import Chain, parse_time
from protos.errors import PeerFault, Refused
from site_agent import anew, office, resending
from site_agent.drafts import Draft
from site_agent.store import journal, notes, work
from site_agent.store.copy import Copy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from governance.ledger.new_log import NewLog
    from governance.statements import Statement
    from protos.words import KeyId
    from site_agent.membership import Membership
    from site_agent.store.journal import Said


@dataclass(frozen=True, slots=True)
class Offer:
    """A new log as it is offered to this site's officers.

    Attributes:
        new: What it declares, by whom, and when the last recovered entry was received.
        held: The last head that this site cosigned of the log before, signed; or empty.
        here: How many of the lost entries this site's copy has.
        lost: What this site said and the new log lacks, in the order of its seq.
        again: Of what officers signed, what can follow in the new log as it is.
        void: Of what officers signed, what cannot.
        chain: On which statement of the first officer the acceptance follows.
        spent: δ and ε of this federation's cohort.
    """

    new: NewLog
    by: str
    since: datetime
    held: str
    here: int
    lost: tuple[Said, ...]
    again: tuple[Said, ...]
    void: tuple[Said, ...]
    chain: Chain
    spent: Mapping[str, Mapping[str, str]]


def offered(c: Connection, m: Membership) -> Offer:
    """Return the new log that waits for this site's word.

    Raises:
        Refused: none does (`no-new-log`), or it is not this site's history up to what it says
            is lost.
    """
    if not notes.note(c, m.federation, notes.NEW_LOG):
        alarm = notes.note(c, m.federation, notes.ALARM)
        raise Refused(
            "no new log waits for this hospital's word"
            + (f"; the alarm is of another kind: {alarm}" if alarm else ""),
            todo="See concilium-site status.",
            rule="no-new-log",
        )
    with _opened(m) as (ours, theirs):
        new = anew.awaits(theirs, m.site)
        if new is None:
            raise Refused("no new log waits for this hospital's word", rule="no-new-log")
        held = anew.check_follows(ours, theirs, new, m.site)
        return _offer(c, m, theirs, (new, held, ledger.size_of(ours)))


def _offer(
    c: Connection, m: Membership, theirs: Connection, found: tuple[NewLog, str, int]
) -> Offer:
    new, held, size = found
    keys = journal.keys(c, m.federation)
    known = {str(own.statement): own.seq for own in ledger.own_entries(theirs, keys)}
    last, first = ledger.entries(theirs, new.seq - 1, new.seq + 1)
    officers, _ = office.officers_of(c, m)
    signed = _of_officers(c, m, known)
    again = _that_follow(theirs, signed, m.now())
    own = [one.statement for one in again if one.statement.key == officers[0]]
    return Offer(
        new=new,
        by=statements.read(first.envelope).actor,
        since=parse_time(last.received_at),
        held=held,
        here=max(0, min(size, new.last.size) - new.seq),
        lost=tuple(resending.lost(c, m, known)),
        again=again,
        void=tuple(one for one in signed if one not in again),
        chain=own[-1].chain if own else ledger.chain_of(theirs, officers[0]),
        spent=_spent(c, m),
    )


@contextmanager
def _opened(m: Membership) -> Iterator[tuple[Connection, Connection]]:
    """Give the copy of the log before, and the new log beside it; neither is changed."""
    ours = Copy.open(m.premises.copy_of(m.federation))
    theirs = Copy.open(m.premises.candidate_of(m.federation))
    try:
        with ours.looked_at() as one, theirs.looked_at() as other:
            yield one, other
    finally:
        ours.close()
        theirs.close()


def _of_officers(c: Connection, m: Membership, known: Mapping[str, int]) -> list[Said]:
    """Return what officers signed and the new log lacks, in the order of each key."""
    own = m.voice.key.key_id
    found: list[Said] = []
    for key in journal.keys(c, m.federation):
        if key == own:
            continue
        for status in (journal.ACCEPTED, journal.QUEUED):
            found += journal.by_key(c, m.federation, key, status=status)
    gone = [
        one
        for one in found
        if one.statement.digest not in known and one.statement.kind != ACCEPTED
    ]
    return sorted(gone, key=lambda one: (one.statement.key, one.statement.counter))


def _that_follow(theirs: Connection, signed: Sequence[Said], now: datetime) -> tuple[Said, ...]:
    """Return those that the new log would take; none that follows on a refused one."""
    taken: list[Said] = []
    stopped: set[KeyId] = set()
    for one in signed:
        if one.statement.key in stopped:
            continue
        try:
            ledger.append(
                theirs, one.statement, received_at=now, disclosures=tuple(one.disclosures)
            )
        except (Refused, PeerFault):
            stopped.add(one.statement.key)
        else:
            taken.append(one)
    return tuple(taken)


def _spent(c: Connection, m: Membership) -> dict[str, dict[str, str]]:
    spent = work.spent_on(c, m.cohort)
    if not spent:
        return {}
    last = spent[-1]
    return {m.cohort: {"delta": decimal_text(last.delta), "epsilon": last.epsilon_total}}


# --- the officers' word ------------------------------------------------------------------


def draft(c: Connection, m: Membership) -> Draft:
    """Compose the acceptance of the new log, with the text that is shown to who signs it."""
    offer = offered(c, m)
    officers, _ = office.officers_of(c, m)
    shown = text(m, offer)
    body: dict[str, Any] = {
        "declared": offer.new.statement,
        "review": hashlib.sha256(shown.encode()).hexdigest(),
        "held": offer.held,
        "lost": len(offer.lost),
        "spent": offer.spent,
    }
    payload = statements.compose(
        ACCEPTED,
        body,
        actor=m.voice.actor,
        key=officers[0],
        chain=offer.chain,
        log=m.voice.log,
        at=m.now(),
    )
    return Draft(payload, (), shown)


def deliver(c: Connection, m: Membership, signed: Draft) -> Statement:
    """Take the signed acceptance; the agent goes on with the new log when it is rung.

    Raises:
        Refused: another new log was declared since, or a signature is missing.
    """
    statement = statements.read(signed.envelope)
    offer = offered(c, m)
    # 1. It is the one that waits now. Stops an acceptance of what has been overtaken.
    if statement.body.get("declared") != offer.new.statement:
        raise Refused(
            "this accepts another new log than the one that waits now",
            todo="Look at it again: concilium-site trust --log",
            rule="unknown-new-log",
        )
    for earlier in journal.of_kind(c, m.federation, ACCEPTED):
        if earlier.status == journal.QUEUED:
            _mark(c, m, earlier, journal.VOID)
    for one in offer.again:
        _mark(c, m, one, journal.QUEUED)
    for one in offer.void:
        _mark(c, m, one, journal.VOID)
    office.check_signed(c, m, statement, ())
    journal.keep(c, m.federation, statement)
    notes.set_note(c, m.federation, notes.TRUSTED, offer.new.statement)
    return statement


def _mark(c: Connection, m: Membership, one: Said, status: str) -> None:
    rule = resending.LOST if status == journal.VOID else ""
    journal.mark(c, m.federation, one.statement.digest, status=status, rule=rule)


# --- in words ----------------------------------------------------------------------------


def text(m: Membership, offer: Offer) -> str:
    """Say what was lost, what of it was this hospital's, and what accepting means."""
    lines = [
        *_what_happened(m, offer),
        "",
        *_what_was_ours(m, offer),
        "",
        "If you accept,",
        "  this hospital takes part in the new log and witnesses it from there on;",
        f"  its copy of the log before stays in {_before(m, offer)}, as evidence;",
        *_spent_lines(offer),
        "Until you do, nothing is trained here and nothing is cosigned.",
    ]
    return "\n".join(lines) + "\n"


def _what_happened(m: Membership, offer: Offer) -> Iterator[str]:
    new = offer.new
    yield f"The log of {m.federation} was lost and begins anew, says {offer.by}."
    yield f"  kept    the first {count(new.seq, 'entry')}"
    yield f"  lost    {gap.lost(new, offer.since)}"
    held = checkpoint.parse_body(note.parse(offer.held).text).size if offer.held else 0
    yield f"  here    this hospital cosigned the first {count(held, 'entry')} of the log before"
    if offer.here:
        yield ""
        yield (
            f"{count(offer.here, 'entry')} of those that are said to be lost "
            f"{verb(offer.here, 'is', 'are')} in this hospital's copy. Before you accept,"
        )
        yield "offer it to the operator, who can recover with it instead:"
        yield f"  {m.premises.copy_of(m.federation)}"


def _what_was_ours(m: Membership, offer: Offer) -> Iterator[str]:
    if not offer.lost:
        yield f"Nothing that {m.site} said is lost."
        return
    said = "statement"
    yield f"Of what {m.site} said, {count(len(offer.lost), said)} are lost:"
    yield from _kinds(offer.lost)
    if offer.again:
        yield "Sent again as they were signed:"
        yield from _kinds(offer.again)
    if offer.void:
        yield "Cannot be sent again, since what they answer is lost too; you are asked anew:"
        yield from _kinds(offer.void)
    yield "Pauses, withdrawals, objections and opt-outs of the agent's key are signed again."


def _kinds(said: Sequence[Said]) -> Iterator[str]:
    for kind, number in sorted(Counter(one.statement.kind for one in said).items()):
        yield f"  {number:>4} {kind}"


def _spent_lines(offer: Offer) -> Iterator[str]:
    yield "  what was spent of its patients' privacy stays spent, also in rounds that are lost"
    for cohort, said in offer.spent.items():
        yield f"    {cohort}: ε {said['epsilon']} at δ {said['delta']}"


def _before(m: Membership, offer: Offer) -> str:
    return str(m.premises.copy_before(m.federation, offer.new.statement))
