"""One token, one name, one time; and nothing is sent to or kept from a stranger."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance import canonical
from governance.identity import authority, folder
from governance.identity.certificate import make_csr, make_tls_key
from governance.identity.clock import check_clock
from governance.identity.enrolment import (
    Token,
    check_enrolment,
    check_invitation,
    enrolled_body,
    enrolled_statement,
    invitation_of,
    mint,
    read_token,
    secret_hash,
)
from governance.identity.enrolment_files import (
    read_request,
    read_response,
    write_request,
    write_response,
)
from governance.identity.folder import Identity
from governance.identity.keys import SigningKey
from governance.statements import Log, check_signatures, compose, read, sign
from protos.errors import Corrupt, PeerFault, Refused
from protos.words import Digest, Enrolled

NOW = datetime(2026, 11, 21, 10, 46, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
OFFICER = SigningKey.from_seed(bytes(range(32)))


@pytest.fixture
def fed(tmp_path):
    return authority.create(
        tmp_path / "coordinator",
        federation="heart",
        host="localhost",
        passphrase=b"correct horse",
        now=NOW,
    )


def token_of(fed, *, role="site", name="charite", secret=bytes(32)):
    return Token(
        federation="heart",
        role=role,
        name=name,
        root=fed.root_fingerprint,
        enrolment="localhost:8444",
        coordinator="localhost:8443",
        secret=secret,
    )


def admit(fed, request, *, token, now=NOW, **change):
    invitation = replace(invitation_of(token, expires=NOW + timedelta(days=1)), **change)
    return check_enrolment(request, invitation=invitation, log=fed.log, now=now)


def answer(fed, request, *, name="charite", role="site"):
    certificate = fed.issue(request.csr, name=name, role=role, now=NOW)
    key = f"concilium/heart+{'0' * 8}+AAAA"
    return Enrolled(certificate.pem_chain, fed.root_pem, key)


def enrolled(fed, path):
    token = token_of(fed)
    request = folder.prepare(path, token, officers=[OFFICER], now=NOW)
    admit(fed, request, token=token)
    return folder.finish(path, answer(fed, request), now=NOW)


def rule_of(call, *args, **kwargs):
    with pytest.raises((Refused, PeerFault)) as refusal:
        call(*args, **kwargs)
    return refusal.value.rule


# The token.


def test_a_token_is_read_as_it_was_minted(fed):
    token = token_of(fed, secret=bytes(range(32)))
    assert mint(token).startswith("concilium1.")
    again = read_token(f"  {mint(token)}\n")
    assert again == token
    assert again.secret == token.secret


def test_a_tokens_secret_is_not_shown(fed):
    token = token_of(fed, secret=b"\xab" * 32)
    assert "ab" * 32 not in repr(token)
    assert "\\xab" not in repr(token)


@given(st.text(max_size=80))
def test_what_is_no_token_is_refused(text):
    assert rule_of(read_token, text) == "bad-token"
    assert rule_of(read_token, f"concilium1.{text}") == "bad-token"


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8) | st.integers(0, 9)))
def test_a_token_of_other_fields_is_refused(fields):
    text = base64.urlsafe_b64encode(canonical.encode(fields)).decode()
    assert rule_of(read_token, f"concilium1.{text}") == "bad-token"


@pytest.mark.parametrize(
    "change",
    [
        {"role": "coordinator"},
        {"role": "root"},
        {"name": "Charité"},
        {"federation": ""},
        {"root": Digest("ab")},
        {"secret": bytes(31)},
        {"coordinator": "localhost"},
        {"coordinator": ""},
        {"coordinator": "localhost:99999"},
        {"enrolment": "evil host:1"},
    ],
)
def test_a_token_out_of_range_is_refused(fed, change):
    assert rule_of(read_token, mint(replace(token_of(fed), **change))) == "bad-token"


def test_a_token_cut_short_is_refused(fed):
    text = mint(token_of(fed))
    for length in range(0, len(text), 7):
        assert rule_of(read_token, text[:length]) == "bad-token"


# The invitation.


def checked(fed, **change):
    token = token_of(fed)
    asked = {"now": NOW, "name": "charite", "role": "site"}
    invitation = invitation_of(token, expires=LATER)
    given_ = {
        "invitation": replace(invitation, **change.pop("invitation", {})),
        "secret": change.pop("secret", token.secret),
    }
    return check_invitation(given_["invitation"], given_["secret"], **{**asked, **change})


def test_an_invitation_admits_its_name_once_in_time(fed):
    checked(fed)
    checked(fed, now=LATER)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"secret": b"x" * 32}, "token-unknown"),
        ({"name": "oslo"}, "token-for-another"),
        ({"role": "operator"}, "token-for-another"),
        ({"now": LATER + timedelta(seconds=1)}, "token-expired"),
        ({"invitation": {"used_by": Digest("ab" * 32)}}, "token-used"),
        (
            {"invitation": {"used_by": Digest("ab" * 32)}, "statement": Digest("cd" * 32)},
            "token-used",
        ),
    ],
)
def test_a_token_is_refused(fed, change, rule):
    assert rule_of(checked, fed, **change) == rule


def test_nobodys_token_is_refused():
    assert (
        rule_of(check_invitation, None, bytes(32), now=NOW, name="a", role="site")
        == "token-unknown"
    )


def test_only_the_hash_of_a_secret_is_kept(fed):
    invitation = invitation_of(token_of(fed), expires=LATER)
    assert invitation.secret_hash == secret_hash(bytes(32))
    assert bytes(32).hex() not in repr(invitation)


# The request.


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


# The folder.


def test_an_enrolled_identity_is_loaded_again(fed, tmp_path):
    path = tmp_path / "heart"
    identity = enrolled(fed, path)
    again = Identity.load(path)
    assert again == identity
    assert (again.federation, again.actor) == ("heart", "site/charite")
    assert again.coordinator == "localhost:8443"
    assert again.log == fed.log
    assert again.peer.actor == "site/charite"
    assert again.signing_key().key_id.startswith("ed25519:")
    assert {p.name for p in path.iterdir()} == {
        "agent.key",
        "federation.json",
        "root.pem",
        "tls.key",
        "tls.pem",
    }
    assert path.stat().st_mode & 0o777 == 0o700
    for name in ("agent.key", "tls.key"):
        assert (path / name).stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in repr(again)


@pytest.mark.parametrize(
    ("role", "file"), [("operator", "operator.key"), ("auditor", "auditor.key")]
)
def test_operators_and_auditors_enrol_without_officers(fed, tmp_path, role, file):
    token = token_of(fed, role=role, name="ann")
    request = folder.prepare(tmp_path / "id", token, now=NOW)
    assert admit(fed, request, token=token).body["needed"] == 0
    reply = answer(fed, request, name="ann", role=role)
    assert folder.finish(tmp_path / "id", reply, now=NOW).actor == f"{role}/ann"
    assert (tmp_path / "id" / file).exists()


def test_a_site_does_not_enrol_without_an_officer(fed, tmp_path):
    assert rule_of(folder.prepare, tmp_path, token_of(fed), now=NOW) == "officer-needed"


def test_an_enrolled_folder_is_not_enrolled_again(fed, tmp_path):
    enrolled(fed, tmp_path / "id")
    assert (
        rule_of(folder.prepare, tmp_path / "id", token_of(fed), officers=[OFFICER], now=NOW)
        == "already-enrolled"
    )


def test_a_new_token_in_a_begun_folder_keeps_the_keys(fed, tmp_path):
    first = folder.prepare(tmp_path, token_of(fed), officers=[OFFICER], now=NOW)
    token = token_of(fed, secret=b"n" * 32)
    second = folder.prepare(tmp_path, token, officers=[OFFICER], now=LATER)
    assert read(second.statement).key == read(first.statement).key
    assert second.secret == token.secret
    assert admit(fed, second, token=token, now=LATER)


def begun(fed, path):
    return folder.prepare(path, token_of(fed), officers=[OFFICER], now=NOW)


def test_a_stranger_in_the_coordinators_place_is_refused_and_nothing_is_kept(fed, tmp_path):
    stranger = authority.create(
        tmp_path / "stranger", federation="heart", host="x", passphrase=b"x", now=NOW
    )
    request = begun(fed, tmp_path / "id")
    reply = answer(stranger, request)
    assert rule_of(folder.finish, tmp_path / "id", reply, now=NOW) == "wrong-root"
    assert not (tmp_path / "id" / "federation.json").exists()
    assert not (tmp_path / "id" / "tls.pem").exists()


def test_a_certificate_for_another_name_or_key_is_refused(fed, tmp_path):
    path = tmp_path / "id"
    request = begun(fed, path)
    another = answer(fed, request, name="oslo")
    assert rule_of(folder.finish, path, another, now=NOW) == "wrong-name"
    other_key = answer(fed, replace(request, csr=make_csr(make_tls_key())))
    assert rule_of(folder.finish, path, other_key, now=NOW) == "wrong-key"
    other_log = replace(answer(fed, request), ledger_key="concilium/lung+00000000+AA")
    assert rule_of(folder.finish, path, other_log, now=NOW) == "wrong-log"
    assert folder.finish(path, answer(fed, request), now=NOW)


def test_nothing_is_finished_that_was_not_begun(fed, tmp_path):
    request = begun(fed, tmp_path / "a")
    (tmp_path / "b").mkdir()
    assert rule_of(folder.finish, tmp_path / "b", answer(fed, request), now=NOW) == "not-begun"


def test_a_folder_where_nobody_is_enrolled_says_so(fed, tmp_path):
    assert rule_of(Identity.load, tmp_path) == "not-enrolled"
    begun(fed, tmp_path / "id")
    assert rule_of(Identity.load, tmp_path / "id") == "not-enrolled"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"federation": 1}', "\xff"])
def test_a_folder_written_by_another_hand_is_corrupt(fed, tmp_path, text):
    enrolled(fed, tmp_path / "id")
    (tmp_path / "id" / "federation.json").write_text(text, encoding="latin-1")
    with pytest.raises(Corrupt):
        Identity.load(tmp_path / "id")


def test_an_officer_key_is_made_once(tmp_path):
    path = tmp_path / "keys" / "officer.pem"
    made = folder.officer_key(path, b"secret")
    assert folder.officer_key(path, b"secret").key_id == made.key_id
    assert rule_of(folder.officer_key, path, b"wrong") == "wrong-passphrase"


# By file.


def test_requests_and_responses_go_by_file(fed, tmp_path):
    request = begun(fed, tmp_path / "id")
    assert read_request(write_request(request) + b"\n") == request
    reply = answer(fed, request)
    assert read_response(write_response(reply)) == reply


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
