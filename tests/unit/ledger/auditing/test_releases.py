"""Releases in a record: found false where they are, and asked about where they are not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from admission import closed_round
from verdicts import found

from governance import statements
from governance.ledger import query_lineage, query_releases
from governance.ledger.signatures import Signatures
from protos.errors import Refused

EVERYBODY = ["amc", "kul", "ucl", "usz"]


@pytest.fixture
def body(ledger, keys):
    """Return what a release of round 2 says, whose first attempt was abandoned."""
    model = ledger.statement(ledger.seq_of("round-closed", round=2)).body["model_out"]
    return {
        **keys.at(2, 2),
        "release": "v1",
        "model": model,
        "card": "c" * 64,
        "rounds": [1, 2],
        "sites": EVERYBODY,
    }


@pytest.fixture
def act(ledger, keys, speak):
    """Append what an operator says of releases, admitted by nobody; return its seq."""

    def act(kind, body, told=()):
        ledger.append(speak(kind, body, "operator/ops", keys.key("ops"), told=told))
        return len(ledger.entries()) - 1

    return act


def of(body):
    return {name: body[name] for name in ("agreement", "release", "model")}


def recipient(name="a registry"):
    return (statements.disclose("recipient", name, salt=bytes(32)),)


def test_a_release_of_a_committed_round_is_no_fault(ledger, body, act, keys, speak):
    act("release-published", body)
    act("release-given", of(body), recipient())
    act("release-recalled", of(body))
    ledger.append(speak("release-fetched", of(body), "site/ucl", keys.key("ucl agent")))
    assert ledger.verdict(signatures=Signatures.SITE).verified


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"attempt": 1}, "release-not-committed"),
        ({"round": 9}, "no-round"),
        ({"agreement": "0" * 64}, "no-round"),
        ({"model": "0" * 64}, "release-model"),
        ({"rounds": [2]}, "release-lineage"),
        ({"sites": ["amc", "kul", "ucl"]}, "release-lineage"),
    ],
)
def test_a_false_release_is_named(ledger, body, act, change, rule):
    seq = act("release-published", body | change)
    found(ledger.verdict(), seq, rule)


def test_a_release_from_an_abandoned_attempt_is_named_so(ledger, body, act):
    seq = act("release-published", body | {"attempt": 1})
    assert "was abandoned" in found(ledger.verdict(), seq, "release-not-committed")


def test_a_second_release_of_one_name_is_named(ledger, body, act):
    act("release-published", body)
    seq = act("release-published", body)
    found(ledger.verdict(), seq, "release-taken")


@pytest.mark.parametrize("kind", ["release-given", "release-recalled"])
def test_what_nobody_published_is_neither_given_nor_recalled(ledger, body, act, kind):
    told = recipient() if kind == "release-given" else ()
    seq = act(kind, of(body), told)
    found(ledger.verdict(), seq, "unknown-release")


@pytest.mark.parametrize("kind", ["release-given", "release-recalled"])
def test_what_was_recalled_is_neither_given_nor_recalled_again(ledger, body, act, kind):
    told = recipient() if kind == "release-given" else ()
    act("release-published", body)
    act("release-recalled", of(body))
    seq = act(kind, of(body), told)
    found(ledger.verdict(), seq, "release-recalled")


def test_a_release_of_another_model_is_not_given(ledger, body, act):
    act("release-published", body)
    seq = act("release-given", of(body) | {"model": "0" * 64}, recipient())
    found(ledger.verdict(), seq, "release-model")


def test_a_hospital_that_fetched_what_nobody_published_is_named(ledger, body, keys, speak):
    ledger.append(speak("release-fetched", of(body), "site/ucl", keys.key("ucl agent")))
    found(ledger.verdict(), len(ledger.entries()) - 1, "unknown-release")


# --- asking -------------------------------------------------------------------------------


@pytest.fixture
def released(agreed):
    """A federation that released its first round, gave it away and recalled it."""
    closed_round(agreed)
    agreed.publish()
    agreed.give()
    agreed.fetch("ucl")
    return agreed


def test_releases_are_listed_with_who_is_inside(released):
    answer = query_releases.releases_held(released.connection)
    (row,) = answer.named()
    assert (row["release"], row["state"], row["sites"]) == ("v1", "published", "amc, ucl")
    assert query_releases.releases_held(released.connection, site="usz").rows == []


def test_at_a_time_a_release_was_as_it_was_then(released):
    before, recalled = released.now, released.recall()
    c = released.connection
    assert query_releases.releases_held(c).rows[0][1] == "recalled"
    assert query_releases.releases_held(c, at=before).rows[0][1] == "published"
    early = before - timedelta(seconds=10)
    assert query_releases.releases_held(c, at=early).rows == []
    assert (
        f"recalled (entry {recalled})"
        in query_releases.of_model(c, released.release_body()["model"])[0]
    )


def test_who_was_given_a_release_or_fetched_it_is_said(released):
    answer = query_releases.one_release(released.connection, "v1")
    said = [(row[1], row[2], row[3]) for row in answer.rows]
    assert said == [
        ("published", "operator/ops", None),
        ("given", "operator/ops", "a registry"),
        ("fetched", "site/ucl", None),
    ]
    with pytest.raises(Refused) as refused:
        query_releases.one_release(released.connection, "v9")
    assert refused.value.rule == "unknown-release"


def test_the_lineage_of_a_release_is_that_of_its_model(released):
    answer = query_lineage.lineage(released.connection, "v1")
    assert answer.facts["sites"] == ["amc", "ucl"]
    assert answer.notes == [f"Released as v1 (entry {_seq(released)})."]


def _seq(federation):
    return query_releases.releases_held(federation.connection).rows[0][10]
