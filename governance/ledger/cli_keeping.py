"""Verbs of `concilium-ledger` about patients, and about what is kept and for how long."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from governance.ledger import paging
from governance.ledger.cli_options import After, All, At, Export, Form, Limit, Site, Url, opened
from governance.terminal import Format

verbs = typer.Typer()


@verbs.command()
def patients(
    url: Url = None,
    export: Export = None,
    site: Site = None,
    limit: Limit = paging.ROWS,
    after: After = None,
    all_: All = False,
    form: Form = Format.TABLE,
) -> None:
    """Say how many patients each site declared, and from which round some are left out.

    Example: concilium-ledger patients --export export --site charite
    """
    from governance.ledger import asking, query_patients

    page = paging.asked(limit, after, all_=all_)
    with opened(url, export, site=site) as c:
        asking.say(query_patients.patients(c, site=site, page=page), form)


@verbs.command()
def members(
    url: Url = None, export: Export = None, site: Site = None, form: Form = Format.TABLE
) -> None:
    """Say from which round each site joined or came back, and what ended its part.

    Example: concilium-ledger members --export export --site charite
    """
    from governance.ledger import asking, query_members

    with opened(url, export, site=site) as c:
        hidden = frozenset({"since"})
        asking.say(query_members.members(c, site=site), form, hidden=hidden)


@verbs.command()
def retention(
    url: Url = None, export: Export = None, at: At = None, form: Form = Format.TABLE
) -> None:
    """Say what is kept until when, what is under a hold, and what was erased.

    Example: concilium-ledger retention --export export --at 2033-01-01
    """
    from governance.ledger import asking, query_retention

    with opened(url, export) as c:
        answer = query_retention.retention(c, now=datetime.now(UTC), at=at)
        asking.say(answer, form, hidden=frozenset({"created"}))
