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


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n"])
def test_a_file_without_a_key_establishes_nothing_and_is_refused(text):
    with pytest.raises(Refused):
        parse_trust(text)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(Refused):
        assert parse_trust(text)
