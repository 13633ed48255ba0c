"""The table of a task: every cell, and what no path through it may do."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protos.errors import PeerFault
from site_agent import agent
from site_agent.agent import (
    DUTIES,
    ENDS,
    Duty,
    Effect,
    Event,
    Fate,
    Made,
    Outcome,
    Step,
    TaskState,
    advance,
    backoff_s,
    fate_of_control,
    is_news,
    may_resend,
    may_send_late,
)

CELLS = list(itertools.product(TaskState, Event))
ANSWERS = {Effect.SAY_YES, Effect.SAY_NO}


@pytest.mark.parametrize(("state", "event"), CELLS)
def test_every_cell_has_a_step(state, event):
    step = advance(state, event)
    assert isinstance(step, Step)
    assert step == agent._NEXT.get((state, event), Step(state))


@pytest.mark.parametrize(("state", "event"), CELLS)
def test_what_has_ended_stays_ended(state, event):
    if state in ENDS and event is not Event.WANTED_AGAIN:
        assert advance(state, event).state is state


def test_only_what_was_sent_is_sent_once_more():
    moved = {s for s in TaskState if advance(s, Event.WANTED_AGAIN).state is not s}
    assert moved == {TaskState.DONE}
    assert advance(TaskState.DONE, Event.WANTED_AGAIN).state is TaskState.SENDING


@pytest.mark.parametrize(("state", "event"), CELLS)
def test_only_a_repetition_of_what_ended_is_answered_again(state, event):
    step = advance(state, event)
    if state in ENDS and event not in {Event.REPEATED, Event.WANTED_AGAIN}:
        assert step.effects == ()


@pytest.mark.parametrize("state", [s for s in TaskState if s not in ENDS])
def test_a_cancel_ends_whatever_is_at_work_and_says_nothing_more(state):
    assert advance(state, Event.CANCELLED) == Step(TaskState.CANCELLED)


@pytest.mark.parametrize(("state", "event"), CELLS)
def test_no_training_begins_without_a_reservation_in_the_same_step(state, event):
    step = advance(state, event)
    if step.state is TaskState.RESERVING and state is not TaskState.RESERVING:
        assert Effect.RESERVE in step.effects


@pytest.mark.parametrize(("state", "event"), CELLS)
def test_whatever_a_rule_ends_is_told(state, event):
    step = advance(state, event)
    refused = {TaskState.REFUSED, TaskState.FAILED}
    if step.state in refused and state not in refused and event is not Event.SENDING_REFUSED:
        assert {Effect.SAY_NO, Effect.STATE_REFUSAL} <= set(step.effects)


def test_each_state_has_a_duty_and_an_end_has_none():
    assert set(DUTIES) == set(TaskState)
    assert {s for s, duty in DUTIES.items() if duty is Duty.NOTHING} == ENDS


class AnyTask(RuleBasedStateMachine):
    """Any events in any order: the promises of the table hold along every path."""

    def __init__(self):
        super().__init__()
        self.state = TaskState.OFFERED
        self.reserved = 0
        self.receipt = False
        self.resent = False
        self.evaluates = False
        self.figures = 0

    @rule(event=st.sampled_from(Event))
    def happen(self, event):
        before = self.state
        step = advance(before, event)
        self.reserved += Effect.RESERVE in step.effects
        self.figures += Effect.STATE_FIGURES in step.effects
        if before is TaskState.RESERVING and event is Event.RESERVED:
            self.receipt = True
        if step.state is TaskState.SENDING and before in {TaskState.OFFERED, TaskState.MASKED}:
            self.resent = True
        if before is TaskState.OFFERED and step.state is TaskState.FETCHING:
            self.evaluates = True
        self.state = step.state

    @invariant()
    def nothing_is_reserved_twice(self):
        assert self.reserved <= 1

    @invariant()
    def figures_are_stated_once(self):
        assert self.figures <= 1

    @precondition(lambda self: self.state in {TaskState.FETCHING, TaskState.WORKING})
    @invariant()
    def work_follows_the_receipt_of_its_reservation(self):
        assert self.evaluates or (self.reserved == 1 and self.receipt)

    @precondition(lambda self: self.state is TaskState.SENDING)
    @invariant()
    def what_is_sent_was_paid_for_or_sent_before(self):
        assert self.resent or self.receipt or self.evaluates


TestAnyTask = AnyTask.TestCase

OUTCOMES = [
    (None, Fate.WAIT),
    (Outcome("open"), Fate.WAIT),
    (Outcome("closed", frozenset({"charite", "amc"})), Fate.KEEP),
    (Outcome("closed", frozenset({"amc"})), Fate.DROP),
    (Outcome("abandoned", frozenset({"charite"}), "gate"), Fate.DROP),
    (Outcome("abandoned", frozenset(), "deadline"), Fate.DROP),
]


@pytest.mark.parametrize(("outcome", "fate"), OUTCOMES)
def test_a_control_variate_counts_only_when_the_closed_round_names_this_site(outcome, fate):
    assert fate_of_control(outcome, site="charite") is fate


INPUTS = ("agreement", "model", "state")
FIRST = Made(INPUTS, 3, 1)
RETRY = Made(INPUTS, 3, 2)


def test_a_retry_sends_again_after_too_few_sites_or_the_deadline():
    for reason in ("too-few-sites", "deadline"):
        assert may_resend(FIRST, task=RETRY, outcome=Outcome("abandoned", frozenset(), reason))


@pytest.mark.parametrize(
    ("made", "task", "outcome"),
    [
        (FIRST, RETRY, Outcome("abandoned", frozenset(), "gate")),
        (FIRST, RETRY, Outcome("abandoned", frozenset(), "consent")),
        (FIRST, RETRY, Outcome("abandoned", frozenset(), "integrity")),
        (FIRST, RETRY, Outcome("open")),
        (FIRST, RETRY, Outcome("closed", frozenset({"charite"}))),
        (FIRST, RETRY, None),
        (
            FIRST,
            Made(("agreement", "other", "state"), 3, 2),
            Outcome("abandoned", frozenset(), "deadline"),
        ),
        (FIRST, Made(INPUTS, 4, 2), Outcome("abandoned", frozenset(), "deadline")),
        (RETRY, FIRST, Outcome("abandoned", frozenset(), "deadline")),
    ],
)
def test_any_other_retry_trains_anew(made, task, outcome):
    assert not may_resend(made, task=task, outcome=outcome)


LATE = Outcome("closed", frozenset({"amc"}), late=frozenset({"charite"}), made=("next", "s"))
NEXT = Made(("agreement", "next", "s"), 4, 1)


def late(made=FIRST, task=NEXT, outcome=LATE):
    return may_send_late(made, task=task, outcome=outcome, site="charite")


def test_an_update_that_was_late_may_be_sent_for_the_next_round():
    assert late()
    assert late(task=replace(NEXT, attempt=2))


@pytest.mark.parametrize(
    ("task", "outcome"),
    [
        (replace(NEXT, round=5), LATE),
        (replace(NEXT, round=3), LATE),
        (replace(NEXT, inputs=("another", "next", "s")), LATE),
        (replace(NEXT, inputs=("agreement", "moved", "s")), LATE),
        (NEXT, replace(LATE, late=frozenset({"amc"}))),
        (NEXT, replace(LATE, state="abandoned")),
        (NEXT, replace(LATE, state="open")),
        (NEXT, None),
    ],
)
def test_no_other_update_of_before_is_sent_for_a_round(task, outcome):
    assert not late(task=task, outcome=outcome)


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_only_the_next_message_is_news(taken, seq):
    if seq > taken + 1:
        with pytest.raises(PeerFault):
            is_news(seq, taken=taken)
    else:
        assert is_news(seq, taken=taken) == (seq == taken + 1)


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_waits_are_jittered_in_full_and_never_longer_than_a_minute(failures, draw):
    wait = backoff_s(failures, draw=draw)
    assert 0 <= wait <= min(60.0, 0.5 * 2 ** min(failures, 16))
    assert backoff_s(0, draw=0.5) == 0.25
