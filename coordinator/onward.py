"""The next step that the state calls for: agreements, opening, closing, judging, completing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from coordinator import (
    adding,
    campaign,
    ending,
    gate,
    heads,
    lapsing,
    leaving,
    masking,
    succession,
    waiting,
)
from coordinator.round_states import Event, State
from coordinator.rounds import due, may_judge, next_wakeup
from coordinator.store import exits, kept, pausing, record, roundbook
from coordinator.summing import What
from governance import noised
from governance.agreement.schedule import may_open
from governance.models import parameter_shapes
from governance.tensors import shapes, verify, write
from protos.errors import Corrupt, PeerFault, Refused
from protos.words import Digest, SiteName

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from coordinator.effects import Chores
    from coordinator.foundation import Foundation
    from coordinator.store.roundbook import Running
    from governance.agreement.load import Document
    from governance.figures import Figures
    from protos.words import BlobRef

_log = structlog.get_logger("conductor")
_IDLE_S: Final = 60.0


async def step(base: Foundation) -> bool:
    """Do the next step that is due; say whether there was one."""
    if await _part(base):
        return True
    running, document = await base.store.read(_at_work)
    if running is None:
        if await base.store.write(lambda c: succession.settle(base, c)):
            return True
        return await _open(base)
    assert document is not None
    if running.state == State.AGGREGATING.value:
        return await _aggregate(base, running, document)
    if running.state == State.EVALUATING.value:
        return await _judge(base, running, document)
    return await _collect(base)


async def _part(base: Foundation) -> bool:
    """Take a site whose consent ended out of the round; record what time ended, and exits.

    Says whether there was anything.
    """

    def change(connection: Connection) -> tuple[Chores | None, bool]:
        chores = campaign.part(base, connection, base.now())
        if chores is not None:
            return chores, True
        if lapsing.lapse(base, connection):
            return None, True
        moved, chores = leaving.proceed(base, connection)
        return chores, moved

    chores, lapsed = await base.store.write(change)
    if chores is not None:
        await do(base, chores)
    return lapsed or chores is not None


async def do(base: Foundation, chores: Chores) -> None:
    """Do what could not be part of a transaction; summing is a step of its own."""
    for round_, attempt in chores.attempts_over:
        await asyncio.to_thread(base.spool.delete_attempt, round_, attempt)
    for site, round_, attempt in chores.updates_withdrawn:
        await asyncio.to_thread(base.spool.delete, site, round_, attempt)


async def check_files(base: Foundation) -> None:
    """After a restart: files that no longer match their names end the round at work."""
    running, _ = await base.store.read(_at_work)
    if running is None:
        return
    try:
        await asyncio.to_thread(_verify_files, base, running)
    except Corrupt as problem:
        _log.error("file-corrupt", what=str(problem))
        await _happen(base, Event.INTEGRITY)


def _verify_files(base: Foundation, running: Running) -> None:
    models = (running.model, running.strategy_state)
    for blob in (*models, running.candidate, running.candidate_state):
        if blob is not None:
            verify(base.model_path(blob.digest))
    for site, asked in running.training.items():
        if asked.state == "in":
            verify(base.spool.whole(site, running.round, running.attempt))


async def wait_s(base: Foundation) -> float:
    """Return for how long nothing is due by the clock alone, in seconds."""

    def question(connection: Connection) -> datetime | None:
        now = base.now()
        due_at = [_due_by_time(base, connection, now), lapsing.next_end(connection)]
        due_at += exits.lingering(connection, now).values()
        return min((moment for moment in due_at if moment is not None), default=None)

    moment = await base.store.read(question)
    if moment is None:
        return _IDLE_S
    return max(0.0, (moment - base.now()).total_seconds())


def _due_by_time(base: Foundation, connection: Connection, now: datetime) -> datetime | None:
    running, document = _at_work(connection)
    if running is None:
        force = record.agreement_in_force(connection)
        if force is None:
            return kept.open_invitations_end(connection, now)
        found = waiting.readiness(base, connection, force, now)
        moments = (
            waiting.look_again_at(force.agreement, found, now),
            succession.change_due_at(connection),
        )
        return min((moment for moment in moments if moment is not None), default=None)
    assert document is not None
    if running.state == State.AGGREGATING.value:
        return None
    if running.state == State.EVALUATING.value:
        return running.deadline
    return next_wakeup(campaign.view(connection, running, document), now)


def _at_work(connection: Connection) -> tuple[Running | None, Document | None]:
    running = roundbook.running(connection)
    if running is None:
        return None, None
    return running, record.read_document(connection, running.agreement)


# --- opening and completing ----------------------------------------------------------------


async def _open(base: Foundation) -> bool:
    ready = await base.store.read(lambda c: _ready(base, c))
    if ready is None:
        return False
    document, members = ready
    terms = document.agreement
    end = await base.store.read(lambda c: ending.due(c, document))
    if end is not None:
        await base.store.write(lambda c: ending.complete(base, c, document, end))
        return True
    if not members:
        return False
    files = await base.store.read(_global_model)
    if files is None or not await asyncio.to_thread(_fits, base, document, files):
        files = await asyncio.to_thread(_first_model, base, document)
        await base.store.write(lambda c: _keep_model(c, files))

    def change(connection: Connection) -> bool:
        now = base.now()  # making the first weights may have taken the window's last minutes
        if not may_open(terms.schedule.window, now, terms.round.deadline):
            return False
        heads.freshen(base, connection, now)
        campaign.open_round(base, connection, document, sites=members, files=files, now=now)
        return True

    return await base.store.write(change)


def _ready(
    base: Foundation, connection: Connection
) -> tuple[Document, Mapping[SiteName, int]] | None:
    """Return the agreement in force and the sites to open a round with, {} for none now."""
    document = record.agreement_in_force(connection)
    if document is None or pausing.why(connection):
        return None
    now = base.now()
    found = waiting.readiness(base, connection, document, now)
    members = found.ready if waiting.may_begin(document.agreement, found, now) else {}
    return document, members


def _global_model(connection: Connection) -> tuple[BlobRef, BlobRef | None] | None:
    model = kept.blob_note(connection, "model")
    return (model, kept.blob_note(connection, "state")) if model else None


def _fits(base: Foundation, document: Document, files: tuple[BlobRef, BlobRef | None]) -> bool:
    """Tell whether the global model is of the agreement's kind, and can be gone on from."""
    there = shapes(base.model_path(files[0].digest))
    return there == parameter_shapes(document.agreement)


def _keep_model(connection: Connection, files: tuple[BlobRef, BlobRef | None]) -> None:
    kept.set_blob_note(connection, "model", files[0])
    kept.set_blob_note(connection, "state", files[1])
    kept.set_note(connection, "judged", "")


def _first_model(base: Foundation, document: Document) -> tuple[BlobRef, BlobRef | None]:
    """Make the first weights; a strategy's state is nothing before its first round."""
    from governance.models import initial_state

    return write(initial_state(document.agreement), base.models), None


# --- a round at work -----------------------------------------------------------------------


async def _happen(base: Foundation, event: Event, verdict: gate.Verdict | None = None) -> None:
    chores = await base.store.write(
        lambda c: campaign.happen(base, c, event, now=base.now(), verdict=verdict)
    )
    await do(base, chores)


async def _collect(base: Foundation) -> bool:
    def question(connection: Connection) -> Event | None:
        running, document = _at_work(connection)
        if running is None or document is None:
            return None
        view = campaign.view(connection, running, document)
        return due(State(running.state), view, base.now())

    event = await base.store.read(question)
    if event is not None:
        await _happen(base, event)
    return event is not None


async def _aggregate(base: Foundation, running: Running, document: Document) -> bool:
    """Take the sum of the updates that are in once it is made; say whether it was."""
    try:
        inside = await base.store.read(lambda c: adding.inside(base, c, running))
        what = What(running.round, running.attempt, frozenset(inside.files))
        made = base.summing.outcome(what, lambda: adding.add(base, running, document, inside))
    except (Refused, PeerFault) as problem:
        _log.warning("candidate-refused", rule=problem.rule)
        verdict = gate.Verdict(accepted=False, rule=problem.rule)
        await _happen(base, Event.REJECTED, verdict)
        return True
    except Corrupt as problem:
        _log.error("spool-corrupt", what=str(problem))
        await _happen(base, Event.INTEGRITY)
        return True
    if made is None:
        return False

    def change(connection: Connection) -> Chores:
        roundbook.candidate(connection, made.model, made.state)
        masking.record_liars(base, connection, made.liars)
        return campaign.happen(base, connection, Event.CANDIDATE_MADE, now=base.now())

    await do(base, await base.store.write(change))
    return True


def _judged(connection: Connection) -> dict[SiteName, str]:
    """Return the figures of the model in force, as the sites said them when it was judged."""
    judged = kept.note(connection, "judged")
    if not judged:
        return {}
    round_, attempt, model = judged.split()
    return record.figures(connection, int(round_), int(attempt), Digest(model))


async def _judge(base: Foundation, running: Running, document: Document) -> bool:
    asked = frozenset(running.evaluating)
    answered = frozenset(
        s for s, a in running.evaluating.items() if a.state not in {"sent", "accepted"}
    )
    if not may_judge(asked, answered, deadline=running.deadline, now=base.now()):
        return False

    def question(connection: Connection) -> tuple[dict[SiteName, str], dict[SiteName, str]]:
        assert running.candidate is not None
        at = (running.round, running.attempt, running.candidate.digest)
        return record.figures(connection, *at), _judged(connection)

    new, old = await base.store.read(question)
    terms = document.agreement
    said = {site: noised.read(text, terms) for site, text in new.items()}
    verdict = gate.judge(
        said,
        {site: noised.read(text, terms) for site, text in old.items()} or None,
        terms.quality.accept_if,
    )
    _log.info(
        "candidate-judged", round=running.round, rule=verdict.rule, accepted=verdict.accepted
    )
    await do(base, await base.store.write(lambda c: _judged_so(base, c, verdict, said)))
    return True


def _judged_so(
    base: Foundation,
    connection: Connection,
    verdict: gate.Verdict,
    said: Mapping[SiteName, Figures],
) -> Chores:
    """Commit a candidate and keep what `stop` looks at, or reject it."""
    event = Event.ACCEPTED if verdict.accepted else Event.REJECTED
    _, document = _at_work(connection)
    if verdict.accepted and document is not None:
        ending.remember(connection, document, said)
    return campaign.happen(base, connection, event, now=base.now(), verdict=verdict)
