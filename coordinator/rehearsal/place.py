"""The folder of a rehearsal: which may be begun anew, and whether one came to its end."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from governance import terminal
from protos.errors import Refused

if TYPE_CHECKING:
    from pathlib import Path

MARK: Final = ".rehearsal"
SUMMARY: Final = "summary.json"
"""Written last of all: a rehearsal that has one came to its end."""


def clear(out: Path, *, replaces: bool) -> None:
    """Make an empty folder, in place of an unfinished rehearsal or, if told so, any.

    Raises:
        Refused: it holds a finished rehearsal that may not be replaced, or something else.
    """
    if out.exists():
        _check(out, replaces=replaces)
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / MARK).touch()


def _check(out: Path, *, replaces: bool) -> None:
    if not out.is_dir() or (not (out / MARK).exists() and any(out.iterdir())):
        raise Refused(
            f"{out} holds something that no rehearsal left there",
            todo="Name another folder with --out.",
            rule="rehearsal-folder",
        )
    if _finished(out) and not replaces:
        raise Refused(
            f"{out} holds a finished rehearsal, which is not replaced",
            todo=f"Name another folder with --out, or delete this one first: rm -r {out}",
            rule="rehearsal-kept",
        )
    if _finished(out):
        terminal.tell(f"The earlier rehearsal in {out} is replaced.")
    elif unfinished(out):
        terminal.tell(f"The rehearsal in {out} did not come to its end; it begins anew.")


def unfinished(out: Path) -> bool:
    """Tell whether a rehearsal was begun there that did not come to its end."""
    return (out / MARK).exists() and not _finished(out)


def _finished(out: Path) -> bool:
    return (out / SUMMARY).exists()
