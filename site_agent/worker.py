"""The parent's side of the training worker: one warm child, started again when it is gone.

A long step, a crash or a kill of the child never stops the agent's heartbeat.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from governance import children
from protos import errors
from protos.errors import ConciliumError, PeerFault, Unavailable
from site_agent import confinement as confining
from site_agent import pipe
from site_agent.jobs import Evaluated, EvaluateJob, Measured, MeasureJob, Trained, TrainJob

if TYPE_CHECKING:
    from collections.abc import Callable

    from governance.settings import Resources
    from site_agent.confinement import Confinement

__all__ = [
    "EvaluateJob", "Evaluated", "Killed", "MeasureJob", "Measured", "TrainJob", "Trained",
    "Worker", "worker_digest",
]  # fmt: skip

_KINDS: Final = {
    kind.__name__: kind for kind in (errors.Refused, PeerFault, Unavailable, errors.Corrupt)
}
_ENVIRONMENT: Final = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES",
)  # fmt: skip
"""What a worker may know of its parent's environment: no passphrase."""

_SOURCES: Final = (
    "governance/disclosed.py",
    "governance/figures.py",
    "governance/files.py",
    "governance/models/*.py",
    "governance/noised.py",
    "governance/normalisation.py",
    "governance/privacy/*.py",
    "governance/subgroups.py",
    "governance/tensors.py",
    "site_agent/baseline.py",
    "site_agent/canaries.py",
    "site_agent/data/*.py",
    "site_agent/dpsgd.py",
    "site_agent/evaluation.py",
    "site_agent/grouping.py",
    "site_agent/jobs.py",
    "site_agent/jobs_apart.py",
    "site_agent/measurement.py",
    "site_agent/pipe.py",
    "site_agent/premises.py",
    "site_agent/privacy_audit.py",
    "site_agent/ready.py",
    "site_agent/strategies/*.py",
    "site_agent/training.py",
    "site_agent/wheel_models.py",
    "site_agent/wheels.py",
    "site_agent/worker_main.py",
)


_KILLED: Final = frozenset({-signal.SIGKILL, 128 + signal.SIGKILL})
"""How a child ends that was killed; the latter where what confines it was its parent."""
_ENDS_IN_S: Final = 5.0
"""How long a child that says no more has to end, in seconds."""


class Killed(Unavailable):
    """The worker did not fail: it was killed, by somebody or for want of memory."""


class Worker:
    """One child process that trains and evaluates, one job at a time."""

    def __init__(self, resources: Resources, *, confinement: Confinement | None = None) -> None:
        """Prepare a worker that uses no more than it may, confined where that is said."""
        self._resources = resources
        self._confinement = confinement
        self._saw: object = None
        self._child: asyncio.subprocess.Process | None = None
        self._given_up = False
        self._at_work = self._pauses = False
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Start the child unless it runs, and wait until it is warm."""
        async with self._turn:
            await self._running()

    async def train(self, job: TrainJob, progress: Callable[[int], None]) -> Trained:
        """Train one update.

        Args:
            job: What to train; nothing is written outside its folder.
            progress: Told the steps done, at most ten times a second.

        Raises:
            Refused, PeerFault, Corrupt: As `training.train` says.
            Killed: `worker-gone`: the child was killed.
            Unavailable: `worker-gone`: the child crashed; or a disk is full.
        """
        return Trained.from_json(await self._call("train", job.to_json(), progress))

    async def evaluate(self, job: EvaluateJob) -> Evaluated:
        """Return a model's figures on the held-out patients; raises as `train` does."""
        return Evaluated.from_json(await self._call("evaluate", job.to_json(), lambda _: None))

    async def measure(self, job: MeasureJob) -> Measured:
        """Return the cohort's statistics, noised; raises as `train` does."""
        return Measured.from_json(await self._call("measure", job.to_json(), lambda _: None))

    async def ask(
        self, kind: str, job: dict[str, Any], progress: Callable[[int], None]
    ) -> dict[str, Any]:
        """Do a job of another kind (`site_agent.apart`); raises as `train` does."""
        return await self._call(kind, job, progress)

    async def pause(self) -> None:
        """Let the training at work stop after its present batch, until `resume`."""
        self._pauses = True
        await self._hint("pause")

    async def resume(self) -> None:
        """Let the training at work go on."""
        self._pauses = False
        await self._hint("resume")

    async def _hint(self, kind: str) -> None:
        """Tell a child at work; one that is not yet is told with its job."""
        if self._at_work and self._child is not None:
            with contextlib.suppress(Unavailable):  # the job itself will say so
                await _tell(self._child, {"kind": kind})

    def cancel(self) -> None:
        """Kill the child; the job at work, if any, ends as `worker-gone`."""
        self._given_up = True
        if self._child is not None:
            children.kill(self._child)

    async def stop(self) -> None:
        """Kill the child and wait for its end."""
        self.cancel()
        if self._child is not None:
            await self._child.wait()

    async def _call(
        self, kind: str, job: dict[str, Any], progress: Callable[[int], None]
    ) -> dict[str, Any]:
        async with self._turn:
            child = await self._running()
            try:
                await _tell(child, {"kind": kind, "job": job})
                self._at_work = True
                if self._pauses:
                    await self._hint("pause")
                done, refused = await _answer(child, progress)
            except BaseException:
                self.cancel()  # else its answer would be taken for the next job's
                raise
            finally:
                self._at_work = self._pauses = False
        if refused is not None:
            raise _error(refused)
        return done

    async def _running(self) -> asyncio.subprocess.Process:
        """Return the child, started anew when it is gone; raises Unavailable when it can't."""
        if self._child is not None:
            if self._sees_anew():
                self.cancel()  # a file that was replaced is another one than it was given
            if self._child.returncode is None and not self._given_up:
                return self._child
            await self._child.wait()
        self._given_up = False
        worker_digest.cache_clear()
        self._child = await asyncio.create_subprocess_exec(
            *self._command(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._environment(),
            start_new_session=True,  # Ctrl-C in a terminal is for the parent alone
        )
        try:
            await _heard(self._child)
        except BaseException:
            self.cancel()
            raise
        if self._given_up:  # while it started
            raise _gone(Unavailable)
        return self._child

    def _sees_anew(self) -> bool:
        return self._confinement is not None and self._confinement.seen() != self._saw

    def _command(self) -> list[str]:
        program = [sys.executable, "-P", "-m", "site_agent.worker_main"]
        memory = str(self._resources.memory or 0)
        if self._confinement is None:
            return [*program, str(os.getpid()), memory]
        self._saw = self._confinement.seen()
        return self._confinement.command([*program, str(confining.PARENT), memory])

    def _environment(self) -> dict[str, str]:
        known = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        return known | {
            name: str(self._resources.threads)
            for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
        }


async def _tell(child: asyncio.subprocess.Process, message: dict[str, Any]) -> None:
    assert child.stdin is not None
    try:
        child.stdin.write(pipe.pack(message))
        await child.stdin.drain()
    except ConnectionError:
        raise await _ended(child) from None


async def _answer(
    child: asyncio.subprocess.Process, progress: Callable[[int], None]
) -> tuple[dict[str, Any], dict[str, str] | None]:
    """Return what a job made, or what it was refused with; tell its steps meanwhile."""
    while True:
        match await _heard(child):
            case {"steps": int(steps)}:
                progress(steps)
            case {"done": dict(done)}:
                return done, None
            case {"refused": dict(told)}:
                return {}, told
            case _:
                raise PeerFault("the worker said what is no answer", rule="bad-worker-message")


async def _heard(child: asyncio.subprocess.Process) -> dict[str, Any]:
    assert child.stdout is not None
    try:
        head = await child.stdout.readexactly(pipe.LENGTH_BYTES)
        return pipe.unpack(await child.stdout.readexactly(pipe.length_of(head)))
    except asyncio.IncompleteReadError:
        raise await _ended(child) from None


def _error(told: dict[str, str]) -> ConciliumError:
    kind = _KINDS.get(told["kind"], ConciliumError)
    return kind(told["what"], where=told["where"], todo=told["todo"], rule=told["rule"])


def _gone(kind: type[Unavailable]) -> Unavailable:
    return kind(
        "the training worker is gone: it was killed, or it crashed and said why on its log",
        todo="The next task starts it again.",
        rule="worker-gone",
    )


async def _ended(child: asyncio.subprocess.Process) -> Unavailable:
    """Return how a child ended that says no more."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ENDS_IN_S):
            await child.wait()
    return _gone(Killed if child.returncode in _KILLED else Unavailable)


@cache
def worker_digest() -> str:
    """Return the SHA-256 over the sources that a worker runs, by name and content.

    They are read anew for each worker that is started.
    """
    root = Path(__file__).resolve().parent.parent
    whole = hashlib.sha256()
    for path in sorted({path for pattern in _SOURCES for path in root.glob(pattern)}):
        name = path.relative_to(root).as_posix()
        whole.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()
