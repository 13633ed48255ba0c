"""Releases as the log's tables have them: of what, with whom inside, and who has them."""

from __future__ import annotations

import json

import pytest
from admission import closed_round, digest, refused, rows

from governance.ledger import projections, schema


@pytest.fixture
def closed(agreed):
    """A federation that committed its first round."""
    closed_round(agreed)
    return agreed


def released(federation):
    (row,) = rows(federation, schema.releases)
    return row


def test_a_release_is_of_a_committed_round_and_says_what_is_inside(closed):
    seq = closed.publish()
    row = released(closed)
    assert (row.release, row.state, row.seq, row.round) == ("v1", "published", seq, 1)
    assert (json.loads(row.rounds), json.loads(row.sites)) == ([1], ["amc", "ucl"])
    assert rows(closed, schema.acts)[-1].act == "release"


def test_no_release_of_a_round_that_is_open_or_was_abandoned(agreed):
    refused("release-not-committed", agreed.publish)
    agreed.open_round(1)
    refused("release-not-committed", agreed.publish)
    agreed.abandon(1)
    refused("release-not-committed", agreed.publish)


def test_no_release_of_an_attempt_that_another_attempt_followed(agreed):
    agreed.open_round(1)
    agreed.abandon(1)
    closed_round(agreed, attempt=2)
    refused("release-not-committed", agreed.publish)
    agreed.publish(attempt=2)


def test_no_release_under_another_agreement_than_its_rounds(closed):
    refused("release-not-committed", closed.publish, agreement=digest("second"))


def test_no_release_of_another_model_than_the_round_made(closed):
    refused("release-model", closed.publish, model="m0")


@pytest.mark.parametrize("change", [{"sites": ["amc"]}, {"rounds": []}, {"rounds": [1, 2]}])
def test_nobody_is_left_out_of_a_release_or_added(closed, change):
    refused("release-lineage", closed.publish, **change)


def test_a_release_has_every_round_before_it_inside(closed):
    closed.open_round(2, model="m1")
    closed.reserve("amc", 2)
    closed.contribute("amc", 2, base="m1")
    closed.close(2, sites_in=("amc",), out={"ucl": "late"}, models="m1 m2")
    refused("release-lineage", closed.publish, round_=2, model="m2", rounds=[2])
    closed.publish(round_=2, model="m2", rounds=[1, 2])
    assert json.loads(released(closed).sites) == ["amc", "ucl"]


def test_one_name_is_one_release_for_ever(closed):
    closed.publish()
    refused("release-taken", closed.publish)
    closed.recall()
    refused("release-taken", closed.publish)
    closed.publish("v2")


def test_who_has_a_release_is_known(closed):
    closed.publish()
    given, fetched = closed.give(), closed.fetch("ucl")
    assert [tuple(row) for row in rows(closed, schema.handed)] == [
        (given, "v1", "given", ""),
        (fetched, "v1", "fetched", "ucl"),
    ]


def test_whom_it_was_given_to_must_be_committed_to(closed):
    closed.publish()
    refused("bad-disclosure", closed.operator, "release-given", closed.release_body())


@pytest.mark.parametrize("act", ["give", "recall"])
def test_only_what_is_published_is_given_or_recalled(closed, act):
    refused("unknown-release", getattr(closed, act))
    closed.publish()
    refused("unknown-release", getattr(closed, act), "v9")
    refused("release-model", getattr(closed, act), model=digest("m0"))


@pytest.mark.parametrize("act", ["give", "recall"])
def test_what_was_recalled_is_not_given_or_recalled_again(closed, act):
    closed.publish()
    seq = closed.recall()
    assert (released(closed).state, released(closed).recalled_seq) == ("recalled", seq)
    refused("release-recalled", getattr(closed, act))


def test_only_what_is_published_is_fetched(closed):
    refused("unknown-release", closed.fetch, "amc")


def test_a_hospital_says_that_it_fetched_what_was_recalled_meanwhile(closed):
    closed.publish()
    closed.recall()
    closed.fetch("amc")
    assert rows(closed, schema.handed)[0].site == "amc"


def test_a_rebuild_makes_the_same_releases(closed):
    closed.publish()
    closed.give()
    closed.fetch("amc")
    closed.recall()
    before = [rows(closed, table) for table in schema.PROJECTIONS]
    projections.rebuild(closed.connection)
    assert [rows(closed, table) for table in schema.PROJECTIONS] == before
