"""Every field of every message: its limit, a value just inside and one just outside."""

from __future__ import annotations

from typing import Final

import pytest
from limits import KIB, LIMITS, MIB, Limit

from protos.codec import fields
from protos.concilium.v1 import (
    audit_pb2,
    enrolment_pb2,
    federation_pb2,
    operator_pb2,
    release_pb2,
    words_pb2,
)
from protos.errors import PeerFault

OPTIONAL: Final = {"Task.state", "SitePart.now", "Hello.quiet", "Heartbeat.quiet"}


def row(field) -> Limit:
    key = f"{field.containing_type.name}.{field.name}"
    return Limit(()) if field.message_type and not field.is_repeated else LIMITS[key]


def fit(message, *, branch: str = ""):
    """Set each field to the least that fits; of a union `branch`, or its first."""
    for field in message.DESCRIPTOR.fields:
        members = [member.name for member in getattr(field.containing_oneof, "fields", ())]
        chosen = branch if branch in members else next(iter(members), field.name)
        if field.is_repeated or field.name != chosen:
            continue
        if field.message_type:
            fit(getattr(message, field.name)).SetInParent()
        else:
            setattr(message, field.name, row(field).inside[0])
    return message


def reach(message, path: tuple[str, ...]):
    """Fit each message along the path, and return the one that holds its last field."""
    for name in path[:-1]:
        inner = getattr(fit(message, branch=name), name)
        message = inner.add() if hasattr(inner, "add") else inner
    return fit(message, branch=path[-1])


def cases(descriptor, path: tuple[str, ...] = ()):
    """Return each field's path with what must be taken there and what must be refused."""
    for field in descriptor.fields:
        here, limit, inner = (*path, field.name), row(field), field.message_type
        if inner:
            yield from cases(inner, here)
        if field.is_repeated:
            yield (
                here,
                [[], many(inner, limit, limit.count)],
                [many(inner, limit, limit.count + 1)],
            )
        if not inner:
            list_ = field.is_repeated
            inside = [[value] if list_ else value for value in limit.inside]
            yield here, inside, [[value] if list_ else value for value in limit.outside]


def many(inner, limit: Limit, count: int):
    """Return so many elements that fit, of different sites where they name one."""
    if not inner:
        return [limit.inside[0]] * count
    every = [fit(inner._concrete_class()) for _ in range(count)]
    for place, one in enumerate(every):
        if inner.name.startswith("Mask"):
            one.site = f"s{place}"
    return every


def parts(descriptor, path: tuple[str, ...] = ()):
    """Return the path of each message inside another that is neither a list nor a union."""
    for field in descriptor.fields:
        if field.message_type:
            here = (*path, field.name)
            yield from parts(field.message_type, here)
            if not field.is_repeated and not field.containing_oneof:
                yield here


def refusal(door, message) -> str:
    """Return what the door says against the message, or nothing when it lets it in."""
    try:
        door.enter(door.message.FromString(message.SerializeToString()))
    except PeerFault as fault:
        return f"{fault.rule}: {fault.what}"
    return ""


def named(field: str, what: str) -> bool:
    return what.startswith("malformed-message: ") and field in what


def with_value(door, path, value):
    message = door.message()
    holder = reach(message, path)
    if isinstance(value, list):
        getattr(holder, path[-1]).extend(value)
    else:
        setattr(holder, path[-1], value)
    return message


def test_what_is_just_inside_a_limit_is_taken(door):
    refused = [
        f"{'.'.join(path)} = {value!r:.60}: {what}"
        for path, inside, _ in cases(door.message.DESCRIPTOR)
        for value in inside
        if (what := refusal(door, with_value(door, path, value)))
    ]
    assert not refused


def test_what_is_just_outside_a_limit_is_refused_by_the_field_s_name(door):
    taken = [
        f"{'.'.join(path)} = {value!r:.60}: {what or 'taken'}"
        for path, _, outside in cases(door.message.DESCRIPTOR)
        for value in outside
        if not named(path[-1], what := refusal(door, with_value(door, path, value)))
    ]
    assert not taken


def test_a_part_that_must_be_there_is_refused_when_it_is_not(door):
    for path in parts(door.message.DESCRIPTOR):
        message = door.message()
        holder = reach(message, path)
        holder.ClearField(path[-1])
        optional = f"{holder.DESCRIPTOR.name}.{path[-1]}" in OPTIONAL
        assert bool(refusal(door, message)) is not optional, path


def test_a_union_without_a_member_is_refused(door):
    if door.message.DESCRIPTOR.oneofs:
        with pytest.raises(PeerFault):
            door.enter(door.message())


def test_a_union_of_a_later_version_is_refused(door):
    later = b"\xfa\x01\x02\x08\x01"  # field 31, a message that this version does not know
    if door.message.DESCRIPTOR.oneofs:
        with pytest.raises(PeerFault):
            door.enter(door.message.FromString(later))


def test_the_limits_are_those_of_this_version_of_the_protocol():
    assert {name: value for name, value in vars(fields).items() if type(value) is int} == {
        "ENVELOPE_BYTES": 64 * KIB,
        "DOCUMENT_BYTES": MIB,
        "CERTIFICATE_BYTES": 32 * KIB,
        "CHUNK_BYTES": MIB,
        "RESUMED_CHUNK_BYTES": 64 * KIB,
        "WINDOW_BYTES": 256 * KIB,
        "NOTE_CHARS": 64 * KIB,
        "DISCLOSURES": 32,
        "DISCLOSURE_CHARS": 64 * KIB,
        "SENTENCE_CHARS": 2000,
        "NAME_CHARS": 63,
        "PROOF_HASHES": 64,
        "FILE_BYTES": 1 << 40,
        "COUNT": 1 << 40,
    }


def test_each_row_is_of_a_field_that_there_is():
    known = {
        f"{message.name}.{field.name}"
        for file in (
            audit_pb2,
            enrolment_pb2,
            federation_pb2,
            operator_pb2,
            release_pb2,
            words_pb2,
        )
        for message in file.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
    }
    assert set(LIMITS) <= known
