"""Words for hospitals that a round went on without, which both programs and the log share."""

from __future__ import annotations

from typing import Final

LATE: Final = "late"
"""Why a hospital is out whose update was waited for: it had taken its task."""
NO_ANSWER: Final = "no-answer"
"""Why one is out that was waited for and never said whether it takes its task."""
NEXT_ROUND: Final = "next-round"
"""The agreement's word for counting a late update in the round after its own."""


def why_out(*, took_it: bool) -> str:
    """Return why a hospital is out that was waited for in vain."""
    return LATE if took_it else NO_ANSWER
