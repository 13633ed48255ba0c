"""The table of a round's states: every cell, and what no order of events can do."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.round_states import ENDS, REASONS, Effect, Event, State, Step, advance

LIVE = [state for state in State if state not in ENDS]
MASKS = [State.KEYS, State.SHARES, State.CONSISTENCY, State.UNMASKING]
COLLECTS = [State.OPENED, State.MEASURING, State.TRAINING, State.COLLECTING, *MASKS]
SUMMED = [State.AGGREGATING, State.EVALUATING]

# Every move from one state to another; all other cells stay.
MOVES = {
    (State.OPENED, Event.STARTED): State.TRAINING,
    (State.TRAINING, Event.UPDATE_IN): State.COLLECTING,
    (State.COLLECTING, Event.CLOSE): State.AGGREGATING,
    (State.OPENED, Event.MASKED_STARTED): State.KEYS,
    (State.OPENED, Event.MEASURED_STARTED): State.MEASURING,
    (State.MEASURING, Event.CLOSE): State.TRAINING,
    (State.KEYS, Event.CLOSE): State.SHARES,
    (State.SHARES, Event.CLOSE): State.TRAINING,
    (State.COLLECTING, Event.MASKED_CLOSE): State.CONSISTENCY,
    (State.CONSISTENCY, Event.CLOSE): State.UNMASKING,
    (State.UNMASKING, Event.CLOSE): State.AGGREGATING,
    (State.AGGREGATING, Event.CANDIDATE_MADE): State.EVALUATING,
    (State.AGGREGATING, Event.UPDATE_WITHDRAWN): State.COLLECTING,
    (State.EVALUATING, Event.UPDATE_WITHDRAWN): State.COLLECTING,
    (State.EVALUATING, Event.ACCEPTED): State.COMMITTED,
    (State.AGGREGATING, Event.REJECTED): State.ABANDONED,
    (State.EVALUATING, Event.REJECTED): State.ABANDONED,
    **{(s, Event.STOPPED): State.ABANDONED for s in LIVE},
    **{(s, Event.INTEGRITY): State.ABANDONED for s in LIVE},
    **{(s, Event.CONSENT): State.ABANDONED for s in LIVE},
    **{(s, Event.TOO_FEW): State.ABANDONED for s in COLLECTS},
    **{(s, Event.DEADLINE): State.ABANDONED for s in COLLECTS},
}


@pytest.mark.parametrize(
    ("state", "event"), list(itertools.product(State, Event)), ids=lambda value: value.name
)
def test_every_cell(state, event):
    step = advance(state, event)
    assert step.state is MOVES.get((state, event), state)
    assert len(set(step.effects)) == len(step.effects)
    if step.state is State.ABANDONED and state is not State.ABANDONED:
        assert event in REASONS
        assert Effect.RECORD_ABANDONMENT in step.effects
        assert Effect.DELETE_UPDATES in step.effects
        assert (Effect.RECORD_REJECTION in step.effects) == (event is Event.REJECTED)
    assert (Effect.COMMIT in step.effects) == (
        (state, event) == (State.EVALUATING, Event.ACCEPTED)
    )


@pytest.mark.parametrize("state", State)
def test_an_update_counts_only_while_updates_are_collected(state):
    refused = Effect.REFUSE_UPDATE in advance(state, Event.UPDATE_IN).effects
    assert refused == (state not in {State.TRAINING, State.COLLECTING})


@pytest.mark.parametrize("state", SUMMED)
def test_a_withdrawn_update_never_stays_in_a_candidate(state):
    step = advance(state, Event.UPDATE_WITHDRAWN)
    assert step.state is State.COLLECTING
    assert {Effect.DELETE_WITHDRAWN, Effect.DISCARD_CANDIDATE} <= set(step.effects)


@pytest.mark.parametrize("state", [State.OPENED, State.TRAINING])
def test_a_withdrawal_before_any_update_changes_no_state(state):
    assert advance(state, Event.SITE_OUT).state is state


def test_a_withdrawn_update_is_deleted_while_collecting():
    step = advance(State.COLLECTING, Event.UPDATE_WITHDRAWN)
    assert step == Step(State.COLLECTING, (Effect.DELETE_WITHDRAWN,))


def test_a_withdrawal_after_the_commit_changes_nothing():
    assert advance(State.COMMITTED, Event.UPDATE_WITHDRAWN) == Step(State.COMMITTED)


def test_a_candidate_that_was_overtaken_by_a_withdrawal_is_forgotten():
    state = advance(State.AGGREGATING, Event.UPDATE_WITHDRAWN).state
    step = advance(state, Event.CANDIDATE_MADE)
    assert step == Step(State.COLLECTING, (Effect.DISCARD_CANDIDATE,))


def test_a_committed_model_is_never_discarded():
    for event in Event:
        assert Effect.DISCARD_CANDIDATE not in advance(State.COMMITTED, event).effects


@pytest.mark.parametrize("state", State)
def test_a_restart_stays_in_its_state(state):
    assert advance(state, Event.RESTARTED).state is state


@given(events=st.lists(st.sampled_from(list(Event)), max_size=60))
def test_no_order_of_events_leaves_an_end_or_ends_twice(events):
    state, ends, commits, abandons = State.OPENED, 0, 0, 0
    for event in events:
        step = advance(state, event)
        if state in ENDS:
            assert step.state is state
        elif step.state in ENDS:
            ends += 1
        commits += Effect.COMMIT in step.effects
        abandons += Effect.RECORD_ABANDONMENT in step.effects
        state = step.state
    assert commits + abandons == ends <= 1
    assert (commits == 1) == (state is State.COMMITTED)


@given(events=st.lists(st.sampled_from(list(Event)), max_size=60))
def test_nothing_is_summed_or_committed_but_after_closing_and_the_gate(events):
    state, seen = State.OPENED, []
    for event in events:
        step = advance(state, event)
        if Effect.AGGREGATE in step.effects and event is not Event.RESTARTED:
            assert seen[-1] in {State.COLLECTING, State.UNMASKING}
        if step.state is State.COMMITTED and state is not State.COMMITTED:
            assert state is State.EVALUATING
            assert event is Event.ACCEPTED
        seen.append(step.state)
        state = step.state


def test_a_masked_round_takes_its_steps_in_their_order():
    state, events = State.OPENED, [Event.MASKED_STARTED, Event.CLOSE, Event.CLOSE]
    events += [Event.UPDATE_IN, Event.MASKED_CLOSE, Event.CLOSE, Event.CLOSE]
    events += [Event.CANDIDATE_MADE, Event.ACCEPTED]
    effects, states = [], []
    for event in events:
        step = advance(state, event)
        state = step.state
        states.append(state)
        effects += step.effects
    assert states == [
        State.KEYS,
        State.SHARES,
        State.TRAINING,
        State.COLLECTING,
        State.CONSISTENCY,
        State.UNMASKING,
        State.AGGREGATING,
        State.EVALUATING,
        State.COMMITTED,
    ]
    asked = [Effect.BRING_KEYS, Effect.BRING_SHARES, Effect.ASK_CONSISTENCY, Effect.ASK_SHARES]
    assert [effect for effect in effects if effect in asked] == asked
    assert effects.index(Effect.RECORD_OPENED) < effects.index(Effect.AGGREGATE)


def test_nobody_trains_before_the_statistics_of_its_round_are_combined():
    begun = advance(State.OPENED, Event.MEASURED_STARTED)
    assert begun == Step(State.MEASURING)
    assert advance(begun.state, Event.CLOSE) == Step(
        State.TRAINING, (Effect.COMBINE_STATISTICS,)
    )
    assert Effect.SEND_TRAINING not in advance(State.MEASURING, Event.RESTARTED).effects


@pytest.mark.parametrize("state", MASKS)
def test_a_withdrawal_in_a_masked_sum_abandons_the_round(state):
    assert advance(state, Event.CONSENT).state is State.ABANDONED
