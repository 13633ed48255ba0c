"""Units in headers, and what turns one into another where that is certain."""

from __future__ import annotations

import pytest

from site_agent.data.unit_names import between, in_header, known


@pytest.mark.parametrize(
    ("header", "rest", "unit"),
    [
        ("Cholesterin (mmol/l)", "Cholesterin", "mmol/l"),
        ("CHOL_MMOL", "CHOL", "mmol/l"),
        ("Chol mg_dl", "Chol", "mg/dl"),
        ("Größe [m]", "Größe", "m"),
        ("Alter in Jahren (Jahre)", "Alter in Jahren", "year"),
        ("max. Herzfrequenz (1/min)", "max. Herzfrequenz", "/min"),
        ("Kreatinin µmol/l", "Kreatinin", "umol/l"),
    ],
)
def test_a_unit_in_the_header_is_read(header: str, rest: str, unit: str) -> None:
    name, written = in_header(header)
    assert (name, known(written)) == (rest, unit)


@pytest.mark.parametrize(
    "header", ["RR (Station 4)", "mean_min", "vitamin_k", "Zimmer in", "m", "ID", ""]
)
def test_what_may_be_something_else_is_no_unit(header: str) -> None:
    assert in_header(header) == (header, "")


@pytest.mark.parametrize(
    ("have", "want", "word", "factor", "offset"),
    [
        ("m", "cm", "height", 100, 0),
        ("mmol/l", "mg/dl", "cholesterin", 38.67, 0),
        ("mg/dL", "mmol/L", "cholesterol", 1 / 38.67, 0),
        ("mmol/l", "mg/dl", "glukose", 18.02, 0),
        ("µmol/l", "mg/dl", "kreatinin", 1 / 88.42, 0),
        ("mmol/l", "g/l", "chol", 0.3867, 0),
        ("g/l", "g/dl", "albumin", 0.1, 0),
        ("°F", "°C", "temp", 5 / 9, -160 / 9),
        ("Jahre", "months", "alter", 12, 0),
    ],
)
def test_a_certain_conversion_is_found(
    have: str, want: str, word: str, factor: float, offset: float
) -> None:
    found = between(have, want, [word])
    assert found is not None
    assert (found.factor, found.offset) == (
        pytest.approx(factor, rel=1e-5),
        pytest.approx(offset, rel=1e-5),
    )


@pytest.mark.parametrize(
    ("have", "want", "words"),
    [
        ("mmol/l", "mg/dl", ["albumin"]),
        ("mmol/l", "mg/dl", ["cholesterol", "glucose"]),
        ("cm", "kg", ["size"]),
        ("parts", "mg/dl", ["cholesterol"]),
    ],
)
def test_what_is_not_certain_is_not_converted(have: str, want: str, words: list[str]) -> None:
    assert between(have, want, words) is None
