"""How both long-lived programs log: to standard error, one event a line, as JSON."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING

import structlog

from governance.pacing import Hush

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import EventDict


def as_json(place: Callable[[EventDict], Mapping[str, object]]) -> None:
    """Log so from now on.

    Args:
        place: Returns what stands in a line beside what it says itself, such as the round;
            the line's own words count where both name something.
    """

    def placed(_logger: object, _name: str, event: EventDict) -> EventDict:
        return {**place(event), **event}

    structlog.configure(
        processors=[
            placed,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,  # never the values of variables
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )


_hush = Hush()


def once_a_minute(
    log: Callable[..., object], event: str, of: str, told: Mapping[str, object]
) -> None:
    """Log what a peer brings about, the same of the same once in a minute."""
    more = _hush.says(f"{event} {told.get('rule', '')}", of, at_s=time.monotonic())
    if more is not None:
        log(event, **told, **more)
