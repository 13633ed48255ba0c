"""What a statement is, and that nothing else is read as one."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance import canonical
from governance.dsse import ENVELOPE_LIMIT_BYTES, pae
from governance.identity.keys import SigningKey
from governance.statements import (
    PAYLOAD_TYPE,
    Chain,
    Log,
    check_disclosures,
    check_signatures,
    commitment,
    compose,
    countersign,
    disclose,
    parse_time,
    read,
    sign,
    timestamp,
)
from protos.errors import PeerFault, Refused
from protos.words import Digest, Disclosure

KEY = SigningKey.from_seed(bytes(range(32)))
OTHER = SigningKey.from_seed(bytes(range(32, 64)))
LOG = Log.of("heart", Digest("ab" * 32))
AT = datetime(2026, 11, 21, 10, 46, tzinfo=UTC)
SALT = bytes(32)

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
integers = st.integers(-(2**53) + 1, 2**53 - 1)
values = st.recursive(
    texts | integers,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
).filter(lambda value: _depth(value) < 6)
bodies = st.dictionaries(texts, values, max_size=5)


def _depth(value):
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list):
        return 0
    return 1 + max((_depth(item) for item in inner), default=0)


def made(kind="consent-given", body=None, chain=Chain.START, **more):
    return compose(
        kind,
        {"agreement": "x"} if body is None else body,
        **{
            "actor": "site/charite",
            "key": KEY.key_id,
            "chain": chain,
            "log": LOG,
            "at": AT,
            **more,
        },
    )


def tampered(**change):
    """An envelope signed with its fields changed, whatever compose would say to them."""
    fields = {**json.loads(made()), **change}
    return sign(canonical.encode({k: v for k, v in fields.items() if v is not None}), [KEY])


def test_pae_is_the_published_vector():
    assert (
        pae("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_pae_counts_bytes_and_not_characters():
    assert pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


@given(body=bodies, counter=st.integers(0, 10**9), at=st.datetimes(timezones=st.just(UTC)))
def test_what_is_composed_and_signed_is_read_again(body, counter, at):
    chain = Chain(counter, Digest("cd" * 32))
    told = disclose("reason", "because", salt=SALT)
    payload = made(body=body, chain=chain, at=at, disclosures=[told])
    statement = read(sign(payload, [KEY, OTHER]))
    check_signatures(statement, [KEY.key_id, OTHER.key_id])
    check_disclosures(statement, [told])
    assert statement.payload == payload
    assert statement.body == body
    assert statement.at == at
    assert (statement.counter, statement.previous) == (counter + 1, chain.previous)
    assert (statement.actor, statement.key, statement.log) == ("site/charite", KEY.key_id, LOG)
    assert statement.chain == Chain(counter + 1, statement.digest)


@given(place=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_any_flipped_byte_is_refused(place, flip):
    envelope = bytearray(sign(made(), [KEY]))
    envelope[place % len(envelope)] ^= flip
    with pytest.raises((PeerFault, Refused)):
        check_signatures(read(bytes(envelope)), [KEY.key_id])


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_a_peers_fault_and_nothing_else(data):
    with pytest.raises(PeerFault):
        read(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(
    field=st.sampled_from(sorted(json.loads(made()))),
    value=json_values,
)
def test_a_hostile_field_raises_a_peers_fault_and_nothing_else(field, value):
    payload = json.dumps({**json.loads(made()), field: value}, sort_keys=True).encode()
    envelope = json.dumps(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": KEY.key_id, "sig": ""}],
        }
    ).encode()
    with pytest.raises(PeerFault):
        read(envelope)


@given(payload=json_values, kind=json_values, signatures=json_values)
def test_a_hostile_envelope_raises_a_peers_fault_and_nothing_else(payload, kind, signatures):
    whole = {"payload": payload, "payloadType": kind, "signatures": signatures}
    with pytest.raises(PeerFault):
        read(json.dumps(whole, sort_keys=True, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"a":' + b"9" * 5_000 + b"}",
        b'{"a":"\\ud800"}',
        b'{"payload":NaN}',
        b"x" * (ENVELOPE_LIMIT_BYTES + 1),
        b"",
        b"null",
        b"\xff",
    ],
    ids=["lists", "dicts", "digits", "surrogate", "nan", "long", "empty", "null", "utf8"],
)
def test_bombs_raise_a_peers_fault(data):
    with pytest.raises(PeerFault):
        read(data)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"counter": 0},
        {"counter": "1"},
        {"kind": "Consent"},
        {"actor": "site/"},
        {"actor": "root"},
        {"actor": "site/A"},
        {"at": "2026-11-21T10:46:00Z"},
        {"at": "2026-13-21T10:46:00.000000Z"},
        {"previous": "AB" * 32},
        {"root": "ab"},
        {"federation": "other"},
        {"federation": "x/y", "log": "concilium/x/y"},
        {"log": "concilium/other"},
        {"body": "x"},
        {"disclosed": {"reason": "x"}},
        {"disclosed": {"Reason": "ab" * 32}},
        {"key": "ed25519:" + "00" * 32},
        {"key": OTHER.key_id},
        {"more": "x"},
        {"kind": None},
    ],
    ids=str,
)
def test_a_field_out_of_its_range_is_a_peers_fault_though_well_signed(change):
    with pytest.raises(PeerFault):
        read(tampered(**change))


def test_another_form_of_the_same_json_is_not_read():
    envelope = sign(made(), [KEY])
    with pytest.raises(PeerFault):
        read(envelope + b"\n")
    with pytest.raises(PeerFault):
        read(json.dumps(json.loads(envelope)).encode())


def test_a_payload_with_a_key_twice_is_not_read():
    payload = made().replace(b'"counter":1', b'"counter":9,"counter":1')
    with pytest.raises(PeerFault):
        read(sign(payload, [KEY]))


def test_another_payload_type_is_not_read_although_signed():
    outer = json.loads(sign(made(), [KEY]))
    outer["payloadType"] = "application/vnd.in-toto+json"
    with pytest.raises(PeerFault):
        read(canonical.encode(outer))


def test_a_key_that_did_not_sign_is_refused():
    statement = read(sign(made(), [KEY]))
    check_signatures(statement, [KEY.key_id])
    with pytest.raises(Refused) as refusal:
        check_signatures(statement, [KEY.key_id, OTHER.key_id])
    assert refusal.value.rule == "bad-signature"


def test_a_signature_moved_to_another_statement_is_refused():
    first, second = made(), made(kind="consent-withdrawn")
    moved = json.loads(sign(second, [KEY]))
    moved["signatures"] = json.loads(sign(first, [KEY]))["signatures"]
    with pytest.raises(Refused):
        check_signatures(read(canonical.encode(moved)), [KEY.key_id])


def test_a_statement_that_its_own_key_did_not_sign_is_not_read():
    with pytest.raises(PeerFault):
        read(sign(made(), [OTHER]))


def test_a_countersignature_leaves_the_statement_as_it_is():
    once = sign(made(), [KEY])
    twice = countersign(once, OTHER)
    assert read(twice).digest == read(once).digest
    assert twice == sign(made(), [OTHER, KEY])
    check_signatures(read(twice), [KEY.key_id, OTHER.key_id])


@pytest.mark.parametrize("value", [1.5, None, True, b"x", {1: "x"}, {"x": {"y": 2.0}}])
def test_what_has_many_forms_is_never_composed(value):
    with pytest.raises(TypeError):
        made(body={"value": value})


def test_what_nobody_would_read_is_never_composed():
    with pytest.raises(ValueError, match="actor"):
        made(actor="site/Charité")
    with pytest.raises(ValueError, match="kind"):
        made(kind="Consent")
    with pytest.raises(ValueError, match="integer"):
        made(body={"n": 2**53})
    with pytest.raises(ValueError, match="label"):
        made(disclosures=[disclose("a", "x", salt=SALT)] * 2)


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(Refused):
        made(body={"reason": "\udcff"})
    with pytest.raises(Refused):
        commitment(Disclosure("reason", SALT, "\udcff"))


def test_a_statement_too_large_for_an_entry_is_refused():
    with pytest.raises(Refused) as refusal:
        made(body={"text": "x" * ENVELOPE_LIMIT_BYTES})
    assert refusal.value.rule == "statement-too-large"
    read(sign(made(body={"text": "x" * 40_000}), [KEY] * 16))


def test_a_commitment_is_the_documented_hash():
    told = disclose("reason", "é", salt=bytes(range(32)))
    data = b"reason" + b"\x00" + bytes(range(32)) + b"\xc3\xa9"
    assert commitment(told) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "told",
    [
        Disclosure("reason", SALT, "another"),
        Disclosure("reason", bytes([1]) * 32, "because"),
        Disclosure("cause", SALT, "because"),
        Disclosure("reason", SALT[:-1], "because"),
    ],
)
def test_a_disclosure_that_was_not_committed_to_is_refused(told):
    statement = read(sign(made(disclosures=[disclose("reason", "because", salt=SALT)]), [KEY]))
    check_disclosures(statement, [disclose("reason", "because", salt=SALT)])
    with pytest.raises(Refused) as refusal:
        check_disclosures(statement, [told])
    assert refusal.value.rule == "disclosure-mismatch"


def test_a_value_disclosed_twice_is_refused():
    told = disclose("reason", "because", salt=SALT)
    statement = read(sign(made(disclosures=[told]), [KEY]))
    with pytest.raises(Refused):
        check_disclosures(statement, [told, told])


def test_an_erased_disclosure_leaves_the_statement_whole():
    told = disclose("reason", "because", salt=SALT)
    check_disclosures(read(sign(made(disclosures=[told]), [KEY])), [])


def test_times_have_one_form():
    assert timestamp(AT) == "2026-11-21T10:46:00.000000Z"
    berlin = datetime(2026, 11, 21, 11, 46, tzinfo=timezone(timedelta(hours=1)))
    assert timestamp(berlin) == timestamp(AT)
    assert parse_time(timestamp(AT)) == AT
    with pytest.raises(ValueError, match="zone"):
        timestamp(datetime(2026, 11, 21))  # noqa: DTZ001 - the point


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-21T10:46:00Z",
        "2026-11-21T10:46:00.000000+00:00",
        "2026-11-21 10:46:00.000000Z",
        "2026-02-30T10:46:00.000000Z",
        "2026-11-21T24:46:00.000000Z",
        "२026-11-21T10:46:00.000000Z",
    ],
)
def test_another_form_of_a_time_is_a_peers_fault(text):
    with pytest.raises(PeerFault):
        parse_time(text)
