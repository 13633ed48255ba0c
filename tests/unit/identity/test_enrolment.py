"""A request to enrol admits who it says, or is refused; in person and by file."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from authorities import NOW
from hypothesis import given
from hypothesis import strategies as st
from newcomers import LATER, OFFICER, admit, answer, begun, rule_of, token_of

from governance import canonical
from governance.identity import folder
from governance.identity.certificate import make_csr, make_tls_key
from governance.identity.clock import check_clock
from governance.identity.enrolment import enrolled_body, enrolled_statement
from governance.identity.enrolment_files import (
    read_request,
    read_response,
    write_request,
    write_response,
)
from governance.identity.keys import SigningKey
from governance.statements import Log, check_signatures, compose, read, sign
from protos.errors import PeerFault, Refused
from protos.words import Digest


def test_a_newcomer_is_admitted(fed, tmp_path):
    token = token_of(fed)
    request = folder.prepare(tmp_path / "id", token, officers=[OFFICER], now=NOW)
    statement = admit(fed, request, token=token)
    assert statement.kind == "enrolled"
    assert statement.actor == "site/charite"
    assert statement.body["officers"] == [OFFICER.key_id]
    assert statement.body["needed"] == 1
    check_signatures(statement, [statement.key, OFFICER.key_id])


def test_the_same_request_may_come_again_after_a_lost_answer(fed, tmp_path):
    token, path = token_of(fed), tmp_path / "id"
    first = folder.prepare(path, token, officers=[OFFICER], now=NOW)
    digest = admit(fed, first, token=token).digest
    again = folder.prepare(path, token, officers=[OFFICER], now=LATER)
    assert again == replace(first, clock=LATER)
    assert admit(fed, again, token=token, used_by=digest, now=LATER).digest == digest
    assert folder.finish(path, answer(fed, again), now=LATER).actor == "site/charite"


def test_a_used_token_admits_nobody_else(fed, tmp_path):
    token = token_of(fed)
    first = folder.prepare(tmp_path / "a", token, officers=[OFFICER], now=NOW)
    digest = admit(fed, first, token=token).digest
    second = folder.prepare(tmp_path / "b", token, officers=[OFFICER], now=NOW)
    assert rule_of(admit, fed, second, token=token, used_by=digest) == "token-used"


def test_a_clock_more_than_five_minutes_off_is_refused(fed, tmp_path):
    token = token_of(fed)
    request = folder.prepare(tmp_path / "id", token, officers=[OFFICER], now=NOW)
    admit(fed, request, token=token, now=NOW + timedelta(minutes=5))
    for minutes in (-6, 6):
        now = NOW + timedelta(minutes=minutes)
        assert rule_of(admit, fed, request, token=token, now=now) == "clock-skew"


def test_a_skewed_clock_is_named_with_its_direction_and_size():
    check_clock(NOW, NOW + timedelta(minutes=5))
    with pytest.raises(Refused, match="3 hours behind"):
        check_clock(NOW + timedelta(hours=3), NOW)
    with pytest.raises(Refused, match="6 minutes ahead of"):
        check_clock(NOW, NOW + timedelta(minutes=6))
    with pytest.raises(Refused, match="400 days ahead of"):
        check_clock(NOW, NOW + timedelta(days=400))


def forged(fed, *, signers=None, csr=None, log=None, **change):
    """A request whose statement says what the forger likes."""
    key, tls = SigningKey.from_seed(b"k" * 32), make_tls_key()
    body = enrolled_body(
        "charite", "site", key=key.key_id, officers=[OFFICER.key_id], tls=tls.public_key()
    )
    envelope = enrolled_statement(
        {**body, **change},
        key=key,
        officers=[OFFICER] if signers is None else signers,
        log=log or fed.log,
        at=NOW,
    )
    path_less = {"secret": bytes(32), "csr": csr or make_csr(tls), "statement": envelope}
    return folder.EnrolRequest(**path_less, clock=NOW)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"name": "oslo"}, "token-for-another"),
        ({"role": "operator", "officers": [], "needed": 0}, "token-for-another"),
        ({"role": "coordinator"}, "bad-enrolment"),
        ({"agent": "ed25519:" + "ab" * 32}, "bad-enrolment"),
        ({"officers": []}, "bad-enrolment"),
        ({"officers": [OFFICER.key_id] * 2}, "bad-enrolment"),
        ({"officers": [f"ed25519:{n:064x}" for n in range(9)]}, "bad-enrolment"),
        ({"officers": [1]}, "bad-enrolment"),
        ({"officers": ["ed25519:" + "00" * 32]}, "bad-key"),
        ({"officers": SigningKey.from_seed(b"o" * 32).key_id}, "bad-enrolment"),
        ({"needed": 0}, "bad-enrolment"),
        ({"needed": 2}, "bad-enrolment"),
        ({"needed": "1"}, "bad-enrolment"),
        ({"tls": "x"}, "bad-enrolment"),
        ({"tls": "ab" * 32}, "wrong-key"),
        ({"more": "x"}, "bad-enrolment"),
        ({"signers": []}, "bad-signature"),
        pytest.param({"csr": make_csr(make_tls_key())}, "wrong-key", id="another-csr"),
        ({"csr": b"x"}, "bad-csr"),
        ({"log": Log.of("lung", Digest("ab" * 32))}, "wrong-log"),
        ({"log": Log.of("heart", Digest("ab" * 32))}, "wrong-log"),
    ],
    ids=str,
)
def test_a_forged_request_is_refused(fed, change, rule):
    request = forged(fed, **change)
    assert rule_of(admit, fed, request, token=token_of(fed)) == rule


def test_the_agent_key_is_not_its_own_officer(fed):
    key = SigningKey.from_seed(b"k" * 32)
    request = forged(fed, officers=[key.key_id], signers=[])
    assert rule_of(admit, fed, request, token=token_of(fed)) == "bad-enrolment"


def test_an_enrolment_is_the_first_statement_of_its_key(fed):
    request = forged(fed)
    payload = json.loads(read(request.statement).payload)
    payload["counter"] = 2
    key = SigningKey.from_seed(b"k" * 32)
    later = sign(canonical.encode(payload), [key, OFFICER])
    assert (
        rule_of(admit, fed, replace(request, statement=later), token=token_of(fed))
        == "bad-enrolment"
    )


def test_another_kind_of_statement_is_no_enrolment(fed):
    request = forged(fed)
    statement = read(request.statement)
    payload = compose(
        "revoked",
        statement.body,
        actor=statement.actor,
        key=statement.key,
        chain=folder_start(),
        log=fed.log,
        at=NOW,
    )
    other = sign(payload, [SigningKey.from_seed(b"k" * 32), OFFICER])
    assert (
        rule_of(admit, fed, replace(request, statement=other), token=token_of(fed))
        == "bad-enrolment"
    )


def folder_start():
    from governance.statements import Chain

    return Chain.START


# By file.


def test_requests_and_responses_go_by_file(fed, tmp_path):
    request = begun(fed, tmp_path / "id")
    assert read_request(write_request(request) + b"\n") == request
    reply = answer(fed, request)
    assert read_response(write_response(reply)) == reply


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]"])
def test_what_is_no_json_is_called_no_enrolment_file(data):
    with pytest.raises(PeerFault, match="no enrolment file"):
        read_response(data)


@given(st.binary(max_size=200))
def test_what_is_no_enrolment_file_is_a_peers_fault(data):
    with pytest.raises(PeerFault):
        read_request(data)
    with pytest.raises(PeerFault):
        read_response(data)


@given(
    st.dictionaries(
        st.sampled_from(["clock", "csr", "secret", "statement"]),
        st.text(max_size=10) | st.integers(0, 9),
        min_size=4,
    )
)
def test_a_request_file_of_other_values_is_a_peers_fault(fields):
    with pytest.raises(PeerFault):
        read_request(canonical.encode(fields))
