from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from site_agent.data import duplicates
from site_agent.data.table import Column, Table


def table(patient: list[int], *columns: list[float]) -> Table:
    target, *features = [Column(np.array(cells, dtype=np.float64), 0, 0) for cells in columns]
    return Table(
        ids=tuple(f"P{place}" for place in range(max(patient, default=-1) + 1)),
        patient=np.array(patient, dtype=np.int64),
        features={f"f{place}": column for place, column in enumerate(features)},
        target=target,
    )


def by_hand(patient: list[int], *columns: list[float]) -> int:
    """Count the patients that share a record, the slow way."""
    holders: dict[tuple[str, ...], set[int]] = {}
    for who, *cells in zip(patient, *columns, strict=True):
        holders.setdefault(tuple(map(repr, cells)), set()).add(who)
    return len({who for group in holders.values() if len(group) > 1 for who in group})


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.sampled_from([0.0, 1.0]),
            st.sampled_from([1.5, 2.5, float("nan")]),
            st.sampled_from([7.0, 8.0, 9.0]),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_it_counts_as_one_would_by_hand(records: list[tuple[int, float, float, float]]) -> None:
    patient, *columns = (list(part) for part in zip(*records, strict=True))
    found = duplicates.patients_sharing_a_record(table(patient, *columns))
    assert found == by_hand(patient, *columns)


def test_records_without_a_patient_count_for_nothing() -> None:
    assert duplicates.patients_sharing_a_record(table([-1, -1], [1, 1], [2, 2])) == 0
    assert duplicates.patients_sharing_a_record(table([-1, 0], [1, 1], [2, 2])) == 0


def test_one_in_fifty_is_tolerated_where_chance_meets_hardly_ever() -> None:
    rng = np.random.default_rng(1)
    fine = table(list(range(1000)), *(rng.normal(size=1000).tolist() for _ in range(4)))
    assert duplicates.tolerated(fine) == pytest.approx(20, rel=0.01)


def test_chance_is_tolerated_where_columns_are_coarse() -> None:
    rng = np.random.default_rng(1)
    columns = [rng.integers(0, 2, 1000).astype(float).tolist() for _ in range(6)]
    coarse = table(list(range(1000)), *columns)
    assert duplicates.patients_sharing_a_record(coarse) <= duplicates.tolerated(coarse)


def test_no_two_of_a_million_records_are_taken_for_one() -> None:
    rng = np.random.default_rng(1)
    count = 1_000_000
    column = Column(rng.normal(size=count), 0, 0)
    big = Table(("P",) * count, np.arange(count), {"f": column, "g": column}, column)
    assert duplicates.patients_sharing_a_record(big) == 0
