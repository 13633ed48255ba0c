"""The training worker: a warm child process that takes one job at a time from its parent.

It starts with torch and Opacus loaded, opens no connection, and ends with its parent: the
kernel kills it (Linux), and a closed pipe ends it anywhere. What libraries print goes to the
error output, since the other one is the pipe.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from protos.errors import ConciliumError
from site_agent import pipe, wheels
from site_agent.jobs import EvaluateJob, TrainJob

if TYPE_CHECKING:
    from collections.abc import Callable

    Say = Callable[[dict[str, Any]], None]

_PR_SET_PDEATHSIG: Final = 1
_SAY_AT_MOST_EVERY_S: Final = 0.1


def main() -> None:
    """Serve jobs until the parent is gone."""
    _die_with_parent(int(sys.argv[1]))
    jobs, say, going = _pipes()
    from site_agent import evaluation, training

    say({"ready": os.getpid()})
    while True:
        message = jobs.get()
        try:
            if message["kind"] == "train":
                job = TrainJob.from_json(message["job"])
                with wheels.served(job.wheels):
                    done = training.train(job, _progress(say, going)).to_json()
            else:
                asked = EvaluateJob.from_json(message["job"])
                with wheels.served(asked.wheels):
                    done = evaluation.evaluate(asked).to_json()
        except ConciliumError as error:
            say({"refused": told(error)})
        else:
            say({"done": done})


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


def _die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies; it may be dead already."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


if __name__ == "__main__":
    main()
