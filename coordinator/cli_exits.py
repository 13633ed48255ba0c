"""The operator's verbs about leaving: take a hospital out, and decide on its releases."""

from __future__ import annotations

import enum
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


class Settled(enum.StrEnum):
    """What becomes of a release at an exit."""

    KEEP = "keep"
    RECALL = "recall"


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


@verbs.command()
def settle(
    name: Annotated[str, typer.Argument(metavar="RELEASE", help="The release's name.")],
    decision: Annotated[Settled, typer.Argument(help="What becomes of it.")],
    ground: Annotated[
        str,
        typer.Option(
            help="On what ground it is kept, or why it is recalled; goes into the record, can "
            "be erased.",
            callback=terminal.reason,
        ),
    ],
    site: Annotated[str, typer.Option(help="Whose exit, where several wait.")] = "",
    folder: Folder = HERE,
    identity: IdentityFolder = None,
    yes: Yes = False,
) -> None:
    """Keep or recall a release that a hospital is inside which left; its exit waits for it.

    Example: concilium-coordinator settle v1 keep --ground "in use at two hospitals"
    """
    from coordinator import handing

    if not terminal.confirmed(f"{decision.value.capitalize()} the release {name}?", yes=yes):
        return
    with console_of(folder, identity) as console:
        acted = handing.settle(
            console, name, decision.value, site=site, told={"reason": ground}, now=now()
        )
    if not pending(acted):
        said = "Kept" if decision is Settled.KEEP else "Recalled"
        terminal.tell(f"{said} {name} (entry {acted.seq}).")
