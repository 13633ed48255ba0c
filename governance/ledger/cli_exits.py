"""The auditor's verbs about who left the federation."""

from __future__ import annotations

from typing import Annotated

import typer

from governance.ledger.cli_options import Export, Form, Site, Url, opened
from governance.terminal import Format

verbs = typer.Typer()


@verbs.command()
def exits(
    url: Url = None, export: Export = None, site: Site = None, form: Form = Format.TABLE
) -> None:
    """List who left or withdrew, where that stands, and what is still due.

    Example: concilium-ledger exits --export export
    """
    from governance.ledger import asking, query_exits

    with opened(url, export) as c:
        hidden = frozenset({"agreement", "asked_by", "closed", "still_due"})
        asking.say(query_exits.exits_held(c, site=site), form, hidden=hidden)


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
