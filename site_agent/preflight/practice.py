"""A round in practice: the real cohort and model for a few seconds; nothing leaves or is spent.

The worker trains as in a task, into a folder of its own that is taken away again. No budget is
reserved since nothing is released: the update that comes of it is deleted here.
"""

from __future__ import annotations

import asyncio
import resource
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError

from governance import models, tensors
from governance.agreement.meaning_training import parameters
from governance.findings import (
    ADMINISTRATOR,
    OFFICER,
    OPERATOR,
    Finding,
    fine,
    look,
    stops,
    unknown,
)
from governance.privacy.releases import declared
from governance.yaml_values import BitRate
from protos.errors import ConciliumError, Refused
from site_agent import jobs, wheels
from site_agent.acceptance import OPERATORS, Law, objections
from site_agent.confinement import BY, Confinement
from site_agent.preflight.machine import size_text
from site_agent.readiness import findings
from site_agent.worker import TrainJob, Worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from governance.agreement.load import Document
    from governance.agreement.schema import Agreement
    from governance.settings import CohortSettings, SiteSettings
    from site_agent.premises import Premises

LONG_ENOUGH_S: Final = 10.0
"""How long is trained at most, once the first step is done."""
_FIRST_STEP_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast this machine trains.

    Attributes:
        step_s: Seconds a step.
        round_s: Seconds that a whole task takes, reading the cohort included.
        steps: How many steps a task has; 0 where epochs say it.
        memory_bytes: The most that the worker held.
    """

    step_s: float
    round_s: float
    steps: int
    memory_bytes: int


def own_law(document: Document, settings: SiteSettings) -> Iterator[Finding]:
    """Yield every reason for which this hospital's own file refuses the agreement."""
    found = objections(document, Law.of(settings))
    for one in found:
        if one.rule == "not-in-roster":  # so it is before enrolment
            yield look("site.yaml", one.what, who=OPERATOR, todo=one.todo)
        else:
            who = OPERATOR if one.rule in OPERATORS else OFFICER
            yield stops("site.yaml", one.what, who=who, todo=one.todo)
    if not found:
        yield fine("site.yaml", "accepts the agreement's terms")


def data(document: Document, cohort: CohortSettings) -> tuple[Finding, int]:
    """Compare the data with the contract; return how many patients can be used, 0 if none."""
    show = "See each with: concilium-site check AGREEMENT"
    try:
        found = findings(cohort, document)
    except Refused as problem:
        where = f"{problem.where}: " if problem.where else ""
        todo = problem.todo or "Mend the file or `map` in site.yaml."
        return stops("data", where + problem.what, who=ADMINISTRATOR, todo=todo), 0
    if not found.met:
        said = f"the contract is not met by {', '.join(found.broken)}"
        return stops("data", said, who=ADMINISTRATOR, todo=show), 0
    return fine("data", f"about {declared(found.patients)} patients meet the contract"), (
        found.patients
    )


async def trained(
    document: Document,
    settings: SiteSettings,
    cohort: CohortSettings,
    *,
    premises: Premises,
    patients: int,
) -> tuple[Finding, Pace | None]:
    """Train for a few seconds; return what was found, and the pace where there is one."""
    confinement = Confinement.of(settings, premises)
    worker = Worker(settings.resources, confinement=confinement)
    try:
        if confinement is not None:
            premises.prepare()
            confinement.check()
        await worker.start()
        with _scratch(premises) as folder:
            job = _job(document, settings, cohort, folder, patients)
            pace = await _paced(worker, job, document.agreement)
    except ConciliumError as problem:
        if problem.rule == "worker-gone":
            todo = "Start it by hand and read what it says: python -m site_agent.worker_main 0"
            return stops("training", problem.what, who=ADMINISTRATOR, todo=todo), None
        todo = problem.todo or "See docs/site-administrator.md: why a task was refused."
        return stops("training", problem.what, who=ADMINISTRATOR, todo=todo), None
    finally:
        await worker.stop()
    said = f"{_seconds(pace.step_s)} a step, {_seconds(pace.round_s)} a round"
    confined = "" if confinement is None else f"; confined by {BY}, without network"
    return fine("training", f"{said}, {size_text(pace.memory_bytes)} of memory{confined}"), pace


@contextmanager
def _scratch(premises: Premises) -> Iterator[Path]:
    premises.prepare()
    premises.held_out_secret()
    folder = premises.work / "preflight"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _job(
    document: Document,
    settings: SiteSettings,
    cohort: CohortSettings,
    folder: Path,
    patients: int,
) -> TrainJob:
    (folder / "agreement.json").write_bytes(document.raw)
    model = tensors.write(models.initial_state(document.agreement), folder)
    out = folder / "out"
    out.mkdir(mode=0o700)
    secret = folder.parents[1] / "held-out.secret"
    return TrainJob(
        document=folder / "agreement.json",
        cohort=jobs.cohort_spec(cohort, secret=secret),
        model=tensors.path_of(folder, model.digest),
        state=None,
        control=None,
        out=out,
        declared_patients=declared(patients),
        noise_seed=None,
        threads=settings.resources.threads,
        wheels=wheels.at_hand(settings),
        device=settings.resources.compute,
    )


async def _paced(worker: Worker, job: TrainJob, agreement: Agreement) -> Pace:
    loop = asyncio.get_running_loop()
    began = loop.time()
    marks: list[tuple[float, int]] = []
    enough = asyncio.Event()

    def progress(steps: int) -> None:
        marks.append((loop.time(), steps))
        if marks[-1][0] - marks[0][0] > LONG_ENOUGH_S:
            enough.set()

    training = asyncio.create_task(worker.train(job, progress))
    waiting = asyncio.create_task(enough.wait())
    await asyncio.wait(
        {training, waiting},
        timeout=_FIRST_STEP_S + LONG_ENOUGH_S,
        return_when=asyncio.FIRST_COMPLETED,
    )
    waiting.cancel()
    ended = loop.time()
    done = training.done()
    training.cancel()
    result = (await asyncio.gather(training, return_exceptions=True))[0]
    await worker.stop()
    held = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    if done and isinstance(result, BaseException):
        raise result
    planned = agreement.round.local.steps or 0
    if done and not isinstance(result, BaseException):
        took = ended - began
        return Pace(took / max(1, result.steps), took, result.steps, held)
    return _estimated(marks, began, planned, held)


def _estimated(marks: list[tuple[float, int]], began: float, planned: int, held: int) -> Pace:
    """Return the pace of a training that was cut short."""
    if len(marks) < 2 or marks[-1][1] == marks[0][1]:
        raise Refused(
            f"not two steps were done within {_FIRST_STEP_S:.0f} s",
            todo="This machine is too slow for the agreement, or has other things to do.",
            rule="too-slow",
        )
    step_s = (marks[-1][0] - marks[0][0]) / (marks[-1][1] - marks[0][1])
    reading_s = marks[0][0] - began - marks[0][1] * step_s
    return Pace(step_s, max(0.0, reading_s) + planned * step_s, planned, held)


def timing(agreement: Agreement, pace: Pace | None, rate: int | None) -> Iterator[Finding]:
    """Compare a round's training and its upload with the agreement's deadline.

    Args:
        agreement: Whose deadline and model.
        pace: What was measured, or None.
        rate: Bits a second upward: what the caller measured, or the agreement asks for.
    """
    deadline = agreement.round.deadline
    if pace is not None and pace.round_s > deadline:
        said = f"a round trains {_seconds(pace.round_s)}; its deadline is {_seconds(deadline)}"
        todo = "Set a later `round.deadline` or fewer steps; or train on a faster machine."
        yield stops("deadline", said, who=OPERATOR, todo=todo)
        return
    left = deadline - (pace.round_s if pace is not None else 0)
    size = update_bytes(agreement)
    least = 8 * size / left
    needs = f"{size_text(size)} up a round need at least {_rate(least)}"
    if rate is None:
        todo = "Measure the line's upward rate and say it: --upload 10Mbit/s"
        yield unknown("upload", needs, who=ADMINISTRATOR, todo=todo)
    elif rate < least:
        said = f"{needs}; the line has {_rate(rate)}"
        todo = "Set a later `round.deadline`; or have a faster line."
        yield stops("upload", said, who=OPERATOR, todo=todo)
    else:
        took = _seconds(8 * size / rate)
        said = f"{size_text(size)} in {took} at {_rate(rate)}; {_seconds(left)} are left for it"
        yield fine("upload", said)


def rate_of(text: str) -> int:
    """Read a rate such as `10Mbit/s` as bits a second.

    Raises:
        Refused: it is none.
    """
    try:
        return max(1, TypeAdapter(BitRate).validate_python(text))
    except ValidationError:
        raise Refused(
            f"{text!r} is no rate; write it as 500kbit/s or 10Mbit/s", rule="bad-rate"
        ) from None


def update_bytes(agreement: Agreement) -> int:
    """Return how many bytes an update has: one number of 4 bytes a parameter, twice with c."""
    return parameters(agreement) * 4 * (2 if agreement.strategy.name == "scaffold" else 1)


def _seconds(value: float) -> str:
    if value < 0.1:
        return f"{value * 1000:.1f} ms"
    for unit, size in (("h", 3600), ("min", 60)):
        if value >= 2 * size:
            return f"{value / size:.0f} {unit}"
    return f"{value:.1f} s"


def _rate(bits: float) -> str:
    for unit, size in (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if bits >= size:
            return f"{bits / size:.0f} {unit}"
    return "1 kbit/s"
