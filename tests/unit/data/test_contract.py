from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from site_agent.data import contract, table
from site_agent.data.findings import Finding, Findings, shown_count, shown_share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from governance.agreement.schema import Agreement
    from governance.settings import CohortSettings

    CohortOf = Callable[..., CohortSettings]

PATIENTS = 100


def lines(**columns: Iterable[object]) -> str:
    """Write a file of a hundred patients as agreed, but for these columns."""
    rng = np.random.default_rng(7)
    good: dict[str, list[object]] = {
        "id": [f"P{place:03d}" for place in range(PATIENTS)],
        "age": [f"{value:.1f}" for value in rng.uniform(40, 80, PATIENTS)],
        "chol": [f"{value:.1f}" for value in rng.uniform(150, 250, PATIENTS)],
        "sex": ["f" if place % 2 else "m" for place in range(PATIENTS)],
        "died": [int(place % 4 == 0) for place in range(PATIENTS)],
    }
    for name, cells in columns.items():
        given = list(cells)
        good[name] = [*given, *good[name][len(given) :]]
    rows = zip(*good.values(), strict=True)
    return "\n".join([",".join(good), *(",".join(map(str, row)) for row in rows), ""])


def findings(cohort: CohortSettings, agreement: Agreement) -> Findings:
    return contract.check(table.read(cohort, agreement), agreement, cohort)


def of(found: Findings, feature: str, word: str) -> Finding:
    """Return the one finding of a feature that has this word."""
    (one,) = [row for row in found.rows if row.feature == feature and word in row.finding]
    return one


def test_a_cohort_as_agreed_meets_the_contract(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    found = findings(cohort_of(lines()), agreement)
    assert found.met
    assert found.broken == ()
    assert {row.feature for row in found.rows} == {"patients", "died", "age", "chol", "sex"}
    assert of(found, "age", "as agreed").count == PATIENTS


@pytest.mark.parametrize(
    ("feature", "cells", "word", "count"),
    [
        ("age", ["17.9", "110.1"], "outside 18 to 110", 2),
        ("age", ["sixty"], "not a number", 1),
        ("sex", ["x", "y", "z"], "a code", 3),
        ("died", ["2"], "a code", 1),
        ("age", [""] * 11, "missing", 11),
        ("id", [""], "identifier", 1),
    ],
)
def test_what_is_not_as_agreed_breaks_the_contract_and_is_counted(
    cohort_of: CohortOf,
    agreement: Agreement,
    feature: str,
    cells: list[str],
    word: str,
    count: int,
) -> None:
    found = findings(cohort_of(lines(**{feature: cells})), agreement)
    row = of(found, "records" if feature == "id" else feature, word)
    assert (row.count, row.of, row.meets) == (count, PATIENTS, False)
    assert not found.met
    assert found.broken == ("records" if feature == "id" else feature,)


def test_as_many_may_be_missing_as_the_agreement_says(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    found = findings(cohort_of(lines(age=["NA"] * 10, sex=[""] * 50)), agreement)
    assert found.met
    assert of(found, "age", "missing; at most 10 %").count == 10


def test_a_missing_target_leaves_the_record_out_and_does_not_break_the_contract(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    found = findings(cohort_of(lines(died=[""] * 8)), agreement)
    assert found.met
    assert of(found, "died", "left out").count == 8
    assert found.patients == PATIENTS - 8


def test_too_small_a_cohort_breaks_the_contract(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    age = "{name: age, kind: real, range: [18, 110], reference: {mean: 60, std: 10}}"
    assert findings(cohort_of(lines()), agreement_of(age, minimum=PATIENTS)).met
    small = findings(cohort_of(lines(died=[""])), agreement_of(age, minimum=PATIENTS))
    assert small.broken == ("patients",)


def test_prevalence_is_of_patients_and_not_of_records(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    age = "{name: age, kind: real, range: [18, 110], reference: {mean: 60, std: 10}}"
    target = "{name: died, kind: binary, prevalence: [0.1, 0.3]}"
    often = "".join(f"P000,{50 + place / 10},1\n" for place in range(100))
    rare = "".join(f"P{place:03d},{50 + place / 8},0\n" for place in range(1, 5))
    found = findings(
        cohort_of("id,age,died\n" + often + rare), agreement_of(age, target=target)
    )
    assert of(found, "died", "prevalence").meets
    none = findings(cohort_of(lines(died=[0] * PATIENTS)), agreement_of(age, target=target))
    assert none.broken == ("died",)


def test_a_column_in_another_unit_gets_the_scale_that_would_mend_it(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    rng = np.random.default_rng(3)
    mmol = [f"{value / 38.67:.2f}" for value in rng.normal(200, 30, PATIENTS)]
    found = findings(cohort_of(lines(chol=mmol)), agreement)
    assert found.broken == ("chol",)
    assert "`scale: 38.67`" in of(found, "chol", "unit").finding
    mended = {"column": "chol", "scale": 38.67}
    assert findings(cohort_of(lines(chol=mmol), chol=mended), agreement).met


def test_the_suggested_scale_replaces_the_one_that_is_there(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    wrong = {"column": "age", "scale": 10.0}
    found = findings(cohort_of(lines(), age=wrong), agreement)
    assert "`scale: 1`" in of(found, "age", "unit").finding


def test_other_patients_than_the_reference_are_said_and_allowed(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    young = [f"{value:.1f}" for value in np.linspace(19, 29, PATIENTS)]
    found = findings(cohort_of(lines(age=young)), agreement)
    assert found.met
    assert of(found, "age", "3 standard deviations").meets


def test_the_same_record_under_two_identifiers_is_found(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    file = lines()
    again = file.splitlines()[1:5]
    copies = "\n".join(line.replace("P0", "Q0") for line in again)
    found = findings(cohort_of(f"{file}{copies}\n"), agreement)
    row = of(found, "patients", "two identifiers")
    assert (row.count, row.of, row.verdict) == (8, 104, "no")
    assert "more than chance" in row.finding
    assert "merge" in row.finding
    assert not found.met
    same = findings(cohort_of(file + "\n".join(again) + "\n"), agreement)
    assert all("two identifiers" not in row.finding for row in same.rows)


def test_few_patients_under_two_identifiers_are_not_counted_out(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    file = lines()
    copy = file.splitlines()[1].replace("P0", "Q0")
    answer = findings(cohort_of(f"{file}{copy}\n"), agreement).answer()
    (row,) = [row for row in answer.rows if "two identifiers" in str(row[1])]
    assert row[2:] == ("<5", "<5.0%", "hint")


def test_equal_records_of_few_coarse_columns_are_chance(
    cohort_of: CohortOf, agreement_of: Callable[..., Agreement]
) -> None:
    sex = "{name: sex, kind: category, values: [f, m]}"
    found = findings(cohort_of(lines()), agreement_of(sex))
    row = of(found, "patients", "two identifiers")
    assert (row.count, row.verdict) == (PATIENTS, "hint")
    assert "no more than chance" in row.finding
    assert found.met


def test_no_patient_at_all_is_a_finding_and_no_crash(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    found = findings(cohort_of("id,age,chol,sex,died\n,,,,\n"), agreement)
    assert "patients" in found.broken


def test_small_counts_are_withheld_in_table_json_and_share(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    found = findings(cohort_of(lines(age=["7.77", "7.77"])), agreement)
    answer = found.answer()
    assert answer.columns == ("feature", "finding", "records", "share", "meets")
    (row,) = [row for row in answer.rows if "outside" in str(row[1])]
    assert row == ("age", "outside 18 to 110 year", "<5", "<5.0%", "no")
    written = json.dumps([list(answer.rows), list(answer.notes), dict(answer.facts)])
    assert "7.77" not in written
    assert "cannot train" in answer.notes[0]
    assert answer.facts["met"] is False


@pytest.mark.parametrize(
    ("count", "of_", "shown", "share"),
    [
        (0, 100, 0, "0.0%"),
        (1, 100, "<5", "<5.0%"),
        (4, 100, "<5", "<5.0%"),
        (5, 100, 5, "5.0%"),
        (95, 100, 95, "95.0%"),
        (97, 100, ">95", ">95.0%"),
        (100, 100, 100, "100.0%"),
        (2, 4, "<5", ""),
        (0, 0, 0, ""),
    ],
)
def test_neither_a_count_nor_the_rest_is_shown_below_five(
    count: int, of_: int, shown: object, share: str
) -> None:
    assert shown_count(count, of_) == shown
    assert shown_share(count, of_) == share
