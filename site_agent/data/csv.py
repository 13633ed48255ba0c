"""Read chosen columns of a CSV file, or say in one sentence why they can't be read.

The cells come as text, in batches, so that a million records need no more memory than what is
made of them. No message holds a cell: not even the header's, when it looks like a record.
"""

from __future__ import annotations

import codecs
import csv
import re
from difflib import get_close_matches
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

Batch = tuple[tuple[str, ...], ...]
"""One tuple of cells for each column asked for, all of the same length."""

BATCH_RECORDS: Final = 1 << 15
PATIENT: Final = re.compile(
    r"(?i)mrn|pat(ient|no|id|nr)?|fall|case|subject|^id$|[_ ]id$|record"
)
"""How a column of patients is often called."""
_DELIMITERS: Final = (",", ";", "\t")
_FEW: Final = 3


def read(
    path: Path, *, encoding: str, columns: Sequence[str], patient_id: str = ""
) -> Iterator[Batch]:
    """Yield the cells of these columns, batch by batch, in the order of the file.

    Comma, semicolon and tab are told apart by the header; blank lines are skipped.

    Args:
        path: The file.
        encoding: As site.yaml says it.
        columns: Their names, `patient_id` among them.
        patient_id: The one that site.yaml names outside of `map`.

    Raises:
        Refused: The file is missing or empty, is not in this encoding, lacks a column or has it
            twice, or has a line with more or fewer cells than the header.
    """
    try:
        yield from _batches(path, _codec(encoding), columns, patient_id)
    except UnicodeDecodeError:
        line = _undecodable_line(path, encoding)
        raise Refused(
            f"the bytes of line {line} are not {encoding}",
            where=f"{path}:{line}",
            todo=_other_encoding(encoding),
            rule="wrong-encoding",
        ) from None
    except OSError as problem:
        raise Refused(
            f"the file cannot be read: {problem.strerror}",
            where=str(path),
            todo="Mend `source` in site.yaml, or the file's permissions.",
            rule="unreadable-source",
        ) from None


def _batches(
    path: Path, encoding: str, columns: Sequence[str], patient_id: str
) -> Iterator[Batch]:
    with path.open(encoding=encoding, newline="") as text:
        delimiter = _delimiter(_first_line(text), columns)
        text.seek(0)
        lines = csv.reader(text, delimiter=delimiter, strict=True)
        rows = _rows(lines, path)
        header = next(rows, None)
        if header is None:
            raise Refused(
                "the file is empty",
                where=str(path),
                todo="It needs a header with the columns' names, and records below it.",
                rule="empty-source",
            )
        places = _places(columns, header, path, patient_id)
        pick = itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],)
        picked = (pick(row) for row in rows)
        found = False
        while batch := tuple(zip(*islice(picked, BATCH_RECORDS), strict=True)):
            found = True
            yield batch
        if not found:
            raise Refused(
                "the file has a header and no records", where=str(path), rule="empty-source"
            )


def _first_line(text: Iterable[str]) -> str:
    return next((line for line in text if line.strip()), "")


def _delimiter(header: str, columns: Sequence[str]) -> str:
    """Return the delimiter under which the header has most of the columns."""

    def known(delimiter: str) -> int:
        names = {name.strip().strip('"') for name in header.rstrip("\r\n").split(delimiter)}
        return len(names.intersection(columns))

    return max(_DELIMITERS, key=lambda delimiter: (known(delimiter), header.count(delimiter)))


def _rows(lines: Iterator[list[str]], path: Path) -> Iterator[list[str]]:
    """Yield rows that all have as many cells as the first."""
    width = 0
    while True:
        try:
            row = next(lines, None)
        except csv.Error:
            line = lines.line_num  # type: ignore[attr-defined]
            raise Refused(
                f"line {line} is not CSV: a quote is not closed, or a cell is far too long",
                where=f"{path}:{line}",
                rule="malformed-source",
            ) from None
        if row is None:
            return
        if not row:
            continue
        width = width or len(row)
        if len(row) != width:
            line = lines.line_num  # type: ignore[attr-defined]
            raise Refused(
                f"line {line} has {len(row)} cells, but the header has {width}",
                where=f"{path}:{line}",
                todo="A cell that holds the delimiter must stand in quotes.",
                rule="malformed-source",
            )
        yield row


def _places(
    columns: Sequence[str], header: Sequence[str], path: Path, patient_id: str
) -> list[int]:
    """Return where in the header the columns are; all that are not there are named at once."""
    names = [cell.strip() for cell in header]
    wanted = list(dict.fromkeys(columns))
    twice = [name for name in wanted if names.count(name) > 1]
    if twice:
        raise Refused(
            f"the header has the column {twice[0]} {names.count(twice[0])} times",
            where=str(path),
            rule="ambiguous-column",
        )
    absent = [name for name in wanted if name not in names]
    if absent:
        raise Refused(
            f"the header has no column {', '.join(absent)}",
            where=str(path),
            todo=_nearest(absent, names, patient_id),
            rule="missing-column",
        )
    return [names.index(name) for name in columns]


def _nearest(absent: Sequence[str], names: Sequence[str], patient_id: str) -> str:
    """Name the columns that were probably meant; none where the header may be a record."""
    if any(_is_number(cell) for cell in names):
        return "The first line looks like a record: a header with the columns' names is needed."
    mapped = [name for name in absent if name != patient_id]
    said = []
    if patient_id in absent:
        said.append(_patients_column(patient_id, names))
    if mapped:
        near = {name: _close(name, names, 1) for name in mapped}
        several = len(mapped) > 1
        said += [
            f"Nearest to {name} is {found[0]}."
            if several
            else f"The nearest one is {found[0]}."
            for name, found in near.items()
            if found
        ]
        said.append("Mend `map` in site.yaml, or the file's header.")
    return " ".join(said)


def _patients_column(patient_id: str, names: Sequence[str]) -> str:
    """Say which setting names the column that tells patients apart, and which may be it."""
    near = _close(patient_id, names, _FEW)
    able = [*near, *(name for name in names if PATIENT.search(name) and name not in near)]
    said = "Mend `patient_id` in site.yaml: the column that tells patients apart"
    return f"{said}. The nearest: {', '.join(able[:_FEW])}." if able else f"{said}."


def _close(name: str, names: Sequence[str], count: int) -> list[str]:
    folded = {cell.casefold(): cell for cell in names}
    return [folded[one] for one in get_close_matches(name.casefold(), folded, n=count)]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _codec(encoding: str) -> str:
    """Return the codec for an encoding; for UTF-8, one that takes a byte order mark too."""
    try:
        "".encode(encoding)  # refuses codecs that are not of text, too
    except LookupError:
        raise Refused(
            f"there is no encoding called {encoding}",
            todo="Say utf-8, latin-1 or cp1252 in site.yaml's `source`.",
            rule="wrong-encoding",
        ) from None
    name = codecs.lookup(encoding).name
    return "utf-8-sig" if name == "utf-8" else name


def _undecodable_line(path: Path, encoding: str) -> int:
    """Return the number of the first line whose bytes are not in the encoding."""
    decoder = codecs.getincrementaldecoder(_codec(encoding))()
    read = 0
    with path.open("rb") as lines:
        for line in lines:
            try:
                decoder.decode(line)
            except UnicodeDecodeError:
                return read + 1
            read += 1
    return read


def _other_encoding(encoding: str) -> str:
    if codecs.lookup(encoding).name.startswith("utf"):
        return "Is the file Latin-1? Then say `encoding: latin-1` in site.yaml's `source`."
    return "Is the file UTF-8? Then say `encoding: utf-8` in site.yaml's `source`."
