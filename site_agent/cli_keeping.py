"""The officer's verb about what this hospital disclosed: ask for its erasure."""

from __future__ import annotations

from typing import Annotated

import typer

from governance import terminal
from site_agent.cli_options import HERE, Export, Federation, Passphrase, SiteFile, Yes

verbs = typer.Typer()


@verbs.command()
def erase(
    disclosure: Annotated[
        str, typer.Argument(help="An entry's number and the value's label, such as 17:officer.")
    ],
    export: Export = None,
    passphrase_file: Passphrase = None,
    yes: Yes = False,
    site: SiteFile = HERE,
    federation: Federation = None,
) -> None:
    """Ask, with the officer's signature, that a value this hospital disclosed be erased.

    Example: concilium-site erase 17:officer
    """
    from governance import keeping
    from site_agent import consenting, desk, erasing

    seq, label = keeping.parse_disclosure(disclosure)
    with desk.opened(site, federation) as m:
        draft = m.store.look(lambda c: erasing.draft(c, m, seq, label))
        terminal.tell(draft.shown.rstrip())
        if export is not None:
            consenting.export(draft, export)
        elif terminal.confirmed("Ask for it?", yes=yes):
            consenting.sign_and_deliver(m, draft, passphrase_file)
            terminal.tell("The operator confirms it, unless a legal hold stands:")
            terminal.tell(f"  concilium-coordinator erase {disclosure}")
