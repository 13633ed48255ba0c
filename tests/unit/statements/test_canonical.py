"""JSON in one form: what is written is read, and nothing else is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance import canonical
from protos.errors import PeerFault

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=10)
integers = st.integers(-(2**53) + 1, 2**53 - 1)
flat = st.dictionaries(texts, texts | integers | st.lists(integers, max_size=3), max_size=5)


@given(flat)
def test_what_is_written_is_read(value):
    data = canonical.encode(value)
    assert canonical.decode(data) == value
    assert json.loads(data) == value


@given(flat)
def test_any_other_form_of_the_same_value_is_a_peers_fault(value):
    data = json.dumps(value, indent=1).encode()
    if data != canonical.encode(value):
        with pytest.raises(PeerFault):
            canonical.decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"b":1,"a":1}',
        b'{"a":1,"a":1}',
        b'{"a":1.0}',
        b'{"a":1e2}',
        b'{"a":true}',
        b'{"a":null}',
        b'{"a":NaN}',
        b'{"a":-0}',
        b'{"a":9007199254740992}',
        b'{"a":"\\u0061"}',
        b'{"a":"\\/"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xff"}',
        b'{"a":Infinity}',
        b'{"a":1} ',
        b"\xef\xbb\xbf{}",
        b"[]",
        b'{"a":' * 9 + b"1" + b"}" * 9,
    ],
)
def test_what_has_two_forms_is_read_in_none(data):
    with pytest.raises(PeerFault):
        canonical.decode(data)


numbers = integers | st.integers() | st.floats() | st.booleans() | st.none()
anything = st.recursive(
    texts | numbers,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=12,
)


@given(st.dictionaries(texts, anything, max_size=3))
def test_what_is_read_is_just_what_would_be_written(value):
    data = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        written = canonical.encode(value)
    except (TypeError, ValueError):
        with pytest.raises(PeerFault):
            canonical.decode(data.encode())
    else:
        assert canonical.decode(data.encode()) == value
        assert written == data.encode()


@given(st.sampled_from(range(0x110000)))
def test_each_character_has_the_form_that_the_standard_library_writes(point):
    data = json.dumps({"a": chr(point)}, separators=(",", ":"), ensure_ascii=False)
    if 0xD800 <= point < 0xE000:
        with pytest.raises(PeerFault):
            canonical.decode(json.dumps({"a": chr(point)}, separators=(",", ":")).encode())
    else:
        assert canonical.decode(data.encode()) == {"a": chr(point)}


def test_nesting_ends_at_eight():
    canonical.decode(b'{"a":' * 8 + b"1" + b"}" * 8)
    with pytest.raises(ValueError, match="deep"):
        canonical.encode(json.loads(b"[" * 9 + b"]" * 9))
