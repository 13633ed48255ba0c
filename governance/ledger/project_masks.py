"""Masked sums: what the coordinator may say of their steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance.ledger.project_rounds import asked_in
from protos.errors import Refused

if TYPE_CHECKING:
    from sqlalchemy import Connection, Executable

    from governance.ledger.entry import Entry


def masking_step(c: Connection, e: Entry) -> list[Executable]:
    """Change no table; the attempt is open, and the sites are among those that were asked.

    Stops a hospital from being added to a sum that it was never asked into.
    """
    named = {*e.body["sites"], *e.body["dropped"], *e.body["refused"]}
    others = named - set(asked_in(c, e))
    if others:
        raise Refused(f"{min(others)} was not asked in this attempt", rule="not-asked")
    return []
