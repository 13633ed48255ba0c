"""The SQL that lets PostgreSQL itself guard the record: who may write what, and who may read.

The roles are an owner, who made the tables and alone may change them, the coordinator's, which
can add to the record and never change it, and an auditor's, which only reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy.dialects import postgresql

from governance.ledger import schema, views
from governance.ledger.making import LEDGER

if TYPE_CHECKING:
    from collections.abc import Iterable

APPEND_ONLY: Final = (
    schema.entries.name,
    schema.nodes.name,
    schema.checkpoints.name,
    schema.cosignatures.name,
)
"""What the coordinator's role may read and add to, and nothing else."""

_QUOTE: Final = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]


def grants(application: str, *, auditor: str = "", disclosures: bool = False) -> list[str]:
    """Return SQL statements for the owner of the tables to run, in order.

    Args:
        application: The role that the coordinator connects as; never the owner.
        auditor: A role that reads the ledger and its views; empty for none.
        disclosures: Whether the auditor reads disclosed names and figures too, which the
            agreement's `disclosures.visible_to` decides.
    """
    role = _QUOTE(application)
    everything = "ALL TABLES IN SCHEMA public"
    said = [
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {everything} TO {role}",
        f"REVOKE UPDATE, DELETE, TRUNCATE ON {_listed(APPEND_ONLY)} FROM {role}",
    ]
    if auditor:
        readable = [*APPEND_ONLY, *(table.name for table in schema.PROJECTIONS), LEDGER.stamp]
        # A view shows its owner's rows: the one of disclosures is granted with them alone.
        readable += [name for name in views.VIEWS if disclosures or name != views.DISCLOSED]
        if disclosures:
            readable.append(schema.disclosures.name)
        reader = _QUOTE(auditor)
        said += [
            f"GRANT USAGE ON SCHEMA public TO {reader}",
            f"REVOKE ALL ON {everything} FROM {reader}",
            f"GRANT SELECT ON {_listed(readable)} TO {reader}",
        ]
    return said


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
