"""The data against an agreement: one that is proposed, or a file before any signature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance.agreement.load import load
from governance.settings import load_site
from protos.errors import Refused
from site_agent import desk
from site_agent.membership import chosen
from site_agent.premises import Premises
from site_agent.process import now
from site_agent.readiness import findings
from site_agent.store import optouts
from site_agent.upgrading import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from governance.settings import SiteSettings
    from site_agent.data.findings import Findings


def check(
    file: Path, federation: str | None, *, agreement: Path | None, cohort: str | None
) -> Findings:
    """Read a cohort and compare it with an agreement's contract.

    Raises:
        Refused: the cohort or the agreement cannot be read, or it is not clear which is meant.
    """
    settings = load_site(file)
    name = cohort_named(settings, federation, cohort)
    if agreement is not None:
        gone = opted_out(settings, name)
        return findings(settings.cohorts[name], load(agreement), opt_outs=gone)
    with desk.opened(file, federation) as m:
        gone = m.store.look(lambda c: optouts.of_cohort(c, name))
        return findings(settings.cohorts[name], desk.proposal(m), opt_outs=gone)


def opted_out(settings: SiteSettings, cohort: str) -> frozenset[str]:
    """Return who opted out of a cohort; before the first day nobody has."""
    premises = Premises(settings.state)
    if not premises.database.exists():
        return frozenset()
    store = open_store(premises, at=now())
    try:
        return store.look(lambda c: optouts.of_cohort(c, cohort))
    finally:
        store.close()


def cohort_named(settings: SiteSettings, federation: str | None, cohort: str | None) -> str:
    """Return which cohort is meant: the named one, a federation's, or the only one.

    Raises:
        Refused: it is not clear which.
    """
    if cohort is None and settings.federations:
        return chosen(settings, federation).cohort
    known = list(settings.cohorts)
    if cohort is None and len(known) == 1:
        return known[0]
    if cohort in settings.cohorts:
        return str(cohort)
    raise Refused(
        "it is not clear which cohort is meant",
        todo=f"Say --cohort with one of: {', '.join(known) or 'none in site.yaml'}.",
        rule="which-cohort",
    )
