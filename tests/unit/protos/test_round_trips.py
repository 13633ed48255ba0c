"""Every word survives its message, whatever it holds."""

from __future__ import annotations

import enum
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, Final, NewType, Union, get_args, get_origin, get_type_hints

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protos import codec, words, words_masks, words_operator

KNOWN: Final = {"datetime": datetime, "Mapping": Mapping, **vars(words), **vars(words_masks)}
DIGESTS: Final = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
RULES: Final = st.from_regex(r"([a-z0-9](-?[a-z0-9]){0,31})?", fullmatch=True)
TASKS: Final = st.from_regex(r"[a-z0-9][a-z0-9./-]{0,30}", fullmatch=True)
SIGNS: Final = st.characters(exclude_categories=("Cc", "Cs"))
LINES: Final = st.text(SIGNS, max_size=20)
TEXTS: Final = st.text(SIGNS | st.sampled_from("\n\t"), min_size=1, max_size=30)
UINT32: Final = st.integers(0, (1 << 32) - 1)
FROM_ONE: Final = st.integers(1, 1 << 40)

BY_TYPE: Final[dict[Any, st.SearchStrategy[Any]]] = {
    bool: st.booleans(),
    int: st.integers(0, 1 << 40),
    float: st.floats(0, 3600, exclude_min=True),
    str: LINES,
    bytes: st.binary(min_size=2, max_size=40),
    datetime: st.datetimes(timezones=st.just(UTC)),
    words.Digest: DIGESTS,
    words.KeyId: st.from_regex(r"(ed25519|x509):[0-9a-f]{64}", fullmatch=True),
    words.SiteName: st.from_regex(r"[a-z0-9](-?[a-z0-9]){0,31}", fullmatch=True),
    words.TaskId: TASKS,
}

SITES: Final = st.lists(BY_TYPE[words.SiteName], max_size=5).map(tuple)

BY_FIELD: Final[dict[str, st.SearchStrategy[Any]]] = {
    "rule": RULES,
    "AgreementState.state": RULES,
    "Vector.values": st.binary(min_size=1, max_size=20).map(lambda drawn: drawn * 4),
    "Heartbeat.task": st.just("") | TASKS,
    "salt": st.binary(min_size=32, max_size=32),
    "secret": st.binary(min_size=32, max_size=32),
    "consistency": st.lists(st.binary(min_size=32, max_size=32), max_size=64).map(tuple),
    "inclusion": st.lists(st.binary(min_size=32, max_size=32), max_size=64).map(tuple),
    "agreements": st.lists(st.binary(min_size=2, max_size=40), max_size=2).map(tuple),
    "release": BY_TYPE[words.SiteName],
    "checkpoint": TEXTS,
    "label": TEXTS,
    "note": TEXTS,
    "sentence": TEXTS,
    "value": TEXTS,
    "role": st.text(SIGNS, max_size=20),
    "name": BY_TYPE[words.SiteName],
    "agreement": st.just("") | DIGESTS,
    "proposed": st.just("") | DIGESTS,
    "proposed_material": st.just("") | DIGESTS,
    "operator_previous": DIGESTS,
    "protocol": st.integers(1, 1000),
    "protocol_lowest": st.integers(0, 1000),
    "protocol_highest": st.integers(0, 1000),
    "steps_done": UINT32,
    "message_limit_bytes": UINT32.filter(bool),
    "StatusReport.attempt": UINT32,
    "RoundsRequest.round": st.integers(0, 1 << 40),
    "RoundsRequest.most": st.integers(1, 200),
    "AttemptStatus.agreement": DIGESTS,
    "AttemptStatus.model_in": st.just("") | DIGESTS,
    "AttemptStatus.model_out": st.just("") | DIGESTS,
    "AttemptStatus.reason": RULES,
    "AttemptStatus.updates": UINT32,
    "SitePart.reason": RULES,
    "ReleaseStatus.agreement": DIGESTS,
    "attempt": st.integers(1, 1000),
    "StatusReport.round": st.integers(0, 1 << 40),
    "site": BY_TYPE[words.SiteName],
    "survivors": SITES,
    "dropped": SITES,
    "Survivors.sites": SITES,
    "mask": st.binary(min_size=32, max_size=32),
    "share": st.binary(min_size=32, max_size=32),
    "signature": st.binary(min_size=64, max_size=64),
    "commitment": DIGESTS,
    "round": FROM_ONE,
    "size": FROM_ONE,
}
"""What a field's type alone does not say, for all of that name or for one word's."""


def valued(hint: Any) -> st.SearchStrategy[Any]:
    """Return values of a type: a table's, an enum's, a union's, a tuple's or a word's."""
    if hint in BY_TYPE:
        return BY_TYPE[hint]
    if get_origin(hint) in {Union, types.UnionType}:
        return st.one_of([valued(arm) for arm in get_args(hint)])
    if get_origin(hint) is tuple:
        return st.lists(valued(get_args(hint)[0]), max_size=3).map(tuple)
    if get_origin(hint) is Mapping:
        return st.dictionaries(BY_TYPE[words.SiteName], st.binary(min_size=64, max_size=148))
    if hint is type(None):
        return st.none()
    return st.sampled_from(hint) if issubclass(hint, enum.Enum) else worded(hint)


def worded(word: type[Any]) -> st.SearchStrategy[Any]:
    """Return words of a class, each field by the tables or by its type."""
    hints = get_type_hints(word, localns=KNOWN)
    return st.builds(word, **{name: _field(word, name, hint) for name, hint in hints.items()})


def _field(word: type[Any], name: str, hint: Any) -> st.SearchStrategy[Any]:
    """Return values by the word's own row, by the type's name, by the field's, or by type."""
    own = f"{word.__name__}.{name}"
    if own in BY_FIELD:
        return BY_FIELD[own]
    if name in BY_FIELD and not isinstance(hint, NewType):
        return BY_FIELD[name]
    return valued(hint)


SPECIAL: Final = {"note": TEXTS, "proof": BY_FIELD["consistency"]}
"""Words that are a plain text or plain bytes."""


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_a_word_survives_its_message(door, data):
    word = data.draw(SPECIAL[door.name] if door.name in SPECIAL else valued(door.word))
    sent = door.leave(word).SerializeToString()
    assert door.enter(door.message.FromString(sent)) == word


@given(word=worded(words.FromSite))
def test_what_a_site_keeps_to_send_again_reads_as_it_was(word):
    assert codec.from_site_parse(codec.from_site_bytes(word)) == word


@given(word=worded(words.ToSite))
def test_what_the_coordinator_keeps_to_send_again_reads_as_it_was(word):
    assert codec.to_site_parse(codec.to_site_bytes(word)) == word


@given(word=worded(words_operator.OperatorAct))
def test_an_act_that_waits_for_a_second_operator_reads_as_it_was(word):
    assert codec.act_parse(codec.act_bytes(word)) == word


def test_every_word_goes_through_some_door(doors):
    reached: set[type] = set()

    def reach(hint: Any) -> None:
        if is_dataclass(hint) and hint not in reached:
            reached.add(hint)
            hints = get_type_hints(hint, localns=KNOWN)
            for field in fields(hint):
                reach(hints[field.name])
        for arm in get_args(hint):
            reach(arm)

    for door in doors:
        reach(door.word)
    modules = (words, words_masks, words_operator)
    known = [value for module in modules for value in vars(module).values()]
    assert reached == {word for word in known if is_dataclass(word)}


def test_a_message_keeps_every_member_of_a_union(doors):
    unions = {"from_site": words.FromSiteBody, "to_site": words.ToSiteBody}
    for door in doors:
        if door.name in unions:
            (union,) = door.message.DESCRIPTOR.oneofs
            assert len(union.fields) == len(get_args(unions[door.name]))
