"""Sums of patients' values: worked by hand, bounded for each patient, combined for all."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stated import RANGES, agreement_of, still

from governance import normalisation
from governance.normalisation import GRID, Released, Scale
from governance.privacy.mechanisms import Keystream
from protos.errors import PeerFault

PATIENT = np.array([0, 0, 1])
RECORDS = np.array([[0.5, -1.0], [0.0, -1.0], [1.0, 0.5]])
BY_HAND = [2.0, 0.25 + 1.0, (0.125 - 0.5) + (1.0 - 0.5), -1.0 + 0.5, 0.5 + (0.25 - 0.5)]


def released(total, agreement):
    return normalisation.noised_of(np.asarray(total), agreement, still)


def test_sums_are_those_worked_by_hand():
    assert normalisation.sum_of(RECORDS, PATIENT, 2).tolist() == BY_HAND


@given(
    u=st.lists(
        st.lists(st.floats(-1e9, 1e9) | st.just(math.nan), min_size=3, max_size=3),
        min_size=1,
        max_size=6,
    )
)
def test_a_patient_adds_no_more_than_the_sensitivity_whatever_its_records(u):
    one = normalisation.sum_of(np.array(u), np.zeros(len(u), np.int64), 1)
    assert np.linalg.norm(one) <= normalisation.sensitivity(3) * (1 + 1e-12)


def test_the_sensitivity_is_reached_and_not_only_bounded():
    one = normalisation.sum_of(np.ones((1, 3)), np.zeros(1, np.int64), 1)
    assert np.linalg.norm(one) == pytest.approx(normalisation.sensitivity(3))


def test_a_patient_counts_once_however_many_records_it_has():
    many = normalisation.sum_of(np.tile([[0.3, -0.2]], (50, 1)), np.zeros(50, np.int64), 1)
    once = normalisation.sum_of(np.array([[0.3, -0.2]]), np.zeros(1, np.int64), 1)
    assert many == pytest.approx(once)


def test_noise_is_the_agreements_on_every_number():
    agreement = agreement_of()
    draw = Keystream(bytes(32)).gaussian
    made = [
        np.array(normalisation.noised_of(np.zeros(5), agreement, draw).values) / GRID
        for _ in range(2000)
    ]
    deviation = agreement.statistics_sigma * normalisation.sensitivity(2)
    assert np.std(made, axis=0) == pytest.approx(np.full(5, deviation), rel=0.06)
    assert abs(np.mean(made)) < 4 * deviation / math.sqrt(10_000)


def test_with_next_to_no_noise_they_are_the_pooled_patients_own():
    agreement, draw = agreement_of(), np.random.default_rng(7)
    low, high = (np.array([ends[place] for ends in RANGES.values()]) for place in (0, 1))
    values = [draw.normal((62, -3), (12, 5), (300 * n, 2)).clip(low, high) for n in (1, 2, 4)]
    said = []
    for part in values:
        units = (2 * part - low - high) / (high - low)
        total = normalisation.sum_of(units, np.arange(len(part)), len(part))
        said.append(released(total, agreement))
    found, pooled = normalisation.combined(said, agreement), np.concatenate(values)
    for place, name in enumerate(RANGES):
        assert float(found[name].mean) == pytest.approx(pooled[:, place].mean(), abs=1e-3)
        assert float(found[name].std) == pytest.approx(pooled[:, place].std(), abs=1e-3)
    normalisation.check(found, agreement)


def test_combining_is_worked_by_hand():
    agreement = agreement_of()  # age from 18 to 118, temperature from −20 to 20
    one = Released("0", tuple(GRID * n for n in (10, 5, -4, 0, -5)))
    two = Released("0", tuple(GRID * n for n in (30, 5, -12, 8, -11)))
    found = normalisation.combined([one, two], agreement)
    # age: mean 10/40, square 1/2 − 16/40, so that 68 + 50/4 and 50·√(0.1 − 1/16)
    assert found["age"] == Scale("18", "118", "80.5", "9.68245837")
    assert found["temperature"] == Scale("-20", "20", "4", "4.89897949")


def test_a_deviation_has_a_floor_and_a_mean_stays_in_its_range():
    agreement = agreement_of()
    wild = Released("0", tuple(GRID * n for n in (1, 900, -900, -900, 700)))
    found = normalisation.combined([wild], agreement)
    assert (float(found["age"].mean), float(found["age"].std)) == (118.0, 0.1)
    assert float(found["temperature"].mean) == -20.0
    normalisation.check(found, agreement)


def test_nobody_at_all_gives_statistics_within_the_bounds():
    agreement = agreement_of()
    found = normalisation.combined([Released("0", (-500 * GRID, 1, 1, 1, 1))], agreement)
    normalisation.check(found, agreement)


@pytest.mark.parametrize(
    ("field", "value"),
    [("mean", "17"), ("mean", "119"), ("std", "0.01"), ("std", "51"), ("high", "200")],
)
def test_statistics_out_of_bounds_are_refused(field, value):
    agreement = agreement_of()
    good = {"age": Scale("18", "118", "60", "12"), "temperature": Scale("-20", "20", "0", "5")}
    normalisation.check(good, agreement)
    bad = {**good, "age": Scale(**{**good["age"].to_json(), field: value})}
    with pytest.raises(PeerFault) as refused:
        normalisation.check(bad, agreement)
    assert refused.value.rule == "bad-statistics"


def test_statistics_of_other_quantities_are_refused():
    with pytest.raises(PeerFault):
        normalisation.check({"age": Scale("18", "118", "60", "12")}, agreement_of())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"noise":"0","values":[1,2,3,4,5]}',
        '{"noise":"NOISE","values":[1,2,3]}',
        '{"noise":"NOISE","values":[1,2,3,4,1.5]}',
        '{"noise":"NOISE","values":[1,2,3,4,true]}',
        '{"noise":"NOISE", "values":[1,2,3,4,5]}',
        '{"noise":"NOISE","values":[1,2,3,4,9007199254740993]}',
        '{"count":5,"noise":"NOISE","values":[1,2,3,4,5]}',
        "[" * 20_000,
    ],
)
def test_what_is_not_just_the_agreements_vector_is_refused(text):
    agreement = agreement_of()
    stated = normalisation.decimal_text(normalisation.deviation_of(agreement))
    with pytest.raises(PeerFault) as refused:
        normalisation.from_json(text.replace("NOISE", stated), agreement)
    assert refused.value.rule == "bad-statistics"


def test_what_is_said_is_read_again_as_it_was():
    agreement = agreement_of()
    said = released(BY_HAND, agreement)
    assert normalisation.from_json(normalisation.to_json(said), agreement) == said


def test_a_fill_stays_what_the_agreement_says_and_references_give_way():
    agreement = agreement_of()
    scales = {
        "age": Scale("18", "118", "70", "9"),
        "temperature": Scale("-20", "20", "1", "2"),
    }
    age, sex, temperature = normalisation.applied(agreement, scales).data.features
    assert (age.reference.mean, age.reference.std, age.missing.fill) == (70, 9, 62)
    assert (temperature.reference.mean, temperature.missing.fill) == (1, -2)
    assert sex == agreement.data.features[1]


def test_agreements_of_the_same_quantities_and_privacy_use_the_same_statistics():
    basis = normalisation.basis_of(agreement_of())
    for same in ({"schedule": {"rounds": 3}}, {"title": "Another title"}):
        assert normalisation.basis_of(agreement_of(**same)) == basis
    for other in ({"epsilon": 0.5}, {"delta": 1e-6}, {"range": [18, 110]}, {"fill": 60}):
        assert normalisation.basis_of(agreement_of(**other)) != basis
