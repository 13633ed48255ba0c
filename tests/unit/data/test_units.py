from __future__ import annotations

import numpy as np
import pytest

from governance.agreement.data_terms import Feature, Reference
from site_agent.data.units import CONVERSIONS, Conversion, is_constant, mending, shift

CHOL = Feature(
    name="chol", kind="real", range=(50.0, 600.0), reference=Reference(mean=200.0, std=40.0)
)
HEIGHT = Feature(
    name="height", kind="real", range=(100.0, 250.0), reference=Reference(mean=170.0, std=10.0)
)


def around(mean: float, std: float, *, count: int = 200) -> np.ndarray:
    return np.random.default_rng(5).normal(mean, std, count)


def scale_for(values: np.ndarray, feature: Feature) -> float | None:
    """Return the scale that would mend a column, if one would."""
    found = mending(values, feature)
    return None if found is None else found.scale


@pytest.mark.parametrize("factor", [38.67, 10.0, 100.0, 1000.0, 0.1, 0.01])
def test_the_factor_that_was_forgotten_is_found(factor: float) -> None:
    assert scale_for(around(195, 20) / factor, CHOL) == pytest.approx(factor)


@pytest.mark.parametrize(("written", "scale"), [(1.7, 100.0), (67.0, 2.54), (1700.0, 0.1)])
def test_metres_inches_and_millimetres_are_told_from_centimetres(
    written: float, scale: float
) -> None:
    values = around(written, written / 30)
    assert scale_for(values, HEIGHT) == pytest.approx(scale)


@pytest.mark.parametrize("conversion", CONVERSIONS, ids=lambda c: c.name)
@pytest.mark.parametrize("back", [False, True])
def test_every_conversion_is_tried_both_ways(conversion: Conversion, *, back: bool) -> None:
    way = conversion.back() if back else conversion
    values = way.back().of(around(200, 10))
    if np.mean((values >= 50) & (values <= 600)) < 0.05:
        found = mending(values, CHOL)
        assert found is not None
        assert found.whole
        mended = np.median(values) * found.scale + found.offset
        assert abs(mended - 200) <= 40


TEMPERATURE = Feature(
    name="temperature", kind="real", range=(30.0, 45.0), reference=Reference(mean=37.0, std=0.7)
)
HBA1C = Feature(
    name="hba1c",
    kind="real",
    unit="mmol/mol",
    range=(20.0, 200.0),
    reference=Reference(mean=50.0, std=15.0),
)


def test_fahrenheit_is_told_from_celsius_by_scale_and_offset() -> None:
    found = mending(around(98.6, 1.2), TEMPERATURE)
    assert found is not None
    assert (found.scale, found.offset) == (0.5556, -17.78)
    assert "°F" in found.name


def test_hba1c_in_per_cent_is_told_from_mmol_per_mol() -> None:
    found = mending(around(6.8, 1.0), HBA1C)
    assert found is not None
    assert "HbA1c" in found.name
    assert found.scale == pytest.approx(10.93)
    assert found.offset == pytest.approx(-23.5)


def test_what_the_file_says_already_is_part_of_the_remedy() -> None:
    found = mending(around(370.0, 7.0), TEMPERATURE, scale=10.0)
    assert found is not None
    assert found.scale == pytest.approx(1.0)
    doubled = mending(around(98.6, 1.2), TEMPERATURE, scale=2.0, offset=1.0)
    assert doubled is not None
    assert doubled.scale == pytest.approx(1.111)
    assert doubled.offset == pytest.approx(1 / 1.8 - 17.78, abs=0.01)


def test_a_column_of_two_units_is_told_with_how_many_records() -> None:
    both = np.concatenate([around(200, 20), around(200 / 38.67, 0.4, count=60)])
    found = mending(both, CHOL)
    assert found is not None
    assert not found.whole
    assert found.records == 60
    assert "cholesterol" in found.name


def test_what_is_as_agreed_needs_no_other_scale() -> None:
    assert mending(around(200, 40), CHOL) is None
    assert shift(around(200, 40), CHOL) == 0


def test_within_the_range_only_a_power_of_ten_is_guessed() -> None:
    loose = Feature(
        name="radius", kind="real", range=(0.0, 50.0), reference=Reference(mean=14, std=3.5)
    )
    assert scale_for(around(1.4, 0.3), loose) == 10.0
    assert mending(around(28, 1), loose) is None
    assert shift(around(28, 0.5), loose) == 3
    assert shift(around(22, 0.5), loose) == 2
    assert shift(around(9, 0.5), loose) == -1
    assert shift(around(13, 0.5), loose) == 0


def test_a_few_records_are_too_few_to_guess_from() -> None:
    assert mending(around(5, 0.5, count=19), CHOL) is None
    assert mending(np.full(50, np.nan), CHOL) is None
    assert shift(np.full(50, np.nan), CHOL) == 0
    assert not is_constant(np.full(50, np.nan))
    assert not is_constant(np.full(19, 7.0))
    assert is_constant(np.full(20, 7.0))
