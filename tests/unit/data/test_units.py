from __future__ import annotations

import numpy as np
import pytest

from governance.agreement.data_terms import Feature, Reference
from site_agent.data.units import FACTORS, is_shifted, mending_scale

CHOL = Feature(
    name="chol", kind="real", range=(50.0, 600.0), reference=Reference(mean=200.0, std=40.0)
)
HEIGHT = Feature(
    name="height", kind="real", range=(100.0, 250.0), reference=Reference(mean=170.0, std=10.0)
)


def around(mean: float, std: float, *, count: int = 200) -> np.ndarray:
    return np.random.default_rng(5).normal(mean, std, count)


@pytest.mark.parametrize("factor", [38.67, 10.0, 100.0, 1000.0, 0.1, 0.01])
def test_the_factor_that_was_forgotten_is_found(factor: float) -> None:
    assert mending_scale(around(195, 20) / factor, CHOL, scale=1.0) == pytest.approx(factor)


@pytest.mark.parametrize(("written", "scale"), [(1.7, 100.0), (67.0, 2.54), (1700.0, 0.1)])
def test_metres_inches_and_millimetres_are_told_from_centimetres(
    written: float, scale: float
) -> None:
    values = around(written, written / 30)
    assert mending_scale(values, HEIGHT, scale=1.0) == pytest.approx(scale)


def test_every_factor_is_tried_both_ways() -> None:
    for factor in FACTORS:
        for way in (factor, 1 / factor):
            values = around(200, 10) / way
            inside = np.mean((values >= 50) & (values <= 600))
            if inside < 0.05:
                found = mending_scale(values, CHOL, scale=1.0)
                assert found is not None
                mended = np.median(values) * found
                assert abs(mended - 200) <= 40


def test_what_is_as_agreed_needs_no_other_scale() -> None:
    assert mending_scale(around(200, 40), CHOL, scale=1.0) is None
    assert not is_shifted(around(200, 40), CHOL)


def test_within_the_range_only_a_power_of_ten_is_guessed() -> None:
    loose = Feature(
        name="radius", kind="real", range=(0.0, 50.0), reference=Reference(mean=14, std=3.5)
    )
    assert mending_scale(around(1.4, 0.3), loose, scale=1.0) == 10.0
    assert mending_scale(around(28, 1), loose, scale=1.0) is None
    assert is_shifted(around(28, 1), loose)


def test_a_few_records_are_too_few_to_guess_from() -> None:
    assert mending_scale(around(5, 0.5, count=19), CHOL, scale=1.0) is None
    assert mending_scale(np.full(50, np.nan), CHOL, scale=1.0) is None
    assert not is_shifted(np.full(50, np.nan), CHOL)
