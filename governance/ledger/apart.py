"""The tables of a long log made anew by a second process, while the first walks its entries.

What the second one made counts only if it read the very log that was walked: its tree has the
same root. Whatever else happens to it, the first process makes the tables itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from governance.ledger import rebuild, store
from governance.ledger.replay import Fault
from governance.ledger.source import HeldEntry
from protos.errors import ConciliumError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from governance.ledger.source import Source
    from governance.ledger.watching import Watch

WORTH_IT: Final = 4000
"""How many entries a log has for a second process to be worth its start."""
_AT_ONCE: Final = 256
_PASSED: Final = (HeldEntry(0, "", b""),) * _AT_ONCE


@dataclass(frozen=True, slots=True)
class Made:
    """The log that the tables were made from, and the first row in which they differ."""

    size: int
    root: bytes
    fault: Fault | None


class Apart:
    """A second process at work; `told` are its lines: how far it is, and what came of it."""

    def __init__(self, told: IO[str]) -> None:
        self._told = told

    def made(self, watch: Watch) -> Made | None:
        """Wait for what it made; None if it made nothing."""
        answer: list[dict[str, Any]] = []
        for _ in watch(rebuild.DOING, self._passing(answer)):
            pass
        if not answer:
            return None
        (said,) = answer
        fault = None if said["fault"] is None else Fault(*said["fault"])
        return Made(said["size"], bytes.fromhex(said["root"]), fault)

    def _passing(self, answer: list[dict[str, Any]]) -> Iterator[HeldEntry]:
        for line in self._told:
            said = json.loads(line)
            if isinstance(said, dict):
                answer.append(said)
            else:
                yield from _PASSED[:said]


@contextmanager
def beginning(
    source: Source, url: str | None, export: Path | None, *, worth_it: int = WORTH_IT
) -> Iterator[Apart | None]:
    """Have the tables of a log made by a second process, if it is long and there is a core."""
    if len(os.sched_getaffinity(0)) < 2 or source.size() < worth_it:
        yield None
        return
    place = json.dumps([url, None if export is None else str(export)])
    process = subprocess.Popen(  # noqa: S603 - this very program
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("a process was started without its pipes")
            process.stdin.write(f"{place}\n")
            process.stdin.close()
            yield Apart(process.stdout)
        finally:
            process.kill()


def main() -> None:
    """Make the tables of the log that standard input names; say what came of it."""
    from governance.ledger import asking

    url, export = json.loads(sys.stdin.readline())
    with asking.source(url, export and Path(export)) as source, rebuild.empty() as connection:
        fault = rebuild.admitted(
            connection, source, watch=_counted, unsafe_signatures_checked=True
        ) or rebuild.difference(connection, source)
        head = store.head(connection)
    said = None if fault is None else (fault.seq, fault.rule, fault.sentence)
    _say({"size": head.size, "root": head.root.hex(), "fault": said})


def _counted(_what: str, entries: Iterator[HeldEntry]) -> Iterator[HeldEntry]:
    for count, entry in enumerate(entries, start=1):
        yield entry
        if count % _AT_ONCE == 0:
            _say(_AT_ONCE)


def _say(word: object) -> None:
    sys.stdout.write(json.dumps(word) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except ConciliumError:
        sys.exit(1)  # whoever asked finds the same fault, and says it
