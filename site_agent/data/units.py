"""Guess the unit that a column is really in: which public factor would mend it.

Laboratories report one quantity in several units; a column in the wrong one is out of range as
a whole, or far from the reference. The factors are public constants, so that an answer says
nothing of a record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from governance.agreement.data_terms import Feature

_POWERS_OF_TEN: Final = (10.0, 100.0, 1000.0)
FACTORS: Final = (
    *_POWERS_OF_TEN,
    38.67,  # cholesterol, mmol/L to mg/dl
    88.57,  # triglycerides, mmol/L to mg/dl
    18.02,  # glucose, mmol/L to mg/dl
    6.006,  # urea, mmol/L to mg/dl
    88.42,  # creatinine, mg/dl to µmol/L
    17.1,  # bilirubin, mg/dl to µmol/L
    1.611,  # haemoglobin, mmol/L to g/dl
    7.501,  # kPa to mmHg
    2.54,  # inch to cm
    2.2046,  # kg to lb
    12.0,  # years to months
    365.25,  # years to days
)
"""Each is tried as it stands and the other way round."""

_MOST: Final = 0.95
_FEW: Final = 0.5
_FEWEST_RECORDS: Final = 20
_FAR_STDS: Final = 3.0
_NEAR_STDS: Final = 1.0
_RARER: Final = 0.3  # stds by which another factor must be nearer than a power of ten


def mending_scale(
    values: NDArray[np.float64], feature: Feature, *, scale: float
) -> float | None:
    """Return the `scale` for site.yaml under which a column would fit; None if it fits.

    Args:
        values: A real feature under the scale at hand; NaN where there is none.
        feature: Its range and reference.
        scale: The one that site.yaml has now.
    """
    present = values[~np.isnan(values)]
    if feature.range is None or len(present) < _FEWEST_RECORDS:
        return None
    middle = float(np.median(present))
    if _inside(present, feature) < _FEW:
        tried: tuple[float, ...] = FACTORS
    elif _distance(middle, feature) > _FAR_STDS:
        tried = _POWERS_OF_TEN  # most are in range: any other factor may fit by chance
    else:
        return None
    fitting: dict[float, float] = {}
    for factor in tried:
        for mending in (factor, 1 / factor):
            far = _distance(middle * mending, feature)
            if far <= _NEAR_STDS and _inside(present * mending, feature) >= _MOST:
                fitting[mending] = far + _RARER * (factor not in _POWERS_OF_TEN)
    return float(f"{scale * min(fitting, key=fitting.__getitem__):.4g}") if fitting else None


def is_shifted(values: NDArray[np.float64], feature: Feature) -> bool:
    """Return whether the middle of enough records lies far from the agreement's reference."""
    present = values[~np.isnan(values)]
    if len(present) < _FEWEST_RECORDS:
        return False
    return _distance(float(np.median(present)), feature) > _FAR_STDS


def _inside(values: NDArray[np.float64], feature: Feature) -> float:
    assert feature.range is not None
    low, high = feature.range
    return float(np.mean((values >= low) & (values <= high)))


def _distance(middle: float, feature: Feature) -> float:
    """Return how many of the reference's standard deviations a value is from its mean."""
    if feature.reference is None:
        return 0.0
    return abs(middle - feature.reference.mean) / feature.reference.std
