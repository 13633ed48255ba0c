"""The auditor's questions on privacy: masked sums, statistics that left, tests."""

from __future__ import annotations

from typing import Annotated

import typer

from governance.ledger import paging
from governance.ledger.cli_options import After, All, Export, Form, Limit, Site, Url, opened
from governance.terminal import Format

verbs = typer.Typer()


@verbs.command()
def statistics(
    url: Url = None,
    export: Export = None,
    site: Site = None,
    limit: Limit = paging.ROWS,
    after: After = None,
    all_: All = False,
    form: Form = Format.TABLE,
) -> None:
    """Say which statistics of patients left each hospital, by which mechanism, at which ε.

    Example: concilium-ledger statistics --site lakeside --export export
    """
    from governance.ledger import asking, query_privacy

    page = paging.asked(limit, after, all_=all_)
    with opened(url, export, site=site) as c:
        asking.say(query_privacy.statistics(c, site=site, page=page), form)


@verbs.command()
def audits(
    release: Annotated[
        str | None, typer.Argument(help="Tests of this release's agreement alone.")
    ] = None,
    url: Url = None,
    export: Export = None,
    form: Form = Format.TABLE,
) -> None:
    """Say which privacy tests were made, with what result: the claim beside the least shown.

    Example: concilium-ledger audits v3 --export export
    """
    from governance.ledger import asking, query_privacy

    with opened(url, export) as c:
        asking.say(query_privacy.audits(c, release), form)


@verbs.command()
def masks(
    number: Annotated[int, typer.Argument(metavar="ROUND", min=1, help="A round's number.")],
    url: Url = None,
    export: Export = None,
    form: Form = Format.TABLE,
) -> None:
    """Say who took each step of a round's masked sum, who dropped out, and what was asked.

    Example: concilium-ledger masks 14 --export export
    """
    from governance.ledger import asking, query_masks

    with opened(url, export) as c:
        asking.say(query_masks.masks_of(c, number), form)
