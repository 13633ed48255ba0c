"""Work of an administrator's own verbs that runs a wheel's code: in a confined worker too.

The worker has this machine's cohorts to read and one folder of its own to write; it is started
for one job and ended after it. Whatever else the job needs is put into that folder first.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protos.errors import Refused
from site_agent import wheels
from site_agent.confinement import Confinement
from site_agent.premises import Premises
from site_agent.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from governance.settings import SiteSettings
    from site_agent.jobs_apart import AuditJob, CompareJob, ScoreJob


@contextmanager
def folder(settings: SiteSettings) -> Iterator[Path]:
    """Give a folder that a confined worker may write, for as long as a job lasts."""
    premises = Premises(settings.state)
    premises.prepare()
    place = Path(tempfile.mkdtemp(prefix="apart-", dir=premises.work))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def wheels_of(settings: SiteSettings) -> Path:
    """Return the folder of approved wheels, where a worker here is confined.

    Raises:
        Refused: `wheel-not-confined`.
    """
    found = wheels.at_hand(settings)
    if found is None:
        raise Refused(
            "a model from a wheel runs in a confined worker alone",
            todo="Say isolation: required under resources in site.yaml.",
            rule="wheel-not-confined",
        )
    return found


def done(
    settings: SiteSettings,
    kind: str,
    job: ScoreJob | AuditJob | CompareJob,
    progress: Callable[[int], None] = lambda _: None,
    *,
    confinement: Confinement | None = None,
) -> dict[str, Any]:
    """Do one job in a confined worker that is started for it.

    `confinement` is what it sees, where that is not what a hospital's own worker does.

    Raises:
        Refused: this machine cannot confine a worker, or as the job says.
        Unavailable: `worker-gone`: its code crashed, or did what it may not.
    """
    confinement = confinement or Confinement.of(settings, Premises(settings.state))
    assert confinement is not None  # `wheels_of` was asked before
    confinement.check()
    worker = Worker(settings.resources, confinement=confinement)

    async def do() -> dict[str, Any]:
        try:
            return await worker.ask(kind, job.to_json(), progress)
        finally:
            await worker.stop()

    return asyncio.run(do())
