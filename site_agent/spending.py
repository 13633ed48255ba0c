"""What `budget` answers: ε spent, reserved and left of each cohort, and how long it lasts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance.agreement.load import parse
from governance.privacy.accountant import epsilon, format_epsilon, rounds_within
from governance.privacy.releases import (
    METRICS,
    PURPOSES,
    TRAINING,
    decimal_text,
    of_an_evaluation,
    of_the_statistics,
)
from governance.terminal import Answer, Format
from site_agent import measuring
from site_agent.deciding import figures_made, release_of
from site_agent.policy import cap_of
from site_agent.store import terms, work

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from governance.privacy.releases import Release
    from site_agent.membership import Membership
    from site_agent.store.terms import Offered
    from site_agent.store.work import Spent

_WIDE: Final = 60
_HIGH: Final = 8
_EXACT: Final = "Held-out patients' figures are exact and not covered by ε."
_NOISED: Final = "Held-out patients' figures leave with noise and are in ε."
_AHEAD: Final = 6
"""How many points of what is to come are computed."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What the newest agreement would spend in a round, under which cap; None for no noise.

    `beside` is what its noised figures and statistics are still to release; `exact` tells
    whether figures are.
    """

    cap: float
    delta: float
    release: Release | None
    beside: tuple[Release, ...] = ()
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Standing:
    """One cohort's privacy.

    Attributes:
        cohort: Its name.
        history: ε after each reservation, the oldest first.
        spent: ε of all whose task has ended.
        reserved: What those at work add to it.
        apart: ε of each purpose alone; they do not add up to that of all.
        rounds_left: At the agreement's rate; None where nothing bounds or asks for them.
    """

    cohort: str
    history: tuple[float, ...]
    spent: float
    reserved: float
    apart: Mapping[str, float]
    rounds_left: int | None


def budget(m: Membership, form: Format) -> Answer:
    """Return each cohort's standing; with a plot below the table, for eyes."""
    rate = _rate(m)
    standings = [_standing(m, cohort, rate) for cohort in m.settings.cohorts]
    apart = _apart(standings, rate)
    notes = [_EXACT if rate.exact else _NOISED]
    if apart:
        named = f"{', '.join(apart[:-1])} and {apart[-1]}"
        notes.append(f"{named.capitalize()} are ε of each alone, which do not add up to ε.")
    if form is Format.TABLE:
        for standing in standings:
            notes += ["", *_plot(standing, rate, m)]
    return Answer(
        columns=(
            "cohort",
            "reservations",
            "epsilon",
            "spent",
            "reserved",
            "training",
            "metrics",
            "statistics",
            "cap",
            "left",
            "delta",
            "rounds_left",
        ),
        rows=[_row(standing, rate) for standing in standings],
        title="Privacy, over all agreements and federations; nothing is ever refunded",
        notes=notes,
        unshown=frozenset(PURPOSES) - frozenset(apart),
    )


def _apart(standings: Sequence[Standing], rate: Rate) -> list[str]:
    """Return the purposes that are shown apart: those spent for, where there are several."""
    due = {TRAINING} | (set() if rate.exact else {METRICS})
    due |= {name for one in standings for name, value in one.apart.items() if value}
    return [name for name in PURPOSES if name in due] if len(due) > 1 else []


def _rate(m: Membership) -> Rate:
    policy = m.settings.policy
    offered = m.store.look(lambda c: terms.every(c, m.federation))
    if not offered:
        return Rate(policy.cap.epsilon, policy.cap.delta, None)
    agreement = parse(offered[-1].document).agreement
    cap, delta = cap_of(agreement, policy)
    if math.isinf(cap):
        return Rate(cap, delta, None)
    beside = m.store.look(lambda c: _beside(c, m, offered[-1]))
    exact = not agreement.metrics_noised
    return Rate(cap, delta, release_of(agreement, 0), beside, exact=exact)


def _beside(c: Connection, m: Membership, offered: Offered) -> tuple[Release, ...]:
    """Return what noised figures and statistics are still to release."""
    document = parse(offered.document)
    left = max(0, document.agreement.evaluations - figures_made(c, m, offered.digest))
    figures = (of_an_evaluation(document.agreement).times(left),) if left else ()
    if measuring.is_reserved(c, m, document):
        return figures
    return (*figures, *of_the_statistics(document.agreement))


def _standing(m: Membership, cohort: str, rate: Rate) -> Standing:
    spent = m.store.look(lambda c: work.spent_on(c, cohort))
    at_work = {held.task.task for held in m.store.look(lambda c: work.active(c, m.federation))}
    releases = [one.release for one in spent]
    settled = [one.release for one in spent if one.task not in at_work]
    total, before = epsilon(releases, rate.delta), epsilon(settled, rate.delta)
    left = None
    if rate.release is not None:
        already = [*releases, *rate.beside]
        left = rounds_within(rate.release, already=already, cap=rate.cap, delta=rate.delta)
    apart = {
        purpose: epsilon([one.release for one in spent if one.purpose == purpose], rate.delta)
        for purpose in PURPOSES
    }
    reserved = max(0.0, total - before)
    return Standing(cohort, _history(spent), before, reserved, apart, left)


def _history(spent: Sequence[Spent]) -> tuple[float, ...]:
    return tuple(float(one.epsilon_total) for one in spent)


def _row(standing: Standing, rate: Rate) -> tuple[object, ...]:
    used = standing.spent + standing.reserved
    return (
        standing.cohort,
        len(standing.history),
        format_epsilon(used),
        format_epsilon(standing.spent),
        format_epsilon(standing.reserved),
        *(format_epsilon(standing.apart[purpose]) for purpose in PURPOSES),
        "inf" if math.isinf(rate.cap) else decimal_text(rate.cap),
        _left(rate.cap, used),
        decimal_text(rate.delta),
        standing.rounds_left,
    )


def _left(cap: float, used: float) -> str:
    if math.isinf(cap):
        return "inf"
    return f"{math.floor(max(cap - used, 0.0) * 10_000) / 10_000:.4f}"


def _plot(standing: Standing, rate: Rate, m: Membership) -> Iterator[str]:
    """Draw ε against rounds: `#` is spent or reserved, `.` what the agreement would add."""
    if math.isinf(rate.cap):
        return
    past = list(standing.history)
    ahead = _ahead(standing, rate, m)
    if not past and not ahead:
        return
    spread = [*past, *ahead]
    wide = min(_WIDE, len(spread))
    points = [spread[round((place + 1) * len(spread) / wide) - 1] for place in range(wide)]
    known = round(len(past) * wide / len(spread))
    yield f"  ε of {standing.cohort}, round by round; the cap is {decimal_text(rate.cap)}"
    for row in range(_HIGH, 0, -1):
        level = rate.cap * (row - 0.5) / _HIGH
        cells = "".join(
            ("#" if place < known else ".") if value >= level else " "
            for place, value in enumerate(points)
        )
        mark = rate.cap * row / _HIGH if row % 2 == 0 else None
        yield f"  {'' if mark is None else format(mark, '.2f'):>6} |{cells.rstrip()}"
    yield f"  {'0.00':>6} +{'-' * wide}"
    yield f"  {'':>7} # {len(past)} so far   . {len(ahead)} more at the agreement's rate"


def _ahead(standing: Standing, rate: Rate, m: Membership) -> list[float]:
    """Return ε after each further round that fits, between some that are computed."""
    rounds = standing.rounds_left
    if rate.release is None or not rounds:
        return []
    rounds = min(rounds, 10 * max(_WIDE, len(standing.history)))
    spent = m.store.look(lambda c: work.spent_on(c, standing.cohort))
    releases = [one.release for one in spent]
    steps = sorted({max(1, round(rounds * n / _AHEAD)) for n in range(1, _AHEAD + 1)})
    at = [0, *steps]
    values = [
        epsilon([*releases, rate.release.times(n)] if n else releases, rate.delta) for n in at
    ]
    drawn = []
    for low, high, below, above in zip(at, at[1:], values, values[1:], strict=False):
        drawn += [
            below + (above - below) * (n - low) / (high - low) for n in range(low + 1, high + 1)
        ]
    return drawn
