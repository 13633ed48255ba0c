"""A `map` for site.yaml, proposed from an agreement's features and a file's columns.

Names are compared as people abbreviate them. What is not certain is marked `LOOK`: it is the
administrator who knows the hospital's columns.
"""

from __future__ import annotations

import json
import re
import textwrap
import unicodedata
from typing import TYPE_CHECKING, Final

from governance.agreement.data_terms import Feature
from governance.privacy.releases import decimal_text
from site_agent import likeness
from site_agent.data import column_findings, unit_names, units, vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from governance.agreement.data_terms import Target
    from governance.agreement.schema import Agreement
    from site_agent.data.sample import Column, Sample

LOOK: Final = "LOOK"
_PLAIN: Final = re.compile(r"[^\W\d][\w.]*(?: [\w.]+)*")
_WORDS: Final = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def proposed(agreement: Agreement, sample: Sample, *, patient_id: str) -> list[str]:
    """Return the lines of a map for an agreement's target and features."""
    free = [column for column in sample.columns if column.name != patient_id]
    fields: list[Feature | Target] = [agreement.data.target, *agreement.data.features]
    found = likeness.pairs([field.name for field in fields], [column.name for column in free])
    lines = []
    for place, field in enumerate(fields):
        if place in found:
            column, score = found[place]
            lines += _lines(field, free[column], sure=score >= likeness.SURE)
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


def _lines(field: Feature | Target, column: Column, *, sure: bool) -> list[str]:
    """Return a feature's line with what is to be looked at, each question on its own line."""
    parts = [f"column: {quoted(column.name)}"]
    more, asked = _unit(field, column) if field.kind == "real" else _codes(field, column)
    doubts = [*([] if sure else ["is this the column?"]), *asked]
    line = f"{field.name}: {{{', '.join([*parts, *more])}}}"
    if not doubts:
        return [line]
    said = [f"{LOOK}: {_printed(doubt)}" for doubt in doubts]
    return [f"{line}      # {said[0]}", *(f"  # {one}" for one in said[1:])]


def _unit(field: Feature | Target, column: Column) -> tuple[list[str], list[str]]:
    """Return scale and offset by the header's unit, else by the values; and what is open."""
    if column.numbers is None:
        return [], ["it holds text; say what its codes stand for"]
    name, unit = unit_names.in_header(column.name)
    ours, theirs = unit_names.known(unit), unit_names.known(field.unit or "")
    found: units.Conversion | None = None
    if ours and theirs:
        analyte = (*likeness.words(name), *likeness.words(field.name))
        found = unit_names.between(unit, field.unit or "", analyte)
        if found is None:
            asked = f"it is in {unit}, the agreement in {field.unit}: which scale and offset?"
            return [], [asked]
    elif isinstance(field, Feature):  # a target's unit is not guessed
        mended = units.mending(column.numbers, field)
        if mended is not None and mended.whole:
            why = f"it looks like another unit: {mended.name}"
            found = units.Conversion(mended.scale, why, mended.offset)
    scale, offset = (found.factor, found.offset) if found is not None else (1.0, 0.0)
    doubts = list(_conventions(field, column, scale, offset))
    if found is None or (scale, offset) == (1.0, 0.0):
        return [], doubts
    more = [("scale", scale)] + ([("offset", offset)] if offset else [])
    said = [f"{name}: {decimal_text(float(f'{value:.6g}'))}" for name, value in more]
    return said, [found.name, *doubts]


def _conventions(
    field: Feature | Target, column: Column, scale: float, offset: float
) -> Iterator[str]:
    """Ask of each number that many files have for no value whether it is so here."""
    assert column.numbers is not None
    if field.range is None:
        return
    values = column.numbers * scale + offset
    for text in column_findings.conventions(values, field, scale, offset):
        yield f'does {text} say that there is no value? Then codes: {{"{text}": missing}}'


def _codes(field: Feature | Target, column: Column) -> tuple[list[str], list[str]]:
    """Return codes with what they stand for, and what is to be asked of the others."""
    wanted = ("0", "1") if field.kind == "binary" else tuple(getattr(field, "values", ()) or ())
    if column.distinct and not column.codes:
        return [], ["what are so many values?"]
    foreign = [code for code in column.codes if code not in wanted]
    known = vocabulary.meanings(column.codes, wanted)
    known |= {code: value for code in foreign if (value := _same(code, wanted))}
    explained = [
        f"{quoted(code)}: {known[code] if known[code].isdigit() else quoted(known[code])}"
        for code in foreign
        if code in known
    ]
    unknown = [code for code in foreign if code not in known]
    asked = [f"what are {', '.join(unknown)}?"] if len(unknown) > 1 else []
    asked += [f"what is {unknown[0]}?"] if len(unknown) == 1 else []
    return ([f"codes: {{{', '.join(explained)}}}"] if explained else []), asked


def _same(code: str, wanted: Sequence[str]) -> str:
    """Return the value that a code writes in other letters, or the beginning of one alone."""
    name = vocabulary.folded(code)
    same = [value for value in wanted if vocabulary.folded(value) == name]
    return same[0] if len(same) == 1 else ""


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
