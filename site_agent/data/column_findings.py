"""What is found of one column, the remedy with it: missing, unread, out of range, other unit.

A finding names no value of a record. Where it names a number, that is a convention by which
files say that there is no value, and as many records have it as may be shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from site_agent.data import units
from site_agent.data.findings import LEAST_COUNT, Finding
from site_agent.data.unread import SENTINELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from governance.agreement.data_terms import Feature, Target
    from governance.settings import ColumnMap
    from site_agent.data.table import Column
    from site_agent.data.units import Mending
    from site_agent.data.unread import Unread

    Floats = NDArray[np.float64]

_CROWD: Final = 10
"""How often a conventional number must stand for each other value near it."""


def of_feature(column: Column, feature: Feature, mapping: ColumnMap) -> Iterator[Finding]:
    """Say everything that is so of a feature, or that it is as agreed."""
    records = len(column.values)
    rows = [*_missing(column, feature, records)]
    rows += of_unread(column, feature, ", ".join(feature.values))
    rows += of_range(column, feature, mapping)
    if feature.kind == "real":
        rows += _unit(column, feature, mapping)
    if units.is_constant(column.values):
        finding = "the same in every record that has it: nothing is learnt from it here"
        rows.append(
            Finding(feature.name, finding, records - _absent(column), records, hint=True)
        )
    if not rows:
        rows.append(Finding(feature.name, "as agreed", records, records))
    yield from rows


def _absent(column: Column) -> int:
    return int(np.isnan(column.values).sum())


def _missing(column: Column, feature: Feature, records: int) -> Iterator[Finding]:
    at_most = feature.missing.at_most
    if column.missing:
        yield Finding(
            feature.name,
            f"missing; at most {100 * at_most:g} % may be",
            column.missing,
            records,
            meets=column.missing <= at_most * records,
        )


def of_unread(column: Column, field: Feature | Target, known: str) -> Iterator[Finding]:
    """Say what cells hold that mean nothing under the agreement, each kind with its remedy."""
    kinds, records, left = column.kinds, len(column.values), column.unread
    if field.kind == "real" and kinds.commas:
        left -= kinds.commas
        finding = "numbers with a decimal comma: say `decimal: comma` in site.yaml's `source`"
        yield Finding(field.name, finding, kinds.commas, records, meets=False)
    for text, count in sorted(kinds.sentinels.items()):
        if count >= LEAST_COUNT:
            left -= count
            yield Finding(field.name, _convention(text, field), count, records, meets=False)
    if left:
        yield Finding(field.name, _other(field, kinds, left, known), left, records, meets=False)


def _convention(text: str, field: Feature | Target) -> str:
    what = "no number" if field.kind == "real" else "a code that nobody explained"
    return f"{text}, {what}: if it says that there is no value, write {_remedy(text)}"


def _remedy(text: str) -> str:
    return f'`codes: {{"{text}": missing}}` in site.yaml'


def _other(field: Feature | Target, kinds: Unread, count: int, known: str) -> str:
    if field.kind == "real":
        return "not a number"
    several = f"{len(kinds.distinct)} codes" if len(kinds.distinct) > 1 else "a code"
    if count < LEAST_COUNT:
        several = "a code"
    verb = "do" if several.endswith("s") else "does"
    return f"{several} that `codes` in site.yaml {verb} not turn into one of {known}"


def of_range(
    column: Column, field: Feature | Target, mapping: ColumnMap | None
) -> Iterator[Finding]:
    """Say how many are out of range, those apart that look like a convention for no value."""
    if field.range is None:
        return
    records, (low, high) = len(column.values), field.range
    outside = _outside(column.values, field)
    for text, these in _conventional(column.values, outside, mapping):
        outside &= ~these
        finding = f"{text}, outside the range: if it says that there is no value, write "
        count = int(these.sum())
        yield Finding(field.name, finding + _remedy(text), count, records, meets=False)
    if outside.any():
        unit = f" {field.unit}" if field.unit else ""
        finding = f"outside {low:g} to {high:g}{unit}{_side(column.values[outside], low)}"
        yield Finding(field.name, finding, int(outside.sum()), records, meets=False)


def _outside(values: Floats, field: Feature | Target) -> NDArray[np.bool_]:
    assert field.range is not None
    low, high = field.range
    with np.errstate(invalid="ignore"):
        outside: NDArray[np.bool_] = (values < low) | (values > high)
    return outside


def _side(outside: Floats, low: float) -> str:
    below = int(np.sum(outside < low))
    if len(outside) < LEAST_COUNT or 0 < below < len(outside):
        return ""
    return ", all below" if below else ", all above"


def conventions(
    values: Floats, field: Feature | Target, scale: float, offset: float
) -> Iterator[str]:
    """Yield the numbers out of range that conventionally say that there is no value.

    Args:
        values: In the agreement's unit.
        field: With a range.
        scale: What made them of the file's numbers.
        offset: Likewise.
    """
    for text, _ in _scaled(values, _outside(values, field), scale, offset):
        yield text


def _conventional(
    values: Floats, outside: NDArray[np.bool_], mapping: ColumnMap | None
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield each conventional number that stands out among those out of range."""
    scale, offset = (mapping.scale, mapping.offset) if mapping else (1.0, 0.0)
    yield from _scaled(values, outside, scale, offset)


def _scaled(
    values: Floats, outside: NDArray[np.bool_], scale: float, offset: float
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for text in SENTINELS:
        value = float(text) * scale + offset
        these = outside & np.isclose(values, value, rtol=1e-9, atol=1e-12)
        count = int(these.sum())
        around = max(abs(scale), abs(value - offset) / 2)
        near = int(np.sum(outside & (np.abs(values - value) <= around))) - count
        if count >= LEAST_COUNT and count >= _CROWD * near:
            yield text, these


def _unit(column: Column, feature: Feature, mapping: ColumnMap) -> Iterator[Finding]:
    """Say that a column looks like another unit, or like other patients."""
    records = len(column.values)
    values = column.values.copy()
    for _, these in _conventional(values, _outside(values, feature), mapping):
        values[these] = np.nan
    mending = units.mending(values, feature, scale=mapping.scale, offset=mapping.offset)
    if mending is not None:
        yield Finding(
            feature.name, _mended(mending, mapping), mending.records, records, hint=True
        )
    elif shift := units.shift(values, feature):
        several = "deviation" if abs(shift) == 1 else "deviations"
        where = f"{several} {'above' if shift > 0 else 'below'} the reference"
        finding = f"the median is more than {abs(shift)} standard {where}: other patients?"
        yield Finding(feature.name, finding, records - _absent(column), records, hint=True)


def _mended(mending: Mending, mapping: ColumnMap) -> str:
    words = [f"`scale: {mending.scale:g}`"]
    if mending.offset != mapping.offset:
        words.append(f"`offset: {mending.offset:g}`")
    said = f"looks like another unit ({mending.name})"
    if mending.whole:
        return f"{said}: try {' and '.join(words)} in site.yaml"
    return f"{said} in these records alone: one column has two units, mend the export"
