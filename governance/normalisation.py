"""Statistics of patients that quantities are normalised by: noised at each hospital, combined.

A value x in the agreement's range [l, h] is scaled to u = (2x − l − h) / (h − l), in [−1, 1]. A
patient with several records adds the means over them, once:

    1, then for each quantity u and u² − 1/2

so that whatever the records are, one patient adds a vector of norm at most Δ = √(1 + 5/4·d) for
d quantities. Each hospital sums that over the patients who train, adds Gaussian noise of
deviation σ·Δ to every number and rounds to 1/1024: the Gaussian mechanism with noise multiplier
σ on one patient added or removed (q = 1). The sums of all hospitals give each quantity's mean
and deviation; a deviation is at least a thousandth of the range. Nothing else of the data is
used: no count, no extreme.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from governance import canonical, disclosed
from governance.agreement.data_terms import Reference
from governance.privacy.releases import decimal_text
from protos.errors import PeerFault
from protos.words import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from governance.agreement.data_terms import Feature
    from governance.agreement.schema import Agreement

    Floats = NDArray[np.float64]
    Draw = Callable[[int], Floats]
    """Returns so many standard normal numbers."""

LABEL: Final = "statistics"
MECHANISM: Final = "gaussian"
GRID: Final = 1024
MOST_QUANTITIES: Final = 200
"""So many fit into the entry that records them."""
FLOOR: Final = 0.002
"""The least deviation, in halves of the range."""
_NORM: Final = 1.25
"""The largest square of (u, u² − 1/2)."""
_HALF: Final = 0.5
_DIGITS: Final = 9
_VALUE_LIMIT: Final = 1 << 52
_DECIMAL: Final = re.compile(r"-?[0-9]{1,32}(\.[0-9]{1,32})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Released:
    """What one hospital says: the noise's deviation as a decimal, and the sums in 1/1024."""

    deviation: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """A quantity's range, and the mean and deviation it is normalised by; all decimals."""

    low: str
    high: str
    mean: str
    std: str

    def to_json(self) -> dict[str, str]:
        """Return it as an entry holds it."""
        return {"low": self.low, "high": self.high, "mean": self.mean, "std": self.std}


Scales = dict[str, Scale]
"""By the quantity's name."""


def quantities(agreement: Agreement) -> tuple[Feature, ...]:
    """Return the features that are normalised, by their names: the order of the vector."""
    found = (one for one in agreement.data.features if one.kind == "real")
    return tuple(sorted(found, key=lambda one: one.name))


def sensitivity(count: int) -> float:
    """Return Δ: the largest Euclidean norm of what one patient adds."""
    return math.sqrt(1 + _NORM * count)


def deviation_of(agreement: Agreement) -> float:
    """Return the deviation of the noise of each number, before it is rounded."""
    return agreement.statistics_sigma * sensitivity(len(quantities(agreement)))


def basis_of(agreement: Agreement) -> Digest:
    """Return what the statistics are of: an agreement of the same basis uses the same ones.

    The quantities with their units, ranges and fills, and the privacy that they left with.
    """
    privacy = agreement.privacy
    terms = privacy.statistics if privacy is not None else None
    said = {
        "quantities": [
            {
                "name": one.name,
                "unit": one.unit or "",
                "range": [decimal_text(end) for end in _range(one)],
                "fill": decimal_text(_fill(one)),
            }
            for one in quantities(agreement)
        ],
        "delta": decimal_text(privacy.delta) if privacy is not None else "",
        "epsilon": decimal_text(terms.epsilon) if terms is not None else "",
    }
    return Digest(hashlib.sha256(canonical.encode(said)).hexdigest())


def scaled(agreement: Agreement) -> Agreement:
    """Return the agreement with references that take each range to [−1, 1]."""
    middles = {}
    for one in quantities(agreement):
        low, high = _range(one)
        middles[one.name] = Reference(mean=(low + high) / 2, std=(high - low) / 2)
    return _with_references(agreement, middles)


def applied(agreement: Agreement, scales: Mapping[str, Scale]) -> Agreement:
    """Return the agreement with these means and deviations in place of its references.

    What stands for a missing value stays what the agreement says.
    """
    found = {
        name: Reference(mean=float(one.mean), std=float(one.std))
        for name, one in scales.items()
    }
    return _with_references(agreement, found)


def _with_references(agreement: Agreement, found: Mapping[str, Reference]) -> Agreement:
    features = tuple(
        one.model_copy(
            update={
                "reference": found[one.name],
                "missing": one.missing.model_copy(update={"fill": _fill(one)}),
            }
        )
        if one.name in found
        else one
        for one in agreement.data.features
    )
    data = agreement.data.model_copy(update={"features": features})
    return agreement.model_copy(update={"data": data})


# --- at a hospital -------------------------------------------------------------------------


def sum_of(records: Floats, patient: NDArray[np.int64], patients: int) -> Floats:
    """Return the vector of some patients without noise; each adds at most Δ.

    Args:
        records: u of each quantity, records × quantities; clipped here, once more.
        patient: For each record its patient.
        patients: How many there are.
    """
    u = np.clip(np.nan_to_num(records.astype(np.float64)), -1.0, 1.0)
    count = np.maximum(np.bincount(patient, minlength=patients), 1)
    found = [np.array([float(patients)])]
    for column in u.T:
        means = np.bincount(patient, weights=column, minlength=patients) / count
        squares = np.bincount(patient, weights=column**2 - _HALF, minlength=patients) / count
        found.append(np.array([means.sum(), squares.sum()]))
    return np.concatenate(found)


def noised_of(total: Floats, agreement: Agreement, draw: Draw) -> Released:
    """Return a hospital's sums with the agreement's noise; the draw is never used twice."""
    deviation = deviation_of(agreement)
    values = np.rint(GRID * (total + deviation * draw(len(total)))).astype(np.int64)
    return Released(decimal_text(deviation), tuple(values.tolist()))


def to_json(said: Released) -> str:
    """Return the text that a disclosure carries."""
    fields = {"noise": said.deviation, "values": said.values}
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def parse(text: str) -> Released:
    """Read what `to_json` writes, and nothing else.

    Raises:
        PeerFault: another form, or numbers that cannot be.
    """
    fields = disclosed.fields_of(text, _fault)
    if set(fields) != {"noise", "values"}:
        raise _fault("have other fields than ours")
    said = Released(str(fields["noise"]), _values(fields["values"]))
    if to_json(said) != text:  # else there were two readings of one disclosure
        raise _fault("are not in their one form")
    return said


def from_json(text: str, agreement: Agreement) -> Released:
    """Read sums of just the quantities and the noise that an agreement asks for.

    Raises:
        PeerFault: another form, another length or other noise.
    """
    said = parse(text)
    if said.deviation != decimal_text(deviation_of(agreement)):
        raise _fault("have other noise than the agreement's")
    if len(said.values) != 1 + 2 * len(quantities(agreement)):
        raise _fault("are of other quantities than the agreement's")
    return said


# --- of all hospitals ----------------------------------------------------------------------


def combined(released: Sequence[Released], agreement: Agreement) -> Scales:
    """Return each quantity's mean and deviation over all hospitals that released sums."""
    ranges = {one.name: _ends(one) for one in quantities(agreement)}
    return combined_in(released, ranges)


def combined_in(released: Sequence[Released], ranges: Mapping[str, tuple[str, str]]) -> Scales:
    """Return each quantity's mean and deviation; `ranges` are (low, high), by name.

    Raises:
        PeerFault: the sums are of another number of quantities.

    The same on every machine: sums of whole numbers, then additions, products and roots.
    """
    if not released or {len(one.values) for one in released} != {1 + 2 * len(ranges)}:
        raise _fault("are of other quantities")
    columns = zip(*(one.values for one in released), strict=True)
    sums = [sum(column) / GRID for column in columns]
    count = max(sums[0], 1.0)
    return {
        name: _scale(ends, sums[1 + 2 * place] / count, sums[2 + 2 * place] / count)
        for place, (name, ends) in enumerate(sorted(ranges.items()))
    }


def _scale(ends: tuple[str, str], mean: float, centred_square: float) -> Scale:
    low, high = float(ends[0]), float(ends[1])
    middle, half = (low + high) / 2, (high - low) / 2
    mean = min(max(mean, -1.0), 1.0)
    variance = min(centred_square + _HALF, 1.0) - mean * mean
    std = math.sqrt(max(variance, FLOOR * FLOOR))
    return Scale(*ends, _text(middle + half * mean), _text(half * std))


def read(said: Mapping[str, Mapping[str, str]]) -> Scales:
    """Read the scales of an entry whose form was checked."""
    return {name: Scale(**one) for name, one in said.items()}


def check(scales: Mapping[str, Scale], agreement: Agreement) -> None:
    """Check statistics that are to be trained by; raise PeerFault naming what is wrong.

    They are of just the agreement's quantities and ranges, each mean lies in its range, each
    deviation between its floor and half the range. Stops a coordinator from scaling patients'
    values to where a model could single some of them out.
    """
    wanted = {one.name: _ends(one) for one in quantities(agreement)}
    if {name: (one.low, one.high) for name, one in scales.items()} != wanted:
        raise _fault("are of other quantities or ranges than the agreement's")
    for name, one in scales.items():
        low, high, mean, std = map(float, (one.low, one.high, one.mean, one.std))
        slack = (high - low) * 10.0 ** (2 - _DIGITS)
        if not low - slack <= mean <= high + slack:
            raise _fault(f"have a mean of {name} outside of its range")
        half = (high - low) / 2
        if not FLOOR * half - slack <= std <= half + slack:
            raise _fault(f"have a deviation of {name} that cannot be")


def error_of(agreement: Agreement, patients: float) -> float:
    """Return how far the noise alone moves a mean, in halves of the range: one deviation.

    Args:
        agreement: Whose terms give noise and how many hospitals may close a round.
        patients: Of all those hospitals, without those held out.
    """
    return deviation_of(agreement) * math.sqrt(agreement.sites.close_at_least) / patients


def is_decimal(text: object) -> bool:
    """Tell whether this is a decimal as `Scale` holds it."""
    return isinstance(text, str) and _DECIMAL.fullmatch(text) is not None


def _range(one: Feature) -> tuple[float, float]:
    assert one.range is not None  # a real feature has one: governance.agreement.consistency
    return one.range


def _ends(one: Feature) -> tuple[str, str]:
    low, high = _range(one)
    return decimal_text(low), decimal_text(high)


def _fill(one: Feature) -> float:
    fill = one.missing.fill
    if isinstance(fill, float):
        return fill
    assert one.reference is not None
    return one.reference.mean


def _text(value: float) -> str:
    return decimal_text(float(f"{value:.{_DIGITS}g}"))


def _values(said: Any) -> tuple[int, ...]:  # noqa: ANN401 -- JSON of a peer
    if not isinstance(said, list) or not all(
        type(value) is int and abs(value) <= _VALUE_LIMIT for value in said
    ):
        raise _fault("hold a number that cannot be")
    return tuple(said)


def _fault(what: str) -> PeerFault:
    return PeerFault(f"the statistics {what}", rule="bad-statistics")
