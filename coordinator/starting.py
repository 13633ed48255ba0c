"""What happens once when the coordinator starts: its log, and its word that it started."""

from __future__ import annotations

import logging
import platform
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from coordinator.foundation import Foundation


def log_to_stderr() -> None:
    """Write structured logs to standard error, one event a line, as JSON."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def say_started(base: Foundation, connection: Connection) -> None:
    """Enter in the ledger which software starts."""
    body = {
        "program": "concilium-coordinator",
        "version": version("concilium"),
        "os": platform.platform(terse=True),
    }
    base.chronicle.say(connection, "software-started", body, now=base.now())
