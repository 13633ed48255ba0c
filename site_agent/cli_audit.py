"""Verbs of `concilium-site` about the ledger: the site's own journal against it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from governance import terminal
from governance.terminal import Format
from site_agent.cli_options import HERE, Federation, Form, SiteFile

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
