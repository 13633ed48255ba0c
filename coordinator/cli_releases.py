"""The operator's verbs about models that leave: release one, say who has it, recall it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coordinator.cli_options import (
    HERE,
    Folder,
    IdentityFolder,
    Reason,
    Yes,
    console_of,
    now,
    pending,
)
from governance import terminal

verbs = typer.Typer()

Release = Annotated[str, typer.Argument(help="The release's name, such as round-12.")]


@verbs.command()
def release(
    number: Annotated[int, typer.Argument(metavar="ROUND", min=1, help="Which round's model.")],
    name: Annotated[
        str, typer.Option(help="How it is called for ever; default: round-ROUND.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; default: release-NAME.")
    ] = None,
    wait: Annotated[
        int, typer.Option(min=0, help="Seconds to wait for the hospitals' cosignatures.")
    ] = 60,
    folder: Folder = HERE,
    identity: IdentityFolder = None,
    yes: Yes = False,
) -> None:
    """Release a round's model: a folder with model, card, licence and proof; again: the folder.

    Example: concilium-coordinator release 12 --name v1 --out release-v1
    """
    from coordinator import handing

    called = name or f"round-{number}"
    place = out or Path(f"release-{called}")
    with console_of(folder, identity) as console:
        drafted = handing.drafted(console, number, called)
        if drafted is not None:
            terminal.tell(handing.shown(drafted))
            if not terminal.confirmed(f"Release this model as {called}?", yes=yes):
                return
            acted = handing.publish(console, drafted, now=now())
            if pending(acted):
                terminal.tell(
                    "Once it is approved, give the same command again for the folder."
                )
                return
            terminal.tell(f"Released {called} (entry {acted.seq}).")
        handing.fetch(console, called, place, wait_s=wait, tell=terminal.tell)
    terminal.tell(f"Wrote {place}. Check it with: concilium-ledger verify-release {place}")
    terminal.tell(
        f"Who gets it is recorded with: concilium-coordinator give {called} --to NAME"
    )


@verbs.command()
def give(
    name: Release,
    to: Annotated[str, typer.Option(help="Who receives it; kept as a disclosure.")],
    folder: Folder = HERE,
    identity: IdentityFolder = None,
) -> None:
    """Record that somebody was given a release; its folder you hand over yourself.

    Example: concilium-coordinator give v1 --to "Registry of Example"
    """
    from coordinator import handing

    with console_of(folder, identity) as console:
        acted = handing.say(console, "release-given", name, {"recipient": to}, now=now())
    if not pending(acted):
        terminal.tell(f"{to} was given the release {name} (entry {acted.seq}).")


@verbs.command()
def recall(
    name: Release,
    reason: Reason,
    folder: Folder = HERE,
    identity: IdentityFolder = None,
    yes: Yes = False,
) -> None:
    """Take a release back: every hospital learns of it, and none uses it from then on.

    Example: concilium-coordinator recall v1 --reason "the target was coded wrongly"
    """
    from coordinator import handing

    if not terminal.confirmed(f"Recall the release {name} for good?", yes=yes):
        return
    with console_of(folder, identity) as console:
        acted = handing.say(console, "release-recalled", name, {"reason": reason}, now=now())
    if not pending(acted):
        terminal.tell(f"Recalled {name} (entry {acted.seq}); hospitals refuse it from now on.")
        terminal.tell("Tell the others who were given it: concilium-ledger releases " + name)
