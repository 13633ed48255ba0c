"""Times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from governance.moments import instant


def test_a_bare_day_is_its_beginning_or_its_end():
    begin = instant("2026-11-21", "--since", day_ends=False)
    end = instant("2026-11-21", "--until", day_ends=True)
    assert begin == datetime(2026, 11, 21, tzinfo=UTC)
    assert end == begin + timedelta(days=1, microseconds=-1)


def test_a_time_keeps_its_zone_and_is_utc_without_one():
    for text in ("2026-11-21T10:46:00Z", "2026-11-21 10:46", "2026-11-21T11:46:00+01:00"):
        read = instant(text, "--at", day_ends=True)
        assert read == datetime(2026, 11, 21, 10, 46, tzinfo=UTC)
