"""Where this site's own consent stands, by its journal: what it signed counts at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from governance.consent import ENDED, Consent, Event, advance
from governance.statements import parse_time
from protos.errors import Refused
from site_agent.policy import Standing
from site_agent.store import journal, terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from governance.statements import Statement
    from site_agent.store.journal import Said
    from site_agent.store.terms import Offered

EVENTS: Final[Mapping[str, Event]] = {
    "consent-given": Event.SIGNED,
    "consent-declined": Event.DECLINED,
    "consent-objected": Event.OBJECTED,
    "consent-suspended": Event.PAUSED,
    "consent-resumed": Event.RESUMED,
    "consent-withdrawn": Event.WITHDRAWN,
}
"""What each statement of a site does to its consent."""

ACKNOWLEDGED: Final = "change-acknowledged"
_CHANGES: Final = frozenset({*EVENTS, ACKNOWLEDGED})
_DECLARED: Final = "data-declared"
_PERMITS: Final = frozenset({"consent-given", "consent-resumed", ACKNOWLEDGED})
_STATES: Final[Mapping[str, Event]] = {
    "superseded": Event.LEFT_OUT,
    "expired": Event.LAPSED,
    "withdrawn": Event.LAPSED,
}
"""What an agreement's own end does to a consent that is not ended."""


def standing_of(c: Connection, federation: str, agreement: str) -> Standing:
    """Return the site's consent to an agreement.

    A permission that the ledger refused does not count; a withdrawal or a pause does.
    """
    offered = terms.find(c, federation, agreement)
    standing = _said_of(c, federation, agreement, offered)
    event = _STATES.get(offered.state) if offered is not None else None
    if event is None or standing.state in ENDED:
        return standing
    return _moved(standing, event)


def has_left(c: Connection, federation: str, *, since: datetime | None = None) -> bool:
    """Tell whether this site has asked to leave, and did not enrol anew; it counts at once.

    With `since`, whether it did after a moment.
    """
    asked = journal.of_kind(c, federation, "exit-requested")
    if since is None:
        enrolled = journal.of_kind(c, federation, "enrolled")
        since = enrolled[-1].statement.at if enrolled else None
    return any(since is None or one.statement.at >= since for one in asked)


def said_of(c: Connection, federation: str, agreement: str) -> Standing:
    """Return what the site said of an agreement, whatever became of the agreement itself."""
    return _said_of(c, federation, agreement, terms.find(c, federation, agreement))


def _said_of(
    c: Connection, federation: str, agreement: str, offered: Offered | None
) -> Standing:
    enrolled = _enrolled_anew(c, federation)
    every = journal.of_agreement(c, federation, agreement, kinds={*_CHANGES, _DECLARED})
    said = [
        one
        for one in every
        if offered is not None
        and one.statement.kind in _CHANGES
        and one.statement.at >= max(offered.received_at, enrolled)
    ]
    standing = standing_after(said, _carried(c, federation))
    standing = _declared(every, standing)
    if offered is not None and has_left(c, federation, since=offered.received_at):
        return _moved(standing, Event.WITHDRAWN)
    return standing


def _enrolled_anew(c: Connection, federation: str) -> datetime:
    """Return when this site enrolled again: what keys of before consented to is void."""
    said = journal.of_kind(c, federation, "enrolled")
    return said[-1].statement.at if len(said) > 1 else datetime.min.replace(tzinfo=UTC)


def _carried(c: Connection, federation: str) -> Callable[[Statement], Standing]:
    """Return what a change carries over: the consent before, for the agreement after."""

    def carried(acknowledged: Statement) -> Standing:
        before = said_of(c, federation, str(acknowledged.body["former"]))
        return replace(before, agreement=str(acknowledged.body["agreement"]))

    return carried


def standing_after(
    said: Sequence[Said], carried: Callable[[Statement], Standing] | None = None
) -> Standing:
    """Return the consent that follows from statements about one agreement, in their order.

    `carried` returns the consent that an acknowledged change carries over.
    """
    standing = Standing(Consent.PROPOSED)
    for statement in _that_count(said):
        if statement.kind == ACKNOWLEDGED:
            if standing.state is Consent.PROPOSED and carried is not None:
                standing = carried(statement)
            continue
        before, standing = standing, _moved(standing, EVENTS[statement.kind])
        if statement.kind == "consent-given" and standing.state is not before.state:
            standing = _signed(standing.state, statement.body)
    return standing


def _that_count(said: Sequence[Said]) -> list[Statement]:
    """Return the statements without the permissions that were refused, or said otherwise since.

    A refused one leaves its counter to the next of its key. Taken into the ledger late, it must
    not stand against what the officer said in its place.
    """
    counted: list[Statement] = []
    for one in reversed(said):
        said_then = one.statement
        place = (said_then.key, said_then.counter)
        if said_then.kind in _PERMITS and (
            one.status == journal.VOID
            or any((later.key, later.counter) == place for later in counted)
        ):
            continue
        counted.append(said_then)
    return counted[::-1]


def _declared(said: Iterable[Said], standing: Standing) -> Standing:
    """Return the consent with the number of patients that was declared last."""
    last = [
        int(one.statement.body["declared_patients"])
        for one in said
        if one.statement.kind == _DECLARED
        and one.status != journal.VOID
        and one.statement.body["cohort"] == standing.cohort
    ]
    return replace(standing, declared_patients=last[-1]) if last else standing


def _moved(standing: Standing, event: Event) -> Standing:
    try:
        return replace(standing, state=advance(standing.state, event))
    except Refused:
        return standing  # what cannot follow changes nothing: paused twice is paused


def _signed(state: Consent, body: Mapping[str, str | int]) -> Standing:
    return Standing(
        state,
        agreement=str(body["agreement"]),
        material=str(body["material"]),
        until=parse_time(str(body["until"])),
        cap=float(body["cap"]),
        delta=float(body["delta"]),
        declared_patients=int(body["declared_patients"]),
        cohort=str(body["cohort"]),
    )
