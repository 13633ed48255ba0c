"""The auditor's questions about how things stand or stood: one verb each."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from governance.ledger import paging
from governance.ledger.cli_options import (
    After,
    All,
    At,
    Export,
    Form,
    Limit,
    Since,
    Site,
    Until,
    Url,
    opened,
)
from governance.terminal import Format

verbs = typer.Typer()


class Attempt(StrEnum):
    """What an attempt of a round can have come to."""

    OPEN = "open"
    CLOSED = "closed"
    ABANDONED = "abandoned"


@verbs.command()
def agreements(
    url: Url = None, export: Export = None, at: At = None, form: Form = Format.TABLE
) -> None:
    """Say which agreements there are, in which state, for which purposes, and who consents.

    Example: concilium-ledger agreements --export export --at 2027-03-31
    """
    from governance.ledger import asking, query_agreed

    with opened(url, export) as c:
        answer = query_agreed.agreements_at(c, now=datetime.now(UTC), at=at)
        asking.say(answer, form, hidden=frozenset({"proposed", "changed"}))


@verbs.command()
def consents(
    url: Url = None,
    export: Export = None,
    site: Site = None,
    at: At = None,
    round_: Annotated[
        int | None, typer.Option("--round", help="As of the opening of a round.")
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Every step of them from the first to the last.")
    ] = False,
    form: Form = Format.TABLE,
) -> None:
    """Say which consent is in force, or was: who signed, for what, until when.

    Example: concilium-ledger consents --export export --site charite --round 14
    """
    from governance.ledger import asking, queries, query_agreed

    with opened(url, export, site=site) as c:
        if history:
            steps = query_agreed.consent_history(c, site=site)
            asking.say(steps, form, hidden=frozenset({"until", "review"}))
            return
        answer = queries.consents_at(c, now=datetime.now(UTC), site=site, at=at, round_=round_)
        asking.say(answer, form, hidden=frozenset({"role", "changed_seq"}))


@verbs.command()
def rounds(
    url: Url = None,
    export: Export = None,
    site: Site = None,
    state: Annotated[
        Attempt | None, typer.Option(help="Those alone that came to this.")
    ] = None,
    at: At = None,
    limit: Limit = paging.ROWS,
    after: After = None,
    all_: All = False,
    form: Form = Format.TABLE,
) -> None:
    """List every attempt of every round, and what became of it.

    Example: concilium-ledger rounds --export export --state abandoned
    """
    from governance.ledger import asking, query_rounds

    with opened(url, export, site=site) as c:
        page = paging.asked(limit, after, all_=all_)
        wanted = state and state.value
        answer = query_rounds.rounds_held(c, site=site, state=wanted, at=at, page=page)
        asking.say(answer, form, hidden=frozenset({"ended"}))


@verbs.command("round")
def one_round(
    number: Annotated[int, typer.Argument(help="The round's number.")],
    url: Url = None,
    export: Export = None,
    settings: Annotated[
        bool, typer.Option("--settings", help="The privacy settings it was trained with.")
    ] = False,
    form: Form = Format.TABLE,
) -> None:
    """Say who was asked in a round, who contributed, and why others did not.

    Example: concilium-ledger round 14 --export export
    """
    from governance.ledger import asking, query_rounds, query_settings

    with opened(url, export) as c:
        if settings:
            told = query_settings.settings_of(c, number)
            asking.say(told, form, hidden=frozenset({"expected_batch", "unit"}))
            return
        answer = query_rounds.one_round(c, number)
        asking.say(answer, form, hidden=frozenset({"update"}))


@verbs.command()
def contributions(
    url: Url = None,
    export: Export = None,
    site: Site = None,
    round_: Annotated[int | None, typer.Option("--round", help="Of this round alone.")] = None,
    refused: Annotated[
        bool, typer.Option("--refused", help="Those alone that were refused.")
    ] = False,
    limit: Limit = paging.ROWS,
    after: After = None,
    all_: All = False,
    form: Form = Format.TABLE,
) -> None:
    """Say of each contribution whether a consent covered its start and its acceptance.

    Example: concilium-ledger contributions --export export --round 14
    """
    from governance.ledger import asking, query_covered

    with opened(url, export, site=site) as c:
        answer = query_covered.contributions_covered(
            c,
            site=site,
            round_=round_,
            refused=refused,
            page=paging.asked(limit, after, all_=all_),
        )
        asking.say(answer, form, hidden=query_covered.silent(answer))


@verbs.command()
def spending(
    url: Url = None,
    export: Export = None,
    site: Site = None,
    at: At = None,
    form: Form = Format.TABLE,
) -> None:
    """Recompute each cohort's ε from its reservations, beside what the hospital stated.

    Example: concilium-ledger spending --export export --at 2027-03-31 --format csv
    """
    from governance.ledger import asking, queries

    with opened(url, export, site=site) as c:
        asking.say(queries.spent(c, site=site, at=at), form)


@verbs.command()
def lineage(
    model: Annotated[str, typer.Argument(help="Its digest, its first digits, or a release.")],
    url: Url = None,
    export: Export = None,
    site: Site = None,
    limit: Limit = paging.ROWS,
    after: After = None,
    all_: All = False,
    form: Form = Format.TABLE,
) -> None:
    """Say which rounds, hospitals, consents and software are inside a model.

    Example: concilium-ledger lineage 9f86d081884c --export export
    """
    from governance.ledger import asking, query_lineage

    page = paging.asked(limit, after, all_=all_)
    with opened(url, export, site=site) as c:
        asking.say(query_lineage.lineage(c, model, site=site, page=page), form)


@verbs.command()
def acts(
    url: Url = None,
    export: Export = None,
    operator: Annotated[str | None, typer.Option(help="This operator's alone.")] = None,
    since: Since = None,
    until: Until = None,
    form: Form = Format.TABLE,
) -> None:
    """Say which operator did which administrative act, when, with whom, and why.

    Example: concilium-ledger acts --export export --since 2027-01-01
    """
    from governance.ledger import asking, query_acts

    with opened(url, export) as c:
        answer = query_acts.acts_done(c, since=since, until=until, operator=operator)
        asking.say(answer, form)


@verbs.command()
def certificates(
    url: Url = None,
    export: Export = None,
    site: Site = None,
    at: At = None,
    form: Form = Format.TABLE,
) -> None:
    """List the certificates that were issued, which are valid, and who was revoked.

    Example: concilium-ledger certificates --export export --site charite --at 2027-03-31
    """
    from governance.ledger import asking, queries

    with opened(url, export, site=site) as c:
        answer = queries.certificates_issued(c, now=datetime.now(UTC), site=site, at=at)
        asking.say(answer, form)
