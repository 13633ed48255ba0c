"""What is said to a log under test, and all that its tables hold."""

from __future__ import annotations

import hashlib

from sqlalchemy import select

from governance import statements
from governance.ledger import schema

SOFTWARE = {"program": "concilium-site", "version": "0.1.0", "os": "Linux 6.1"}
OFFICER = (
    statements.disclose("officer", "A", salt=bytes(32)),
    statements.disclose("role", "B", salt=bytes(32)),
)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def content(c):
    """Return every row of every table."""
    return {t.name: c.execute(select(t)).all() for t in schema.metadata.sorted_tables}
