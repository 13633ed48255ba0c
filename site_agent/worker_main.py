"""The training worker: a warm child process that takes one job at a time from its parent.

It starts with torch and Opacus loaded, opens no connection, and ends with its parent: the
kernel kills it (Linux), and a closed pipe ends it anywhere. What libraries print goes to the
error output, since the other one is the pipe.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from protos.errors import ConciliumError, Refused
from site_agent import pipe, wheels
from site_agent.jobs import EvaluateJob, MeasureJob, TrainJob
from site_agent.jobs_apart import AuditJob, CompareJob, ScoreJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Json = dict[str, Any]
    Say = Callable[[Json], None]

_PR_SET_PDEATHSIG: Final = 1
_SAY_AT_MOST_EVERY_S: Final = 0.1
_NO_MORE: Final = "can't allocate memory"


def main() -> None:
    """Serve jobs until the parent is gone."""
    _die_with_parent(int(sys.argv[1]))
    memory = int(sys.argv[2])
    jobs, say, going = _pipes()
    do = _work(lambda: _progress(say, going))
    _use_no_more(memory)
    say({"ready": os.getpid()})
    while True:
        message = jobs.get()
        try:
            job, folder = message["job"], message["job"].get("wheels")
            with wheels.served(Path(folder) if folder else None), _told_of_too_much(memory):
                done = do[message["kind"]](job)
        except ConciliumError as error:
            say({"refused": told(error)})
        else:
            say({"done": done})


def _work(
    progress: Callable[[], Callable[[int], None]],
) -> Mapping[str, Callable[[Json], Json]]:
    """Return what is done for each kind of job; torch is loaded with it.

    `progress` gives each job a telling of its own: one that told of steps just now would keep
    the first ones of the next job to itself.
    """
    from site_agent import baseline, evaluation, measurement, privacy_audit, training

    return {
        "train": lambda job: training.train(TrainJob.from_json(job), progress()).to_json(),
        "evaluate": lambda job: evaluation.evaluate(EvaluateJob.from_json(job)).to_json(),
        "measure": lambda job: measurement.measure(MeasureJob.from_json(job)).to_json(),
        "score": lambda job: evaluation.score(ScoreJob.from_json(job)),
        "compare": lambda job: baseline.compared(CompareJob.from_json(job)),
        "audit": lambda job: privacy_audit.trained(AuditJob.from_json(job), progress()),
    }


def told(error: ConciliumError) -> dict[str, str]:
    """Return an error as it crosses the pipe; `what` never holds a value of a record."""
    fields = {name: getattr(error, name) for name in ("what", "where", "todo", "rule")}
    return {"kind": type(error).__name__, **fields}


def _pipes() -> tuple[SimpleQueue[dict[str, Any]], Say, threading.Event]:
    """Take the two pipes for ourselves.

    Returns the jobs that come in, a way to answer, and what is set while a training may go on.
    """
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    jobs: SimpleQueue[dict[str, Any]] = SimpleQueue()
    going = threading.Event()
    threading.Thread(target=_listen, args=(incoming, jobs, going), daemon=True).start()

    def say(message: dict[str, Any]) -> None:
        outgoing.write(pipe.pack(message))
        outgoing.flush()

    return jobs, say, going


def _listen(
    incoming: BinaryIO, jobs: SimpleQueue[dict[str, Any]], going: threading.Event
) -> None:
    """Queue jobs, heed pauses at once; end the process, in a step too, when the parent closes.

    A job begins with going on: a pause that came too late for the one before is not its own.
    """
    while len(head := incoming.read(pipe.LENGTH_BYTES)) == pipe.LENGTH_BYTES:
        message = pipe.unpack(incoming.read(pipe.length_of(head)))
        if message["kind"] == "pause":
            going.clear()
            continue
        going.set()
        if message["kind"] != "resume":
            jobs.put(message)
    os._exit(0)


def _progress(say: Say, going: threading.Event) -> Callable[[int], None]:
    """Return what is done between two batches: tell the steps done, and wait out a pause.

    They are told not more often than anybody can see.
    """
    last = -_SAY_AT_MOST_EVERY_S

    def progress(steps: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _SAY_AT_MOST_EVERY_S:
            last = time.monotonic()
            say({"steps": steps})
        going.wait()

    return progress


def _use_no_more(memory: int) -> None:
    """Let this process have no more than so many bytes of its own; 0 for all there are."""
    if memory:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


@contextmanager
def _told_of_too_much(memory: int) -> Iterator[None]:
    """Say in a sentence that a job wanted more than it may have; torch has an error of its own.

    Raises:
        Refused: `worker-memory`.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as problem:
        if isinstance(problem, RuntimeError) and _NO_MORE not in str(problem):
            raise
        given = f"the {memory >> 20} MiB of `resources.memory`" if memory else "there is"
        raise Refused(
            f"the job wants more memory than {given}",
            todo="Give it more in site.yaml, or propose smaller batches.",
            rule="worker-memory",
        ) from None


def _die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies; it may be dead already."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


if __name__ == "__main__":
    main()
