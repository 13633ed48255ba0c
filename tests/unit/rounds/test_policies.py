"""When a round closes, is abandoned, is looked at again and is tried again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.round_states import Event, Reason, State
from coordinator.rounds import (
    OUT_CONSENT,
    Next,
    RoundView,
    after_abandonment,
    due,
    may_close,
    may_judge,
    must_abandon,
    next_wakeup,
    waits_until,
)
from governance.stragglers import LATE

START = datetime(2026, 11, 21, tzinfo=UTC)
DEADLINE = START + timedelta(hours=2)
SITES = frozenset({"amc", "charite", "gemelli", "karolinska", "ucl"})


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def view(arrived=None, out=None, *, early_min: int = 0, close: int = 3) -> RoundView:
    return RoundView(
        asked=SITES,
        close_at_least=close,
        deadline=DEADLINE,
        close_early_after_s=early_min * 60,
        arrived={site: at(minutes) for site, minutes in (arrived or {}).items()},
        out=out or {},
    )


def test_a_round_closes_when_every_site_is_in():
    everybody = view(dict.fromkeys(SITES, 1))
    assert may_close(everybody, at(1))
    assert due(State.COLLECTING, everybody, at(1)) is Event.CLOSE


def test_a_round_closes_when_all_others_are_out():
    assert may_close(
        view({"amc": 1, "ucl": 2, "gemelli": 3}, {"charite": "quiet-hours", "karolinska": "x"}),
        at(3),
    )


def test_a_round_waits_for_stragglers_until_the_deadline():
    enough = view({"amc": 1, "ucl": 2, "gemelli": 3})
    assert not may_close(enough, at(119))
    assert may_close(enough, at(120))
    assert must_abandon(enough, at(120)) is None
    assert next_wakeup(enough, at(5)) == DEADLINE


def test_a_round_closes_early_so_long_after_enough_were_in():
    enough = view({"amc": 10, "ucl": 1, "gemelli": 30}, early_min=20)
    assert not may_close(enough, at(49.9))
    assert may_close(enough, at(50))
    assert next_wakeup(enough, at(31)) == at(50)


def test_closing_early_never_passes_the_deadline():
    assert (
        next_wakeup(view({"amc": 1, "ucl": 1, "gemelli": 115}, early_min=20), at(116))
        == DEADLINE
    )


def test_a_withdrawal_takes_back_that_enough_were_in():
    less = view({"amc": 10, "ucl": 1}, {"gemelli": OUT_CONSENT}, early_min=20)
    assert not may_close(less, at(60))
    assert must_abandon(less, at(60)) is None
    assert next_wakeup(less, at(60)) == DEADLINE


def test_a_round_never_closes_with_too_few_updates():
    few = view({"amc": 1, "ucl": 2})
    assert not may_close(few, at(120))
    assert must_abandon(few, at(120)) is Reason.DEADLINE
    assert must_abandon(few, at(119)) is None


def test_a_site_that_still_works_is_not_given_up_before_the_deadline():
    assert due(State.TRAINING, view(), at(119.99)) is None
    assert due(State.TRAINING, view(), at(120)) is Event.DEADLINE


def test_a_round_is_abandoned_at_once_when_too_few_sites_are_left():
    out = {"amc": "budget-exhausted", "ucl": "x", "gemelli": "quality"}
    assert must_abandon(view({"charite": 1}, out), at(2)) is Reason.TOO_FEW
    assert next_wakeup(view({"charite": 1}, out), at(2)) == at(2)


def test_a_round_that_withdrawals_made_too_small_is_abandoned_for_consent():
    out = {"amc": "budget-exhausted", "ucl": OUT_CONSENT, "gemelli": "quality"}
    assert must_abandon(view(None, out), at(2)) is Reason.CONSENT


def test_too_few_that_a_withdrawal_did_not_cause_is_not_laid_on_consent():
    out = {"amc": "x", "ucl": OUT_CONSENT, "gemelli": "x", "charite": "x"}
    assert must_abandon(view(None, out), at(2)) is Reason.TOO_FEW


def test_after_closing_only_withdrawals_can_make_too_few():
    out = {"amc": OUT_CONSENT, "ucl": LATE, "karolinska": LATE}
    reopened = view({"charite": 1, "gemelli": 2}, out)
    assert due(State.COLLECTING, reopened, at(500)) is Event.CONSENT


def test_after_a_withdrawal_a_closed_round_closes_again_with_those_left():
    out = {"amc": OUT_CONSENT, "ucl": LATE}
    reopened = view({"charite": 1, "gemelli": 2, "karolinska": 3}, out)
    assert due(State.COLLECTING, reopened, at(4)) is Event.CLOSE


@pytest.mark.parametrize(
    "state", [State.AGGREGATING, State.EVALUATING, State.COMMITTED, State.ABANDONED]
)
def test_after_closing_the_deadline_has_no_say(state):
    assert due(state, view(), at(500)) is None


def test_the_gate_decides_when_nobody_is_waited_for_or_time_is_up():
    assert may_judge(view(dict.fromkeys(SITES, 1)), at(1))
    assert may_judge(replace(view(), asked=frozenset()), at(1))
    some = view(dict.fromkeys(SITES - {"amc"}, 1))
    assert not may_judge(some, at(119))
    assert may_judge(some, at(120))
    assert may_judge(view(), at(120))


def test_the_gate_waits_for_the_last_figures_as_long_as_a_round_for_updates():
    some = view({"ucl": 1, "gemelli": 2, "karolinska": 3}, early_min=10)
    assert waits_until(some) == at(13)
    assert not may_judge(some, at(12.9))
    assert may_judge(some, at(13))
    assert waits_until(view({"ucl": 1}, early_min=10)) == DEADLINE


def test_an_abandoned_attempt_is_tried_again_until_attempts_are_spent():
    assert after_abandonment(Reason.DEADLINE, attempt=2, attempts=3) is Next.RETRY
    assert after_abandonment(Reason.DEADLINE, attempt=3, attempts=3) is Next.PAUSE


def test_three_gate_refusals_in_a_row_pause_the_federation():
    assert after_abandonment(Reason.GATE, attempt=2, attempts=9, gate_refusals=2) is Next.RETRY
    assert after_abandonment(Reason.GATE, attempt=3, attempts=9, gate_refusals=3) is Next.PAUSE


@given(st.sampled_from(Reason), st.integers(1, 20), st.integers(1, 20), st.integers(0, 5))
def test_a_round_is_tried_again_only_while_nothing_says_that_people_must_look(
    reason, attempt, attempts, gate_refusals
):
    after = after_abandonment(
        reason, attempt=attempt, attempts=attempts, gate_refusals=gate_refusals
    )
    tried = attempt < attempts and gate_refusals < 3
    assert (after is Next.RETRY) is (tried and reason not in {Reason.STOPPED, Reason.INTEGRITY})


@pytest.mark.parametrize("reason", [Reason.STOPPED, Reason.INTEGRITY])
def test_a_stop_and_a_broken_store_are_not_retried(reason):
    assert after_abandonment(reason, attempt=1, attempts=3) is Next.PAUSE


VIEWS = st.builds(
    lambda fates, close, early: RoundView(
        asked=SITES,
        close_at_least=close,
        deadline=DEADLINE,
        close_early_after_s=early,
        arrived={site: at(fate) for site, fate in fates.items() if isinstance(fate, int)},
        out={site: fate for site, fate in fates.items() if isinstance(fate, str)},
    ),
    st.fixed_dictionaries(
        dict.fromkeys(
            SITES, st.none() | st.integers(0, 60) | st.sampled_from([OUT_CONSENT, "x"])
        )
    ),
    st.integers(1, 5),
    st.integers(0, 9000),
)
MINUTES = st.integers(61, 240)


@given(seen=VIEWS, minutes=MINUTES)
def test_a_round_never_may_close_and_must_be_abandoned_at_once(seen, minutes):
    assert not (may_close(seen, at(minutes)) and must_abandon(seen, at(minutes)))


@given(seen=VIEWS, minutes=MINUTES)
def test_waking_up_when_told_to_misses_nothing(seen, minutes):
    now = at(minutes)
    wakeup = next_wakeup(seen, now)
    said = due(State.COLLECTING, seen, now)
    if wakeup > now:
        assert said is None
        assert due(State.COLLECTING, seen, wakeup - timedelta(microseconds=1)) is None
        assert due(State.COLLECTING, seen, wakeup) is not None
    else:
        assert said is not None


@given(seen=VIEWS)
def test_the_deadline_always_decides(seen):
    assert due(State.COLLECTING, seen, DEADLINE) is not None
