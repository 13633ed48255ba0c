"""Signatures checked by other processes, ahead of the walk that asks whether they are good.

A check needs an entry's bytes alone, since an Ed25519 key is its own name. What is handed to a
process are those bytes, and what it says is used for them alone; whatever it does not say is
good, the walk checks itself. So a process that dies costs time and nothing else.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import islice
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Final

from governance import statements
from protos.errors import PeerFault, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from governance.ledger.source import HeldEntry, Source

WORTH_IT: Final = 4000
"""How many entries a log has for other processes to be worth their start."""
_MOST: Final = 4
"""How many processes keep the walk from ever waiting."""
_AT_ONCE: Final = 256
_SIZE: Final = struct.Struct(">I")
_OWN_NAME: Final = "ed25519:"
_ANSWERING: Final = __name__
_Process = subprocess.Popen[bytes]


def unchecked(entries: Iterable[HeldEntry]) -> Iterator[tuple[HeldEntry, bool]]:
    """Hand entries on, each with the word that nobody checked its signatures."""
    for held in entries:
        yield held, False


class Ahead:
    """Processes that check signatures."""

    def __init__(self, processes: Sequence[_Process], threads: ThreadPoolExecutor) -> None:
        self._free: SimpleQueue[_Process] = SimpleQueue()
        self._threads = threads
        self._in_flight = 2 * len(processes) + 1
        for process in processes:
            self._free.put(process)

    def checked(
        self, entries: Iterable[HeldEntry], *, since: int = 0
    ) -> Iterator[tuple[HeldEntry, bool]]:
        """Hand entries on, each with whether every signature on it is known to be good.

        Those of the entries before `since` are not asked for.
        """
        waiting: deque[tuple[list[HeldEntry], Future[bytes]]] = deque()
        left = iter(entries)
        while batch := list(islice(left, _AT_ONCE)):
            wanted = [held.envelope if held.seq >= since else b"" for held in batch]
            waiting.append((batch, self._threads.submit(self._asked, wanted)))
            if len(waiting) > self._in_flight:
                yield from _told(*waiting.popleft())
        while waiting:
            yield from _told(*waiting.popleft())

    def _asked(self, envelopes: Sequence[bytes]) -> bytes:
        process = self._free.get()
        try:
            if process.stdin is None or process.stdout is None:
                return b""
            framed = [_SIZE.pack(len(envelopes))]
            for envelope in envelopes:
                framed += (_SIZE.pack(len(envelope)), envelope)
            process.stdin.write(b"".join(framed))
            process.stdin.flush()
            return process.stdout.read(len(envelopes))
        except OSError:
            return b""
        finally:
            self._free.put(process)


def _told(batch: list[HeldEntry], answer: Future[bytes]) -> Iterator[tuple[HeldEntry, bool]]:
    said = answer.result()
    if len(said) != len(batch):
        said = bytes(len(batch))  # a process died: the walk checks these itself
    for held, good in zip(batch, said, strict=True):
        yield held, good == 1


@contextmanager
def beginning(source: Source, *, worth_it: int = WORTH_IT) -> Iterator[Ahead | None]:
    """Have signatures checked by other processes, if the log is long and there are cores."""
    count = min(_MOST, len(os.sched_getaffinity(0)) - 1)
    if count < 1 or source.size() < worth_it:
        yield None
        return
    with ExitStack() as stack:
        processes = [stack.enter_context(_process()) for _ in range(count)]
        threads = stack.enter_context(ThreadPoolExecutor(count, thread_name_prefix="ahead"))
        for process in processes:
            stack.callback(process.kill)
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        yield Ahead(processes, threads)


def _process() -> _Process:
    return subprocess.Popen(  # noqa: S603 - this very program
        [sys.executable, "-m", _ANSWERING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def main() -> None:
    """Answer each batch of envelopes on standard input: a byte for each, 1 if it is good."""
    told, asked = sys.stdout.buffer, sys.stdin.buffer
    while count := asked.read(_SIZE.size):
        for _ in range(*_SIZE.unpack(count)):
            told.write(b"\1" if _is_good(_next(asked)) else b"\0")
        told.flush()


def _next(asked: IO[bytes]) -> bytes:
    return asked.read(*_SIZE.unpack(asked.read(_SIZE.size)))


def _is_good(envelope: bytes) -> bool:
    """Tell whether every signature on an envelope is good; one by an authority is not known."""
    try:
        statement = statements.read(envelope)
        if not all(key.startswith(_OWN_NAME) for key in statement.signatures):
            return False
        statements.check_signatures(statement, statement.signatures)
    except (PeerFault, Refused):
        return False
    return True


if __name__ == "__main__":
    main()
