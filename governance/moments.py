"""Times as people write them in an option: a day, or a time of it."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Final

from protos.errors import Refused

_FORMS: Final = "a day, 2026-11-21, or a time in UTC, 2026-11-21T10:46:00Z"


def instant(text: str, option: str, *, day_ends: bool) -> datetime:
    """Read the time that an option names, in UTC where it says no zone.

    Args:
        text: What was given.
        option: The option, as it is written.
        day_ends: Whether a bare day means its end; else its beginning.

    Raises:
        Refused: it is no time.
    """
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(
            f"{option} is {text!r}, which is no time",
            todo=f"Write {_FORMS}.",
            rule="bad-time",
        ) from None
    if day_ends and "T" not in text and " " not in text:
        read = datetime.combine(read.date(), time.max)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def at(text: str) -> datetime:
    """Read `--at`: a bare day means its end."""
    return instant(text, "--at", day_ends=True)


def since(text: str) -> datetime:
    """Read `--since`: a bare day counts from its beginning."""
    return instant(text, "--since", day_ends=False)


def until(text: str) -> datetime:
    """Read `--until`: a bare day counts to its end."""
    return instant(text, "--until", day_ends=True)
