"""Verbs of `concilium-site` about the ledger: the site's own journal against it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from governance import terminal
from governance.terminal import Format
from protos.errors import Refused
from site_agent.cli_options import (
    HERE,
    Export,
    Federation,
    Form,
    Passphrase,
    SiteFile,
    Yes,
)

verbs = typer.Typer()


@verbs.command()
def audit(
    evidence: Annotated[
        Path | None,
        typer.Option(help="Write this site's head, what it was shown, and its copy there."),
    ] = None,
    site: SiteFile = HERE,
    federation: Federation = None,
    form: Form = Format.TABLE,
) -> int:
    """Name what the ledger dropped, changed or invented in this hospital's name; exit 1 if any.

    Example: concilium-site audit --evidence for-the-auditor/
    """
    from site_agent import auditing, desk

    with desk.opened(site, federation) as m:
        answer, found = auditing.audit(m, evidence)
        terminal.say(answer, form)
    return 1 if found else 0


@verbs.command()
def trust(
    log: Annotated[bool, typer.Option("--log", help="The new log that was declared.")] = False,
    export: Export = None,
    passphrase_file: Passphrase = None,
    yes: Yes = False,
    site: SiteFile = HERE,
    federation: Federation = None,
) -> None:
    """Show what a new log lost, and accept it with the officer's key.

    Example: concilium-site trust --log
    """
    from site_agent import consenting, desk, trusting

    if not log:
        raise Refused(
            "nothing is named that is to be trusted",
            todo="Say: concilium-site trust --log",
            rule="usage",
        )
    with desk.opened(site, federation) as m:
        draft = m.store.look(lambda c: trusting.draft(c, m))
        if export is not None:
            consenting.export(draft, export)
            return
        terminal.tell(draft.shown.rstrip())
        if terminal.confirmed("Go on with this new log?", yes=yes):
            consenting.sign_and_deliver(m, draft, passphrase_file)
