"""What new entries of the log claim, held against the journal and the documents of this site.

It enrolled in this log and no other; it said what stands in its name; and a proposal names the
operators of the document that came here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance import statements
from governance.ledger import operators
from protos.errors import Refused
from site_agent import rollback
from site_agent.deciding import document_of
from site_agent.store import journal, notes
from site_agent.store.notes import LOST, RELINK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from governance.ledger.note import VerifierKey
    from governance.statements import Statement
    from protos.words import EntryRecord
    from site_agent.membership import Membership


def check_first(record: EntryRecord, m: Membership, key: VerifierKey) -> None:
    """Check that the log is the one this site enrolled in. Stops another log in its place."""
    founding = statements.read(record.envelope)
    if founding.log != m.voice.log or founding.body.get("agent") != key.key_id:
        raise Refused(
            "the log's first entry is not of the federation that this site enrolled in",
            rule="history-differs",
        )


def accept(c: Connection, m: Membership, fresh: Sequence[EntryRecord]) -> None:
    """Check that this site said every entry in its name; take each as accepted.

    A proposal is held against the document that came here.
    """
    for record in fresh:
        said = statements.read(record.envelope)
        if said.kind == "log-recovered":
            notes.set_note(c, m.federation, LOST, "yes")
            notes.set_note(c, m.federation, RELINK, "yes")
        if said.kind == "agreement-proposed":
            check_proposed(c, m, said)
        if said.actor != m.voice.actor:
            continue
        own = journal.find(c, m.federation, said.digest)
        if own is None:
            raise rollback.stranger(c, m, record.seq, said)
        if own.status == journal.VOID:
            notes.set_note(c, m.federation, RELINK, "yes")
        place = (m.federation, said.digest)
        journal.mark(c, *place, status=journal.ACCEPTED, seq=record.seq)


def check_proposed(c: Connection, m: Membership, said: Statement) -> None:
    """Check that a proposal's entry names the operators of the document that came here.

    Stops acts from counting that no officer agreed to: the ledger judges by its entry. One of
    before that rule names none, and is no lie; no task is taken under it.
    """
    document = document_of(c, m, str(said.body.get("agreement")))
    if document is not None and "operators" in said.body:
        operators.check_stated(said.body, document.agreement)
