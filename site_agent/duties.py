"""The task at hand: decide, fetch, work, send, one after the other, out of the store.

Each duty ends by moving the task in the store. It may be broken off anywhere, by a cancel, a
pause or a power cut: what is in the store says what is to be done next, and a reservation
stands whatever happens. Lost connections are waited out; only the coordinator's cancel, the
site's own consent or a rule ends a task.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from protos.errors import ConciliumError, PeerFault, Refused, Unavailable
from protos.words import TaskKind, UploadRef
from site_agent import (
    contribution,
    deciding,
    housekeeping,
    masking,
    progress,
    transfers,
    vectors,
)
from site_agent.agent import DUTIES, ENDS, Duty, Event, TaskState, backoff_s
from site_agent.bell import Topic
from site_agent.progress import Told
from site_agent.readiness import Readiness
from site_agent.store import work
from site_agent.workshop import GONE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from sqlalchemy import Connection

    from site_agent.bell import Bell
    from site_agent.link import Link
    from site_agent.membership import Membership
    from site_agent.session import Presence
    from site_agent.store.work import Held
    from site_agent.witness import Witness
    from site_agent.workshop import Workshop

_log = structlog.get_logger("task")

T = TypeVar("T")

BUG: Final = "internal-error"
LOOK_AGAIN_S: Final = 5.0
"""Looked at without a bell too: a consent runs out silently, whoever rings may be killed."""


class Duties:
    """One federation's tasks, one at a time."""

    def __init__(
        self,
        m: Membership,
        link: Link,
        bell: Bell,
        *,
        presence: Presence,
        witness: Witness,
        workshop: Workshop,
    ) -> None:
        self._m = m
        self._link = link
        self._bell = bell
        self._presence = presence
        self._witness = witness
        self._workshop = workshop
        self._readiness = Readiness(m)
        self._waits = 0
        self._made_now = ""
        self._of: Mapping[Duty, Callable[[Held], Coroutine[None, None, None]]] = {
            Duty.DECIDE: self._decide,
            Duty.FETCH: self._fetch,
            Duty.WORK: self._work,
            Duty.SEND: self._send,
        }

    async def run(self) -> None:
        """Do what the store says is to be done, for ever."""
        work = self._bell.of(Topic.WORK)
        while True:
            heard = work.count
            held = await self._m.store.do(self._next)
            if held is None:
                await work.after(heard)
            else:
                await self._do(held)

    def _next(self, c: Connection) -> Held | None:
        """Return the oldest task that can be gone on with; end those without consent."""
        m = self._m
        progress.cancel_without_consent(c, m)
        able = (held for held in work.active(c, m.federation))
        return next((held for held in able if DUTIES[held.state] in self._of), None)

    async def _do(self, held: Held) -> None:
        """Do one duty, and break it off as soon as its task has ended."""
        self._presence.task, self._presence.steps_done = held.task.task, 0
        duty = asyncio.create_task(self._of[DUTIES[held.state]](held))
        try:
            await self._watched(duty, held)
            self._waits = 0
        except ConciliumError as problem:
            if isinstance(problem, Unavailable) and problem.rule != GONE:
                await self._wait(problem)
                return
            await self._move(held, Event.FAILED, Told(problem.rule or "failed", str(problem)))
        except Exception:  # noqa: BLE001 - a bug ends its task, not the agent
            _log.exception("task-crashed", task=held.task.task)
            await self._move(held, Event.FAILED, Told(BUG, "see the agent's log"))
        finally:
            duty.cancel()
            self._presence.task = ""
            self._moved()

    def _moved(self) -> None:
        """Ring for a task that moved."""
        self._bell.ring(Topic.WORK)

    async def _wait(self, problem: Unavailable) -> None:
        """Wait for what only people can mend, as a full disk: no task fails of it."""
        _log.warning("task-waits", rule=problem.rule, what=problem.what, next=problem.todo)
        wait = backoff_s(self._waits, draw=random.random())  # noqa: S311 - no secret
        self._waits += 1
        await self._bell.within(self._bell.count, wait)

    async def _watched(self, duty: asyncio.Task[None], held: Held) -> None:
        work = self._bell.of(Topic.WORK)
        heard = work.count
        while not duty.done():
            bell = asyncio.create_task(work.within(heard, LOOK_AGAIN_S))
            await asyncio.wait({duty, bell}, return_when=asyncio.FIRST_COMPLETED)
            bell.cancel()
            heard = work.count
            if not duty.done() and await self._m.store.do(partial(self._has_ended, held)):
                duty.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await duty
                return
        await duty

    def _has_ended(self, held: Held, c: Connection) -> bool:
        progress.cancel_without_consent(c, self._m)
        now = work.find(c, self._m.federation, held.task.task)
        return now is None or now.state in ENDS

    async def _move(self, held: Held, event: Event, told: Told) -> None:
        def change(c: Connection) -> TaskState:
            progress.cancel_without_consent(c, self._m)
            now = work.find(c, self._m.federation, held.task.task)
            assert now is not None
            if told.rule.startswith("secagg-"):
                masking.complain(c, self._m, held.task, PeerFault(told.why, rule=told.rule))
            state = progress.happen(c, self._m, now, event, told)
            if state in ENDS:
                progress.drop_contribution(c, self._m, held.task, told.rule)
            return state

        state = await self._m.store.do(change)
        self._moved()
        if state in ENDS:
            await self._over(held, state, told.rule)

    async def _over(self, held: Held, state: TaskState, rule: str) -> None:
        _log.info("task-over", task=held.task.task, state=state.value, rule=rule)
        await housekeeping.tidy(self._m)

    async def _decide(self, held: Held) -> None:
        facts = await self._witness.facts_for(held.task, self._presence.skew, self._readiness)
        await self._workshop.weigh(held.task)
        decided = await self._m.store.do(
            partial(deciding.decide, m=self._m, held=held, facts=facts)
        )
        _log.info("task-decided", task=held.task.task, state=decided.value)
        self._moved()

    async def _fetch(self, held: Held) -> None:
        measures = held.task.kind is TaskKind.MEASURE  # needs the patients alone
        named = () if measures else (held.task.model, held.task.state)
        blobs = [blob for blob in named if blob is not None]
        folder = self._m.premises.work_of(self._m.federation)
        for blob in blobs:
            await self._patiently(partial(transfers.download, self._link, blob, folder))
        await self._move(held, Event.FETCHED, Told())

    async def _work(self, held: Held) -> None:
        if held.task.kind is TaskKind.EVALUATE:
            said = await self._workshop.evaluate(held)
            await self._move(held, Event.FIGURES_READY, Told(evaluated=said))
            return
        if held.task.kind is TaskKind.MEASURE:
            told = Told(measured=await self._workshop.measure(held))
            await self._move(held, Event.FIGURES_READY, told)
            return
        made = await self._workshop.train(held)
        await self._m.store.do(partial(contribution.keep, m=self._m, held=held, made=made))
        self._made_now = held.task.task
        self._moved()

    async def _send(self, held: Held) -> None:
        assert held.update is not None
        task, update = held.task, held.update
        ref = UploadRef(task.round, task.attempt, update.digest, update.size)
        path = self._m.premises.state / update.path
        if task.masks:
            ref, path = await vectors.masked(self._m, held, path)

        async def attempt() -> contribution.Delivered:
            begun = self._made_now != task.task  # none of what was made just now was sent
            self._made_now = ""
            return await contribution.send(self._m, self._link, held, ref, path, begun=begun)

        try:
            delivered = await self._patiently(attempt)
        except Refused as refusal:
            await self._move(held, Event.SENDING_REFUSED, Told(refusal.rule, str(refusal)))
            return
        await self._m.store.do(
            partial(contribution.sent, m=self._m, held=held, delivered=delivered)
        )
        await self._over(held, TaskState.DONE, "")
        self._moved()

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until the line holds; waits between tries as a session does."""
        failures = 0
        while True:
            try:
                return await attempt()
            except Unavailable as problem:
                _log.info("waiting-for-line", rule=problem.rule, what=problem.what)
                self._bell.ring()  # the witness may have to mend the chain first
                heard = self._bell.count
                wait = backoff_s(failures, draw=random.random())  # noqa: S311 - no secret
                failures += 1
                await self._bell.within(heard, wait)
