"""What was trained: rounds, the budget reserved for them, contributions.

Round numbers run over the whole federation; an abandoned round is tried again as its next
attempt, from the model that the last closed round under the same agreement made.
"""

from __future__ import annotations

import json
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Executable, Row, bindparam, insert, select, update

from governance import canonical
from governance.consent import ENDED, Consent, at
from governance.ledger import project_consents, project_exits
from governance.ledger.drawn import check_drawn
from governance.ledger.kind import Bound
from governance.ledger.prepared import Prepared
from governance.ledger.schema import (
    consents,
    contributions,
    entries,
    reservations,
    rounds,
)
from governance.privacy.releases import TRAINING, of_statement, purpose_of
from governance.statements import parse_time
from protos.errors import Refused
from protos.words import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from governance.ledger.entry import Entry

_PLACES: Final = Decimal("0.0001")

_ATTEMPT: Final = Prepared(
    select(rounds).where(
        rounds.c.round == bindparam("round"), rounds.c.attempt == bindparam("attempt")
    ),
    kept=True,
)
_RESERVED_FOR: Final = Prepared(
    select(reservations.c.seq).where(
        reservations.c.site == bindparam("site"), reservations.c.task == bindparam("task")
    )
)
_CONTRIBUTED: Final = Prepared(
    select(contributions).where(
        contributions.c.site == bindparam("site"),
        contributions.c.round == bindparam("round"),
        contributions.c.base != "",
    )
)
_PAID: Final = Prepared(
    select(reservations.c.steps, reservations.c.epsilon_total)
    .where(
        reservations.c.site == bindparam("site"),
        reservations.c.round == bindparam("round"),
        reservations.c.attempt <= bindparam("attempt"),
        reservations.c.purpose == TRAINING,
    )
    .order_by(reservations.c.seq)
)
_MADE: Final = Prepared(
    select(contributions.c.site).where(
        contributions.c.round == bindparam("round"),
        contributions.c.attempt == bindparam("attempt"),
        contributions.c.state == "made",
    )
)
_NEWEST: Final = Prepared(
    select(rounds).order_by(rounds.c.round.desc(), rounds.c.attempt.desc()).limit(1)
)
_GIVEN: Final = Prepared(select(consents).where(consents.c.material == bindparam("material")))
_RESERVE: Final = Prepared(insert(reservations), [each.name for each in reservations.columns])
_CONTRIBUTE: Final = Prepared(
    insert(contributions), [each.name for each in contributions.columns]
)
_OPENED: Final = ("round", "attempt", "agreement", "model_in", "state_in", "sites")
_OPEN: Final = Prepared(insert(rounds), [*_OPENED, "state", "opened_seq"])
_OUTCOME: Final = ("sites_in", "sites_out", "reason", "model_out", "state_out")
_END: Final = Prepared(
    update(rounds).where(
        rounds.c.round == bindparam("this_round"), rounds.c.attempt == bindparam("this_attempt")
    ),
    ["state", "ended_seq", *_OUTCOME],
)
"""Made once, as what every round says asks and writes them."""


def round_opened(c: Connection, e: Entry) -> list[Bound]:
    """Open a round's attempt.

    1. Its agreement is in force. Stops work that nobody agreed to.
    2. No other is open, and its numbers follow. Stops a round from being hidden or repeated.
    3. It starts from what was committed last. Stops a model from being slipped in.
    4. Each site that is asked consents now. Stops a task after a withdrawal.
    5. Where some are drawn, it is these, by the round's seed. Stops hospitals being picked.
    """
    body = e.body
    # 1.
    agreed = project_consents.agreement(c, body["agreement"])
    if agreed.state != "in-force":
        raise Refused(f"the agreement is {agreed.state}", rule="agreement-not-in-force")
    # 2.
    last: Row[Any] | None = _NEWEST.first(c)
    if last is not None and last.state == "open":
        raise Refused(f"round {last.round} is open still", rule="round-open")
    if (body["round"], body["attempt"]) != _following(last):
        raise Refused("the numbers do not follow those of the last round", rule="round-number")
    # 3.
    if last is not None and last.agreement == body["agreement"]:
        made = (last.model_out, last.state_out)
        model, state = made if last.state == "closed" else (last.model_in, last.state_in)
        model, state = project_exits.moved_base(c, last.ended_seq) or (model, state)
        _check_same(body, {"model": model, "state": state})
    # 4.
    project_consents.check_in_force(c, body["sites"], agreed, e.received_at)
    # 5.
    if "seed" in body:
        project_consents.check_in_force(c, body["drawn_from"], agreed, e.received_at)
        in_force = select(entries.c.statement).where(
            entries.c.kind == "agreement-in-force", entries.c.agreement == agreed.digest
        )
        check_drawn(body, Digest(c.execute(in_force).scalar_one()))
    row = {name: body[name] for name in ("round", "attempt", "agreement")}
    row |= {"model_in": body["model"], "state_in": body["state"], "sites": _json(body["sites"])}
    return [Bound(_OPEN, {**row, "state": "open", "opened_seq": e.seq})]


def round_closed(c: Connection, e: Entry) -> list[Bound]:
    """Commit a round's model.

    1. The attempt is open, from these inputs. Stops a round from being closed twice.
    2. Each site is in or out and was asked, and some are in. Stops invented participants.
    3. Every site that is in made a contribution that was not refused. Stops an invented one.
    4. No such consent has ended. Stops a withdrawal from being overlooked at the last moment.
    """
    body = e.body
    # 1.
    row = _open(c, e)
    _check_same(body, {"model_in": row.model_in, "state_in": row.state_in})
    # 2.
    sites_in, sites_out = set(body["sites_in"]), set(body["sites_out"])
    if not sites_in or sites_in & sites_out or sites_in | sites_out != set(_asked(row)):
        raise Refused("the sites in and out are not those that were asked", rule="round-sites")
    # 3.
    rows = _MADE.all(c, round=body["round"], attempt=body["attempt"])
    made = {row.site for row in rows}
    for site in body["sites_in"]:
        if site not in made:
            raise Refused(f"{site} did not contribute to this attempt", rule="no-contribution")
    # 4.
    _check_not_ended(c, e)
    return [_end(e, "closed", model_out=body["model_out"], state_out=body["state_out"])]


def round_abandoned(c: Connection, e: Entry) -> list[Bound]:
    """End an attempt without a model."""
    _open(c, e)
    return [_end(e, "abandoned", reason=e.body["reason"])]


def budget_reserved(c: Connection, e: Entry) -> list[Bound]:
    """Reserve privacy budget for a task of the open attempt.

    1. Once for a task. Stops paying once and training twice.
    2. Within the consent's cap. Stops spending what no officer granted.
    3. A release that can be counted. Stops one whose ε nobody could recompute.
    """
    body = e.body
    attempt, purpose = _open(c, e), purpose_of(e.body)
    cap = (_member(c, e, attempt) if purpose == TRAINING else permitted(c, e, attempt)).cap
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
    2. Its base is the attempt's model. Stops an update to another model.
    3. There is none of this site for this attempt. Stops a hospital from counting twice.
    4. It was reserved for. Stops training before, or beyond, the reservation.
    """
    body, site = e.body, e.actor_name
    # 1.
    attempt = _open(c, e)
    _member(c, e, attempt)
    # 2.
    _check_same(body, {"base": attempt.model_in})
    # 3.
    earlier = _earlier(c, e)
    if any(row.attempt == body["attempt"] for row in earlier):
        raise Refused(f"{site} contributed to this attempt already", rule="second-contribution")
    # 4.
    _check_reserved(c, e, {row.made_of for row in earlier})
    row = {name: body[name] for name in ("round", "attempt", "agreement", "base", "steps")}
    row |= {"update_digest": body["update"], "epsilon": body["epsilon"]}
    row["made_of"] = made_of(body)
    row |= {"seq": e.seq, "site": site, "state": "made", "refusal": ""}
    return [Bound(_CONTRIBUTE, row)]


def contribution_refused(c: Connection, e: Entry) -> list[Executable]:
    """Mark a contribution to the open attempt as refused, or add one that never came in."""
    body = e.body
    place = {name: body[name] for name in ("site", "round", "attempt")}
    _open(c, e)
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
    row |= {"base": "", "made_of": body["update"], "steps": 0, "epsilon": "0"}
    return [insert(contributions).values(seq=e.seq, **row)]


def of_known_attempt(c: Connection, e: Entry) -> list[Executable]:
    """Change no table; the attempt that the entry speaks of was opened."""
    known(c, e)
    return []


def of_open_attempt(c: Connection, e: Entry) -> list[Executable]:
    """Change no table; the attempt that the entry speaks of is open."""
    _open(c, e)
    return []


def of_ended_attempt(c: Connection, e: Entry) -> list[Executable]:
    """Change no table; the attempt that the entry speaks of is over."""
    if known(c, e).state == "open":
        raise Refused("the round is open still", rule="round-open")
    return []


def known(c: Connection, e: Entry) -> Row[Any]:
    """Return the attempt that an entry speaks of."""
    body = e.body
    row: Row[Any] | None = _ATTEMPT.first(c, round=body["round"], attempt=body["attempt"])
    if row is None or row.agreement != body["agreement"]:
        raise Refused(
            f"there is no round {body['round']}, attempt {body['attempt']} of this agreement",
            rule="unknown-round",
        )
    return row


def _open(c: Connection, e: Entry) -> Row[Any]:
    row = known(c, e)
    if row.state != "open":
        raise Refused(
            f"round {row.round}, attempt {row.attempt} is {row.state}", rule="round-over"
        )
    return row


def _member(c: Connection, e: Entry, attempt: Row[Any]) -> Row[Any]:
    """Return the speaking site's consent; it was asked in the attempt."""
    site = e.actor_name
    if site not in _asked(attempt):
        raise Refused(f"{site} was not asked in this attempt", rule="not-asked")
    agreed = project_consents.agreement(c, attempt.agreement)
    return project_consents.permitted(c, site, agreed, e.received_at)


def permitted(c: Connection, e: Entry, attempt: Row[Any]) -> Row[Any]:
    """Return the speaking site's consent; figures are asked of who was drawn from, too."""
    agreed = project_consents.agreement(c, attempt.agreement)
    return project_consents.permitted(c, e.actor_name, agreed, e.received_at)


def _earlier(c: Connection, e: Entry) -> list[Row[Any]]:
    """Return this site's contributions to this round, without those that never came in."""
    return _CONTRIBUTED.all(c, site=e.actor_name, round=e.body["round"])


def _check_reserved(c: Connection, e: Entry, updates: set[str]) -> None:
    """Check that a new update has a reservation of its own; one sent again has had it.

    The ε that it states is no lower than was reserved: `verify` would fault the record for it.
    """
    body = e.body
    paid = _PAID.all(c, site=e.actor_name, round=body["round"], attempt=body["attempt"])
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


def asked_in(c: Connection, e: Entry) -> list[str]:
    """Return the sites that the open attempt of an entry asked."""
    return _asked(_open(c, e))


def _asked(row: Row[Any]) -> list[str]:
    return list(json.loads(row.sites))


def _check_not_ended(c: Connection, e: Entry) -> None:
    agreed = project_consents.agreement(c, e.body["agreement"])
    rows = _GIVEN.all(c, material=agreed.material)
    own = {row.site for row in rows if row.agreement == agreed.digest}
    going = {
        row.site
        for row in rows
        if row.until and (row.agreement == agreed.digest or row.site not in own)
        if at(Consent(row.state), parse_time(row.until), e.received_at) not in ENDED
    }
    for site in e.body["sites_in"]:
        if site not in going:
            raise Refused(f"{site}'s consent has ended", rule="consent-ended")


def _following(last: Row[Any] | None) -> tuple[int, int]:
    if last is None:
        return 1, 1
    return (last.round + 1, 1) if last.state == "closed" else (last.round, last.attempt + 1)


def _end(
    e: Entry,
    state: str,
    *,
    reason: str | None = None,
    model_out: str | None = None,
    state_out: str | None = None,
) -> Bound:
    body = e.body
    row = {
        "state": state,
        "ended_seq": e.seq,
        "sites_in": _json(body["sites_in"]),
        "sites_out": _json(body["sites_out"]),
        "reason": reason,
        "model_out": model_out,
        "state_out": state_out,
    }
    return Bound(_END, {**row, "this_round": body["round"], "this_attempt": body["attempt"]})


def _check_same(body: Mapping[str, Any], expected: Mapping[str, str]) -> None:
    for name, value in expected.items():
        if body[name] != value:
            raise Refused(f"its {name} is not the one of the record", rule="wrong-base")


def _ceiling(cap: str) -> Decimal:
    """Return the cap with four places, rounded up as every stated ε is."""
    value = Decimal(cap)
    return value.quantize(_PLACES, rounding=ROUND_CEILING) if value.is_finite() else value


def _json(value: object) -> str:
    return canonical.encode(value).decode()
