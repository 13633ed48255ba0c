"""What an auditor asks of consents and spending: pure functions, each with one answer.

Every answer is a table whose columns are stable names, documented in docs/auditor.md. Times are
UTC; a value that nobody disclosed, or that was erased, is empty. Rounds are in `query_rounds`,
single entries in `showing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from governance import noised
from governance.counts import count
from governance.ledger import query_settings, reserved, spending, sums
from governance.ledger.barring import BARRED
from governance.ledger.reading import (
    as_of,
    attempts_of,
    disclosed,
    received_at,
    size_at,
    standing_at,
)
from governance.ledger.schema import certificates, entries
from governance.privacy.releases import METRICS, PURPOSES, TRAINING
from governance.statements import parse_time, timestamp
from governance.terminal import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from governance.ledger.held import Held
    from governance.ledger.standing import Standing

_CONSENTS: Final = (
    "site",
    "state",
    "agreement",
    "officer",
    "role",
    "purposes",
    "until",
    "patients",
    "cap",
    "given_seq",
    "changed_seq",
)
_SPENDING: Final = (
    "site",
    "cohort",
    "reservations",
    "steps",
    "delta",
    "epsilon",
    "training",
    "metrics",
    "statistics",
    "epsilon_stated",
    "cap",
    "left",
)
_CERTIFICATES: Final = (
    "name",
    "role",
    "state",
    "issued",
    "not_after",
    "serial",
    "seq",
    "revoked_seq",
)


def consents_at(
    c: Connection,
    *,
    now: datetime,
    site: str | None = None,
    at: datetime | None = None,
    round_: int | None = None,
) -> Answer:
    """Say which consent stood where: now, at a time, or when a round was last opened.

    Raises:
        Refused: there was no such round.
    """
    until: int | None = None
    moment = at or now
    if round_ is not None:
        until = int(attempts_of(c, round_)[-1].opened_seq)
        moment = parse_time(received_at(c, until))
    standing = standing_at(c, moment, until)
    held = [one for one in standing.consents.values() if site in {None, one.site}]
    rows = [_consent_row(c, one, standing, moment) for one in sorted(held, key=_by_site)]
    when = timestamp(moment)
    return Answer(
        _CONSENTS,
        rows,
        title=f"Consents as of {_plain(when)}",
        notes=() if rows else ("No site had answered any agreement.",),
        facts={"as_of": when},
    )


def _by_site(held: Held) -> tuple[str, int]:
    return held.site, held.given_seq


def _consent_row(
    c: Connection, held: Held, standing: Standing, moment: datetime
) -> tuple[object, ...]:
    told = disclosed(c, held.signed_seq)
    terms = held.terms
    state = "revoked" if held.site in standing.revoked else held.state_at(moment).value
    return (
        held.site,
        state,
        held.agreement,
        told.get("officer"),
        told.get("role"),
        ", ".join(terms.purposes) if terms else None,
        timestamp(terms.until) if terms else None,
        terms.declared_patients if terms else None,
        f"{terms.cap:g}" if terms else None,
        held.signed_seq,
        held.changed_seq,
    )


def spent(c: Connection, *, site: str | None = None, at: datetime | None = None) -> Answer:
    """Recompute ε from every reservation, or until a time, beside what was stated last."""
    size = size_at(c, at)
    spent_by, parts = reserved.spent_of(c, site, size)
    rows = [
        _spent_row((site, name), cohort, query_settings.cap_of(c, site, name, size))
        for (site, name), cohort in sorted(spent_by.cohorts.items())
    ]
    if not rows:
        none = "Nothing had been reserved." if at else "Nothing was ever reserved."
        return Answer(_SPENDING, rows, notes=(none,))
    marks = query_settings.marks_passed(c, parts, size)
    note = "ε is of this federation's rounds alone; a site that trains in others states more."
    left = sums.measurements(c, site, size)
    notes = [note, *_figures_covered(left, spent_by), *query_settings.words(marks)]
    return Answer(
        _SPENDING,
        rows,
        title="Privacy spent, recomputed from the reservations",
        notes=notes,
        facts={"passed": marks, **as_of(at)},
        unshown=_unshown(spent_by),
    )


def _unshown(spent_by: spending.Spending) -> frozenset[str]:
    """Return the purposes whose column tells nothing: those that nobody reserved for."""
    for_what = {purpose for cohort in spent_by.cohorts.values() for purpose in cohort.apart}
    return frozenset(PURPOSES) - for_what if for_what - {TRAINING} else frozenset(PURPOSES)


def _figures_covered(counted: Mapping[str, int], spent_by: spending.Spending) -> Iterator[str]:
    """Say whether ε covers the figures of held-out patients that left."""
    apart = [purpose for purpose in PURPOSES if purpose not in _unshown(spent_by)]
    if apart == [TRAINING, METRICS]:
        yield "Training and metrics are ε of each alone; both are in ε, which is not their sum."
    elif apart:
        named = f"{', '.join(apart[:-1])} and {apart[-1]}".capitalize()
        yield f"{named} are ε of each alone; all are in ε, which is not their sum."
    if found := sum(counted.values()) - counted.get(noised.MECHANISM, 0):
        yield (
            "Held-out patients' figures are exact and not covered by ε: they left so "
            f"{count(found, 'time')}."
        )


def _spent_row(
    whose: tuple[str, str], cohort: spending.Cohort, cap: float | None
) -> tuple[object, ...]:
    from governance.privacy.accountant import format_epsilon

    last = cohort.last
    assert last is not None
    epsilon = spending.epsilon(cohort.releases, last.delta)
    return (
        *whose,
        cohort.reservations,
        sum(release.steps for release in cohort.releases),
        f"{last.delta:g}",
        format_epsilon(epsilon),
        *(
            format_epsilon(spending.epsilon(cohort.apart.get(purpose, ()), last.delta))
            for purpose in PURPOSES
        ),
        format_epsilon(last.stated),
        None if cap is None else f"{cap:g}",
        None if cap is None else f"{max(cap - epsilon, 0.0):.4f}",
    )


def certificates_issued(
    c: Connection, *, now: datetime, site: str | None = None, at: datetime | None = None
) -> Answer:
    """Say which certificates had been issued to whom at a time, and which were valid then."""
    moment = timestamp(at or now)
    ended = entries.alias()
    question = (
        select(
            certificates,
            entries.c.received_at.label("issued"),
            BARRED.label("revoked_seq"),
            ended.c.received_at.label("revoked"),
        )
        .join(entries, entries.c.seq == certificates.c.seq)
        .outerjoin(ended, ended.c.seq == BARRED)
        .where(entries.c.received_at <= moment)
    )
    if site is not None:
        question = question.where(certificates.c.name == site)
    ordered = question.order_by(certificates.c.name, certificates.c.seq)
    rows = [_certificate_row(row, moment) for row in c.execute(ordered)]
    return Answer(
        _CERTIFICATES,
        rows,
        title=f"Certificates as of {_plain(moment)}",
        notes=("`verify` finds any act signed with a key after its end.",),
        facts={"as_of": moment},
    )


def _certificate_row(row: Row[Any], moment: str) -> tuple[object, ...]:
    barred = row.revoked is not None and row.revoked <= moment
    state = "revoked" if barred else "valid" if row.not_after > moment else "expired"
    revoked_seq = row.revoked_seq if barred else None
    return (
        *(row.name, row.role, state, row.issued),
        *(row.not_after, row.serial, row.seq, revoked_seq),
    )


def _plain(time: str) -> str:
    return f"{time[:10]} {time[11:19]} UTC"
