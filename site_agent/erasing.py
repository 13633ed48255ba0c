"""Erasing what this site disclosed: its officer asks, and every copy here forgets the value.

The value goes once an `erased` entry is in this site's own copy of the ledger, which admits one
only after the officer's request; so nobody else can empty the journal.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from governance import statements
from protos.errors import Refused
from site_agent import office, voice
from site_agent.store import egress, journal
from site_agent.voice import Saying

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from governance.statements import Statement
    from protos.words import Digest
    from site_agent.drafts import Draft
    from site_agent.membership import Membership


def draft(c: Connection, m: Membership, seq: int, label: str) -> Draft:
    """Compose the request to erase a value of this site's own entry, for an officer to sign.

    Raises:
        Refused: the entry is not this site's, discloses no such value, or it was asked before.
    """
    own = journal.at_seq(c, m.federation, seq)
    if own is None:
        raise Refused(
            f"entry {seq} is not of {m.site}: only its own values are erased at its wish",
            todo="See what this hospital said: concilium-ledger search "
            f"site/{m.site} --url {m.premises.copy_of(m.federation)}",
            rule="not-yours",
        )
    if label not in own.statement.commitments:
        has = ", ".join(sorted(own.statement.commitments)) or "nothing"
        raise Refused(
            f"entry {seq} discloses no {label}; it discloses {has}", rule="no-such-disclosure"
        )
    body = {"entry": seq, "label": label}
    for asked in journal.of_kind(c, m.federation, "erasure-requested"):
        if asked.statement.body == body and asked.status != journal.VOID:
            raise Refused(
                f"the erasure of the {label} of entry {seq} was asked for before",
                rule="erasure-asked",
            )
    value = next((one.value for one in own.disclosures if one.label == label), "gone already")
    shown = (
        f"{m.site} asks for the erasure of the {label} of its entry {seq}, a "
        f"{own.statement.kind}, with its salt, in every copy.\nIt says: {value}\n"
        "The entry and its digest stay in the record. It cannot be undone.\n"
    )
    return office.compose(c, m, "erasure-requested", body, (), shown)


def deliver(c: Connection, m: Membership, signed: Draft) -> Statement:
    """Take the signed request: journal it and queue it."""
    statement = statements.read(signed.envelope)
    office.check_signed(c, m, statement, signed.disclosures)
    saying = Saying(statement.kind, statement.body, "officer", signed.disclosures)
    voice.enqueue(c, m.federation, statement, saying)
    return statement


async def forget(m: Membership, gone: Sequence[tuple[Digest, str]]) -> None:
    """Take away, in journal and list of what was sent, each value that the ledger erased."""
    if gone:
        await m.store.do(partial(_forget, m=m, gone=gone))


def _forget(c: Connection, m: Membership, gone: Sequence[tuple[Digest, str]]) -> None:
    for digest, label in gone:
        if journal.erase(c, m.federation, digest, label):
            egress.erase(c, m.federation, digest, label)
