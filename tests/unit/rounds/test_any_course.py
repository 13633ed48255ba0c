"""Whatever sites do: a round ends, once, and with nobody's withdrawn update in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from coordinator.round_states import ENDS, REASONS, Effect, Event, Reason, State, advance
from coordinator.rounds import (
    OUT_CONSENT,
    RoundView,
    due,
    may_judge,
    next_wakeup,
)
from governance.stragglers import LATE

START = datetime(2026, 11, 21, tzinfo=UTC)
SITES = ["amc", "charite", "gemelli", "karolinska", "ucl"]
anyone = st.sampled_from(SITES)


class Round(RuleBasedStateMachine):
    """A conductor in miniature: it holds the view and does what the effects say."""

    @initialize(close=st.integers(1, 5), early=st.sampled_from([0, 60, 3600]))
    def open(self, close, early):
        self.now, self.state = START, State.OPENED
        self.view = RoundView(
            asked=frozenset(SITES),
            close_at_least=close,
            deadline=START + timedelta(hours=2),
            close_early_after_s=early,
        )
        self.candidate: frozenset[str] | None = None
        self.committed: frozenset[str] | None = None
        self.withdrawn: set[str] = set()
        self.was_summed = False
        self.ends: list[State] = []
        self.reason: Reason | None = None

    def happen(self, event: Event) -> None:
        step = advance(self.state, event)
        if step.state in ENDS and self.state not in ENDS:
            self.ends.append(step.state)
            self.reason = REASONS.get(event)
        self.state = step.state
        for effect in step.effects:
            self.do(effect)
        following = due(self.state, self.view, self.now)
        if following is not None:
            self.happen(following)

    def do(self, effect: Effect) -> None:
        if effect is Effect.CANCEL_LATE:
            late = dict.fromkeys(self.view.waited_for, LATE)
            self.view = replace(self.view, out={**self.view.out, **late})
        if effect is Effect.AGGREGATE:
            self.was_summed = True
            self.candidate = frozenset(self.view.arrived)
        if effect is Effect.DISCARD_CANDIDATE:
            self.candidate = None
        if effect is Effect.COMMIT:
            self.committed = self.candidate

    @rule()
    def start(self):
        self.happen(Event.STARTED)

    @rule(site=anyone)
    def update(self, site):
        if site in self.view.waited_for and self.state in {State.TRAINING, State.COLLECTING}:
            self.view = replace(self.view, arrived={**self.view.arrived, site: self.now})
        self.happen(Event.UPDATE_IN)

    @rule(site=anyone)
    def refuse(self, site):
        if site in self.view.waited_for:
            self.view = replace(self.view, out={**self.view.out, site: "budget-exhausted"})
        self.happen(Event.SITE_OUT)

    @rule(site=anyone)
    def withdraw(self, site):
        was_in = site in self.view.arrived
        arrived = {name: when for name, when in self.view.arrived.items() if name != site}
        if self.state not in ENDS:
            self.withdrawn.add(site)
            out = {**self.view.out, site: OUT_CONSENT}
            self.view = replace(self.view, arrived=arrived, out=out)
        self.happen(Event.UPDATE_WITHDRAWN if was_in else Event.SITE_OUT)

    @rule()
    def sum_is_ready(self):
        self.happen(Event.CANDIDATE_MADE)

    @rule(event=st.sampled_from([Event.ACCEPTED, Event.REJECTED]))
    def judge(self, event):
        self.happen(event)

    @precondition(lambda self: self.state not in ENDS)
    @rule(event=st.sampled_from([Event.STOPPED, Event.INTEGRITY]))
    def stop(self, event):
        self.happen(event)

    @rule()
    def restart(self):
        self.happen(Event.RESTARTED)

    @rule()
    def wait(self):
        self.now = next_wakeup(self.view, self.now)
        self.happen(Event.RESTARTED)

    @invariant()
    def ends_once(self):
        assert len(self.ends) <= 1
        assert (self.state in ENDS) == bool(self.ends)
        assert (self.committed is not None) == (self.state is State.COMMITTED)
        assert (self.reason is not None) == (self.state is State.ABANDONED)

    @invariant()
    def nobody_who_withdrew_is_in_the_model(self):
        if self.committed is not None:
            assert len(self.committed) >= self.view.close_at_least
            assert not self.committed & self.withdrawn

    @invariant()
    def a_reason_from_before_the_sum_means_that_nothing_was_summed(self):
        if self.reason in {Reason.DEADLINE, Reason.TOO_FEW}:
            assert not self.was_summed

    def teardown(self):
        """Let only time pass and work finish: the round must end."""
        if not hasattr(self, "state"):
            return
        for _ in range(6):
            self.now = max(self.now, next_wakeup(self.view, self.now))
            self.happen(Event.STARTED)
            self.happen(Event.CANDIDATE_MADE)
            if self.state is State.EVALUATING:
                assert may_judge(replace(self.view, deadline=self.now), self.now)
                self.happen(Event.ACCEPTED)
        assert self.state in ENDS
        self.ends_once()
        self.nobody_who_withdrew_is_in_the_model()


TestRound = Round.TestCase
TestRound.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
