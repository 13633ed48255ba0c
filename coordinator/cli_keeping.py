"""The operator's verbs about what is kept: legal holds, and erasing a disclosed value."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from coordinator.cli_options import (
    HERE,
    Folder,
    IdentityFolder,
    Reason,
    ReasonOrNone,
    Yes,
    console_of,
    now,
    pending,
)
from governance import terminal

verbs = typer.Typer()


class Act(enum.StrEnum):
    """What is done with a hold."""

    SET = "set"
    LIFT = "lift"


@verbs.command()
def hold(
    act: Annotated[Act, typer.Argument(help="set or lift")],
    subject: Annotated[
        str, typer.Argument(help="all, site/NAME, round/NUMBER or entry/SEQ of the ledger.")
    ],
    reason: Reason,
    folder: Folder = HERE,
    identity: IdentityFolder = None,
) -> None:
    """Put evidence under a legal hold, or end one: nothing under it can be erased.

    Example: concilium-coordinator hold set site/charite --reason "case 12 C 345/26"
    """
    from governance import keeping

    body = {"subject": keeping.check_subject(subject)}
    kind = "hold-set" if act is Act.SET else "hold-lifted"
    with console_of(folder, identity) as console:
        acted = console.signed(kind, body, {"reason": reason}, now=now())
    if pending(acted):
        return
    if act is Act.SET:
        terminal.tell(f"Nothing of {subject} can be erased now (entry {acted.seq}).")
    else:
        terminal.tell(f"The hold on {subject} is lifted (entry {acted.seq}).")
    terminal.tell("What is held and what is due: concilium-ledger retention")


@verbs.command()
def erase(
    disclosure: Annotated[
        str, typer.Argument(help="An entry's number and the value's label, such as 17:officer.")
    ],
    reason: ReasonOrNone = None,
    folder: Folder = HERE,
    identity: IdentityFolder = None,
    yes: Yes = False,
) -> None:
    """Erase a disclosed value and its salt for good, here and at every hospital.

    What a hospital disclosed is erased once its officer asked for it (concilium-site erase).

    Example: concilium-coordinator erase 17:officer --reason "asked for under Art. 17 GDPR"
    """
    from governance import keeping

    seq, label = keeping.parse_disclosure(disclosure)
    if not terminal.confirmed(f"Erase the {label} of entry {seq} for good?", yes=yes):
        return
    body, told = {"entry": seq, "label": label}, {"reason": reason or ""}
    with console_of(folder, identity) as console:
        acted = console.signed("erased", body, told, now=now())
    if not pending(acted):
        terminal.tell(f"Erased the {label} of entry {seq} (entry {acted.seq}); it stays there")
        terminal.tell(
            "as a digest. Hospitals erase it when they take the entry in. Backups and"
        )
        terminal.tell("exports that were made before still have it.")
