"""Read-only SQL views for an auditor's own tools: the tables with their times beside them.

Each is named `audit_…`; docs/auditor.md lists their columns. They hold nothing of their own: a
fault in a table shows in its view, and `verify` finds it, and a view that shows something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import column, except_, func, inspect, literal, select, table, text, union_all

from governance.ledger import database, schema
from governance.ledger.barring import BARRED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, Connection, Select, Table

_ENTRIES: Final = schema.entries
_HIDDEN: Final = frozenset({"envelope", "leaf_hash", "statement", "alike_seq"})


def _at(seq: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    """Return when an entry was received, as a column."""
    entry = _ENTRIES.alias()
    return select(entry.c.received_at).where(entry.c.seq == seq).scalar_subquery().label(name)


def _timed(table: Table, **seqs: str) -> Select[Any]:
    """Select a table's columns, with the time of each of these seqs under another name."""
    times = [_at(table.c[seq], name) for name, seq in seqs.items()]
    return select(*(one for one in table.columns if one.name not in _HIDDEN), *times)


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
            connection.exec_driver_sql(f"CREATE VIEW {name} AS {_said(connection, question)}")


def altered(c: Connection) -> list[str]:
    """Return the views that are gone, or show something else than the tables say.

    One that this role may not read is not looked at.
    """
    there = set(inspect(c).get_view_names())
    return [
        name
        for name, question in VIEWS.items()
        if database.may_read(c, name) and not (name in there and _shows(c, name, question))
    ]


def _shows(c: Connection, name: str, question: Select[Any]) -> bool:
    names = [one.name for one in question.selected_columns]
    if [one["name"] for one in inspect(c).get_columns(name)] != names:
        return False
    shown = select(table(name, *(column(one) for one in names)))
    if _is_made_so(c, name, question, shown):
        return True
    hidden, added = except_(question, shown), except_(shown, question)
    both = [select(literal(1)).select_from(one.subquery()) for one in (hidden, added)]
    return c.execute(union_all(*both).limit(1)).first() is None


def _is_made_so(c: Connection, name: str, question: Select[Any], shown: Select[Any]) -> bool:
    """Tell whether the engine says that a view is what was asked: its rows may be many."""
    if c.dialect.name == "sqlite":
        made = text("SELECT sql FROM sqlite_master WHERE type = 'view' AND name = :name")
        asked = f"CREATE VIEW {name} AS {_said(c, question)}"
        return c.execute(made, {"name": name}).scalar() == asked
    one, other = (
        c.exec_driver_sql(f"EXPLAIN (VERBOSE, COSTS OFF) {_said(c, each)}").all()
        for each in (select(question.subquery(name)), shown)
    )
    return one == other


def _said(c: Connection, question: Select[Any]) -> str:
    return str(question.compile(c, compile_kwargs={"literal_binds": True}))
