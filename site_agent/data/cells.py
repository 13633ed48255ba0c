"""What a cell of text means: a number, a category's place, nothing, or nothing we can read.

All are floats, so that columns stay arrays: NaN is missing, infinity is unread.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from governance.agreement.data_terms import Feature, Target
    from governance.settings import ColumnMap

    Meaning = Callable[[Sequence[str]], NDArray[np.float64]]

MISSING: Final = frozenset({"", "na", "n/a", "nan", "null", "none", "?", ".", "-"})
"""What stands for no value, in any case, unless a code or a category is written so."""

MISSING_CODE: Final = "missing"
"""What a code stands for that means no value: `codes: {9: missing}`."""

_OUTCOMES: Final = {"0": 0.0, "1": 1.0}


def meaning(field: Feature | Target, mapping: ColumnMap, *, comma: bool = False) -> Meaning:
    """Return the function that turns a column's cells into the agreement's values.

    Args:
        field: What the agreement says of them.
        mapping: What site.yaml says of them; a code's value is in the agreement's unit.
        comma: Whether numbers have a decimal comma; then one with a point is unread.

    Raises:
        Refused: A code stands for something that the agreement does not have.
    """
    codes = mapping.codes or {}
    if field.kind == "category":
        places = {value: float(place) for place, value in enumerate(field.values or ())}
        return _each({**places, **_explained(codes, places, field)}, otherwise=_no_number)
    if field.kind == "binary":
        known = {**_OUTCOMES, **_explained(codes, _OUTCOMES, field)}
        return _each(known, otherwise=_no_number if codes else number)
    read = _with_comma if comma else number
    if codes:
        numbers = {value: number(value) for value in codes.values()}
        finite = {value: found for value, found in numbers.items() if math.isfinite(found)}

        def in_unit(cell: str) -> float:
            return read(cell) * mapping.scale + mapping.offset

        return _each(_explained(codes, finite, field), otherwise=in_unit)
    return _numbers(mapping, read)


def number(cell: str) -> float:
    """Return the number that a cell holds; NaN for none, infinity for what is no number."""
    if cell.casefold() in MISSING:
        return math.nan
    try:
        return math.inf if "_" in cell else float(cell)  # float takes 1_000; we do not
    except ValueError:
        return math.inf


def _with_comma(cell: str) -> float:
    """Return the number that a cell with a decimal comma holds."""
    return math.inf if "." in cell and not is_missing(cell) else number(cell.replace(",", "."))


def is_missing(cell: str) -> bool:
    """Return whether a cell says that there is no value."""
    return cell.strip().casefold() in MISSING


def _explained(
    codes: Mapping[str, str], known: Mapping[str, float], field: Feature | Target
) -> dict[str, float]:
    """Return each code's value; what it stands for must be one of the known ones."""
    meant = {MISSING_CODE: math.nan, **known}
    foreign = next((value for value in codes.values() if _plain(value) not in meant), None)
    if foreign is not None:
        possible = ", ".join(known) or "numbers"
        raise Refused(
            f"a code of {field.name} stands for {foreign}, which the agreement does not have",
            todo=f"It may stand for {possible} or {MISSING_CODE}: mend `codes` in site.yaml.",
            rule="unknown-code",
        )
    return {code: meant[_plain(value)] for code, value in codes.items()}


def _each(known: Mapping[str, float], *, otherwise: Callable[[str], float]) -> Meaning:
    """Return a meaning by table, for the cells that are not in it by a function."""

    def of(cell: str) -> float:
        text = cell.strip()
        found = known.get(text, known.get(_plain(text)))
        return otherwise(text) if found is None else found

    def of_all(cells: Sequence[str]) -> NDArray[np.float64]:
        distinct = {cell: of(cell) for cell in set(cells)}
        return np.fromiter(map(distinct.__getitem__, cells), np.float64, len(cells))

    return of_all


def _numbers(mapping: ColumnMap, read: Callable[[str], float]) -> Meaning:
    """Return the meaning of plain numbers, at the speed of `float` where none is missing."""
    slowly = _each({}, otherwise=read)

    def in_unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = values * mapping.scale + mapping.offset
        return np.where(np.isfinite(values), scaled, values)

    def of_all(cells: Sequence[str]) -> NDArray[np.float64]:
        if read is not number or "_" in "".join(cells):
            return in_unit(slowly(cells))
        try:
            return in_unit(np.fromiter(map(float, cells), np.float64, len(cells)))
        except ValueError:
            return in_unit(slowly(cells))

    return of_all


def _no_number(cell: str) -> float:
    return math.nan if is_missing(cell) else math.inf


def _plain(text: str) -> str:
    """Write a whole number without a fraction, since spreadsheets turn the code 1 into 1.0."""
    try:
        value = float(text)
    except ValueError:
        return text
    return str(int(value)) if value.is_integer() and "_" not in text else text
