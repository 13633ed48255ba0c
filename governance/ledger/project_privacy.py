"""What was tried against privacy, as the log's tables have it: an entry alone says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance.ledger import check_privacy, project_consents

if TYPE_CHECKING:
    from sqlalchemy import Connection, Executable

    from governance.ledger.entry import Entry


def privacy_audited(c: Connection, e: Entry) -> list[Executable]:
    """Change no table; the agreement is known, and the figures agree with each other."""
    project_consents.agreement(c, e.body["agreement"])
    check_privacy.check_figures(e.body)
    return []
