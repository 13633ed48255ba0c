"""What a hospital's file looks like: encoding, delimiter, and the kind of each column.

Read on the hospital's own machine to propose a `map`; what is proposed holds column names and
codes, and no number of a record.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from protos.errors import Refused
from site_agent.data import cells
from site_agent.data.csv import PATIENT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

RECORDS: Final = 5000
"""How many records are looked at."""
_ENCODINGS: Final = ("utf-8-sig", "latin-1")
_DELIMITERS: Final = (",", ";", "\t")
_MOST_CODES: Final = 12
_MOSTLY: Final = 0.95
_COMMA: Final = re.compile(r"[+-]?\d+,\d+")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `numbers` where it holds them, `codes` where it has few values."""

    name: str
    numbers: NDArray[np.float64] | None
    codes: tuple[str, ...]
    distinct: int
    filled: int

    @property
    def identifies(self) -> bool:
        """Whether it may tell patients apart: many values, none of them measured."""
        whole = self.numbers is None or bool(np.all(self.numbers == np.floor(self.numbers)))
        return whole and self.filled > 0 and self.distinct > max(2, self.filled // 4)


@dataclass(frozen=True, slots=True)
class Sample:
    """The head of a file; `decimal` is `comma` where numbers are written with one."""

    encoding: str
    decimal: str
    columns: tuple[Column, ...]

    def patient_column(self) -> str:
        """Return the column that probably tells patients apart; empty when none does."""
        able = [one.name for one in self.columns if one.identifies]
        named = [name for name in able if PATIENT.search(name)]
        return next(iter(named or able), "")


def look(path: Path) -> Sample:
    """Look at the head of a CSV file.

    Raises:
        Refused: it cannot be read, or has no header with records below it.
    """
    try:
        encoding = _encoding(path)
        with path.open(encoding=encoding, newline="") as text:
            first = next((line for line in text if line.strip()), "")
            text.seek(0)
            delimiter = max(_DELIMITERS, key=first.count)
            rows = [
                row for row in islice(csv.reader(text, delimiter=delimiter), RECORDS + 1) if row
            ]
    except (OSError, csv.Error) as problem:
        raise Refused(
            f"the file cannot be read: {getattr(problem, 'strerror', None) or problem}",
            where=str(path),
            todo="Name the patients' file with --csv; without it, site.yaml is written to be "
            "completed by hand.",
            rule="unreadable-source",
        ) from None
    if len(rows) < 2:
        raise Refused(
            "no header with records below it",
            where=str(path),
            todo="A header with the columns' names is needed, and records below it.",
            rule="empty-source",
        )
    header = [name.strip() for name in rows[0]]
    body = [row for row in rows[1:] if len(row) == len(header)]
    texts = [[row[place].strip() for row in body] for place in range(len(header))]
    commas = sum(bool(_COMMA.fullmatch(cell)) for column in texts for cell in column)
    decimal = "comma" if delimiter != "," and commas else "point"
    columns = [
        _column(name, cells_, comma=decimal == "comma")
        for name, cells_ in zip(header, texts, strict=True)
        if name
    ]
    return Sample("utf-8" if encoding == "utf-8-sig" else encoding, decimal, tuple(columns))


def _encoding(path: Path) -> str:
    for encoding in _ENCODINGS:
        try:
            with path.open(encoding=encoding) as text:
                while text.read(1 << 20):
                    pass
        except UnicodeDecodeError:
            continue
        return encoding
    raise AssertionError("latin-1 reads any bytes")


def _column(name: str, texts: Sequence[str], *, comma: bool) -> Column:
    filled = [text for text in texts if not cells.is_missing(text)]
    distinct = dict.fromkeys(filled)
    read = (text.replace(",", ".") if comma else text for text in filled)
    values = np.array([cells.number(text) for text in read])
    finite = values[np.isfinite(values)]
    few = len(distinct) <= _MOST_CODES
    numeric = len(finite) >= _MOSTLY * max(1, len(filled)) and len(finite) > 0
    return Column(
        name,
        finite if numeric else None,
        tuple(sorted(distinct)) if few else (),
        len(distinct),
        len(filled),
    )
