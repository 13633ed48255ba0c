"""Read-only SQL views for an auditor's own tools: the tables with their times beside them.

Each is named `audit_…`; docs/auditor.md lists their columns. They hold nothing of their own: a
fault in a table shows in its view, and `verify` finds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, inspect, select

from governance.ledger import schema
from governance.ledger.barring import BARRED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, Connection, Select, Table

_ENTRIES: Final = schema.entries
_HIDDEN: Final = frozenset({"envelope", "leaf_hash", "statement"})


def _at(seq: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    """Return when an entry was received, as a column."""
    entry = _ENTRIES.alias()
    return select(entry.c.received_at).where(entry.c.seq == seq).scalar_subquery().label(name)


def _timed(table: Table, **seqs: str) -> Select[Any]:
    """Select a table's columns, with the time of each of these seqs under another name."""
    times = [_at(table.c[seq], name) for name, seq in seqs.items()]
    return select(*table.columns, *times)


_COSIGNED: Final = (
    select(func.count())
    .select_from(schema.cosignatures)
    .where(schema.cosignatures.c.size == schema.checkpoints.c.size)
    .scalar_subquery()
    .label("cosignatures")
)

DISCLOSED: Final = "audit_disclosures"
"""The one view with names, reasons and figures; no other shows what is only committed to."""

VIEWS: Final[Mapping[str, Select[Any]]] = {
    "audit_entries": select(*(one for one in _ENTRIES.columns if one.name not in _HIDDEN)),
    "audit_agreements": _timed(
        schema.agreements, proposed_at="proposed_seq", changed_at="changed_seq"
    ),
    "audit_consents": _timed(schema.consents, given_at="given_seq", changed_at="changed_seq"),
    "audit_rounds": _timed(schema.rounds, opened_at="opened_seq", ended_at="ended_seq"),
    "audit_contributions": _timed(schema.contributions, received_at="seq"),
    "audit_reservations": _timed(schema.reservations, received_at="seq"),
    "audit_evaluations": _timed(schema.evaluations, received_at="seq"),
    "audit_releases": _timed(schema.releases, published_at="seq", recalled_at="recalled_seq"),
    "audit_exits": _timed(schema.exits, asked_at="seq", changed_at="changed_seq"),
    "audit_exit_steps": _timed(schema.exit_steps, received_at="seq"),
    "audit_exit_releases": _timed(schema.exit_releases, decided_at="seq"),
    "audit_holds": _timed(schema.holds, set_at="seq", lifted_at="lifted_seq"),
    "audit_erasures": _timed(schema.erasures, asked_at="asked_seq", erased_at="erased_seq"),
    "audit_acts": _timed(schema.acts, received_at="seq"),
    "audit_certificates": select(
        *schema.certificates.columns,
        _at(schema.certificates.c.seq, "issued_at"),
        BARRED.label("revoked_seq"),
    ),
    DISCLOSED: select(
        *(one for one in schema.disclosures.columns if one.name != "salt"),
        _ENTRIES.c.kind,
        _ENTRIES.c.actor,
        _ENTRIES.c.received_at,
    ).join(_ENTRIES, _ENTRIES.c.seq == schema.disclosures.c.seq),
    "audit_checkpoints": select(schema.checkpoints.c.size, _COSIGNED),
}
"""By name, the question that each view answers."""


def make(connection: Connection) -> None:
    """Make the views that are missing; one that is there is left alone."""
    there = set(inspect(connection).get_view_names())
    for name, question in VIEWS.items():
        if name not in there:
            asked = question.compile(connection, compile_kwargs={"literal_binds": True})
            connection.exec_driver_sql(f"CREATE VIEW {name} AS {asked}")
