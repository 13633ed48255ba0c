"""The operator's verbs about where a federation lies."""

from __future__ import annotations

from typing import Annotated

import typer

from coordinator.cli_options import HERE, Folder
from governance import terminal

verbs = typer.Typer()


@verbs.command()
def move(
    to: Annotated[
        str, typer.Option("--to", help="An empty database, as coordinator.yaml names one.")
    ],
    folder: Folder = HERE,
) -> None:
    """Move state and history to another database, and verify them there.

    Example: concilium-coordinator move --to postgresql+psycopg://concilium@db/federation
    """
    from coordinator import moving

    moved = moving.move(folder, to)
    terminal.tell(
        f"Moved {moved.rows} rows; all {moved.verdict.entries} entries verify there. "
        "The database that was left serves nobody any more."
    )
    terminal.tell("Next: write the new one as `database` in coordinator.yaml, then serve.")
