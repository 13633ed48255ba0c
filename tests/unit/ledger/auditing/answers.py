"""What an auditor is told, as tests compare it, and when it was said."""

from __future__ import annotations

from datetime import UTC, datetime

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def rows(answer, *columns):
    """Return these columns of an answer."""
    places = [answer.columns.index(column) for column in columns]
    return [tuple(row[place] for place in places) for row in answer.rows]


def received(ledger, seq):
    return datetime.fromisoformat(ledger.entries()[seq][1])
