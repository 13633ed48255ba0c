"""What was released: public constants, exact decimals, strict reading."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.privacy.releases import (
    Release,
    decimal_text,
    declared,
    expected_batch,
    merged,
    of_statement,
)
from protos.errors import PeerFault

BODY = {
    "sampling_rate": "0.05",
    "noise_multiplier": "1.25",
    "steps": 20,
    "loader": "poisson",
    "unit": "patient",
}


def test_divisor_is_the_public_rate_times_the_declared_patients():
    assert expected_batch(0.05, 110) == Decimal("5.5")
    assert expected_batch(0.1, 30) == Decimal(3)


def test_release_is_read_from_a_reservation():
    assert of_statement(BODY) == Release(0.05, 1.25, 20)


@pytest.mark.parametrize(
    "change",
    [
        {"loader": "shuffled"},
        {"unit": "record"},
        {"steps": "20"},
        {"steps": True},
        {"steps": -1},
        {"sampling_rate": "1.5"},
        {"noise_multiplier": "nan"},
        {"noise_multiplier": None},
    ],
)
def test_malformed_reservation_is_the_peers_fault(change):
    with pytest.raises(PeerFault):
        of_statement(BODY | change)


def test_reservation_without_a_rate_is_the_peers_fault():
    with pytest.raises(PeerFault):
        of_statement({k: v for k, v in BODY.items() if k != "sampling_rate"})


def test_merging_leaves_out_what_releases_nothing():
    assert merged([Release(0.0, 1.0, 5), Release(0.1, 1.0, 0), Release(0.1, 1.0, 2)]) == (
        Release(0.1, 1.0, 2),
    )


@given(st.floats(min_value=0, max_value=1e6, allow_subnormal=False))
def test_decimal_reads_back_as_the_same_number(value):
    text = decimal_text(value)
    assert float(text) == value
    assert "e" not in text.lower()


@pytest.mark.parametrize(
    ("patients", "said"), [(0, 10), (14, 10), (15, 20), (57, 60), (194, 190)]
)
def test_patients_are_declared_in_tens(patients, said):
    assert declared(patients) == said
