"""The operator's verb about leaving: take a hospital out, for cause."""

from __future__ import annotations

from typing import Annotated

import typer

from coordinator.cli_options import (
    HERE,
    Folder,
    IdentityFolder,
    Yes,
    console_of,
    now,
    pending,
)
from governance import terminal
from protos.errors import Refused

verbs = typer.Typer()


@verbs.command()
def remove(
    site: Annotated[str, typer.Argument(help="The hospital's name.")],
    cause: Annotated[str, typer.Option(help="Why; goes into the record, can be erased.")],
    folder: Folder = HERE,
    identity: IdentityFolder = None,
    yes: Yes = False,
) -> None:
    """Take a hospital out of the federation for cause: at once, with its keys and consents.

    Example: concilium-coordinator remove charite --cause "broke the data agreement"
    """
    with console_of(folder, identity) as console:
        if site not in {one.name for one in console.status().sites}:
            raise Refused(
                f"no hospital is enrolled as {site}",
                todo="See who is with: concilium-coordinator status",
                rule="not-enrolled",
            )
        terminal.tell(
            f"Removing {site}: it is out of the round at work, its consents end, and its keys "
            "and certificates count no more. What the agreement says of exits applies."
        )
        if not terminal.confirmed(f"Remove {site}?", yes=yes):
            return
        body = {"site": site, "scope": "federation", "cause": "removed"}
        acted = console.signed("exit-requested", body, {"reason": cause}, now=now())
    if not pending(acted):
        terminal.tell(f"Removed {site} (entry {acted.seq}).")
        terminal.tell(f"What follows: concilium-ledger exit {site} --url …")
