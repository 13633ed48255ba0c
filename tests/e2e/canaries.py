"""Values that nobody else has, in every form in which a program could let them out."""

from __future__ import annotations

import base64
import csv
import struct
from pathlib import Path
from typing import Final

NAMES: Final = ("Zephyrine-K-0417", "Oudekerk~Vanderbilt", "Ödegård-Quintanilla")
"""A patient's number, a word where a number should be, a name that nobody asked for."""
LENGTH, AREA = 27182.818, 1618.0339
"""In the hospital's units: nanometres, and µm²; each stands in several records."""
SCALED: Final = {LENGTH: 0.001, AREA: 1.0}
REFERENCE: Final = {LENGTH: (14.1, 3.52), AREA: (655.0, 352.0)}
"""How the agreement normalises them, after the hospital's own scale."""
EACH: Final = 5


def plant(path: Path, *, broken: bool = False) -> None:
    """Put canaries into a hospital's file; `broken` puts a word where numbers belong."""
    with path.open(newline="", encoding="utf-8") as file:
        columns, *rows = csv.reader(file)
    radius, area = columns.index("FNA_RADIUS_AVG"), columns.index("FNA_AREA_AVG")
    for place, row in enumerate(rows[: 4 * EACH]):
        row[0] = f"{NAMES[0]}{place}"
        row[radius], row[area] = str(LENGTH), str(AREA)
        if broken:
            row[radius] = NAMES[1]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, "NAME"])
        writer.writerows([*row, NAMES[2]] for row in rows)


def texts() -> list[bytes]:
    """Return names and numbers as somebody would print them, also inside base64."""
    numbers = [f"{value:.3f}" for value in (LENGTH, LENGTH / 1000)]
    numbers += [str(LENGTH), str(LENGTH / 1000), str(AREA), f"{AREA:.3f}"]
    plain = [text.encode() for text in (*NAMES, *numbers)]
    return plain + [each for text in plain for each in _in_base64(text)]


def numbers() -> list[bytes]:
    """Return the numbers as float64, and two in a row as float32, in every scale."""
    found = []
    for value in (LENGTH, AREA):
        found += [struct.pack(order + "d", form) for order in "<>" for form in _forms(value)]
    pairs = zip(_forms(LENGTH), _forms(LENGTH), strict=True)
    found += [struct.pack(order + "2f", *pair) for order in "<>" for pair in pairs]
    return found + [each for raw in found for each in _in_base64(raw)]


def single() -> list[bytes]:
    """Return the numbers as float32: too short to be searched for in much."""
    forms = [form for value in (LENGTH, AREA) for form in _forms(value)]
    return [struct.pack(order + "f", form) for order in "<>" for form in forms]


def found_in(haystack: bytes, needles: list[bytes]) -> list[bytes]:
    """Return the needles that are there."""
    return [needle for needle in needles if needle in haystack]


def _forms(value: float) -> tuple[float, float, float]:
    mean, std = REFERENCE[value]
    scaled = value * SCALED[value]
    return value, scaled, (scaled - mean) / std


def _in_base64(raw: bytes) -> list[bytes]:
    """Return what base64 of any text around it holds, whatever comes before."""
    found = []
    for before in range(3):
        coded = base64.b64encode(bytes(before) + raw)
        first = -(-before * 8 // 6)
        last = (before + len(raw)) * 8 // 6
        found.append(coded[first + (1 if before else 0) : last])
    return found
