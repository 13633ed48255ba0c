"""What the limits of site.yaml would stop later, though the agreement may be accepted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from governance.counts import count, every
from governance.findings import OFFICER, Finding, fine, look, stops
from governance.privacy.accountant import rounds_within
from governance.privacy.releases import decimal_text, of_all_beside_training
from site_agent.deciding import release_of
from site_agent.policy import cap_of
from site_agent.preflight.machine import size_text
from site_agent.preflight.practice import update_bytes
from site_agent.premises import Premises
from site_agent.process import now
from site_agent.store import work
from site_agent.upgrading import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from governance.agreement.schema import Agreement
    from governance.privacy.releases import Release
    from governance.settings import SiteSettings


def limits(agreement: Agreement, settings: SiteSettings, cohort: str) -> Iterator[Finding]:
    """Hold the agreement's rounds against the cap on ε and the bytes of a day."""
    yield from _budget(agreement, settings, cohort)
    limit, size = settings.policy.bytes_per_day, update_bytes(agreement)
    if limit is not None and size > limit:
        todo = "Raise `policy.bytes_per_day` in site.yaml above an update's size, or decline."
        said = f"an update has {size_text(size)}, but bytes_per_day is {size_text(limit)}"
        yield stops("bytes a day", said, who=OFFICER, todo=todo)


def _budget(agreement: Agreement, settings: SiteSettings, cohort: str) -> Iterator[Finding]:
    cap, delta = cap_of(agreement, settings.policy)
    if math.isinf(cap):
        return
    rounds = agreement.schedule.rounds
    bears = rounds_within(
        release_of(agreement, 0),
        already=[*_spent(settings, cohort), *of_all_beside_training(agreement)],
        cap=cap,
        delta=delta,
        most=rounds,
    )
    if bears >= rounds:
        yield fine("budget", f"the cap of ε {decimal_text(cap)} bears {every(rounds, 'round')}")
        return
    todo = "Only a higher `policy.cap` in site.yaml, an agreement with a higher "
    todo += "`privacy.budget`, or one that spends less a round, lets this hospital train "
    todo += "longer." if bears else "at all."
    said = f"the cap of ε {decimal_text(cap)} bears {bears} of {count(rounds, 'round')}"
    found = look if bears else stops
    yield found("budget", said, who=OFFICER, todo=todo)


def _spent(settings: SiteSettings, cohort: str) -> list[Release]:
    """Return what the cohort has released already, by this site's own store."""
    premises = Premises(settings.state)
    if not premises.database.exists():
        return []
    store = open_store(premises, at=now())
    try:
        return [one.release for one in store.look(lambda c: work.spent_on(c, cohort))]
    finally:
        store.close()
