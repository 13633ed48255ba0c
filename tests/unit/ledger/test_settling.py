"""What becomes of releases at an exit: each is listed, and kept with a ground or recalled."""

from __future__ import annotations

import pytest
from admission import closed_round, refused, rows
from sqlalchemy import select

from governance.ledger import projections, query_exits, query_releases, schema, store
from governance.ledger.entry import Entry
from governance.ledger.rules import Replay
from protos.words import Disclosure

LEAVES = {"site": "amc", "scope": "federation", "cause": "own-wish"}
SALT = b"s" * 32
SPENT = "7.5000"
COURSE = ("quiesced", "credentials-revoked", "cleaned")


def body_of(request, name, **changes):
    empty = {"decision": "", "rounds": [], "releases": [], "model": "", "state": ""}
    return {"exit": request, "site": "amc", "step": name, **empty, **changes}


def step(fed, request, name, **changes):
    return fed.coordinator("exit-step", body_of(request, name, **changes))


def to_listed(fed):
    """Let amc leave, up to the impact of its exit; return the request's seq."""
    request = fed.officer("amc", "exit-requested", LEAVES)
    for name in COURSE:
        step(fed, request, name, decision="no-round" if name == "quiesced" else "")
    return request


def listed(fed, releases=("v1",)):
    request = to_listed(fed)
    step(fed, request, "impact-listed", rounds=[1], releases=list(releases))
    return request


def trained(fed, request):
    step(fed, request, "training-settled", decision="continue")
    return request


def replayed(fed, *more):
    """Return the first fault of the log by the state rules, then of further entries."""
    replay = Replay()
    for entry in [*projections.log_of(fed.connection), *more]:
        fault = replay.take(entry)
        if fault is not None:
            return fault
    return None


def replayed_with(fed, kind, body, actor="coordinator", key="ledger", told=()):
    """Return the rule that a further entry breaks, which no projection has seen."""
    statement = fed.statement(kind, body, actor, fed.key(key), told=told)
    return replayed(fed, Entry(store.size_of(fed.connection), fed.now, statement)).rule


def state_of(fed, release="v1"):
    table = schema.releases
    return fed.connection.execute(
        select(table.c.state, table.c.recalled_seq).where(table.c.release == release)
    ).one()


@pytest.fixture
def published(agreed):
    """A federation with a release that both hospitals are inside."""
    closed_round(agreed, spent=SPENT)
    agreed.publish()
    return agreed


@pytest.mark.parametrize("said", [[], ["v1", "v2"], ["v2"]])
def test_an_exit_lists_every_release_with_the_hospital_inside_and_no_other(published, said):
    request = to_listed(published)
    body = body_of(request, "impact-listed", rounds=[1], releases=said)
    refused("exit-releases", published.coordinator, "exit-step", body)
    assert replayed_with(published, "exit-step", body) == "exit-releases"


def test_an_exit_does_not_list_what_was_recalled_before(published):
    published.recall()
    listed(published, releases=())
    assert replayed(published) is None


def test_no_other_step_names_releases(published):
    request = listed(published)
    body = body_of(request, "training-settled", decision="continue", releases=["v1"])
    refused("exit-releases", published.coordinator, "exit-step", body)
    assert replayed_with(published, "exit-step", body) == "exit-releases"


@pytest.mark.parametrize("decision", ["", "keep", "recall"])
def test_an_exit_is_not_settled_before_each_release_is_decided(published, decision):
    request = trained(published, listed(published))
    body = body_of(request, "releases-settled", decision=decision)
    refused("release-undecided", published.coordinator, "exit-step", body)
    assert replayed_with(published, "exit-step", body) == "release-undecided"


def test_a_release_that_is_kept_stands_and_the_exit_says_so(published):
    request = trained(published, listed(published))
    published.settle("keep")
    step(published, request, "releases-settled", decision="keep")
    assert tuple(state_of(published)) == ("published", None)
    assert replayed(published) is None


def test_a_release_that_is_recalled_at_an_exit_stands_no_more(published):
    request = trained(published, listed(published))
    seq = published.settle("recall")
    assert tuple(state_of(published)) == ("recalled", seq)
    refused("release-recalled", published.give)
    step(published, request, "releases-settled", decision="recall")
    assert replayed(published) is None


def test_a_recall_beside_the_exit_decides_too(published):
    request = trained(published, listed(published))
    published.recall()
    step(published, request, "releases-settled", decision="recall")
    assert replayed(published) is None


def test_a_settlement_says_what_was_decided(published):
    request = trained(published, listed(published))
    published.settle("keep")
    body = body_of(request, "releases-settled", decision="recall")
    refused("exit-releases", published.coordinator, "exit-step", body)
    assert replayed_with(published, "exit-step", body) == "exit-releases"


def test_nothing_is_settled_before_anybody_has_left(published):
    refused("not-to-settle", published.settle, "recall")
    body, signer = published.settle_body("recall"), ("operator/ops", "ops")
    assert replayed_with(published, "release-settled", body, *signer) == "not-to-settle"


def test_a_decision_is_for_the_exit_of_the_hospital_that_it_names(published):
    listed(published)
    refused("not-to-settle", published.settle, "keep", site="ucl")


def test_a_release_is_decided_once_for_an_exit(published):
    listed(published)
    published.settle("keep")
    refused("not-to-settle", published.settle, "recall")


def test_a_release_is_kept_on_a_ground_alone(published):
    listed(published)
    refused("keep-without-ground", published.settle, "keep", ground="")
    body, signer = published.settle_body("keep"), ("operator/ops", "ops")
    assert replayed_with(published, "release-settled", body, *signer) == "keep-without-ground"


def test_the_coordinator_by_itself_recalls_and_never_keeps(published):
    listed(published)
    keep, told = published.settle_body("keep"), (Disclosure("reason", SALT, "in use"),)
    refused("not-yours", published.coordinator, "release-settled", keep, told=told)
    assert replayed_with(published, "release-settled", keep, told=told) == "not-yours"
    published.coordinator("release-settled", published.settle_body("recall"))
    assert state_of(published).state == "recalled"
    assert replayed(published) is None


def test_an_exit_says_of_each_release_who_decided_what_and_why(published):
    listed(published)
    waiting = query_exits.exit_of(published.connection, "amc").notes
    assert any("settle v1 keep|recall" in note for note in waiting)
    seq = published.settle("keep")
    answer = query_exits.exit_of(published.connection, "amc")
    row = next(row for row in answer.rows if row[0] == seq)
    assert (row[2], row[3]) == ("release v1", "keep")
    assert "in use at two hospitals" in row[-1]
    assert not any("settle v1" in note for note in answer.notes)


def test_a_release_says_at_whose_exit_it_was_settled(published):
    listed(published)
    seq = published.settle("keep")
    rows = query_releases.one_release(published.connection, "v1").rows
    assert [row[1] for row in rows if row[-1] == seq] == ["kept after the exit of amc"]


def test_a_rebuild_makes_the_same_decisions(published):
    request = trained(published, listed(published))
    published.settle("keep")
    step(published, request, "releases-settled", decision="keep")
    tables = schema.PROJECTIONS
    before = [rows(published, table) for table in tables]
    projections.rebuild(published.connection)
    assert [rows(published, table) for table in tables] == before
