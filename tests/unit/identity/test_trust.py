"""Keys that an auditor knows from elsewhere."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.identity.keys import SigningKey
from governance.identity.trust import parse_trust, trust_lines
from protos.errors import Refused

OFFICER = SigningKey.from_seed(b"o" * 32).key_id
AGENT = SigningKey.from_seed(b"a" * 32).key_id


def test_what_a_hospital_prints_an_auditor_reads():
    text = trust_lines("charite", {"agent": [AGENT], "officer": [OFFICER]})
    assert text == f"charite officer {OFFICER}\ncharite agent {AGENT}\n"
    assert parse_trust(text) == {"charite": {OFFICER, AGENT}}


def test_hospitals_stand_one_below_the_other_with_remarks():
    text = (
        "# by telephone, 21 November\n\n"
        + trust_lines("charite", {"officer": [OFFICER]})
        + trust_lines("oslo", {"officer": [AGENT]})
    )
    assert parse_trust(text) == {"charite": {OFFICER}, "oslo": {AGENT}}


def test_every_bad_line_is_named():
    text = f"charite officer {OFFICER}\nnonsense\ncharite boss {OFFICER}\ncharite agent x\n"
    with pytest.raises(Refused) as refusal:
        parse_trust(text, where="keys.txt")
    for place in ("keys.txt:2", "keys.txt:3", "keys.txt:4"):
        assert place in str(refusal.value)
    assert "keys.txt:1" not in str(refusal.value)


def test_a_bad_key_is_said_with_its_file_its_line_and_its_hospital():
    with pytest.raises(Refused) as refusal:
        parse_trust(f"charite officer {OFFICER}\noslo agent ed25519:12\n", where="keys.txt")
    assert str(refusal.value).startswith("keys.txt:2: the agent key of oslo is none: ")
    assert "concilium-site key" in refusal.value.todo


def test_a_key_of_another_name_than_there_is_says_which_there_are():
    with pytest.raises(Refused) as refusal:
        parse_trust(f"oslo boss {OFFICER}\n", where="keys.txt")
    assert "keys.txt:1: oslo has no key called boss, but officer, agent" in str(refusal.value)


def test_the_keys_that_an_export_brings_along_are_no_trust_in_it():
    with pytest.raises(Refused) as refusal:
        parse_trust('[\n {"from_seq": 12}\n]', where="export/keys.json")
    assert str(refusal.value).startswith("export/keys.json is JSON")
    assert "\n" not in refusal.value.what


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n"])
def test_a_file_without_a_key_establishes_nothing_and_is_refused(text):
    with pytest.raises(Refused):
        parse_trust(text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(Refused):
        assert parse_trust(text)
