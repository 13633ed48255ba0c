"""A clock of Berlin, and the hours of agreements that go by it."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

BERLIN = ZoneInfo("Europe/Berlin")
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
NIGHTS = {"days": DAYS, "from": "20:00", "to": "06:00", "zone": "Europe/Berlin"}


def tomorrow(clock):
    """A time of tomorrow by Berlin's clock; certificates are of today."""
    day = (datetime.now(UTC) + timedelta(days=1)).astimezone(BERLIN).date()
    return datetime.combine(day, time.fromisoformat(clock), tzinfo=BERLIN)
