"""An exit's states: one table, total, and which rounds a hospital's patients are in."""

from __future__ import annotations

import itertools

import pytest

from governance.exits import (
    ALLOWED,
    WORDS,
    Closed,
    Exit,
    Scope,
    Step,
    advance,
    due,
    going_back,
    still_due,
    touched,
)
from protos.errors import Refused

COURSES = {
    Scope.AGREEMENT: [
        Step.QUIESCE,
        Step.CLEAN,
        Step.LIST,
        Step.SETTLE_TRAINING,
        Step.SETTLE_RELEASES,
        Step.CLOSE,
    ],
    Scope.FEDERATION: [
        Step.QUIESCE,
        Step.BAR,
        Step.CLEAN,
        Step.LIST,
        Step.SETTLE_TRAINING,
        Step.SETTLE_RELEASES,
        Step.CLOSE,
    ],
}


@pytest.mark.parametrize("scope", Scope)
def test_an_exit_has_one_course_to_its_end(scope):
    assert still_due(scope, Exit.REQUESTED) == COURSES[scope]


@pytest.mark.parametrize(("scope", "state"), [*itertools.product(Scope, Exit)])
def test_in_each_state_one_step_follows_and_every_other_is_refused(scope, state):
    follows = due(scope, state)
    for step in Step:
        if step is follows:
            assert advance(scope, state, step) in Exit
            continue
        with pytest.raises(Refused) as refused:
            advance(scope, state, step)
        assert refused.value.rule == "exit-order"


def test_an_exit_from_one_agreement_ends_no_credentials():
    assert Step.BAR not in still_due(Scope.AGREEMENT, Exit.REQUESTED)


def test_every_step_has_words_and_every_one_but_the_last_its_decisions():
    assert set(WORDS) == set(Step)
    assert set(ALLOWED) == set(Step) - {Step.CLOSE}


def made(number, model_in, model_out, *sites, undone=False):
    return Closed(number, model_in, "", model_out, frozenset(sites), undone)


def test_a_model_is_touched_by_who_contributed_and_by_who_is_in_an_ancestor():
    rounds = [
        made(1, "m0", "m1", "a"),
        made(2, "m1", "m2", "a", "b"),
        made(3, "m2", "m3", "a"),
        made(4, "fresh", "m4", "a"),
    ]
    assert [one.round for one in touched(rounds, "b")] == [2, 3]
    assert [one.round for one in touched(rounds, "a")] == [1, 2, 3, 4]
    assert touched(rounds, "c") == []


def test_going_back_leaves_what_was_undone_before_alone():
    rounds = [
        made(1, "m0", "m1", "a", "b", "c"),
        made(2, "m1", "m2", "a", "b"),
        made(3, "m1", "m3", "a", "c"),
    ]
    undone = [rounds[0], made(2, "m1", "m2", "a", "b", undone=True), rounds[2]]
    assert [one.round for one in going_back(undone, "c")] == [1, 3]
    assert [one.round for one in touched(undone, "c")] == [1, 2, 3]


def test_the_touched_rounds_are_those_of_a_walk_from_each_model_back():
    sites = ["a", "b", "c"]
    rounds = [
        made(n, f"m{max(n - (2 if n % 3 == 0 else 1), 0)}", f"m{n}", sites[n % 3], sites[n % 2])
        for n in range(1, 13)
    ]
    by_model = {one.model_out: one for one in rounds}

    def inside(one, site):
        before = by_model.get(one.model_in)
        return site in one.sites or (before is not None and inside(before, site))

    for site in sites:
        assert touched(rounds, site) == [one for one in rounds if inside(one, site)]
