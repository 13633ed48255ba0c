"""Who looks on while a long log is read: a bar on a terminal, and nothing anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

from governance.ledger.source import HeldEntry

if TYPE_CHECKING:
    from governance.ledger.source import Source

Watch: TypeAlias = Callable[[str, Iterator[HeldEntry]], Iterator[HeldEntry]]
"""Hands entries on, and sees each one pass; it is told what is being done."""
_AT_ONCE: Final = 256


def unwatched(_what: str, entries: Iterator[HeldEntry]) -> Iterator[HeldEntry]:
    """Hand entries on; nobody looks."""
    return entries


@contextmanager
def bar(source: Source) -> Iterator[Watch]:
    """Show on standard error how far the reading of a source has come, if it is a terminal."""
    if not sys.stderr.isatty():
        yield unwatched
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True) as progress:
        total = source.size()

        def watch(what: str, entries: Iterator[HeldEntry]) -> Iterator[HeldEntry]:
            task = progress.add_task(what, total=total)
            for count, entry in enumerate(entries, start=1):
                yield entry
                if count % _AT_ONCE == 0:
                    progress.update(task, completed=count)
            progress.update(task, completed=total)

        yield watch
