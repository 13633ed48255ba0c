"""The worker at work for one federation: its jobs, its folder, and what a crash left in it."""

from __future__ import annotations

import asyncio
import shutil
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from governance import figures, noised, normalisation, subgroups, tensors
from governance.files import is_whole
from governance.privacy import accountant
from protos.errors import ConciliumError, Refused, Unavailable
from protos.words import Digest
from site_agent import custody, deciding, jobs, measuring, packing, wheels
from site_agent.bell import Topic
from site_agent.pausing import Course, course_of
from site_agent.policy import QUIET
from site_agent.rounding import rounded_up_s
from site_agent.seeding import noise_seed_of
from site_agent.standing import standing_of
from site_agent.store import optouts, work
from site_agent.worker import Evaluated, EvaluateJob, Killed, MeasureJob, Trained, TrainJob

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection

    from governance.agreement.load import Document
    from protos.words import Disclosure, Task
    from site_agent.bell import Bell
    from site_agent.membership import Membership
    from site_agent.policy import Standing
    from site_agent.session import Presence
    from site_agent.store.work import Held
    from site_agent.worker import Worker

_log = structlog.get_logger("worker")

T = TypeVar("T")

TRIES: Final = 3
"""How often a task is begun, under its one reservation, where the worker crashes."""
KILLS: Final = 20
"""How often where it is killed: that says nothing of the task, unless memory ran out."""
GONE: Final = "worker-gone"
LOOK_AGAIN_S: Final = 5.0
"""The clock is looked at this often for the edge of quiet hours: it may be set meanwhile."""


class Workshop:
    """A worker and the folders that it works in."""

    def __init__(
        self,
        m: Membership,
        presence: Presence,
        worker: Worker,
        *,
        bell: Bell,
        seen_s: Callable[[float], float] = rounded_up_s,
    ) -> None:
        self._m = m
        self._bell = bell
        self._presence = presence
        self._worker = worker
        self._seen_s = seen_s

    async def warm(self) -> None:
        """Start the worker, and load what accounting needs, before the first task asks."""
        counting = asyncio.to_thread(accountant.load)
        _, failed = await asyncio.gather(counting, self._worker.start(), return_exceptions=True)
        if isinstance(failed, BaseException):
            _log.warning("worker-not-started", why=str(failed))

    async def stop(self) -> None:
        """End the worker."""
        await self._worker.stop()

    async def weigh(self, task: Task) -> None:
        """Compute what a task would cost outside of any transaction; the figure is kept."""
        m = self._m

        def known(c: Connection) -> tuple[Document | None, Standing, list[work.Spent]]:
            document = deciding.document_of(c, m, task.agreement)
            standing = standing_of(c, m.federation, task.agreement)
            return document, standing, work.spent_on(c, m.cohort)

        document, standing, spent = await m.store.do(known)
        if document is not None and 0 < standing.delta < 1:
            release = deciding.release_for(task, document.agreement, standing)
            if release is None:
                return
            releases = [*(one.release for one in spent), release]
            await asyncio.to_thread(accountant.epsilon, releases, standing.delta)

    async def train(self, held: Held) -> Trained:
        """Train as `_train` does, in a time that may be seen; what leaves is compressed."""
        return await self._rounded_up(self._made(held))

    async def evaluate(self, held: Held) -> Evaluated:
        """Evaluate as `_evaluate` does, in a time that may be seen."""
        return await self._rounded_up(self._evaluate(held))

    async def measure(self, held: Held) -> Disclosure:
        """Return the statistics that are to be said, in a time that may be seen.

        The vector that was said before, as it was; a new one where none was.
        """
        return await self._rounded_up(self._measure(held))

    async def _rounded_up(self, work: Coroutine[None, None, T]) -> T:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        made = await work
        elapsed = loop.time() - begun
        await asyncio.sleep(self._seen_s(elapsed) - elapsed)
        return made

    async def _made(self, held: Held) -> Trained:
        made = await self._train(held)
        document, standing = await self._terms(held)
        return await packing.packed(self._m, held.task, made, document, standing)

    async def _train(self, held: Held) -> Trained:
        """Return the update of a task: the one that a crash left whole, or a new one.

        Raises:
            Refused, PeerFault, Corrupt, Unavailable: as the worker says; `worker-gone` only
                when it died too often; `quiet-hours` when the hospital's last to the deadline.
        """
        m = self._m
        document, standing = await self._terms(held)
        self._presence.planned = document.agreement.round.local.steps or 0
        out = m.premises.task_folder(m.federation, held.task.task)
        left = await asyncio.to_thread(_adopted, out, document)
        if left is not None:
            return left

        async def train() -> Trained:
            await asyncio.to_thread(_emptied, out)
            job = await self._job(held, document, standing, out)
            return await self._in_hours(self._worker.train(job, self._progress), held.task)

        return await _tried(train, held)

    async def _in_hours(self, training: Coroutine[None, None, T], task: Task) -> T:
        """Let a training work outside the hospital's quiet hours, and pause within them."""
        course, hours = Course.WORK, self._m.settings.policy.quiet_hours
        work = asyncio.create_task(training)
        work.add_done_callback(lambda _: self._bell.ring(Topic.WORK))
        try:
            while not work.done():
                heard = self._bell.of(Topic.WORK).count
                now = self._m.now()
                ahead = course_of(hours, now, task.deadline)
                if ahead.course is Course.GIVE_UP:
                    raise Refused("the quiet hours last beyond the deadline", rule=QUIET)
                if ahead.course is not course:
                    course = ahead.course
                    await self._change(course, ahead.until)
                wait = (ahead.until - now).total_seconds() if ahead.until else LOOK_AGAIN_S
                if not work.done():
                    await self._bell.of(Topic.WORK).within(heard, min(wait, LOOK_AGAIN_S))
            return work.result()
        finally:
            self._presence.paused_until = None
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _change(self, course: Course, until: datetime | None) -> None:
        """Pause the worker, or let it go on."""
        pauses = course is Course.PAUSE
        _log.info("training-pauses" if pauses else "training-goes-on", until=str(until))
        self._presence.paused_until = until if pauses else None
        await (self._worker.pause() if pauses else self._worker.resume())

    async def _evaluate(self, held: Held) -> Evaluated:
        """Return the figures of a task's model on the held-out patients.

        Raises:
            PeerFault: figures by subgroup would tell of patients whom the minimum hides, or
                noised ones are not the agreement's.
        """
        document, _ = await self._terms(held)
        m = self._m
        job = EvaluateJob(
            document=self._written(document),
            cohort=await self._cohort(),
            model=tensors.path_of(m.premises.work_of(m.federation), held.task.model.digest),
            threads=m.settings.resources.threads,
            noise_seed=noise_seed_of(document, f"{m.site}/figures", held.task),
            wheels=wheels.at_hand(m.settings),
            scales=await m.store.ask(partial(measuring.kept, m=m, document=document)),
            device=m.settings.resources.compute,
        )
        made = await _tried(partial(self._worker.evaluate, job), held)
        if document.agreement.metrics_noised:  # as any other site or the coordinator would
            noised.from_json(made.told, document.agreement)
        elif made.subgroups:  # checked here again, before anything leaves
            told = subgroups.from_json(made.subgroups, document.agreement)
            subgroups.check(told, figures.from_json(made.told), document.agreement)
        return made

    async def _measure(self, held: Held) -> Disclosure:
        m, (document, _) = self._m, await self._terms(held)
        before = await m.store.ask(partial(measuring.said, m=m, document=document))
        if before is not None:
            return before
        job = MeasureJob(
            document=self._written(document),
            cohort=await self._cohort(),
            threads=m.settings.resources.threads,
            noise_seed=noise_seed_of(document, f"{m.site}/statistics", held.task),
        )
        made = await _tried(partial(self._worker.measure, job), held)
        normalisation.from_json(made.text, document.agreement)  # as the coordinator would
        return await m.store.do(
            partial(measuring.disclosed, m=m, document=document, text=made.text)
        )

    def _progress(self, steps: int) -> None:
        self._presence.steps_done = steps

    async def _terms(self, held: Held) -> tuple[Document, Standing]:
        m = self._m

        def known(c: Connection) -> tuple[Document | None, Standing]:
            return (
                deciding.document_of(c, m, held.task.agreement),
                standing_of(c, m.federation, held.task.agreement),
            )

        document, standing = await m.store.do(known)
        if document is None:
            raise Refused("the task's agreement is not known", rule="unknown-agreement")
        return document, standing

    async def _job(
        self, held: Held, document: Document, standing: Standing, out: Path
    ) -> TrainJob:
        m, task = self._m, held.task
        own = partial(custody.own, m=m, agreement=task.agreement)
        control = await m.store.do(own)
        state, here = task.state, m.premises.work_of(m.federation)
        return TrainJob(
            document=self._written(document),
            cohort=await self._cohort(),
            model=tensors.path_of(here, task.model.digest),
            state=None if state is None else tensors.path_of(here, state.digest),
            control=m.premises.state / control.path if control and control.path else None,
            out=out,
            declared_patients=standing.declared_patients,
            noise_seed=noise_seed_of(document, m.site, task),
            threads=m.settings.resources.threads,
            wheels=wheels.at_hand(m.settings),
            scales=await m.store.ask(partial(measuring.kept, m=m, document=document)),
            device=m.settings.resources.compute,
        )

    async def _cohort(self) -> Mapping[str, object]:
        m = self._m
        m.premises.held_out_secret()
        settings = m.settings.cohorts[m.cohort]
        gone = await m.store.ask(lambda c: optouts.of_cohort(c, m.cohort))
        secret = m.premises.held_out_secret_path
        return jobs.cohort_spec(settings, secret=secret, opt_outs=gone)

    def _written(self, document: Document) -> Path:
        path = self._m.premises.work_of(self._m.federation) / f"{document.digest}.json"
        if not path.exists() or path.read_bytes() != document.raw:  # a power cut may empty it
            half = path.with_suffix(".part")
            half.write_bytes(document.raw)
            half.replace(path)
        return path


async def _tried(attempt: Callable[[], Awaitable[T]], held: Held) -> T:
    """Try again with a new worker when one dies; the last time let it be known."""
    crashes = kills = 0
    while True:
        try:
            return await attempt()
        except Unavailable as problem:
            killed = isinstance(problem, Killed)
            kills, crashes = kills + killed, crashes + (not killed)
            if problem.rule != GONE or crashes >= TRIES or kills >= KILLS:
                raise
            _log.warning("worker-died", task=held.task.task, attempt=kills + crashes)


def _emptied(out: Path) -> None:
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True, mode=0o700)


def _adopted(out: Path, document: Document) -> Trained | None:
    """Return what a training left that ended just before a crash, if all of it is there.

    Files are named by their digest when they are whole, so that one whose digest is right was
    written to its end. The control variate of scaffold is written after the update.
    """
    steps = document.agreement.round.local.steps
    files = list(out.glob("*.safetensors")) if out.exists() else []
    if steps is None or not files:
        return None
    try:
        found = {path: set(tensors.shapes(path)) for path in files if is_whole(path)}
    except ConciliumError:
        return None
    updates = [path for path, names in found.items() if any(n.startswith("y/") for n in names)]
    controls = [path for path in found if path not in updates]
    expected = 1 if document.agreement.strategy.name == "scaffold" else 0
    if len(updates) != 1 or len(controls) != expected:
        return None
    update = updates[0]
    return Trained(
        update=update,
        digest=Digest(update.stem),
        size=update.stat().st_size,
        steps=steps,
        control=controls[0] if controls else None,
    )
