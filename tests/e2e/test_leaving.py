"""Withdrawing while rounds run: at once, and what follows is in the record."""

from __future__ import annotations

import json

import pytest
import standing
from programs import LEDGER, call
from standing import SITES

pytestmark = pytest.mark.long
ROUNDS = 30
SPARE = "harbour-university"


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Four hospitals, of which three are enough, asked to consent to many short rounds."""
    base = tmp_path_factory.mktemp("long")
    changes = {
        "sites.roster": [*SITES, SPARE],
        "quality.accept_if.not_worse_than": 0.3,
    }
    agreement = standing.of_three(
        base / "agreement.yaml",
        **{"schedule.rounds": ROUNDS, "round.local.steps": 1, **changes},
    )
    standing.found(base / "fed", agreement)
    return base / "fed"


@pytest.fixture
def training(long, tmp_path):
    """A federation in which four hospitals train."""
    fed = standing.copied(long, tmp_path / "fed")
    fed.serve()
    fed.run(*SITES, SPARE)
    for name in (*SITES, SPARE):
        assert fed.consent(name).code == 0
    fed.until(lambda: contributed(fed, SITES[0]), why="for all to train")
    yield fed
    fed.end()


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
