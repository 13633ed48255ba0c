"""A `map` for site.yaml, proposed from an agreement's features and a file's columns.

Names are compared as people abbreviate them. What is not certain is marked `LOOK`: it is the
administrator who knows the hospital's columns.
"""

from __future__ import annotations

import json
import re
import textwrap
import unicodedata
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final

from governance.agreement.data_terms import Feature
from governance.privacy.releases import decimal_text
from site_agent.data import units

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from governance.agreement.data_terms import Target
    from governance.agreement.schema import Agreement
    from site_agent.data.sample import Column, Sample

LOOK: Final = "LOOK"
_NEAR: Final = 0.72
_SURE: Final = 0.85
_SAME: Final = frozenset(
    frozenset(pair)
    for pair in (("mean", "avg"), ("mean", "average"), ("sex", "gender"), ("se", "sd"),
                 ("age", "alter"), ("sex", "geschlecht"), ("mean", "mittel"), ("max", "worst"))
)  # fmt: skip
_PLAIN: Final = re.compile(r"[^\W\d][\w.]*(?: [\w.]+)*")
_WORDS: Final = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
_YES: Final = frozenset({"1", "j", "ja", "y", "yes", "true", "t", "oui", "si", "positive"})
_NO: Final = frozenset({"0", "n", "nein", "no", "false", "f", "non", "negative"})


def proposed(agreement: Agreement, sample: Sample, *, patient_id: str) -> list[str]:
    """Return the lines of a map for an agreement's target and features."""
    free = [column for column in sample.columns if column.name != patient_id]
    fields: list[Feature | Target] = [agreement.data.target, *agreement.data.features]
    found = _pairs([field.name for field in fields], [column.name for column in free])
    lines = []
    for place, field in enumerate(fields):
        if place in found:
            column, score = found[place]
            lines.append(_line(field, free[column], sure=score >= _SURE))
        else:
            lines.append(f"# {field.name}: {{column: …}}      # {LOOK}: no column is called so")
    used = {column for column, _ in found.values()}
    left = [column for place, column in enumerate(free) if place not in used]
    return [*lines, *_left(left)]


def _left(columns: Sequence[Column]) -> Iterator[str]:
    """Return comments that name the columns which are not in the map."""
    if not columns:
        return
    said = [
        f"{quoted(one.name)} ({', '.join(one.codes)})"
        if one.codes and one.numbers is None
        else quoted(one.name)
        for one in columns
    ]
    text = _printed(f"Columns that are not used: {', '.join(said)}")
    yield from textwrap.wrap(
        text, 84, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False
    )


def _pairs(wanted: Sequence[str], columns: Sequence[str]) -> dict[int, tuple[int, float]]:
    """Return which column each name is probably in, the surest pair first, each column once."""
    scores = sorted(
        (
            (_likeness(_tokens(name), _tokens(column)), place, other)
            for place, name in enumerate(wanted)
            for other, column in enumerate(columns)
        ),
        key=lambda scored: (-scored[0], scored[1], scored[2]),
    )
    pairs: dict[int, tuple[int, float]] = {}
    taken: set[int] = set()
    for score, place, other in scores:
        if score < _NEAR:
            break
        if place not in pairs and other not in taken:
            pairs[place] = other, score
            taken.add(other)
    return pairs


def _likeness(name: Sequence[str], column: Sequence[str]) -> float:
    """Return how alike two names are, word by word in any order; 1 for the same words."""
    if not name or not column:
        return 0.0
    forth = sum(max(_alike(word, other) for other in column) for word in name) / len(name)
    back = sum(max(_alike(word, other) for other in name) for word in column) / len(column)
    return 0.8 * forth + 0.2 * back


def _alike(one: str, other: str) -> float:
    if one == other or frozenset((one, other)) in _SAME:
        return 1.0
    short, long = sorted((one, other), key=len)
    if long.startswith(short):
        return 0.9 if len(short) > 2 else 0.6
    return SequenceMatcher(None, one, other).ratio() if len(short) > 2 else 0.0


def _tokens(name: str) -> tuple[str, ...]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    decomposed = unicodedata.normalize("NFKD", spaced.casefold())
    plain = "".join(sign for sign in decomposed if not unicodedata.combining(sign))
    return tuple(re.findall(r"[a-z]+|[0-9]+", plain))


def of_columns(sample: Sample, *, patient_id: str) -> list[str]:
    """Return a line for each column, where no agreement is at hand to ask for features."""
    lines = []
    taken: set[str] = set()
    for column in sample.columns:
        name = _word(column.name)
        odd = not name or name in taken or not column.name.isprintable()
        if column.name == patient_id or odd:
            continue
        taken.add(name)
        kind = "numbers" if column.numbers is not None else "text"
        if column.codes and column.numbers is None:
            kind = f"codes: {', '.join(column.codes)}"
        lines.append(f"{name}: {{column: {quoted(column.name)}}}      # {_printed(kind)}")
    return lines


def quoted(text: str) -> str:
    """Return a text as YAML reads it back."""
    plain = _PLAIN.fullmatch(text) is not None and text.casefold() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


def quoted_path(text: str) -> str:
    """Return a path as YAML reads it back; most need no quotes."""
    return text if re.fullmatch(r"[A-Za-z0-9_./-]+", text) else quoted(text)


def _line(field: Feature | Target, column: Column, *, sure: bool) -> str:
    parts = [f"column: {quoted(column.name)}"]
    doubts = [] if sure else ["is this the column?"]
    if field.kind == "real":
        scale, doubt = _unit(field, column, sure=sure)
        parts += scale
        doubts += doubt
    else:
        codes, unknown = _codes(field, column)
        if codes:
            parts.append(f"codes: {{{', '.join(codes)}}}")
        if unknown:
            doubts.append(f"what are {', '.join(unknown)}?")
    line = f"{field.name}: {{{', '.join(parts)}}}"
    return f"{line}      # {LOOK}: {_printed(' '.join(doubts))}" if doubts else line


def _unit(
    field: Feature | Target, column: Column, *, sure: bool
) -> tuple[list[str], list[str]]:
    if column.numbers is None:
        return [], ["it holds text; say what its codes stand for"]
    mended = None
    if sure and isinstance(field, Feature):  # a target's unit is not guessed
        mended = units.mending(column.numbers, field)
    if mended is None or not mended.whole:
        return [], []
    parts = [f"scale: {decimal_text(float(f'{mended.scale:.6g}'))}"]
    if mended.offset:
        parts.append(f"offset: {decimal_text(float(f'{mended.offset:.6g}'))}")
    return parts, [f"it looks like another unit: {mended.name}"]


def _codes(field: Feature | Target, column: Column) -> tuple[list[str], list[str]]:
    """Return codes with what they stand for, and those that nobody can guess."""
    wanted = ("0", "1") if field.kind == "binary" else tuple(getattr(field, "values", ()) or ())
    if column.distinct and not column.codes:
        return [], ["so many values"]
    known, unknown = [], []
    for code in column.codes:
        if code in wanted:
            continue
        value = _meaning(code, wanted)
        if value is None:
            unknown.append(code)
        else:
            known.append(f"{quoted(code)}: {quoted(value) if not value.isdigit() else value}")
    return known, unknown


def _meaning(code: str, wanted: Sequence[str]) -> str | None:
    folded = code.casefold()
    if set(wanted) == {"0", "1"}:
        return "1" if folded in _YES else "0" if folded in _NO else None
    same = [value for value in wanted if value.casefold() == folded]
    begun = [value for value in wanted if folded and value.casefold().startswith(folded)]
    begun += [value for value in wanted if value and folded.startswith(value.casefold())]
    found = list(dict.fromkeys(same or begun))
    return found[0] if len(found) == 1 else None


def _word(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    text = "".join(sign if sign.isascii() and sign.isalnum() else "_" for sign in decomposed
                   if not unicodedata.combining(sign))  # fmt: skip
    return re.sub(r"_+", "_", text).strip("_").lstrip("0123456789_")[:63]


def _printed(text: str) -> str:
    """Return a comment's text without what would end its line or steer a terminal."""
    return "".join(sign if sign.isprintable() else "�" for sign in text)


def doubts(lines: Sequence[str]) -> Iterator[str]:
    """Return the lines that the administrator must look at."""
    return (line for line in lines if LOOK in line)
