"""The document is canonical, reads back as itself, and no peer can send another form."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance import canonical
from governance.agreement.load import load, parse
from protos.errors import PeerFault, Refused


def test_canonical_document_reads_back_as_itself(agreement_file):
    document = load(agreement_file)
    assert parse(document.raw) == document
    assert parse(document.raw).raw == document.raw


def test_document_does_not_depend_on_how_the_file_is_written(changed, agreement_file):
    first = load(agreement_file)
    second = load(
        changed(
            ("noise_multiplier: 1.25", "noise_multiplier: 1.250"),
            ("delta: 1.0e-5", "delta: 0.00001"),
            ("deadline: 2h", "deadline: 1h60m"),
            ("subgroups: [sex, age_band]", "subgroups: [age_band, sex]"),
            ("server_rate: 1.0", "server_rate: 1"),
            ("days: [mon, tue, wed, thu, fri]", "days: [fri, mon, tue, wed, thu]"),
            ("from: 2027-01-01,", "from: 2027-01-01T01:00:00+01:00,"),
            ("  late: discard ", "  # late is discard "),
            name="second.yaml",
        )
    )
    assert first.raw == second.raw


def test_order_that_means_something_is_kept(changed, agreement_file):
    swapped = load(changed(("values: [f, m]", "values: [m, f]"), name="second.yaml"))
    assert swapped.material != load(agreement_file).material


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw + b"\n",
        lambda raw: raw.replace(b'"rounds":40', b'"rounds":40.0'),
        lambda raw: raw.replace(b'"rounds":40', b'"rounds":"40"'),
        lambda raw: raw.replace(b'"0.00001"', b'"0.000010"'),
        lambda raw: raw.replace(b'"0.00001"', b"0.00001"),
        lambda raw: raw.replace(b'"secure":"false"', b'"secure":false'),
        lambda raw: raw.replace(b'"notice":1209600', b'"notice":"14d"'),
        lambda raw: raw.replace(b"patients' records", b"patients' pencils"),
        lambda raw: raw.replace(b'["age_band","sex"]', b'["sex","age_band"]'),
        lambda raw: raw.replace(b'"momentum":"0",', b""),
        lambda raw: raw.replace(b'"seed":1', b'"seed":1,"seed":1'),
        lambda raw: b"{}",
        lambda raw: b"[]",
        lambda raw: b"",
        lambda raw: b"[" * 100_000,
        lambda raw: b" " * ((1 << 20) + 1),
    ],
)
def test_document_in_another_form_is_a_peers_fault(agreement_file, spoil):
    raw = load(agreement_file).raw
    spoilt = spoil(raw)
    assert spoilt != raw
    with pytest.raises(PeerFault):
        parse(spoilt)


def test_unknown_schema_version_is_refused_and_never_guessed(agreement_file):
    fields = json.loads(load(agreement_file).raw)
    fields["agreement"]["agreement"] = 2
    with pytest.raises(Refused) as caught:
        parse(canonical.encode(fields))
    assert caught.value.rule == "unknown-agreement-schema"


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**9), st.integers(1, 255))
@pytest.mark.slow
def test_one_wrong_byte_is_noticed_or_gives_another_digest(agreement_file, at, flip):
    document = load(agreement_file)
    spoilt = bytearray(document.raw)
    spoilt[at % len(spoilt)] ^= flip
    try:
        other = parse(bytes(spoilt))
    except (PeerFault, Refused):
        return
    assert other.digest != document.digest


ATOMS = st.one_of(
    st.integers(-2, 2**53 - 1),
    st.text(max_size=4),
    st.sampled_from(["", "-1", "1e5", "0.50", "off", "true", "[", "\u202e", "9" * 400]),
    st.just([]),
    st.just([[]]),
    st.just({"a": "b"}),
)


def _paths(value, path=()):
    if path:
        yield path
    steps = (
        value
        if isinstance(value, dict)
        else range(len(value))
        if isinstance(value, list)
        else ()
    )
    for step in steps:
        yield from _paths(value[step], (*path, step))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
@pytest.mark.slow
def test_any_value_in_any_place_is_refused_or_read_as_itself(agreement_file, data):
    fields = json.loads(load(agreement_file).raw)
    *way, last = data.draw(st.sampled_from(list(_paths(fields))))
    at = fields
    for step in way:
        at = at[step]
    at[last] = data.draw(ATOMS)
    try:
        raw = canonical.encode(fields)
    except ValueError:  # no canonical JSON at all
        return
    try:
        document = parse(raw)
    except (PeerFault, Refused):
        return
    assert document.raw == raw


def test_inputs_are_one_for_a_quantity_and_one_for_each_value(agreement_file):
    assert load(agreement_file).agreement.input_width == 5
