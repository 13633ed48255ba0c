"""Files as hospitals have them: each fault is found, counted, and told with what mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from protos.errors import Refused
from site_agent.data import contract, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from governance.agreement.schema import Agreement
    from governance.settings import CohortSettings
    from site_agent.data.findings import Finding, Findings

    CohortOf = Callable[..., CohortSettings]

COUNT = 200


def export(*, decimal: str = ".", **columns: Iterable[object]) -> str:
    """Write what a clinical system exports: semicolons, and these columns first."""
    rng = np.random.default_rng(11)
    good: dict[str, list[object]] = {
        "id": [f"P{place:03d}" for place in range(COUNT)],
        "age": [f"{value:.1f}" for value in rng.uniform(40, 80, COUNT)],
        "chol": [f"{value:.1f}" for value in rng.uniform(150, 250, COUNT)],
        "sex": ["f" if place % 2 else "m" for place in range(COUNT)],
        "died": [int(place % 4 == 0) for place in range(COUNT)],
    }
    for name, cells in columns.items():
        given = list(cells)
        good[name] = [*given, *good[name][len(given) :]]
    for name in ("age", "chol"):
        good[name] = [str(cell).replace(".", decimal) for cell in good[name]]
    rows = zip(*good.values(), strict=True)
    return "\n".join([";".join(good), *(";".join(map(str, row)) for row in rows), ""])


def found_in(cohort: CohortSettings, agreement: Agreement) -> Findings:
    return contract.check(table.read(cohort, agreement), agreement, cohort)


def of(found: Findings, feature: str, word: str) -> Finding:
    (one,) = [row for row in found.rows if row.feature == feature and word in row.finding]
    return one


def with_decimal(cohort: CohortSettings, decimal: str) -> CohortSettings:
    source = cohort.source.model_copy(update={"decimal": decimal})
    return cohort.model_copy(update={"source": source})


def test_a_latin_1_export_with_decimal_commas_is_read_when_the_file_says_so(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    text = export(decimal=",", sex=["männlich", "weiblich"] * (COUNT // 2))
    sex = {"column": "sex", "codes": {"männlich": "m", "weiblich": "f"}}
    cohort = with_decimal(cohort_of(text, encoding="latin-1", sex=sex), "comma")
    found = found_in(cohort, agreement)
    assert found.met
    assert of(found, "age", "as agreed").count == COUNT


def test_numbers_with_a_decimal_comma_are_told_with_the_setting_that_reads_them(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    found = found_in(cohort_of(export(age=['"61,5"'] * 30)), agreement)
    row = of(found, "age", "`decimal: comma`")
    assert (row.count, row.of, row.meets) == (30, COUNT, False)


def test_a_column_of_decimal_commas_alone_is_refused_with_the_same_remedy(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    with pytest.raises(Refused, match="holds no number at all") as caught:
        found_in(cohort_of(export(decimal=",")), agreement)
    assert "`decimal: comma`" in caught.value.todo


def test_a_point_among_decimal_commas_is_no_number(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    text = export(decimal=",").replace(";", ";", 1)
    first = text.split("\n")[1].split(";")
    text = text.replace(";".join(first[:3]), f"{first[0]};{first[1]};1.234,5", 1)
    found = found_in(with_decimal(cohort_of(text), "comma"), agreement)
    assert of(found, "chol", "not a number").count == 1


@pytest.mark.parametrize("written", ["0", "-9", "-9.0", "999", "9999"])
def test_a_number_that_says_no_value_is_told_with_the_code_that_explains_it(
    cohort_of: CohortOf, agreement: Agreement, written: str
) -> None:
    text = export(chol=[written] * 14)
    found = found_in(cohort_of(text), agreement)
    plain = written.removesuffix(".0")
    row = of(found, "chol", f'`codes: {{"{plain}": missing}}`')
    assert (row.count, row.meets) == (14, False)
    assert "unit" not in " ".join(r.finding for r in found.rows)
    mended = {"column": "chol", "codes": {plain: "missing"}}
    after = found_in(cohort_of(text, chol=mended), agreement)
    assert after.met
    assert of(after, "chol", "missing").count == 14


def test_a_code_and_a_scale_work_together(cohort_of: CohortOf, agreement: Agreement) -> None:
    rng = np.random.default_rng(2)
    mmol = ["-9"] * 10 + [f"{value / 38.67:.2f}" for value in rng.normal(200, 30, COUNT - 10)]
    mapping = {"column": "chol", "scale": 38.67, "codes": {"-9": "missing"}}
    found = found_in(cohort_of(export(chol=mmol), chol=mapping), agreement)
    assert found.met
    assert of(found, "chol", "missing").count == 10


def test_a_unit_is_told_beside_what_says_no_value(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    rng = np.random.default_rng(2)
    mmol = ["-9"] * 10 + [f"{value / 38.67:.2f}" for value in rng.normal(200, 30, COUNT - 10)]
    found = found_in(cohort_of(export(chol=mmol)), agreement)
    assert of(found, "chol", "-9, outside").count == 10
    row = of(found, "chol", "`scale: 38.67`")
    assert "cholesterol in mmol/L and in mg/dl" in row.finding
    assert row.count == COUNT - 10
    assert of(found, "chol", "outside 50 to 600 mg/dl, all below").count == COUNT - 10


def test_values_that_happen_to_be_a_convention_are_no_convention(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    mmol = [
        f"{value:.0f}" for value in np.linspace(4, 12, COUNT)
    ]  # whole numbers, 9 among them
    found = found_in(cohort_of(export(chol=mmol)), agreement)
    assert not [row for row in found.rows if "no value" in row.finding]


def test_records_in_another_unit_are_counted_apart(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    rng = np.random.default_rng(2)
    mmol = [f"{value / 38.67:.2f}" for value in rng.normal(200, 20, 40)]
    row = of(found_in(cohort_of(export(chol=mmol)), agreement), "chol", "two units")
    assert row.count == 40


@pytest.mark.parametrize("field", ["sex", "died"])
def test_a_code_for_no_value_is_told_in_categories_and_outcomes_too(
    cohort_of: CohortOf, agreement: Agreement, field: str
) -> None:
    found = found_in(cohort_of(export(**{field: ["-9"] * 12})), agreement)
    row = of(found, field, '`codes: {"-9": missing}`')
    assert (row.count, row.meets) == (12, False)


def test_unknown_codes_are_counted_and_not_shown(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    found = found_in(cohort_of(export(sex=["männl", "weibl", "divers"] * 5)), agreement)
    row = of(found, "sex", "3 codes that `codes` in site.yaml do not turn into one of f, m")
    assert row.count == 15
    few = found_in(cohort_of(export(sex=["x", "y"])), agreement)
    assert of(few, "sex", "a code").count == 2
    said = str(found.answer()) + str(few.answer())
    assert not any(text in said for text in ("männl", "weibl", "divers"))


def test_conventions_in_few_records_are_not_named(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    found = found_in(cohort_of(export(chol=["-9"] * 4, sex=["-9"] * 4)), agreement)
    assert set(found.broken) == {"chol", "sex"}
    assert "-9" not in str(found.answer())


def test_a_column_with_one_value_is_said_to_teach_nothing(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    row = of(found_in(cohort_of(export(sex=["f"] * COUNT)), agreement), "sex", "the same")
    assert row.meets
    assert row.count == COUNT


def test_a_median_far_from_the_reference_is_said_with_its_side(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    young = [f"{value:.1f}" for value in np.linspace(19, 29, COUNT)]
    assert of(found_in(cohort_of(export(age=young)), agreement), "age", "below the reference")


def test_the_same_records_under_two_identifiers_are_counted(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    text = export()
    again = [line.replace("P", "Q", 1) for line in text.split("\n")[1:21]]
    found = found_in(cohort_of(text + "\n".join(again) + "\n"), agreement)
    row = of(found, "patients", "under two identifiers")
    assert (row.count, row.verdict) == (40, "no")
