"""One token, one name, one time: what is no token, and what a token does not admit."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta

import pytest
from authorities import NOW
from hypothesis import given
from hypothesis import strategies as st
from newcomers import LATER, rule_of, token_of

from governance import canonical
from governance.identity.enrolment import (
    check_invitation,
    invitation_of,
    mint,
    read_token,
    secret_hash,
)
from protos.words import Digest


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
