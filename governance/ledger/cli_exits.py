"""The auditor's verbs about who left the federation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from governance.ledger.cli_options import At, Export, Form, Site, Url, opened
from governance.terminal import Format

verbs = typer.Typer()


@verbs.command()
def exits(
    url: Url = None,
    export: Export = None,
    site: Site = None,
    at: At = None,
    form: Form = Format.TABLE,
) -> None:
    """List who left or withdrew, where that stands or stood, and what is still due.

    Example: concilium-ledger exits --export export --at 2027-03-31
    """
    from governance.ledger import asking, query_exits

    with opened(url, export, site=site) as c:
        hidden = frozenset({"agreement", "asked_by", "closed", "still_due"})
        asking.say(query_exits.exits_held(c, site=site, at=at), form, hidden=hidden)


@verbs.command("exit")
def exit_(
    site: Annotated[str, typer.Argument(help="The hospital's name.")],
    url: Url = None,
    export: Export = None,
    form: Form = Format.TABLE,
) -> None:
    """Say step by step, with times, what a hospital's leaving set in motion.

    Example: concilium-ledger exit charite --export export
    """
    from governance.ledger import asking, query_exits

    with opened(url, export) as c:
        hidden = frozenset({"means"})
        asking.say(query_exits.exit_of(c, site), form, hidden=hidden)


@verbs.command("verify-exit")
def verify_exit(
    file: Annotated[Path, typer.Argument(help="What a hospital's agent kept of its exit.")],
    form: Form = Format.TABLE,
) -> None:
    """Check a hospital's exit certificate offline: its entries, their proofs, the signed head.

    Example: concilium-ledger verify-exit state/exits/heart-failure-europe.json
    """
    from governance import terminal
    from governance.ledger import query_exits

    terminal.say(query_exits.certified(file), form)
