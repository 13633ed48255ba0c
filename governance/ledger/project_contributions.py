"""What hospitals gave to a round: the budget that they reserved first, their contributions."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Executable, Row, bindparam, insert, select, update

from governance.ledger import attempts, lateness
from governance.ledger.kind import Bound
from governance.ledger.prepared import Prepared
from governance.ledger.schema import contributions, reservations
from governance.privacy.releases import TRAINING, of_statement, purpose_of
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from governance.ledger.entry import Entry

_PLACES: Final = Decimal("0.0001")
_RESERVED_FOR: Final = Prepared(
    select(reservations.c.seq).where(
        reservations.c.site == bindparam("site"), reservations.c.task == bindparam("task")
    ),
    grows_by=("site", "task"),
)
_CONTRIBUTED: Final = Prepared(
    select(contributions).where(
        contributions.c.site == bindparam("site"),
        contributions.c.round == bindparam("round"),
        contributions.c.base != "",
    ),
    grows_by=("site", "round"),
)
_PAID: Final = Prepared(
    select(*reservations.c["attempt", "purpose", "steps", "epsilon_total"])
    .where(reservations.c.site == bindparam("site"), reservations.c.round == bindparam("round"))
    .order_by(reservations.c.seq),
    grows_by=("site", "round"),
)
_RESERVE: Final = Prepared(insert(reservations), [each.name for each in reservations.columns])
_CONTRIBUTE: Final = Prepared(
    insert(contributions), [each.name for each in contributions.columns]
)
"""Made once, as what every round says asks and writes them."""


def budget_reserved(c: Connection, e: Entry) -> list[Bound]:
    """Reserve privacy budget for a task of the open attempt.

    1. Once for a task. Stops paying once and training twice.
    2. Within the consent's cap. Stops spending what no officer granted.
    3. A release that can be counted. Stops one whose ε nobody could recompute.
    """
    body = e.body
    attempt, purpose = attempts.opened(c, e), purpose_of(e.body)
    cap = (
        attempts.member(c, e, attempt)
        if purpose == TRAINING
        else attempts.permitted(c, e, attempt)
    ).cap
    # 1.
    if _RESERVED_FOR.first(c, site=e.actor_name, task=body["task"]):
        raise Refused("this task was reserved for already", rule="reserved-twice")
    # 2.
    if Decimal(body["epsilon_total"]) > _ceiling(cap):
        raise Refused(
            f"ε would be {body['epsilon_total']}, past the consent's cap of {cap}",
            rule="over-cap",
        )
    # 3.
    of_statement(body)
    names = ("cohort", "task", "round", "attempt", "sampling_rate", "noise_multiplier", "clip")
    more = ("expected_batch", "steps", "delta", "epsilon_total")
    row = {name: body[name] for name in (*names, *more)}
    row |= {"seq": e.seq, "site": e.actor_name, "purpose": purpose}
    return [Bound(_RESERVE, row)]


def contribution_made(c: Connection, e: Entry) -> list[Bound]:
    """Take a site's contribution.

    1. The attempt is open, the site was asked, its consent is in force. Stops an update after a
       withdrawal, and one for a round that is over.
    2. Its base is the attempt's model, or it was late for the round before and its base is that
       one's. Stops an update to another model.
    3. There is none of this site for this attempt. Stops a hospital from counting twice.
    4. It was reserved for. Stops training before, or beyond, the reservation.
    """
    body, site = e.body, e.actor_name
    # 1.
    attempt = attempts.opened(c, e)
    attempts.member(c, e, attempt)
    # 2.
    origin = lateness.origin(c, site, attempt, body)
    attempts.check_same(body, {"base": origin.model_in})
    # 3.
    earlier = _earlier(c, e)
    if any(row.attempt == body["attempt"] for row in earlier):
        raise Refused(f"{site} contributed to this attempt already", rule="second-contribution")
    # 4.
    _check_reserved(c, e, origin, _charged(c, e, earlier))
    row = {name: body[name] for name in ("round", "attempt", "agreement", "base", "steps")}
    row |= {"update_digest": body["update"], "epsilon": body["epsilon"]}
    row |= {"made_of": made_of(body), "size_bytes": body["size"]}
    row["trained_in"] = origin.round
    row |= {"seq": e.seq, "site": site, "state": "made", "refusal": ""}
    return [Bound(_CONTRIBUTE, row)]


def contribution_refused(c: Connection, e: Entry) -> list[Executable]:
    """Mark a contribution to the open attempt as refused, or add one that never came in."""
    body = e.body
    place = {name: body[name] for name in ("site", "round", "attempt")}
    attempts.opened(c, e)
    made = c.execute(
        select(contributions.c.seq).where(
            *(contributions.c[name] == value for name, value in place.items()),
            contributions.c.update_digest == body["update"],
            contributions.c.state == "made",
        )
    ).first()
    outcome = {"state": "refused", "refusal": body["refusal"]}
    if made is not None:
        mine = contributions.c.seq == made.seq
        return [update(contributions).where(mine).values(**outcome)]
    row = {"agreement": body["agreement"], "update_digest": body["update"], **place, **outcome}
    row |= {"base": "", "made_of": body["update"], "size_bytes": 0, "steps": 0}
    row |= {"epsilon": "0", "trained_in": body["round"]}
    return [insert(contributions).values(seq=e.seq, **row)]


def _earlier(c: Connection, e: Entry) -> list[Row[Any]]:
    """Return this site's contributions to this round, without those that never came in."""
    return _CONTRIBUTED.all(c, site=e.actor_name, round=e.body["round"])


def _charged(c: Connection, e: Entry, earlier: list[Row[Any]]) -> set[str]:
    """Return the updates that were paid for by reservations of the round this was trained in.

    Those of an update that was late are of the round before the one in which it counts.
    """
    late = lateness.is_late(e.body)
    charged = {row.made_of for row in earlier if lateness.was_late(row) == late}
    if late:
        before = _CONTRIBUTED.all(c, site=e.actor_name, round=e.body[lateness.TRAINED_IN])
        charged |= {row.made_of for row in before if not lateness.was_late(row)}
    return charged


def _check_reserved(c: Connection, e: Entry, origin: Row[Any], updates: set[str]) -> None:
    """Check that a new update has a reservation of its own; one sent again has had it.

    The ε that it states is no lower than was reserved: `verify` would fault the record for it.
    """
    body = e.body
    paid = [
        row
        for row in _PAID.all(c, site=e.actor_name, round=origin.round)
        if row.attempt <= origin.attempt and row.purpose == TRAINING
    ]
    if len(updates | {made_of(body)}) > len(paid) or body["steps"] > max(r.steps for r in paid):
        raise Refused("no budget was reserved for this update", rule="no-reservation")
    stated = [Decimal(row.epsilon_total) for row in paid]
    least = min(stated) if made_of(body) in updates else stated[-1]
    if Decimal(body["epsilon"]) < least:
        raise Refused(
            f"it states ε {body['epsilon']}, but {least} was reserved",
            rule="epsilon-understated",
        )


def made_of(body: Mapping[str, Any]) -> str:
    """Return what tells one update from another; it is masked anew in each attempt."""
    return str(body.get("of") or body["update"])


def _ceiling(cap: str) -> Decimal:
    """Return the cap with four places, rounded up as every stated ε is."""
    value = Decimal(cap)
    return value.quantize(_PLACES, rounding=ROUND_CEILING) if value.is_finite() else value
