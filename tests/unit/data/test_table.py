from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.settings import ColumnMap
from protos.errors import Refused
from site_agent.data import cells, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from governance.agreement.schema import Agreement
    from governance.settings import CohortSettings

    CohortOf = Callable[..., CohortSettings]

NAN = float("nan")
AGES = "{name: age, kind: real, range: [0, 120], reference: {mean: 60, std: 10}}"


def read_age(
    build: CohortOf, agreement: Agreement, *ages: str, **mapping: object
) -> table.Column:
    """Read a file whose column `age` holds these cells."""
    lines = [f'P{place},0,"{age}"' for place, age in enumerate(ages)]
    cohort = build("\n".join(["id,died,age", *lines, ""]), age={"column": "age", **mapping})
    return table.read(cohort, agreement).features["age"]


def test_scale_and_offset_turn_the_hospitals_unit_into_the_agreements(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    agreement = agreement_of(AGES)
    column = read_age(cohort_of, agreement, "10", " 20.5 ", "", scale=2.0, offset=-1.0)
    np.testing.assert_array_equal(column.values, [19, 40, NAN])
    assert (column.missing, column.unread) == (1, 0)


@pytest.mark.parametrize("blank", ["", " ", "NA", "n/a", "NaN", "nan", "NULL", "?", ".", "-"])
def test_what_stands_for_no_value_is_missing(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement], blank: str
) -> None:
    column = read_age(cohort_of, agreement_of(AGES), "1", blank)
    assert (column.missing, column.unread) == (1, 0)


@pytest.mark.parametrize("text", ["x", "1_000", "12,5", "inf", "1e999", "-Infinity", "0x10"])
@pytest.mark.parametrize("beside", ["1", ""])
def test_what_is_no_number_is_unread(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement], text: str, beside: str
) -> None:
    column = read_age(cohort_of, agreement_of(AGES), "1", text, beside, scale=0.5)
    np.testing.assert_array_equal(column.values[:2], [0.5, NAN])
    assert column.unread == 1


def test_a_column_without_a_single_number_is_refused_without_its_cells(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    with pytest.raises(Refused, match="holds no number at all") as caught:
        read_age(cohort_of, agreement_of(AGES), "secret", "", "text")
    assert caught.value.rule == "not-numeric"
    assert "secret" not in str(caught.value)
    assert read_age(cohort_of, agreement_of(AGES), "", "").missing == 2


def test_codes_become_the_agreements_categories(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    agreement = agreement_of("{name: sex, kind: category, values: [f, m]}")
    codes = {"1": "m", "2": "f", "9": "missing"}
    cohort = cohort_of(
        "id,sex,died\nA,1,0\nB,2,0\nC,1.0,0\nD,9,0\nE,,0\nF,7,0\nG,m,0\n",
        sex={"column": "sex", "codes": codes},
    )
    column = table.read(cohort, agreement).features["sex"]
    np.testing.assert_array_equal(column.values, [1, 0, 1, NAN, NAN, NAN, 1])
    assert (column.missing, column.unread) == (2, 1)


def test_a_category_is_known_only_as_it_is_written(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    agreement = agreement_of("{name: sex, kind: category, values: [f, m]}")
    column = table.read(cohort_of("id,sex,died\nA,F,0\nB, f,0\n"), agreement).features["sex"]
    np.testing.assert_array_equal(column.values, [NAN, 0])


def test_an_outcome_is_0_or_1_or_what_codes_say(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    agreement = agreement_of(AGES)
    plain = table.read(cohort_of("id,age,died\nA,1,0\nB,1,1.0\nC,1,2\nD,1,\n"), agreement)
    np.testing.assert_array_equal(plain.target.values, [0, 1, NAN, NAN])
    assert (plain.target.missing, plain.target.unread) == (1, 1)
    coded = cohort_of(
        "id,age,died\nA,1,J\nB,1,N\nC,1,U\n",
        died={"column": "died", "codes": {"J": "1", "N": "0"}},
    )
    np.testing.assert_array_equal(table.read(coded, agreement).target.values, [1, 0, NAN])


def test_an_outcome_in_words_is_refused_with_a_way_out(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    with pytest.raises(Refused, match="holds no number at all") as caught:
        table.read(cohort_of("id,age,died\nA,1,YES\nB,1,NO\n"), agreement_of(AGES))
    assert "codes" in caught.value.todo
    assert "YES" not in str(caught.value)


def test_codes_of_a_quantity_stand_for_numbers(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    codes = {"under 30": "25", "-9": "missing"}
    column = read_age(cohort_of, agreement_of(AGES), "40", "under 30", "-9", "x", codes=codes)
    np.testing.assert_array_equal(column.values, [40, 25, NAN, NAN])
    assert (column.missing, column.unread) == (1, 1)


@pytest.mark.parametrize(
    ("feature", "codes"),
    [("sex", {"1": "x"}), ("died", {"J": "2"}), ("age", {"old": "very"})],
)
def test_a_code_for_what_the_agreement_does_not_have_is_refused(
    cohort_of: CohortOf, agreement: Agreement, feature: str, codes: dict[str, str]
) -> None:
    cohort = cohort_of(
        "id,age,chol,sex,died\nA,1,1,f,1\n", **{feature: {"column": feature, "codes": codes}}
    )
    with pytest.raises(Refused, match="which the agreement does not have") as caught:
        table.read(cohort, agreement)
    assert caught.value.rule == "unknown-code"


def test_a_feature_without_a_column_is_refused(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    agreement = agreement_of(AGES.replace("age", "weight"))
    with pytest.raises(Refused, match="weight has no column") as caught:
        table.read(cohort_of("id,age,died\nA,1,0\n"), agreement)
    assert caught.value.rule == "unmapped-feature"


def test_all_unmapped_features_are_named_at_once(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    agreement = agreement_of(AGES.replace("age", "weight"), AGES.replace("age", "height"))
    with pytest.raises(Refused, match="weight, height have no column") as caught:
        table.read(cohort_of("id,age,died\nA,1,0\n"), agreement)
    assert "a column for each under `map` in site.yaml: weight: {column" in caught.value.todo


def test_records_of_a_patient_belong_together_and_nameless_ones_to_nobody(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    cohort = cohort_of("id,age,died\nA,1,0\nB,2,0\n A ,3,\n,4,0\nNA,5,0\n")
    found = table.read(cohort, agreement_of(AGES))
    assert found.ids == ("A", "B")
    np.testing.assert_array_equal(found.patient, [0, 1, 0, -1, -1])
    np.testing.assert_array_equal(found.usable, [True, True, False, False, False])


def test_patients_who_opted_out_are_not_in_the_table_whatever_the_batch(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table.csv, "BATCH_RECORDS", 2)
    cohort = cohort_of("id,age,died\nA,1,0\nB,2,0\nC,3,0\nB,4,0\nA,5,0\n")
    found = table.read(cohort, agreement_of(AGES), opt_outs=frozenset({" B", "Z"}))
    np.testing.assert_array_equal(found.features["age"].values, [1, 3, 5])
    assert [found.ids[place] for place in found.patient] == ["A", "C", "A"]


@pytest.mark.parametrize("beside", [[], [""]], ids=["fast", "slow"])
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_is_read_as_written(value: float, beside: list[str]) -> None:
    from governance.agreement.data_terms import Feature

    mean = cells.meaning(Feature(name="x", kind="real"), ColumnMap(column="x"))
    assert mean([repr(value), *beside])[0] == value
