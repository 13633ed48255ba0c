"""What an enrolled folder keeps: of its own keys and federation, and nothing of a stranger."""

from __future__ import annotations

from dataclasses import replace

import pytest
from authorities import NOW
from newcomers import LATER, OFFICER, admit, answer, begun, enrolled, rule_of, token_of

from governance.identity import authority, folder
from governance.identity.certificate import make_csr, make_tls_key
from governance.identity.folder import Identity
from governance.statements import read
from protos.errors import Corrupt


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
