"""A target of several values: codes, places, and what a check says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from protos.errors import Refused
from site_agent.data import contract, table
from site_agent.data.cohort import of_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from governance.agreement.schema import Agreement
    from governance.settings import CohortSettings

    CohortOf = Callable[..., CohortSettings]

AGE = "{name: age, kind: real, range: [18, 110], reference: {mean: 60, std: 10}}"
TRIAGE = "{name: died, kind: category, values: [red, yellow, green]}"
CODES = {"column": "died", "codes": {"1": "red", "2": "yellow"}}


@pytest.fixture
def agreement(agreement_of: Callable[..., Agreement]) -> Agreement:
    return agreement_of(AGE, target=TRIAGE)


def lines(*cells: str) -> str:
    rows = [f"P{place},{40 + place},{cell}" for place, cell in enumerate(cells)]
    return "\n".join(["id,age,died", *rows]) + "\n"


def test_values_and_codes_become_places(cohort_of: CohortOf, agreement: Agreement) -> None:
    settings = cohort_of(lines("red", "2", "green", "", "1"), died=CODES)
    records = table.read(settings, agreement)
    assert records.target.values[[0, 1, 2, 4]].tolist() == [0, 1, 2, 0]
    cohort = of_table(records, agreement, secret=bytes(32), held_out=0.0)
    assert cohort.patients == 4
    assert sorted(cohort.train.target.tolist()) == [0, 0, 1, 2]


def test_a_code_for_a_value_that_is_none_is_refused(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    settings = cohort_of(lines("1"), died={"column": "died", "codes": {"1": "blue"}})
    with pytest.raises(Refused, match="blue") as caught:
        table.read(settings, agreement)
    assert caught.value.rule == "unknown-code"


def test_a_check_says_how_many_values_are_there_and_which_cells_mean_none(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    settings = cohort_of(lines(*["red", "green"] * 10, *["purple"] * 6))
    found = contract.check(table.read(settings, agreement), agreement, settings)
    said = [row for row in found.rows if row.feature == "died"]
    assert [row.count for row in said if "2 of its 3 values" in row.finding] == [20]
    (unread,) = [row for row in said if not row.meets]
    assert unread.count == 6
    assert "red, yellow, green" in unread.finding
    assert "purple" not in unread.finding


def test_a_hospital_without_some_values_meets_the_contract(
    cohort_of: CohortOf, agreement: Agreement
) -> None:
    settings = cohort_of(lines(*["yellow"] * 20))
    records = table.read(settings, agreement)
    assert contract.check(records, agreement, settings).met
    assert np.unique(records.target.values).tolist() == [1]
