"""What an event does to the round at work: opening one, and taking a site out of it.

`rounds` decides, `effects` carries out, in the transaction of the event; the chores that are
returned are for the conductor, after the commit.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from coordinator import drawing, effects, gate, heads, masked_figures, masking, measuring
from coordinator.effects import Chores, Turn
from coordinator.round_states import Event, State, advance
from coordinator.rounds import OUT_CONSENT, RoundView
from coordinator.store import outbox, record, recovered, roundbook
from protos.words import Cancel, Task, TaskKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from coordinator.foundation import Foundation
    from coordinator.store.roundbook import Asked, Running
    from governance.agreement.load import Document
    from protos.words import BlobRef, SiteName


def view(connection: Connection, running: Running, document: Document) -> RoundView:
    """Return what the policies look at."""
    times = record.arrivals(connection, running.round, running.attempt)
    inside = {s: times[s] for s, a in running.training.items() if a.state == "in"}
    out = {
        s: a.reason or a.state
        for s, a in running.training.items()
        if a.state in {"refused", "withdrawn", "cancelled"}
    }
    plain = RoundView(
        asked=frozenset(running.training),
        close_at_least=document.agreement.sites.close_at_least,
        deadline=running.deadline,
        close_early_after_s=document.agreement.round.stragglers,
        arrived=inside,
        out=out,
    )
    if State(running.state) is State.MEASURING:
        return measuring.view(connection, running, document, plain)
    if document.agreement.aggregation.secure:
        return masking.view(connection, running, plain)
    return plain


def open_round(
    base: Foundation,
    connection: Connection,
    document: Document,
    *,
    sites: Mapping[SiteName, int],
    files: tuple[BlobRef, BlobRef | None],
    now: datetime,
) -> None:
    """Open the next attempt: round-opened is in the ledger before any task leaves."""
    secure = document.agreement.aggregation.secure
    if secure:  # its terms name a head that has all that they rest on
        heads.publish(base, connection)
    round_, attempt, state = record.last_round(connection)
    at = (round_ + 1, 1) if state in {"", "closed"} else (round_, attempt + 1)
    deadline = now + timedelta(seconds=document.agreement.round.deadline)
    asked, draw = drawing.drawn(connection, document, sites, at[0])
    measures = measuring.is_due(connection, document)
    began = advance(State.OPENED, _begins(secure=secure, measures=measures))
    until = now + masking.patience(document) if secure else deadline
    roundbook.begin(connection, at, document.digest, files=files, times=(now, until))
    roundbook.move(connection, began.state.value)
    base.chronicle.say(
        connection,
        "round-opened",
        {
            "agreement": document.digest,
            "round": at[0],
            "attempt": at[1],
            "model": files[0].digest,
            "state": files[1].digest if files[1] else "",
            "sites": asked,
            "deadline": base.timestamp(deadline),
            **draw,
        },
        now=now,
    )
    name = recovered.task_of(connection, base.federation, at)
    task = Task(name, TaskKind.TRAIN, *at, document.digest, *files, deadline)
    _give(base, connection, document, task, asked, measures=measures)


def _give(
    base: Foundation,
    connection: Connection,
    document: Document,
    task: Task,
    asked: Sequence[SiteName],
    *,
    measures: bool,
) -> None:
    """Queue what a round begins with: statistics, or its training with the terms of masks."""
    if document.agreement.aggregation.secure:
        terms = masking.begin(base, connection, document, task, asked)
        task = replace(task, masks=terms)
    if measures:
        measuring.ask(base, connection, document, task, asked)
    else:
        measuring.give(connection, task, asked, members=asked)


def _begins(*, secure: bool, measures: bool) -> Event:
    """Return how a round begins; a masked one with statistics is refused by the agreement."""
    if measures:
        return Event.MEASURED_STARTED
    return Event.MASKED_STARTED if secure else Event.STARTED


def happen(
    base: Foundation,
    connection: Connection,
    event: Event,
    *,
    now: datetime,
    verdict: gate.Verdict | None = None,
) -> Chores:
    """Let an event happen to the round at work and carry out its effects; return the chores."""
    running = roundbook.running(connection)
    if running is None:
        return Chores()
    document = record.read_document(connection, running.agreement)
    assert document is not None
    step = advance(State(running.state), event)
    turn = Turn(base, connection, running, document, event, now, verdict)
    if step.state is not State(running.state):
        roundbook.move(connection, step.state.value)
    for effect in step.effects:
        effects.carry_out(turn, effect)
    turn.chores.updates_withdrawn |= {
        (site, *turn.at) for site, a in running.training.items() if a.reason == OUT_CONSENT
    }
    if step.state in {State.COMMITTED, State.ABANDONED}:
        roundbook.end(connection)
    return turn.chores


# --- leaving in a round --------------------------------------------------------------------


def part(base: Foundation, connection: Connection, now: datetime) -> Chores | None:
    """Take a site out of the round whose consent permits nothing any more; None for none.

    Withdrawn, paused, revoked or lapsed: one question, asked before every step, so that time
    itself ends a consent too.
    """
    running = roundbook.running(connection)
    if running is None:
        return None
    document = record.read_document(connection, running.agreement)
    over = document is not None and document.agreement.valid.until <= now
    members = {} if over else record.declared_patients(connection, running.agreement, now)
    asked = {*running.training, *running.evaluating, *running.measuring}
    for site in sorted(asked - members.keys()):
        event = _leave(connection, running, site)
        if event is not None:
            return happen(base, connection, event, now=now)
    return None


def _leave(connection: Connection, running: Running, site: SiteName) -> Event | None:
    """Take a site out of the round at work; return what that means, None when it was out."""
    event: Event | None = None
    judge = running.evaluating.get(site)
    summed = masked_figures.at_work(connection, running) is not None
    if judge is not None and judge.state == "in" and summed:
        roundbook.mark(connection, judge, "withdrawn", OUT_CONSENT)
        event = Event.SITE_OUT
    for asked in (running.evaluating.get(site), running.training.get(site)):
        if asked is not None and asked.is_waited_for:
            outbox.send(connection, site, Cancel(asked.task, OUT_CONSENT))
            roundbook.mark(connection, asked, "withdrawn", OUT_CONSENT)
            event = Event.SITE_OUT
    measuring_ = running.measuring.get(site)
    if measuring_ is not None and State(running.state) is State.MEASURING:
        return _leave_measuring(connection, measuring_)
    training = running.training.get(site)
    if training is not None and training.state == "in":
        roundbook.mark(connection, training, "withdrawn", OUT_CONSENT)
        return (
            Event.CONSENT if masking.is_bound(connection, running) else Event.UPDATE_WITHDRAWN
        )
    return event


def _leave_measuring(connection: Connection, asked: Asked) -> Event | None:
    """Take a site out of those whose statistics count; what it said stays in the record."""
    if asked.state not in {"sent", "accepted", "in"}:
        return None
    if asked.state != "in":
        outbox.send(connection, asked.site, Cancel(asked.task, OUT_CONSENT))
    roundbook.mark(connection, asked, "withdrawn", OUT_CONSENT)
    return Event.SITE_OUT
