"""What hospitals agreed to: agreements, and each site's consent to them.

A consent is to material terms. So it holds for a later agreement with the same material digest,
and a question about an agreement finds the site's consent by that digest. A new consent ends
the older one once its agreement is in force: until then rounds go on under the old one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Executable, Row, bindparam, insert, or_, select, update

from governance import canonical, consent
from governance.consent import Consent, Event
from governance.ledger import project_exits
from governance.ledger.prepared import Prepared
from governance.ledger.project_members import act
from governance.ledger.schema import acceptances, agreements, consents, revocations
from governance.statements import parse_time, timestamp
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from governance.ledger.entry import Entry

_IN_FORCE: Final = Consent.IN_FORCE.value
_OPEN: Final = frozenset({"proposed", "in-force"})
_EVENTS: Final[Mapping[str, Event]] = {
    "consent-declined": Event.DECLINED,
    "consent-objected": Event.OBJECTED,
    "consent-suspended": Event.PAUSED,
    "consent-withdrawn": Event.WITHDRAWN,
}
_NEXT_STATE: Final[Mapping[str, tuple[str, str]]] = {
    "agreement-in-force": ("proposed", "in-force"),
    "agreement-superseded": ("in-force", "superseded"),
    "agreement-expired": ("in-force", "expired"),
    "agreement-complete": ("in-force", "complete"),
}
_NO_TERMS: Final[Mapping[str, Any]] = {
    "cohort": "",
    "declared_patients": 0,
    "cap": "0",
    "delta": "0",
    "until": "",
    "purposes": "[]",
    "stops_in_round": 0,
}

_OWN: Final = consents.alias()
_OWN_SITES: Final = select(_OWN.c.site).where(_OWN.c.agreement == bindparam("agreement"))
_PERMITTING: Final = (
    select(consents)
    .where(
        consents.c.material == bindparam("material"),
        consents.c.state == _IN_FORCE,
        consents.c.site.not_in(select(revocations.c.name)),
        consents.c.site.not_in(
            select(acceptances.c.site).where(acceptances.c.accepted_seq.is_(None))
        ),
        or_(
            consents.c.agreement == bindparam("agreement"),
            consents.c.site.not_in(_OWN_SITES),
        ),
    )
    .order_by(consents.c.site, consents.c.given_seq)
)
_PERMITS: Final = Prepared(_PERMITTING, kept=True)
_PERMITS_ONE: Final = Prepared(
    _PERMITTING.where(consents.c.site == bindparam("one")), kept=True
)
_AGREEMENT: Final = Prepared(
    select(agreements).where(agreements.c.digest == bindparam("digest")), kept=True
)
"""Made once: each entry of a round asks them, and to make them costs more than to ask."""


def agreement(c: Connection, digest: str) -> Row[Any]:
    """Return an agreement's row, or raise Refused when none of this digest was proposed."""
    row: Row[Any] | None = _AGREEMENT.first(c, digest=digest)
    if row is None:
        raise Refused("no agreement of this digest was proposed", rule="unknown-agreement")
    return row


def in_force(
    c: Connection, known: Row[Any], now: datetime, *, site: str | None = None
) -> dict[str, Row[Any]]:
    """Return, by site, the consents that permit something now under an agreement.

    Where a site spoke of this very agreement, that alone counts: what it said of another one
    with the same material terms outlives no withdrawal from this one. A revoked site has none,
    and none has one that was not heard of a new log yet: it may have withdrawn in what is lost.
    With `site`, only that one's is looked for.
    """
    asked = {"material": known.material, "agreement": known.digest}
    moment = timestamp(now)
    one = {} if site is None else {"one": site}
    rows = (_PERMITS_ONE if one else _PERMITS).all(c, **asked, **one)
    return {row.site: row for row in rows if row.until > moment}


def check_in_force(c: Connection, sites: Iterable[str], known: Row[Any], now: datetime) -> None:
    """Raise Refused naming the first of these sites whose consent permits nothing now."""
    permitted = in_force(c, known, now)
    for site in sites:
        if site not in permitted:
            raise _no_consent(site)


def permitted(c: Connection, site: str, known: Row[Any], now: datetime) -> Row[Any]:
    """Return the consent of a site that permits something now, or raise Refused."""
    found = in_force(c, known, now, site=site)
    if site not in found:
        raise _no_consent(site)
    return found[site]


def consent_to(c: Connection, site: str, known: Row[Any]) -> Row[Any] | None:
    """Return a site's consent to an agreement, or else its last one to the same terms."""
    own = _consent(c, site, known.digest)
    if own is not None:
        return own
    return c.execute(
        select(consents)
        .where(consents.c.site == site, consents.c.material == known.material)
        .order_by(consents.c.given_seq.desc())
        .limit(1)
    ).first()


def agreement_proposed(c: Connection, e: Entry) -> list[Executable]:
    """Add an agreement that sites are asked to consent to; the same bytes are proposed once."""
    digest = e.body["agreement"]
    if c.execute(select(agreements.c.digest).where(agreements.c.digest == digest)).first():
        raise Refused(
            "this agreement was proposed before",
            todo="Change something in it, its title for example; a proposal is not repeated.",
            rule="already-proposed",
        )
    row = {"digest": digest, "material": e.body["material"], "state": "proposed"}
    return [
        insert(agreements).values(**row, proposed_seq=e.seq, changed_seq=e.seq),
        act(e, "propose"),
    ]


def proposal_withdrawn(c: Connection, e: Entry) -> list[Executable]:
    """End a proposal, and every consent to it: what was signed permits nothing any more.

    It is proposed still, with these material terms. Stops an agreement in force from ending as
    if it had never been.
    """
    known = agreement(c, e.body["agreement"])
    if known.state != "proposed":
        raise Refused(f"the agreement is {known.state}, not proposed", rule="agreement-state")
    if known.material != e.body["material"]:
        raise Refused("the material digest is not the agreement's", rule="material-differs")
    end = (
        update(agreements)
        .where(agreements.c.digest == known.digest)
        .values(state="withdrawn", changed_seq=e.seq)
    )
    given = c.execute(select(consents).where(consents.c.agreement == known.digest))
    lapsed = [
        _moved(row, _after(row, Event.LAPSED), e)
        for row in given
        if Consent(row.state) not in consent.ENDED
    ]
    return [end, *lapsed, act(e, "withdraw-proposal")]


def agreement_moved(c: Connection, e: Entry) -> list[Executable]:
    """Bring an agreement into force, or end it.

    1. It is proposed or in force, as the step needs, with these material terms. Stops an
       agreement that ended from coming back.
    2. It rests on entries before this one. Stops an agreement from resting on nothing.
    3. Into force: no other agreement is, and each site that it names consents now. Stops two
       laws at once, and a hospital from being counted that did not sign.
    """
    body, known = e.body, agreement(c, e.body["agreement"])
    before, after = _NEXT_STATE[e.statement.kind]
    # 1.
    if known.state != before:
        raise Refused(f"the agreement is {known.state}, not {before}", rule="agreement-state")
    if known.material != body["material"]:
        raise Refused("the material digest is not the agreement's", rule="material-differs")
    # 2.
    if any(seq >= e.seq for seq in body["rests_on"]):
        raise Refused("it rests on an entry that is not there yet", rule="rests-on-nothing")
    change = (
        update(agreements)
        .where(agreements.c.digest == body["agreement"])
        .values(state=after, changed_seq=e.seq)
    )
    if after != "in-force":
        return [change]
    # 3.
    if c.execute(select(agreements.c.digest).where(agreements.c.state == "in-force")).first():
        raise Refused("another agreement is in force still", rule="agreement-state")
    check_in_force(c, body["sites"], known, e.received_at)
    return [change, *_left_behind(c, e, known.material)]


def consent_given(c: Connection, e: Entry) -> list[Executable]:
    """Add a site's consent, or refuse it.

    1. The agreement is proposed or in force. Stops a consent to what has ended.
    2. The material digest is the agreement's. Stops a consent to other terms than were asked.
    3. Its time is not over. Stops an old consent from being delivered as a new one.
    4. The table has this step. Stops a second consent, and one after a withdrawal.
    5. The site stays. Stops one that left from coming back without new keys.
    """
    body, site = e.body, e.actor_name
    known = agreement(c, body["agreement"])
    # 1.
    if known.state not in _OPEN:
        raise Refused(f"the agreement is {known.state}", rule="agreement-state")
    # 2.
    if known.material != body["material"]:
        raise Refused("the material digest is not the agreement's", rule="material-differs")
    # 3.
    if parse_time(body["until"]) <= e.received_at:
        raise Refused("the consent's time is over", rule="consent-is-lapsed")
    # 4.
    state = consent.advance(_state(_consent(c, site, body["agreement"])), Event.SIGNED)
    # 5.
    project_exits.check_stays(c, site)
    names = ("cohort", "declared_patients", "cap", "delta", "until", "stops_in_round")
    terms = {name: body[name] for name in names}
    terms["purposes"] = canonical.encode(body["purposes"]).decode()
    changes = [_new_consent(e, known, state, terms)]
    if known.state == "in-force":
        changes += _superseded(c, e)
    return changes


def consent_moved(c: Connection, e: Entry) -> list[Executable]:
    """Decline, object to, pause or withdraw a consent, as the table allows.

    These are taken after `until` too: they permit nothing. With a withdrawal from what was
    signed an exit begins.
    """
    known = agreement(c, e.body["agreement"])
    row = consent_to(c, e.actor_name, known)
    state = consent.advance(_state(row), _EVENTS[e.statement.kind])
    if row is None:
        return [_new_consent(e, known, state, _NO_TERMS)]
    if state is Consent.WITHDRAWN and row.until:
        return [_moved(row, state, e), project_exits.withdrawn(e, known.digest)]
    return [_moved(row, state, e)]


def consent_resumed(c: Connection, e: Entry) -> list[Executable]:
    """Resume a consent whose material digest is the agreement's and whose time is not over."""
    known = agreement(c, e.body["agreement"])
    row = consent_to(c, e.actor_name, known)
    state = _state(row)
    if row is not None and row.until:
        state = consent.at(state, parse_time(row.until), e.received_at)
    state = consent.advance(state, Event.RESUMED)
    if row is None or {row.material, e.body["material"]} != {known.material}:
        raise Refused("the consent was to other material terms", rule="material-differs")
    if known.state not in _OPEN:
        raise Refused(f"the agreement is {known.state}", rule="agreement-state")
    return [_moved(row, state, e)]


def consent_lapsed(c: Connection, e: Entry) -> list[Executable]:
    """Record that a consent's time is over, or that a proposal was never answered."""
    known, site = agreement(c, e.body["agreement"]), e.body["site"]
    row = _consent(c, site, known.digest)
    state = consent.advance(_state(row), Event.LAPSED)
    if row is None:
        _check_overtaken(c, known)
        return [_new_consent(e, known, state, _NO_TERMS)]
    if parse_time(row.until) > e.received_at:
        raise Refused(f"{site}'s consent has time left", rule="consent-has-time")
    return [_moved(row, state, e)]


def _check_overtaken(c: Connection, known: Row[Any]) -> None:
    """Stops a hospital's right to answer from being taken away while it is asked."""
    later = select(agreements.c.digest).where(
        agreements.c.state == "in-force", agreements.c.changed_seq > known.proposed_seq
    )
    if known.state != "proposed" or c.execute(later).first() is None:
        raise Refused("the sites are asked for their consent still", rule="still-asked")


def _left_behind(c: Connection, e: Entry, material: str) -> list[Executable]:
    """Return what becomes of the consents to other agreements when one takes force."""
    mine = (consents.c.agreement == e.body["agreement"], consents.c.state == _IN_FORCE)
    signed = set(c.execute(select(consents.c.site).where(*mine)).scalars())
    changes: list[Executable] = []
    for row in _others(c, e):
        if row.site in signed:
            changes.append(_moved(row, _after(row, Event.OWN_NEW_CONSENT), e))
        elif row.material != material:
            changes.append(_moved(row, _after(row, Event.LEFT_OUT), e))
    return changes


def _superseded(c: Connection, e: Entry) -> list[Executable]:
    mine = [row for row in _others(c, e) if row.site == e.actor_name]
    return [_moved(row, _after(row, Event.OWN_NEW_CONSENT), e) for row in mine]


def _others(c: Connection, e: Entry) -> list[Row[Any]]:
    """Return the consents that go on, to other agreements that were once in force."""
    rows = c.execute(
        select(consents)
        .join(agreements, agreements.c.digest == consents.c.agreement)
        .where(consents.c.agreement != e.body["agreement"], agreements.c.state != "proposed")
    )
    return [row for row in rows if Consent(row.state) not in consent.ENDED]


def _after(row: Row[Any], event: Event) -> Consent:
    return consent.advance(Consent(row.state), event)


def _consent(c: Connection, site: str, digest: str) -> Row[Any] | None:
    return c.execute(
        select(consents).where(consents.c.site == site, consents.c.agreement == digest)
    ).first()


def _state(row: Row[Any] | None) -> Consent:
    return Consent.PROPOSED if row is None else Consent(row.state)


def _new_consent(
    e: Entry, known: Row[Any], state: Consent, terms: Mapping[str, Any]
) -> Executable:
    return insert(consents).values(
        site=e.body.get("site", e.actor_name),
        agreement=known.digest,
        material=known.material,
        state=state.value,
        given_seq=e.seq,
        signed_seq=e.seq,
        changed_seq=e.seq,
        **terms,
    )


def _moved(row: Row[Any], state: Consent, e: Entry) -> Executable:
    return (
        update(consents)
        .where(consents.c.site == row.site, consents.c.agreement == row.agreement)
        .values(state=state.value, changed_seq=e.seq)
    )


def _no_consent(site: str) -> Refused:
    return Refused(f"{site} has no consent in force for these terms", rule="no-consent")
