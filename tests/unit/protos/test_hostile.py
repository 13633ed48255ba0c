"""Whatever a peer sends is a word, a PeerFault or no message at all: never another error."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protos import codec
from protos.errors import PeerFault

HEX: Final = "0123456789abcdef" * 4
TEXTS: Final = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
    st.sampled_from(
        ["", HEX, HEX.upper(), f"ed25519:{HEX}", "north-general", "3/1/train", "no-consent"]
    ),
    st.sampled_from(
        ["2026-11-21T10:46:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"]
    ),
    st.sampled_from(
        ["2026-11-21T10:46:60Z", "2026-11-21T10:46:00+00:00", "\uff12026-11-21T10:46:00Z"]
    ),
)
WHOLE: Final = {
    "uint32": st.integers(0, (1 << 32) - 1) | st.integers(0, 3),
    "uint64": st.integers(0, (1 << 64) - 1) | st.integers(0, 3),
    "enum": st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(0, 3),
}
"""By the kind that a field has on the wire; small ones too, so that some get in."""


def anything(field) -> st.SearchStrategy[Any]:
    """Return any value that the wire can carry in the field."""
    if field.message_type:
        return messages(field.message_type._concrete_class)
    return {
        field.TYPE_STRING: TEXTS,
        field.TYPE_BYTES: st.binary(max_size=40) | st.just(bytes(32)),
        field.TYPE_BOOL: st.booleans(),
        field.TYPE_DOUBLE: st.floats(),
        field.TYPE_UINT32: WHOLE["uint32"],
        field.TYPE_UINT64: WHOLE["uint64"],
        field.TYPE_ENUM: WHOLE["enum"],
    }[field.type]


@cache
def messages(message: type[Any]) -> st.SearchStrategy[Any]:
    """Return messages with any of their fields, holding anything; of a union one or none."""
    alone = {
        field.name: st.lists(anything(field), max_size=3)
        if field.is_repeated
        else anything(field)
        for field in message.DESCRIPTOR.fields
        if not field.containing_oneof
    }
    plain = st.fixed_dictionaries({}, optional=alone)
    filled = st.fixed_dictionaries(alone)
    unions = [
        st.one_of(
            *(
                anything(field).map(lambda value, name=field.name: {name: value})
                for field in union.fields
            ),
            st.just({}),
        )
        for union in message.DESCRIPTOR.oneofs
    ]
    return st.tuples(plain | filled, *unions).map(
        lambda drawn: message(**{name: value for part in drawn for name, value in part.items()})
    )


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_any_message_is_a_word_or_a_peer_s_fault(door, data):
    message = data.draw(messages(door.message))
    try:
        word = door.enter(message)
    except PeerFault:
        return
    again = door.message.FromString(door.leave(word).SerializeToString())
    assert door.enter(again) == word


@given(sent=st.binary(max_size=300))
@settings(max_examples=60)
def test_any_bytes_are_a_word_a_peer_s_fault_or_no_message(door, sent):
    try:
        door.enter(door.message.FromString(sent))
    except (PeerFault, DecodeError):
        return


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_a_message_damaged_on_its_way_is_no_crash(door, data):
    sent = bytearray(data.draw(messages(door.message)).SerializeToString())
    where = data.draw(st.integers(0, len(sent)))
    cut = data.draw(st.integers(0, 8))
    sent[where : where + cut] = data.draw(st.binary(max_size=8))
    try:
        door.enter(door.message.FromString(bytes(sent)))
    except (PeerFault, DecodeError):
        return


@pytest.mark.parametrize(
    "parse",
    [codec.from_site_parse, codec.to_site_parse, codec.act_parse],
    ids=lambda f: f.__name__,
)
@given(stored=st.binary(max_size=300))
def test_stored_bytes_that_are_no_message_are_told_apart(parse, stored):
    try:
        parse(stored)
    except (PeerFault, DecodeError):
        return


def test_a_text_that_is_no_utf_8_never_becomes_a_word(door):
    for field in door.message.DESCRIPTOR.fields:
        if field.type == field.TYPE_STRING:
            raw = bytes([field.number << 3 | 2, 2, 0xFF, 0xFE])
            if field.number < 16:
                with pytest.raises(DecodeError):
                    door.message.FromString(raw)
