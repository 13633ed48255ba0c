"""What every error means: its code, what brings it about, who must act, and the next command.

The catalogue is data, one file a theme in `governance/errors/`; this module reads it and writes
`docs/errors.md` from it:

    python -m governance.error_pages docs/errors.md
"""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from protos.errors import EXIT_USER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

THEMES: Final[Mapping[str, str]] = {
    "identity": "Identity, keys and enrolment",
    "agreement": "Agreement files",
    "consent": "Consent and the hospital's own law",
    "rounds": "Rounds and training",
    "budget": "Privacy budget",
    "data": "Data",
    "ledger": "Ledger",
    "releases": "Releases",
    "transport": "Transport",
    "store": "Files and databases",
    "rehearsal": "Rehearsal",
    "secagg": "Masked sums",
    "terminal": "The command line",
}
"""The catalogue's files, in the order of the page, with their titles."""
WHO: Final[Mapping[str, str]] = {
    "you": "whoever gave the command",
    "administrator": "this hospital's administrator",
    "officer": "this hospital's officer",
    "operator": "the operator",
    "auditor": "the auditor",
    "machine": "the IT of this machine",
    "maintainers": "Concilium's maintainers",
}
"""Who must act, and how the page names them."""
_FIELDS: Final = frozenset({"cause", "who", "next"})
_HEAD: Final = """\
# Errors

Every error of the three programs has a code that does not change between versions. It stands in brackets at
the end of the error's first line; the lines below it say what to do there:

    error: localhost:18443: this machine's clock is 10 minutes ahead of the coordinator's; five minutes are allowed [clock-skew]
    Set the clock that is wrong (`timedatectl set-ntp true`), then try again.

The code alone is what crosses to the other side of a connection and what the ledger keeps of a refusal, since
a sentence may say more than the other side should know. In logs it is the field `rule`. Programs end with
exit code 2 where somebody must act, and with 3 where trying again may help.

This page is written by `make errors` from the catalogue in `governance/errors/`.
"""  # noqa: E501 - lines of the page


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a code means.

    Attributes:
        codes: The code, and further ones with the same meaning.
        cause: What brings it about, one sentence.
        who: Who must act, a key of `WHO`.
        next: The next command or act.
    """

    codes: tuple[str, ...]
    cause: str
    who: str
    next: str


def catalogue() -> dict[str, tuple[Explanation, ...]]:
    """Return the explanations by theme, sorted by code.

    Raises:
        ValueError: an entry lacks a field or has one too many, or a code stands twice.
    """
    read = {theme: _theme(theme) for theme in THEMES}
    codes = [code for entries in read.values() for entry in entries for code in entry.codes]
    twice = sorted({code for code in codes if codes.count(code) > 1})
    if twice:
        raise ValueError(f"in the catalogue twice: {', '.join(twice)}")
    return read


def remedy(code: str) -> str:
    """Return who must act on a code and how, in a line; empty for one that is unknown."""
    for entries in catalogue().values():
        for entry in entries:
            if code in entry.codes:
                whose = "" if entry.who == "you" else f", for {WHO[entry.who]}"
                return f"Next{whose}: {entry.next}"
    return ""


def page() -> str:
    """Return the page on all errors as Markdown."""
    read = catalogue()
    contents = [f"- [{title}](#{_anchor(title)})" for title in THEMES.values()]
    sections = [_section(THEMES[theme], read[theme]) for theme in THEMES]
    return "\n".join([_HEAD, *contents, "", *sections])


def _theme(theme: str) -> tuple[Explanation, ...]:
    file = resources.files("governance") / "errors" / f"{theme}.toml"
    entries = tomllib.loads(file.read_text(encoding="utf-8"))
    return tuple(_explanation(code, entries[code]) for code in sorted(entries))


def _explanation(code: str, entry: Mapping[str, Any]) -> Explanation:
    if set(entry) - {"also"} != _FIELDS or entry["who"] not in WHO:
        raise ValueError(f"{code} needs cause, next, and who: one of {', '.join(WHO)}")
    return Explanation(
        (code, *entry.get("also", ())), entry["cause"], entry["who"], entry["next"]
    )


def _section(title: str, entries: Sequence[Explanation]) -> str:
    return "\n".join([f"## {title}", "", *map(_entry, entries)])


def _entry(entry: Explanation) -> str:
    codes = "\n".join(f"### {code}" for code in entry.codes[:1])
    also = ", ".join(f"`{code}`" for code in entry.codes[1:])
    said = f"Likewise {also}. " if also else ""
    return (
        f"{codes}\n\n{said}{entry.cause}\n\n"
        f"- Who must act: {WHO[entry.who]}\n- Next: {entry.next}\n"
    )


def _anchor(title: str) -> str:
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -")
    return kept.replace(" ", "-")


def main(arguments: Sequence[str]) -> int:
    """Write the page to the file that is named."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m governance.error_pages docs/errors.md\n")
        return EXIT_USER
    Path(arguments[0]).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
