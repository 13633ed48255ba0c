"""What was trained: rounds and their attempts, opened, closed and abandoned.

Round numbers run over the whole federation; an abandoned round is tried again as its next
attempt, from the model that the last closed round under the same agreement made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from governance import canonical
from governance.consent import ENDED, Consent, at
from governance.ledger import attempts, project_consents, project_exits
from governance.ledger.drawn import check_drawn
from governance.ledger.kind import Bound
from governance.ledger.prepared import Prepared
from governance.ledger.schema import consents, contributions, entries, rounds
from governance.statements import parse_time
from protos.errors import Refused
from protos.words import Digest

if TYPE_CHECKING:
    from governance.ledger.entry import Entry

_MADE: Final = Prepared(
    select(contributions.c.site).where(
        contributions.c.round == bindparam("round"),
        contributions.c.attempt == bindparam("attempt"),
        contributions.c.state == "made",
    ),
    grows_by=("round", "attempt"),
)
_NEWEST: Final = Prepared(
    select(rounds).order_by(rounds.c.round.desc(), rounds.c.attempt.desc()).limit(1)
)
_GIVEN: Final = Prepared(select(consents).where(consents.c.material == bindparam("material")))
_OPENED: Final = ("round", "attempt", "agreement", "model_in", "state_in", "sites")
_OPEN: Final = Prepared(insert(rounds), [*_OPENED, "state", "opened_seq", "alike_seq"])
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
        attempts.check_same(body, {"model": model, "state": state})
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
    alike = last.alike_seq if last is not None and last.sites == row["sites"] else e.seq
    return [Bound(_OPEN, {**row, "state": "open", "opened_seq": e.seq, "alike_seq": alike})]


def round_closed(c: Connection, e: Entry) -> list[Bound]:
    """Commit a round's model.

    1. The attempt is open, from these inputs. Stops a round from being closed twice.
    2. Each site is in or out and was asked, and some are in. Stops invented participants.
    3. Every site that is in made a contribution that was not refused. Stops an invented one.
    4. No such consent has ended. Stops a withdrawal from being overlooked at the last moment.
    """
    body = e.body
    # 1.
    row = attempts.opened(c, e)
    attempts.check_same(body, {"model_in": row.model_in, "state_in": row.state_in})
    # 2.
    sites_in, sites_out = set(body["sites_in"]), set(body["sites_out"])
    if not sites_in or sites_in & sites_out or sites_in | sites_out != set(attempts.asked(row)):
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
    """End an attempt without a model.

    1. The attempt is open. Stops a round from being ended twice.
    2. Who broke a rule was asked. Stops a fault being laid at one that had no part.
    """
    # 1.
    row = attempts.opened(c, e)
    # 2.
    others = e.body.get("refused", {}).keys() - set(attempts.asked(row))
    if others:
        raise Refused(f"{min(others)} was not asked in this attempt", rule="not-asked")
    return [_end(e, "abandoned", reason=e.body["reason"])]


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


def _json(value: object) -> str:
    return canonical.encode(value).decode()
