"""Find the same record under two patients: one patient then counts twice, and privacy halves.

Records are compared over all columns of the agreement, target included. Where the columns are
few and coarse, equal records come about by chance; how many is estimated from the columns'
frequencies as if they were independent, and so many are not held against a hospital.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from site_agent.data.table import Table

TOLERATED_SHARE: Final = 0.02
"""Of the patients: two strangers may well have the same few rounded measurements."""
_CHANCE_FACTOR: Final = (
    4.0  # columns are not independent: chance meets more often than estimated
)
_MIXERS: Final = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9))


def patients_sharing_a_record(table: Table) -> int:
    """Return how many patients have a record that another patient has too."""
    known = table.patient >= 0
    patient = table.patient[known]
    if not len(patient):
        return 0
    order = np.lexsort((patient, hashes := _hashes(_columns(table, known))))
    patient, hashes = patient[order], hashes[order]
    starts = np.flatnonzero(np.r_[True, hashes[1:] != hashes[:-1]])
    ends = np.r_[starts[1:], len(hashes)] - 1
    shared = patient[starts] != patient[ends]
    return len(np.unique(patient[np.repeat(shared, ends - starts + 1)]))


def tolerated(table: Table) -> float:
    """Return how many such patients are no sign of a fault."""
    known = table.patient >= 0
    patients = len(np.unique(table.patient[known]))
    alike = 1.0
    for column in _columns(table, known):
        _, counts = np.unique(column, return_counts=True)
        alike *= float(np.sum((counts / counts.sum()) ** 2))
    by_chance = patients * (patients - 1) / 2 * alike
    return max(TOLERATED_SHARE * patients, _CHANCE_FACTOR * 2 * by_chance)


def _columns(table: Table, known: NDArray[np.bool_]) -> Iterable[NDArray[np.float64]]:
    for column in (table.target, *table.features.values()):
        yield column.values[known]


def _hashes(columns: Iterable[NDArray[np.float64]]) -> NDArray[np.uint64]:
    """Return 64 bits per record; equal for equal records, a missing value being a value."""
    mixed = np.zeros(1, dtype=np.uint64)
    for column in columns:
        bits = np.where(np.isnan(column), np.inf, column + 0.0).view(np.uint64)
        mixed = (mixed ^ (bits * _MIXERS[0])) * _MIXERS[1]
        mixed = mixed ^ (mixed >> np.uint64(31))
    return mixed
