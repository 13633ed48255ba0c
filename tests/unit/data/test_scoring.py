"""Records that are scored: their features by the hospital's own mapping, and no outcome."""

from __future__ import annotations

import numpy as np
import pytest

from protos.errors import Refused
from site_agent.data import cohort, table

RECORDS = "id,age,chol,sex\nb,70,200,m\na,60,240,f\nb,80,200,m\n,60,200,f\n"


@pytest.fixture
def records(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text(RECORDS)
    return path


def test_features_are_read_from_another_file_without_an_outcome(agreement, cohort_of, records):
    read = table.read_features(cohort_of("id,died\n"), agreement, records)
    assert read.ids == ("b", "a")
    assert list(read.features) == ["age", "chol", "sex"]
    assert np.isnan(read.target.values).all()
    assert int((read.patient < 0).sum()) == 1


def test_records_are_scored_by_patient_as_those_that_train(agreement, cohort_of, records):
    read = table.read_features(cohort_of("id,died\n"), agreement, records)
    part = cohort.of_features(read, agreement)
    assert part.patients == 2
    assert part.patient.tolist() == [0, 0, 1]
    assert part.features.tolist() == [[1, 0, 0, 1], [2, 0, 0, 1], [0, 1, 1, 0]]


def test_a_column_that_lacks_is_named(agreement, cohort_of, tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("id,age,chol\na,60,200\n")
    with pytest.raises(Refused, check=lambda problem: problem.rule == "missing-column"):
        table.read_features(cohort_of("id,died\n"), agreement, path)
