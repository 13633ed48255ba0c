"""The officer's verb about leaving the federation."""

from __future__ import annotations

from typing import Annotated

import typer

from governance import terminal
from site_agent.cli_options import HERE, Export, Federation, Passphrase, SiteFile, Yes

verbs = typer.Typer()


@verbs.command()
def leave(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what follows.")] = False,
    export: Export = None,
    passphrase_file: Passphrase = None,
    yes: Yes = False,
    site: SiteFile = HERE,
    federation: Federation = None,
) -> None:
    """Leave the federation for good: all consents end, keys are revoked; a certificate is kept.

    Example: concilium-site leave --dry-run
    """
    from site_agent import consenting, desk, exiting

    with desk.opened(site, federation) as m:
        terminal.tell(f"Leaving {m.federation}:")
        for sentence in exiting.consequences(m):
            terminal.tell(f"  {sentence}")
        if dry_run:
            return
        draft = m.store.look(lambda c: exiting.draft(c, m))
        if export is not None:
            consenting.export(draft, export)
        elif terminal.confirmed("Leave?", yes=yes):
            consenting.sign_and_deliver(m, draft, passphrase_file)
            terminal.tell(
                "No further task is taken. The certificate of the exit comes to lie in"
            )
            terminal.tell(f"  {m.premises.exit_of(m.federation)}")
