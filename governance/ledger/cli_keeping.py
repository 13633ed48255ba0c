"""Verbs of `concilium-ledger` about patients, and about what is kept and for how long."""

from __future__ import annotations

import typer

from governance.ledger.cli_options import Export, Form, Site, Url, opened
from governance.terminal import Format

verbs = typer.Typer()


@verbs.command()
def patients(
    url: Url = None, export: Export = None, site: Site = None, form: Form = Format.TABLE
) -> None:
    """Say how many patients each site declared, and from which round some are left out.

    Example: concilium-ledger patients --export export --site charite
    """
    from governance.ledger import asking, query_patients

    with opened(url, export) as c:
        asking.say(query_patients.patients(c, site=site), form)
