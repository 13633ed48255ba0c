"""One thing that was looked at: how it stands, and who must act on it."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from governance.terminal import Answer, Format

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Occasion:
    """On what occasion somebody looked, and the last sentence of what was found.

    Attributes:
        title: Of the table.
        one: What is said of one finding that stops.
        many: What is said after the number of several.
        unknown: Where nothing stops, and something could not be looked at.
        fine: Where all is well.
    """

    title: str
    one: str
    many: str
    unknown: str
    fine: str


SIGNATURE: Final = Occasion(
    "Before any signature",
    "1 finding stops this hospital from taking part.",
    "findings stop this hospital from taking part.",
    "Nothing that could be looked at stops this hospital; something is unknown yet.",
    "Nothing stops this hospital from taking part.",
)
WRONG: Final = Occasion(
    "What is wrong, and who must act",
    "1 thing must be mended.",
    "things must be mended.",
    "Nothing that could be looked at is wrong; something is unknown yet.",
    "Nothing is wrong.",
)
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
    """Return what must be mended before anything goes on."""
    return Finding(check, Verdict.STOPS, found, who, todo)


def unknown(check: str, found: str, *, who: str = "", todo: str = "") -> Finding:
    """Return that something could not be looked at yet."""
    return Finding(check, Verdict.UNKNOWN, found, who, todo)


def of(name: str, finding: Finding) -> Finding:
    """Return a finding that says of what it is."""
    return replace(finding, check=f"{name}: {finding.check}")


def stopped(findings: Sequence[Finding]) -> bool:
    """Tell whether any of them must be mended before anything goes on."""
    return any(one.verdict is Verdict.STOPS for one in findings)


def answer(findings: Sequence[Finding], form: Format, occasion: Occasion = SIGNATURE) -> Answer:
    """Return what to print; a table for eyes names who must act below it."""
    rows: list[tuple[object, ...]] = [
        (one.check, one.verdict.value, one.found, one.who, one.todo) for one in findings
    ]
    columns = ("check", "result", "found", "who", "todo")
    title = occasion.title
    facts = {"stops": stopped(findings)}
    if form is not Format.TABLE:
        return Answer(columns, rows, title=title, facts=facts)
    notes = ["", *_acts(findings), _verdict(findings, occasion)]
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


def _verdict(findings: Sequence[Finding], occasion: Occasion) -> str:
    if stopped(findings):
        count = sum(one.verdict is Verdict.STOPS for one in findings)
        return occasion.one if count == 1 else f"{count} {occasion.many}"
    if any(one.verdict is Verdict.UNKNOWN for one in findings):
        return occasion.unknown
    return occasion.fine
