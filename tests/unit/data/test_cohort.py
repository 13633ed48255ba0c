from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import numpy as np
import pytest

from site_agent.data import cohort as cohorts

if TYPE_CHECKING:
    from collections.abc import Callable

    from governance.agreement.schema import Agreement
    from governance.settings import CohortSettings
    from site_agent.data.cohort import Cohort, PatientSet

    CohortOf = Callable[..., CohortSettings]

SECRET = bytes(range(32))
AGE = (
    "{name: age, kind: real, range: [0, 1000], reference: {mean: 0, std: 1}, "
    "missing: {at_most: 1, fill: 7}}"
)
NOBODY: frozenset[str] = frozenset()


def file(patients: range, *, records: int = 1) -> str:
    """Write patients whose age is their number, each `records` times."""
    rows = [f"P{place},{place},{place % 2}" for _ in range(records) for place in patients]
    return "\n".join(["id,age,died", *rows, ""])


def ages(part: PatientSet) -> list[int]:
    """Return which patients are in a part, in its order."""
    order = {
        int(who): int(age) for who, age in zip(part.patient, part.features[:, 0], strict=True)
    }
    return [order[place] for place in range(part.patients)]


def load(settings: CohortSettings, agreement: Agreement, **given: object) -> Cohort:
    options = {"secret": SECRET, "opt_outs": NOBODY} | given
    return cohorts.load(settings, agreement, **options)  # type: ignore[arg-type]


def test_held_out_is_by_hmac_of_the_identifier(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    made = load(cohort_of(file(range(200))), agreement_of(AGE))
    macs = {
        place: hmac.new(SECRET, f"P{place}".encode(), hashlib.sha256).digest()
        for place in range(200)
    }
    below = {place for place, mac in macs.items() if int.from_bytes(mac, "big") / 2**256 < 0.2}
    assert set(ages(made.held_out)) == below
    assert set(ages(made.train)) == set(range(200)) - below
    assert made.patients == 200
    assert ages(made.held_out) + ages(made.train) == sorted(macs, key=macs.__getitem__)


def test_a_held_out_patient_stays_held_out_whatever_comes_later(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    agreement = agreement_of(AGE)
    before = load(cohort_of(file(range(100))), agreement)
    after = load(cohort_of(file(range(50, 300))), agreement, opt_outs=frozenset({"P77"}))
    still = set(range(50, 100)) - {77}
    assert set(ages(before.held_out)) & still == set(ages(after.held_out)) & still


def test_another_secret_holds_out_others(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    settings, agreement = cohort_of(file(range(100))), agreement_of(AGE)
    one, other = load(settings, agreement), load(settings, agreement, secret=bytes(32))
    assert set(ages(one.held_out)) != set(ages(other.held_out))


def test_a_held_out_share_of_nearly_all_or_none_is_kept(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    settings, agreement = cohort_of(file(range(30))), agreement_of(AGE)
    few = load(settings.model_copy(update={"held_out": 1e-12}), agreement)
    assert (few.held_out.patients, few.train.patients) == (0, 30)
    assert few.held_out.features.shape == (0, 1)
    most = load(settings.model_copy(update={"held_out": 1 - 1e-12}), agreement)
    assert (most.held_out.patients, most.train.patients) == (30, 0)


def test_the_order_of_the_file_changes_nothing(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    agreement, text = agreement_of(AGE), file(range(60))
    header, *rows = text.splitlines()
    one = load(cohort_of(text), agreement)
    other = load(cohort_of("\n".join([header, *reversed(rows), ""])), agreement)
    np.testing.assert_array_equal(one.train.features, other.train.features)
    np.testing.assert_array_equal(one.train.target, other.train.target)


def test_who_opted_out_is_in_neither_part(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    gone = frozenset(f"P{place}" for place in range(0, 60, 2))
    made = load(cohort_of(file(range(60), records=2)), agreement_of(AGE), opt_outs=gone)
    assert made.patients == 30
    assert sorted(ages(made.train) + ages(made.held_out)) == list(range(1, 60, 2))
    assert made.left_out == 0


def test_records_of_a_patient_stay_together_and_on_one_side(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    made = load(cohort_of(file(range(40), records=3)), agreement_of(AGE))
    for part in (made.train, made.held_out):
        np.testing.assert_array_equal(part.patient, np.repeat(np.arange(part.patients), 3))
        assert len(set(ages(part))) == part.patients
        np.testing.assert_array_equal(part.features[0::3], part.features[2::3])


def test_records_without_target_or_patient_are_left_out_and_counted(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    text = "id,age,died\nA,1,1\nB,2,\nC,3,?\n,4,1\nD,5,7\nE,6,0\n"
    made = load(cohort_of(text), agreement_of(AGE))
    assert (made.patients, made.left_out) == (2, 4)


def test_a_patient_with_one_record_without_a_target_keeps_the_other(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    made = load(cohort_of("id,age,died\nA,1,\nA,2,1\n"), agreement_of(AGE))
    assert (made.patients, made.left_out) == (1, 1)
    assert ages(made.train) + ages(made.held_out) == [2]


def everything(made: Cohort) -> PatientSet:
    """Return the part that holds all the patients of a cohort too small to be divided."""
    (part,) = [part for part in (made.train, made.held_out) if part.patients]
    return part


def test_normalised_by_the_reference_filled_and_one_hot_in_the_agreements_order(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    text = "id,age,chol,sex,died\nA,80,,f,1\nA,,240,,0\nA,17,160,m,1\n"
    part = everything(load(cohort_of(text), agreement))
    assert part.features.dtype == np.float32
    assert part.features.shape == (3, agreement.input_width)
    np.testing.assert_allclose(
        part.features,
        [
            [2.0, 0.0, 1, 0],  # cholesterol filled with 200
            [-1.0, 1.0, 0, 1],  # age filled with 50, sex with m
            [-1.0, -1.0, 0, 1],  # an age out of range never trains as it stands
        ],
    )
    np.testing.assert_array_equal(part.target, np.array([1, 0, 1], dtype=np.float32))


def test_without_a_fill_a_missing_value_is_the_reference_and_no_category(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    age = "{name: age, kind: real, range: [0, 99], reference: {mean: 60, std: 10}}"
    sex = "{name: sex, kind: category, values: [f, m]}"
    part = everything(load(cohort_of("id,age,sex,died\nA,,,1\n"), agreement_of(age, sex)))
    np.testing.assert_array_equal(part.features, [[0, 0, 0]])


def test_a_real_target_is_normalised_and_one_out_of_range_left_out(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    target = "{name: died, kind: real, range: [0, 300], reference: {mean: 100, std: 50}}"
    text = "id,age,died\nA,1,150\nA,2,301\n"
    made = load(cohort_of(text), agreement_of(AGE, target=target))
    np.testing.assert_array_equal(everything(made).target, [1.0])
    assert made.left_out == 1


@pytest.mark.parametrize("identifier", ["Müller", "患者", "O'Brien; x"])
def test_any_identifier_is_fine(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement], identifier: str
) -> None:
    made = load(cohort_of(f'id,age,died\n"{identifier}",1,1\n'), agreement_of(AGE))
    assert made.patients == 1
