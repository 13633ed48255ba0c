"""Clocks of two peers differ by five minutes at most; else times in the record mean nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from protos.errors import Refused

if TYPE_CHECKING:
    from datetime import datetime

SKEW_LIMIT: Final = timedelta(minutes=5)


def check_clock(ours: datetime, theirs: datetime) -> None:
    """Compare the coordinator's clock with that of one who asks; the sentence is for them.

    Raises:
        Refused: `clock-skew`: they differ by more than the limit; says who is ahead.
    """
    skew = abs(theirs - ours)
    if skew <= SKEW_LIMIT:
        return
    place = "ahead of" if theirs > ours else "behind"
    raise Refused(
        f"this machine's clock is {_plain(skew)} {place} the coordinator's; five minutes are "
        "allowed",
        todo="Set the clock that is wrong (`timedatectl set-ntp true`), then try again.",
        rule="clock-skew",
    )


def _plain(span: timedelta) -> str:
    seconds = round(span.total_seconds())
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{round(seconds / size)} {unit}"
    return f"{seconds} seconds"
