"""The next step that the state calls for: agreements, opening, closing, judging, completing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from coordinator import (
    adding,
    campaign,
    ending,
    gate,
    heads,
    judging,
    lapsing,
    leaving,
    masked_figures,
    masking,
    newcomers,
    once_more,
    succession,
    summed_figures,
    waiting,
)
from coordinator.round_states import Event, State
from coordinator.rounds import due, may_judge, next_wakeup
from coordinator.store import exits, kept, pausing, quality, record, roundbook
from coordinator.summing import What
from governance.agreement.schedule import may_open
from governance.models import parameter_shapes
from governance.secagg.coordinator import WrongShares
from governance.tensors import shapes, verify, write
from protos.errors import Corrupt, PeerFault, Refused
from protos.words import Digest, SiteName

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping
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


@dataclass(frozen=True, slots=True)
class Found:
    """What a step found, and whether it moved anything already."""

    moved: bool = False
    chores: Chores | None = None
    running: Running | None = None
    document: Document | None = None
    rest: Rest | None = None


@dataclass(frozen=True, slots=True)
class Rest:
    """What there is to know once no step is due: for how long, and who and what is gone."""

    wait_s: float
    gone: Mapping[str, frozenset[str]]
    invited: bool


async def step(base: Foundation, looking: Awaitable[Found] | None = None) -> Rest | None:
    """Do the next step that is due, and return None; else return what there is to know.

    `looking` is where a look was taken already, with what was written last.
    """
    found = await (looking or base.store.write(partial(look, base)))
    if found.chores is not None:
        await do(base, found.chores)
    if found.moved or (found.rest is None and await _stepped(base, found)):
        return None
    return found.rest or await base.store.write(partial(_rest, base))


async def _stepped(base: Foundation, found: Found) -> bool:
    """Do what takes more than one transaction; say whether there was anything."""
    running, document = found.running, found.document
    base.at_work.clear()
    if running is None:
        return await _open(base)
    assert document is not None
    base.at_work.update(round=running.round, attempt=running.attempt)
    if running.state == State.AGGREGATING.value:
        return await _aggregate(base, running, document)
    return await _judge(base, running, document)


def look(base: Foundation, connection: Connection) -> Found:
    """Do what can be done in one transaction: consents that ended, exits, rounds that close."""
    moved, chores = _part(base, connection)
    if moved:
        return Found(moved=True, chores=chores)
    running, document = _at_work(connection)
    if running is None or document is None:
        return Found(moved=succession.settle(base, connection))
    event = due(State(running.state), campaign.view(connection, running, document), base.now())
    if event is not None:
        chores = campaign.happen(base, connection, event, now=base.now())
        return Found(moved=True, chores=chores)
    if _waits_for_sites(base, connection, running, document):
        return Found(rest=_rest(base, connection))
    return Found(running=running, document=document)


def _waits_for_sites(
    base: Foundation, connection: Connection, running: Running, document: Document
) -> bool:
    """Tell whether a round goes on only when a site says something, or time has passed."""
    if running.state == State.AGGREGATING.value:
        return False
    if running.state != State.EVALUATING.value:
        return True
    if masked_figures.at_work(connection, running) is not None:
        return False
    return not may_judge(judging.view(connection, running, document), base.now())


def _part(base: Foundation, connection: Connection) -> tuple[bool, Chores | None]:
    """Take a site whose consent ended out of the round; record what time ended, and exits."""
    chores = campaign.part(base, connection, base.now())
    if chores is not None:
        return True, chores
    if lapsing.lapse(base, connection):
        return True, None
    return leaving.proceed(base, connection)


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
        await asyncio.to_thread(_verify_models, base, running)
    except Corrupt as problem:
        _log.error("file-corrupt", what=str(problem))
        await _happen(base, Event.INTEGRITY)
    else:
        await _ask_once_more(base, running)


def _verify_models(base: Foundation, running: Running) -> None:
    models = (running.model, running.strategy_state)
    for blob in (*models, running.candidate, running.candidate_state):
        if blob is not None:
            verify(base.model_path(blob.digest))


async def _ask_once_more(base: Foundation, running: Running) -> bool:
    """Ask for updates that are spoilt on the disk again; say whether there were any."""
    named = await base.store.read(lambda c: record.updates(c, running.round, running.attempt))
    sites = await asyncio.to_thread(once_more.spoilt, base, running, named)
    if not sites:
        return False
    _log.warning("updates-spoilt", round=running.round, sites=sorted(sites))
    event = await base.store.write(lambda c: once_more.ask(base, c, sites))
    if event is not None:
        await _happen(base, event)
    return True


def _rest(base: Foundation, connection: Connection) -> Rest:
    """Return for how long nothing is due by the clock alone, and what time alone has ended."""
    now = base.now()
    newcomers.renew_own(base, connection)
    due_at = [_due_by_time(base, connection, now), lapsing.next_end(connection)]
    due_at += exits.lingering(connection, now).values()
    moment = min((moment for moment in due_at if moment is not None), default=None)
    return Rest(
        _IDLE_S if moment is None else max(0.0, (moment - now).total_seconds()),
        exits.gone(connection, now),
        kept.open_invitations_end(connection, now) is not None,
    )


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
    base.at_work.update(round=running.round, attempt=running.attempt)
    if running.state == State.AGGREGATING.value:
        return once_more.until(connection, running)
    if running.state == State.EVALUATING.value:
        return summed_figures.wakes_at(connection, running, document, now)
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


async def _aggregate(base: Foundation, running: Running, document: Document) -> bool:
    """Take the sum of the updates that are in once it is made; say whether it was."""
    if once_more.are_awaited(running):
        until = await base.store.read(lambda c: once_more.until(c, running))
        if until is None or until > base.now():
            return False
        await _happen(base, Event.INTEGRITY)
        return True
    try:
        inside = await base.store.read(lambda c: adding.inside(base, c, running))
        what = What(running.round, running.attempt, frozenset(inside.files))
        made = base.summing.outcome(what, lambda: adding.add(base, running, document, inside))
    except (Refused, PeerFault) as problem:
        _log.warning("candidate-refused", rule=problem.rule)
        liars = problem.liars if isinstance(problem, WrongShares) else ()
        refused = {SiteName(site): problem.rule for site in sorted(liars)}
        verdict = gate.Verdict(accepted=False, rule=problem.rule, refused=refused)
        await _happen(base, Event.REJECTED, verdict)
        return True
    except Corrupt as problem:
        if not await _ask_once_more(base, running):
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


def _judged(connection: Connection) -> dict[SiteName, Figures]:
    """Return the figures of the model in force, as the sites said them when it was judged."""
    judged = kept.note(connection, "judged")
    if not judged:
        return {}
    round_, attempt, model = judged.split()
    return quality.said(connection, int(round_), int(attempt), Digest(model))


async def _judge(base: Foundation, running: Running, document: Document) -> bool:
    if await base.store.read(lambda c: masked_figures.at_work(c, running)) is not None:
        return await summed_figures.go_on(base, running, document)
    view = await base.store.read(lambda c: judging.view(c, running, document))
    if not may_judge(view, base.now()):
        return False

    def question(
        connection: Connection,
    ) -> tuple[dict[SiteName, Figures], dict[SiteName, Figures]]:
        assert running.candidate is not None
        at = (running.round, running.attempt, running.candidate.digest)
        return quality.said(connection, *at), _judged(connection)

    said, before = await base.store.read(question)
    verdict = gate.judge(said, before or None, document.agreement.quality.accept_if)
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
