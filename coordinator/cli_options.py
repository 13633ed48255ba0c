"""What the operator's verbs share: options, who acts, and what is said of an act that waits."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from governance import terminal
from governance.terminal import Format

if TYPE_CHECKING:
    from coordinator.console import Console
    from protos.words_operator import OperatorActed

Folder = Annotated[Path, typer.Option("--folder", help="The coordinator's folder.")]
IdentityFolder = Annotated[
    Path | None,
    typer.Option("--identity", help="Who acts; default: the one operator in the folder."),
]
Passphrase = Annotated[
    Path | None, typer.Option("--passphrase-file", help="A file that holds the passphrase.")
]
Form = Annotated[Format, typer.Option("--format", help="table, json or csv.")]
Reason = Annotated[
    str,
    typer.Option(help="Kept as a disclosure beside the ledger.", callback=terminal.reason),
]
ReasonOrNone = Annotated[
    str | None,
    typer.Option(help="Kept as a disclosure beside the ledger.", callback=terminal.reason),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
HERE = Path()


def now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


def console_of(folder: Path, identity: Path | None) -> Console:
    """Open a console as the operator named, or as the one operator of a folder."""
    from coordinator import console

    return console.open_console(folder, identity)


def pending(acted: OperatorActed) -> bool:
    """Tell whether an act waits for a second operator, and say so if it does."""
    if acted.pending:
        which = acted.result[:12]
        terminal.tell(
            "It waits for a second operator, in their own name: "
            f"concilium-coordinator approve {which} --identity DIR"
        )
    return acted.pending
