"""One thing that was looked at: how it stands, and who must act on it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance.terminal import Answer, Format

if TYPE_CHECKING:
    from collections.abc import Sequence

IT: Final = "this hospital's IT"
OPERATOR: Final = "the operator"
OFFICER: Final = "the officer"
ADMINISTRATOR: Final = "you, the administrator"


class Verdict(enum.StrEnum):
    """What a finding means for taking part."""

    FINE = "ok"
    LOOK = "look"
    STOPS = "stops"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was found, who must act and how; nobody where all is well."""

    check: str
    verdict: Verdict
    found: str
    who: str = ""
    todo: str = ""


def fine(check: str, found: str) -> Finding:
    """Return that something is as it must be."""
    return Finding(check, Verdict.FINE, found)


def look(check: str, found: str, *, who: str, todo: str) -> Finding:
    """Return what stops nothing, but that somebody should look at."""
    return Finding(check, Verdict.LOOK, found, who, todo)


def stops(check: str, found: str, *, who: str, todo: str) -> Finding:
    """Return what keeps this hospital from taking part."""
    return Finding(check, Verdict.STOPS, found, who, todo)


def unknown(check: str, found: str, *, who: str = "", todo: str = "") -> Finding:
    """Return that something could not be looked at yet."""
    return Finding(check, Verdict.UNKNOWN, found, who, todo)


def stopped(findings: Sequence[Finding]) -> bool:
    """Tell whether any of them keeps this hospital from taking part."""
    return any(one.verdict is Verdict.STOPS for one in findings)


def answer(findings: Sequence[Finding], form: Format) -> Answer:
    """Return what to print; a table for eyes names who must act below it."""
    rows: list[tuple[object, ...]] = [
        (one.check, one.verdict.value, one.found, one.who, one.todo) for one in findings
    ]
    columns = ("check", "result", "found", "who", "todo")
    title = "Before any signature"
    facts = {"stops": stopped(findings)}
    if form is not Format.TABLE:
        return Answer(columns, rows, title=title, facts=facts)
    notes = ["", *_acts(findings), _verdict(findings)]
    return Answer(columns[:3], [row[:3] for row in rows], title=title, notes=notes, facts=facts)


def _acts(findings: Sequence[Finding]) -> list[str]:
    """Return what each person has to do, person by person, what stops first."""
    order = (Verdict.STOPS, Verdict.LOOK, Verdict.UNKNOWN)
    said = []
    for who in dict.fromkeys(one.who for one in findings if one.who):
        mine = [one for one in findings if one.who == who]
        mine.sort(key=lambda one: order.index(one.verdict))
        said.append(f"To do for {who}:")
        said += [f"- {one.check} ({one.verdict}): {one.todo}" for one in mine]
        said.append("")
    return said


def _verdict(findings: Sequence[Finding]) -> str:
    if stopped(findings):
        count = sum(one.verdict is Verdict.STOPS for one in findings)
        things = "1 finding stops" if count == 1 else f"{count} findings stop"
        return f"{things} this hospital from taking part."
    if any(one.verdict is Verdict.UNKNOWN for one in findings):
        return "Nothing that could be looked at stops this hospital; something is unknown yet."
    return "Nothing stops this hospital from taking part."
