"""Withdrawing while rounds run: at once, and what follows is in the record."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
import standing
from programs import LEDGER, call
from standing import SITES

pytestmark = pytest.mark.long
ROUNDS = 30
SPARE = "harbour-university"


def founded(base, **more):
    """Found four hospitals, three of them enough, asked to consent to many short rounds."""
    changes = {
        **more,
        "sites.roster": [*SITES, SPARE],
        "quality.accept_if.not_worse_than": 0.3,
    }
    agreement = standing.of_three(
        base / "agreement.yaml",
        **{"schedule.rounds": ROUNDS, "round.local.steps": 1, **changes},
    )
    standing.found(base / "fed", agreement)
    return base / "fed"


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A federation whose training continues when somebody leaves."""
    return founded(tmp_path_factory.mktemp("long"))


@contextmanager
def at_work(place):
    """Run a federation in which four hospitals train."""
    fed = standing.Federation(place)
    fed.serve()
    fed.run(*SITES, SPARE)
    try:
        for name in (*SITES, SPARE):
            assert fed.consent(name).code == 0
        fed.until(lambda: contributed(fed, SITES[0]), why="for all to train")
        yield fed
    finally:
        fed.end()


@pytest.fixture
def training(long, tmp_path):
    """A federation in which four hospitals train."""
    with at_work(standing.copied(long, tmp_path / "fed").place) as fed:
        yield fed


def contributed(fed, name, since=-1):
    question = "SELECT count(*) FROM contributions WHERE site = ? AND seq > ?"
    return fed.rows(question, name, since)[0][0]


def said(fed, kind, name):
    """Return the seq of what a hospital said last of this kind."""
    return max(
        (seq for seq, _, who in fed.entries(kind) if who == f"site/{name}"), default=None
    )


def test_a_hospital_withdraws_mid_round_and_the_others_go_on(training):
    fed, name = training, SITES[0]
    assert fed.site(name, "withdraw", "--yes").code == 0
    fed.until(
        lambda: said(fed, "consent-withdrawn", name) is not None, why="for the withdrawal"
    )
    out = said(fed, "consent-withdrawn", name)
    assert fed.closed() < ROUNDS
    fed.until(lambda: fed.closed() == ROUNDS, why="for the others to finish")
    assert contributed(fed, name, since=out) == 0
    assert said(fed, "budget-reserved", name) < out
    assert contributed(fed, SITES[1], since=out) > 0
    assert fed.verified()


def test_a_hospital_leaves_and_keeps_a_certificate_that_holds_offline(training):
    fed, name = training, SITES[0]
    assert fed.site(name, "leave", "--yes", *fed.secret).code == 0
    fed.until(lambda: fed.entries("exit-closed"), why="for the exit to be closed")
    kept = fed.site_file(name).parent / "state" / "exits"
    fed.until(lambda: list(kept.glob("*.json")), why="for the certificate")
    (certificate,) = kept.glob("*.json")
    answer = call(LEDGER, "verify-exit", certificate, "--format", "json")
    assert answer.code == 0, answer
    assert json.loads(answer.out)["closed"]
    assert fed.running.pop(name).ended().code == 0  # it serves no other federation
    out = said(fed, "exit-requested", name)
    fed.until(lambda: fed.closed() == ROUNDS, why="for the others to finish")
    assert contributed(fed, name, since=out) == 0
    assert fed.verified()


def test_training_goes_back_to_before_who_left_where_the_agreement_says_so(tmp_path):
    place = founded(tmp_path, **{"exits.training": "retrain-from-before"})
    with at_work(place) as fed:
        fed.until(lambda: fed.closed() >= 2, why="for rounds with all of them")
        name = SITES[0]
        assert fed.site(name, "leave", "--yes", *fed.secret).code == 0
        fed.until(lambda: fed.entries("exit-closed"), why="for the exit to be closed")
        fed.running.pop(name).ended()
        ((went, undone),) = fed.rows(
            "SELECT seq, rounds FROM exit_steps WHERE decision = 'retrain-from-before'"
        )
        assert json.loads(undone)[:2] == [1, 2]
        after = "SELECT count(*) FROM rounds WHERE state = 'closed' AND opened_seq > ?"
        fed.until(lambda: fed.rows(after, went)[0][0] >= 2, why="for the others to train anew")
        again = "SELECT model_in FROM rounds WHERE opened_seq > ? ORDER BY opened_seq LIMIT 1"
        first = "SELECT model_in FROM rounds WHERE round = 1 AND attempt = 1"
        assert fed.rows(again, went) == fed.rows(first)
        assert contributed(fed, name, since=went) == 0
        assert fed.verified()
