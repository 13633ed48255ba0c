"""Units by the names that columns and agreements give them, and what turns one into another.

Units of one dimension convert by themselves; between mass and amount of substance the analyte
decides, so that it must be named in the column or the feature.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

from site_agent.data.units import CONVERSIONS, Conversion

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DIMENSIONS: Final[tuple[Mapping[str, float], ...]] = (
    {"m": 1, "dm": 0.1, "cm": 0.01, "mm": 1e-3, "um": 1e-6, "nm": 1e-9, "inch": 0.0254,
     "foot": 0.3048},
    {"m2": 1, "cm2": 1e-4, "mm2": 1e-6, "um2": 1e-12},
    {"kg": 1, "g": 1e-3, "mg": 1e-6, "ug": 1e-9, "lb": 0.45359237, "ounce": 0.0283495},
    {"l": 1, "dl": 0.1, "ml": 1e-3, "ul": 1e-6},
    {"year": 1, "month": 1 / 12, "week": 7 / 365.25, "day": 1 / 365.25},
    {"h": 1, "min": 1 / 60, "s": 1 / 3600},
    {"/min": 1, "/s": 60},
    {"mmhg": 1, "kpa": 7.50062},
    {"g/l": 1, "g/dl": 10, "mg/dl": 0.01, "mg/l": 1e-3, "mg/ml": 1, "ug/l": 1e-6,
     "ug/dl": 1e-5, "ug/ml": 1e-3, "ng/ml": 1e-6, "ng/l": 1e-9},
    {"mol/l": 1, "mmol/l": 1e-3, "umol/l": 1e-6, "nmol/l": 1e-9},
    {"%": 1},
    {"mmol/mol": 1},
    {"°c": 1},
    {"°f": 1},
    {"k": 1},
)  # fmt: skip
_ALIASES: Final[Mapping[str, str]] = {
    alias: unit
    for unit, aliases in {
        "um": "micron micrometer micrometre",
        "inch": "in zoll pouce pulgada pollice inches",
        "foot": "ft feet",
        "lb": "lbs pound pounds",
        "ounce": "oz ounces",
        "ug": "mcg",
        "year": "years yr yrs y a jahr jahre j. an ans ano anos anno anni",
        "month": "months mo monat monate mois mes meses mese mesi",
        "week": "weeks wk woche wochen semaine semaines semana semanas settimane",
        "day": "days d tag tage jour jours dia dias giorno giorni",
        "h": "hour hours std stunde stunden heures horas ore",
        "min": "minute minutes minuten minuti minutos",
        "s": "sec sek",
        "/min": "1/min min-1 bpm min^-1 schlage/min beats/min",
        "/s": "1/s hz s-1",
        "mmhg": "mm_hg torr",
        "mmol/l": "mmol mmoll",
        "umol/l": "umol umoll",
        "mg/dl": "mgdl",
        "g/dl": "gdl",
        "m2": "m^2 qm",
        "°c": "celsius grad_celsius",
        "°f": "fahrenheit",
        "k": "kelvin",
    }.items()
    for alias in aliases.split()
}
_ONLY_IN_BRACKETS: Final = frozenset(
    {"in", "min", "an", "mes", "mo", "dia", "ore", "std", "qm"}
)
"""Bare words of a header that mostly mean something else."""
_BRACKETS: Final = re.compile(
    r"(?P<rest>.*?)\s*[\[(]\s*(?:in\s+)?(?P<unit>[^\])]+?)\s*[\])]\s*"
)
_LAST: Final = (
    re.compile(r"(?P<rest>.+?)[\s_,;]+(?P<unit>[^\s_]+_[^\s_]+)"),
    re.compile(r"(?P<rest>.+?)[\s_,;]+(?:in\s+)?(?P<unit>[^\s_]+)"),
)
_SIGNIFICANT: Final = 6


def known(text: str) -> str:
    """Return a unit by its one name, or nothing where it is none that is known here."""
    plain = unicodedata.normalize("NFKD", text.strip().casefold()).replace("μ", "u")
    plain = "".join(sign for sign in plain if not unicodedata.combining(sign))
    plain = plain.replace(" ", "")
    for written in (plain, plain.replace("_", "/"), plain.replace("º", "°")):
        name = _ALIASES.get(written, written)
        if any(name in units for units in _DIMENSIONS):
            return name
    return ""


def in_header(header: str) -> tuple[str, str]:
    """Return a column's name without its unit, and the unit as it is written there."""
    found = _BRACKETS.fullmatch(header)
    if found is not None and known(found["unit"]):
        return found["rest"], found["unit"]
    for pattern in _LAST:
        last = pattern.fullmatch(header.strip())
        if last is None:
            continue
        word = last["unit"].casefold()
        if len(word) > 1 and word not in _ONLY_IN_BRACKETS and known(word):
            return last["rest"], last["unit"]
    return header, ""


def between(have: str, want: str, words: Iterable[str]) -> Conversion | None:
    """Return what turns one unit into another; None where nothing certain does.

    Args:
        have: The column's unit.
        want: The agreement's.
        words: Of the column's and the feature's name: which analyte it is.
    """
    here, there = known(have), known(want)
    if not here or not there:
        return None
    name = f"{have} here, {want} in the agreement"
    plain = _factor(here, there)
    if plain is not None:
        return Conversion(plain, name)
    stems = tuple(words)
    found = {
        conversion
        for one in CONVERSIONS
        for way in _ways(one)
        if not one.stems or any(word.startswith(one.stems) for word in stems)
        if (conversion := _by_way(way, here, there, name)) is not None
    }
    return found.pop() if len(found) == 1 else None


def _ways(one: Conversion) -> tuple[tuple[Conversion, str, str], ...]:
    if not one.units:
        return ()
    first, second = map(known, one.units)
    return (one, first, second), (one.back(), second, first)


def _by_way(
    way: tuple[Conversion, str, str], here: str, there: str, name: str
) -> Conversion | None:
    conversion, first, second = way
    before, after = _factor(here, first), _factor(second, there)
    if before is None or after is None:
        return None
    factor = before * conversion.factor * after
    rounded = float(f"{factor:.{_SIGNIFICANT}g}")
    return Conversion(rounded, name, float(f"{conversion.offset * after:.{_SIGNIFICANT}g}"))


def _factor(have: str, want: str) -> float | None:
    """Return the factor between units of one dimension, or None where they are of two."""
    for units in _DIMENSIONS:
        if have in units and want in units:
            return float(f"{units[have] / units[want]:.{_SIGNIFICANT}g}")
    return None
