"""Verbs of `concilium-site` about patients: who opted out, and how many are declared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from governance import terminal
from governance.terminal import Format
from site_agent.cli_options import HERE, Federation, Form, SiteFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from site_agent.membership import Membership

verbs = typer.Typer()
opt_outs = typer.Typer(
    name="opt-out", help="Patients who take no part: add, remove or list them."
)
verbs.add_typer(opt_outs)

From = Annotated[
    Path,
    typer.Option("--from", help="A file of identifiers, one a line, or - for standard input."),
]
Cohort = Annotated[str | None, typer.Option(help="Which of site.yaml's cohorts.")]


@opt_outs.command("add")
def add(
    list_: From, cohort: Cohort = None, site: SiteFile = HERE, federation: Federation = None
) -> None:
    """Leave patients out of training and evaluation, from the next task on.

    Example: concilium-site opt-out add --from opted-out.txt
    """
    from site_agent import opting

    _change(opting.opt_out, list_, (cohort, site, federation))


@opt_outs.command("remove")
def remove(
    list_: From, cohort: Cohort = None, site: SiteFile = HERE, federation: Federation = None
) -> None:
    """Let patients take part again, from the next task on.

    Example: concilium-site opt-out remove --from back.txt
    """
    from site_agent import opting

    _change(opting.opt_in, list_, (cohort, site, federation))


@opt_outs.command("list")
def list_all(
    cohort: Cohort = None,
    site: SiteFile = HERE,
    federation: Federation = None,
    form: Form = Format.TABLE,
) -> None:
    """List who opted out, since when, and whether the cohort's file has them.

    Example: concilium-site opt-out list --format csv
    """
    from site_agent import checking, desk, opting

    with desk.opened(site, federation) as m:
        named = checking.cohort_named(m.settings, federation, cohort)
        terminal.say(opting.listed(m, named), form)


@verbs.command()
def declare(
    patients: Annotated[
        int | None, typer.Option(help="In tens; default: the cohort's, rounded.")
    ] = None,
    site: SiteFile = HERE,
    federation: Federation = None,
) -> None:
    """Declare how many patients the cohort has now; all members see the number.

    Example: concilium-site declare
    """
    from site_agent import desk, opting

    with desk.opened(site, federation) as m:
        terminal.tell(opting.declare(m, patients))


def _change(
    act: Callable[[Membership, str, frozenset[str]], str],
    list_: Path,
    where: tuple[str | None, Path, str | None],
) -> None:
    from site_agent import checking, desk, opting

    cohort, site, federation = where
    names = opting.identifiers(list_)
    with desk.opened(site, federation) as m:
        named = checking.cohort_named(m.settings, federation, cohort)
        terminal.tell(act(m, named, names))
    terminal.tell("That holds from the next task on; who they are stays in this hospital.")
