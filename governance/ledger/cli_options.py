"""Options that several verbs of `concilium-ledger` share, and the ledger that they ask."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from governance import moments
from governance.terminal import Format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

Url = Annotated[
    str | None,
    typer.Option("--url", help="A database: SQLAlchemy URL, or the path of an SQLite file."),
]
Export = Annotated[Path | None, typer.Option("--export", help="The folder of an export.")]
Form = Annotated[Format, typer.Option("--format", help="For eyes or for machines.")]
Site = Annotated[str | None, typer.Option("--site", help="This hospital alone.")]
At = Annotated[
    datetime | None,
    typer.Option(
        "--at", parser=moments.at, help="As of a time: 2026-11-21T10:46:00Z, or a day's end."
    ),
]
Since = Annotated[
    datetime | None,
    typer.Option("--since", parser=moments.since, help="Received from this time or day on."),
]
Until = Annotated[
    datetime | None,
    typer.Option(
        "--until", parser=moments.until, help="Received before this time, or by this day's end."
    ),
]

Limit = Annotated[
    int, typer.Option("--limit", min=1, help="How many rows at a time, in every format.")
]
After = Annotated[
    int | None, typer.Option("--after", help="The rows after these: the page before says it.")
]
All = Annotated[bool, typer.Option("--all", help="Every row, however many there are.")]


@contextmanager
def opened(
    url: str | None, export: Path | None, *, site: str | None = None
) -> Iterator[Connection]:
    """Give a ledger to ask: the database, or the export taken into one in memory.

    Raises:
        Refused: there is no such ledger, or no such hospital was ever in it.
    """
    from governance.ledger import asking, query_members

    with asking.ledger(url, export) as connection:
        if site is not None:
            query_members.check_known(connection, site)
        yield connection
