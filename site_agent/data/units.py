"""Guess the unit that a column is really in: which public conversion would mend it.

Laboratories report one quantity in several units; a column in the wrong one is out of range as
a whole, or far from the reference, and a column of two units is so in part. The conversions are
public constants, so that an answer says nothing of a record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from governance.agreement.data_terms import Feature


@dataclass(frozen=True, slots=True)
class Conversion:
    """From one unit to another: value × factor + offset; `name` says between which.

    Attributes:
        factor: What a value is multiplied by.
        name: For people.
        offset: What is added then.
        likely: Whether it is met in any column.
        units: From which to which, as they are written.
        stems: How names begin of what it holds for; empty where it holds for everything.
    """

    factor: float
    name: str
    offset: float = 0.0
    likely: bool = False
    units: tuple[str, ...] = ()
    stems: tuple[str, ...] = ()

    def back(self) -> Conversion:
        """Return the way back."""
        inverse = 1 / self.factor
        return replace(self, factor=inverse, offset=-self.offset * inverse)

    def of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert."""
        converted: NDArray[np.float64] = values * self.factor + self.offset
        return converted


POWERS_OF_TEN: Final = tuple(
    Conversion(factor, f"a factor of {factor:g}", likely=True) for factor in (10, 100, 1000)
)


def _analyte(
    factor: float, what: str, units: tuple[str, str], stems: str, offset: float = 0.0
) -> Conversion:
    name = f"{what} in {units[0]} and in {units[1]}"
    return Conversion(factor, name, offset, units=units, stems=tuple(stems.split()))


_MMOL: Final = ("mmol/L", "mg/dl")
_UMOL: Final = ("mg/dl", "µmol/L")
CONVERSIONS: Final = (
    *POWERS_OF_TEN,
    _analyte(38.67, "cholesterol", _MMOL, "chol colest ldl hdl"),
    _analyte(88.57, "triglycerides", _MMOL, "trig"),
    _analyte(
        18.02, "glucose", _MMOL, "gluc gluk glyc glic blutzucker zucker sugar nuchternzucker"
    ),
    _analyte(6.006, "urea", _MMOL, "urea harnstoff uree"),
    _analyte(88.42, "creatinine", _UMOL, "crea krea"),
    _analyte(17.1, "bilirubin", _UMOL, "bili"),
    _analyte(59.48, "uric acid", _UMOL, "uric harnsaure urat"),
    _analyte(4.008, "calcium", _MMOL, "calc kalz"),
    _analyte(
        1.611, "haemoglobin", ("mmol/L", "g/dl"), "haemoglob hemoglob hamoglob emoglob hb hgb"
    ),
    Conversion(1e6, "mm² and µm²"),
    Conversion(1e4, "m² and cm²"),
    Conversion(7.501, "kPa and mmHg"),
    Conversion(2.54, "inch and cm"),
    Conversion(30.48, "foot and cm"),
    Conversion(2.2046, "kg and lb"),
    Conversion(28.35, "ounce and g"),
    Conversion(12.0, "years and months"),
    Conversion(365.25, "years and days"),
    Conversion(60.0, "hours and minutes"),
    Conversion(1.8, "°C and °F", 32.0, units=("°C", "°F")),
    Conversion(1.0, "°C and K", 273.15, units=("°C", "K")),
    _analyte(10.93, "HbA1c", ("%", "mmol/mol"), "hba", -23.5),
)
"""Each is tried as it stands and the other way round."""


@dataclass(frozen=True, slots=True)
class Mending:
    """What would mend a column.

    Args:
        scale: For site.yaml, in the place of the one it has.
        offset: Likewise.
        name: Between which units.
        records: How many look like the other unit.
        whole: Whether all do; a column of two units is not mended by one scale.
    """

    scale: float
    offset: float
    name: str
    records: int
    whole: bool


_MOST: Final = 0.95
_FEW: Final = 0.5
_FEWEST_RECORDS: Final = 20
_FAR_STDS: Final = 3.0
_NEAR_STDS: Final = 1.0
_RARER: Final = 0.3  # stds by which another conversion must be nearer than a power of ten
_FOREIGN: Final = 1.0  # and one between units of which neither is the agreement's


def mending(
    values: NDArray[np.float64], feature: Feature, *, scale: float = 1.0, offset: float = 0.0
) -> Mending | None:
    """Return what would make a column fit; None if it fits, or if nothing would.

    Args:
        values: A real feature under the scale and offset at hand; NaN where there is none.
        feature: Its range and reference.
        scale: The one that site.yaml has now.
        offset: Likewise.
    """
    present = values[~np.isnan(values)]
    if feature.range is None or len(present) < _FEWEST_RECORDS:
        return None
    inside = _inside(present, feature)
    whole = bool(inside.mean() < _FEW)
    odd = present if whole else present[~inside]
    if whole or len(odd) >= _FEWEST_RECORDS:
        tried: Iterable[Conversion] = CONVERSIONS
    elif distance(present, feature) > _FAR_STDS:
        odd, whole = present, True
        tried = POWERS_OF_TEN  # most are in range: any other may fit by chance
    else:
        return None
    best = _best(odd, feature, tried)
    if best is None:
        return None
    new_scale, new_offset = scale * best.factor, offset * best.factor + best.offset
    rounded = float(f"{new_scale:.4g}"), float(f"{new_offset:.4g}")
    return Mending(*rounded, best.name, len(odd), whole)


def _best(
    odd: NDArray[np.float64], feature: Feature, tried: Iterable[Conversion]
) -> Conversion | None:
    """Return the conversion that brings values nearest to the reference, if one fits."""
    fitting: list[tuple[float, Conversion]] = []
    for way in _both_ways(tried):
        if way.offset and feature.unit and not _names(way, feature.unit):
            continue  # what moves the zero brings any small number near some reference
        converted = way.of(odd)
        far = distance(converted, feature)
        if far <= _NEAR_STDS and _inside(converted, feature).mean() >= _MOST:
            fitting.append((far + _doubt(way, feature), way))
    return min(fitting, key=lambda pair: pair[0])[1] if fitting else None


def _doubt(way: Conversion, feature: Feature) -> float:
    """Return how much nearer, in stds, a conversion must be than one that is expected here."""
    if way.likely or not feature.unit:
        return 0.0 if way.likely else _RARER
    return 0.0 if _names(way, feature.unit) else _FOREIGN


def _names(way: Conversion, unit: str) -> bool:
    return unit.casefold() in way.name.casefold().replace(",", "").split()


def _both_ways(tried: Iterable[Conversion]) -> Iterator[Conversion]:
    for conversion in tried:
        yield conversion
        yield conversion.back()


def shift(values: NDArray[np.float64], feature: Feature) -> int:
    """Return how many whole standard deviations, three at most, the median is from the mean.

    Above the reference it is positive, below negative; 0 too where there are few records.
    """
    present = values[~np.isnan(values)]
    if len(present) < _FEWEST_RECORDS or feature.reference is None:
        return 0
    whole = min(int(distance(present, feature)), int(_FAR_STDS))
    return whole if float(np.median(present)) > feature.reference.mean else -whole


def is_constant(values: NDArray[np.float64]) -> bool:
    """Return whether enough records all have one value, from which nothing can be learnt."""
    present = values[~np.isnan(values)]
    return len(present) >= _FEWEST_RECORDS and bool(np.all(present == present[0]))


def _inside(values: NDArray[np.float64], feature: Feature) -> NDArray[np.bool_]:
    assert feature.range is not None
    low, high = feature.range
    inside: NDArray[np.bool_] = (values >= low) & (values <= high)
    return inside


def distance(values: NDArray[np.float64], feature: Feature) -> float:
    """Return how many of the reference's standard deviations the median is from its mean."""
    if feature.reference is None:
        return 0.0
    return abs(float(np.median(values)) - feature.reference.mean) / feature.reference.std
