"""The operator's verbs about where a federation lies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coordinator.cli_options import HERE, Folder, Passphrase, now
from governance import terminal

if TYPE_CHECKING:
    from coordinator.recovering import Recovered

verbs = typer.Typer()


@verbs.command()
def renew(
    identity: Annotated[Path, typer.Argument(help="The operator's or auditor's folder.")],
    folder: Folder = HERE,
) -> None:
    """Give an operator or auditor whose certificate has ended the next one.

    The coordinator is stopped meanwhile. Before its end each command renews it by itself.

    Example: concilium-coordinator renew fed/operators/van-dijk --folder fed
    """
    from coordinator import renewing

    known = renewing.renew_here(folder, identity, now=now())
    ends = known.peer.not_after
    terminal.tell(f"The certificate of {known.actor} holds until {ends:%Y-%m-%d %H:%M} UTC.")
    terminal.tell("Next: start the coordinator again.")


@verbs.command()
def move(
    to: Annotated[
        str, typer.Option("--to", help="An empty database, as coordinator.yaml names one.")
    ],
    folder: Folder = HERE,
) -> None:
    """Move state and history to another database, and verify them there.

    Example: concilium-coordinator move --to postgresql://concilium@db/federation
    """
    from coordinator import moving

    moved = moving.move(folder, to, at=now())
    if moved.migrated is not None:
        terminal.tell(moved.migrated.sentence)
    terminal.tell(
        f"Moved {moved.rows} rows; all {moved.verdict.entries} entries verify there. "
        "The database that was left serves nobody any more."
    )
    terminal.tell("Next: write the new one as `database` in coordinator.yaml, then serve.")


@verbs.command()
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it is not there yet.")],
    folder: Folder = HERE,
    passphrase_file: Passphrase = None,
) -> None:
    """Write keys, settings, models and the database into one sealed file.

    Example: concilium-coordinator backup heart.backup --passphrase-file pass
    """
    from coordinator import backing

    secret = terminal.passphrase("for the backup", file=passphrase_file, confirm=True)
    size = backing.backup(folder, file, passphrase=secret)
    terminal.tell(f"Wrote {file}: the ledger's {size} entries, and all that goes with them.")
    terminal.tell("Keep it on another machine, and its passphrase elsewhere.")


@verbs.command()
def recover(
    file: Annotated[Path, typer.Argument(help="What `backup` wrote.")],
    folder: Annotated[Path, typer.Option("--folder", help="The folder to make.")],
    copies: Annotated[
        list[Path] | None,
        typer.Option(
            "--from", help="A hospital's state/ledgers/FEDERATION.db, or an export; repeatable."
        ),
    ] = None,
    identities: Annotated[
        list[Path] | None,
        typer.Option(
            "--identity",
            help="Who signs, twice where two must; default: the operator in the backup.",
        ),
    ] = None,
    agreements: Annotated[
        list[Path] | None,
        typer.Option(
            "--agreement", help="An agreement proposed after the backup, as it was; repeatable."
        ),
    ] = None,
    checkpoints: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint", help="A signed head of the log that somebody kept; repeatable."
        ),
    ] = None,
    new_log: Annotated[
        bool,
        typer.Option(
            "--new-log", help="Begin a new log where no copy reaches the last known head."
        ),
    ] = False,
    passphrase_file: Passphrase = None,
) -> None:
    """Make a federation's folder anew, with what hospitals' copies know beyond the backup.

    Example: concilium-coordinator recover heart.backup --folder fed --from charite.db
    """
    from coordinator import recovering

    recovered = recovering.recover(
        file,
        folder,
        passphrase=terminal.passphrase("of the backup", file=passphrase_file),
        given=recovering.Given(
            copies or (), identities or (), agreements or (), checkpoints or (), new_log
        ),
        now=now(),
    )
    _tell(recovered, has_copies=bool(copies))
    terminal.tell(f"Next: concilium-coordinator serve --folder {folder}")


def _tell(recovered: Recovered, *, has_copies: bool) -> None:
    more = recovered.size - recovered.backup
    terminal.tell(
        f"Recovered {recovered.backup} entries from the backup and {more} from copies; all "
        "verify."
    )
    if recovered.older:
        terminal.tell("An older version wrote the backup; its database was migrated.")
    if recovered.lost:
        terminal.tell(f"A new log begins with entry {recovered.size}. Lost: {recovered.lost}.")
        terminal.tell(
            "No hospital takes part in it before its officer has accepted it: "
            "concilium-site trust --log"
        )
    elif not has_copies:
        terminal.tell(
            "No copy was given: hospitals that have seen later entries will refuse this log. "
            "Unless nothing came after the backup, recover with --from before you serve."
        )
    for what in recovered.missing:
        terminal.tell(f"The federation is paused: {what}.")
