"""Whether this site's store knows all that its keys have signed; an old copy of it does not.

A store that was brought back, or copied to another machine, has forgotten reservations, so that
patients' privacy would be spent twice. The ledger has not forgotten: it holds every statement
with its counter. A statement there that a key of this site signed, and that its journal does
not have, stops the agent until the officer has recovered the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance import statements
from governance.ledger import store as ledger
from protos.errors import Refused
from protos.words import KeyId
from site_agent.store import journal, notes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

    from governance.statements import Statement
    from site_agent.membership import Membership

RULE: Final = "store-rolled-back"
_TODO: Final = (
    "The store is an old one or a copy. Stop every other agent of this hospital, then: "
    "concilium-site recover"
)


class RolledBack(Exception):
    """The store is older than what its keys have signed: nothing is done with it any more."""


def refusal(federation: str, said: str) -> Refused:
    """Return what whoever starts the agent reads."""
    return Refused(f"in {federation}, {said}", todo=_TODO, rule=RULE)


def ours(c: Connection, m: Membership) -> frozenset[KeyId]:
    """Return the keys that this site knows to be its own."""
    enrolled = journal.of_kind(c, m.federation, "enrolled")
    officers = {KeyId(key) for said in enrolled for key in said.statement.body["officers"]}
    return frozenset({m.voice.key.key_id, *journal.keys(c, m.federation), *officers})


def stranger(c: Connection, m: Membership, seq: int, said: Statement) -> Refused:
    """Return why an entry in this site's name is not in its journal.

    1. A key of its own signed it: the store is older than that. 2. Else somebody made it up.
    """
    if said.key in ours(c, m):
        statements.check_signatures(said, [said.key])
        return Refused(_forgotten(seq, said.kind), todo=_TODO, rule=RULE)
    return Refused(
        f"entry {seq} is a {said.kind} in this site's name, which it never signed",
        rule="foreign-statement",
    )


def check_known(c: Connection, m: Membership, known: Mapping[str, int]) -> None:
    """Check that the journal has each of these own statements, given by digest with its seq.

    Raises:
        Refused: it lacks one (`store-rolled-back`).
    """
    for digest, seq in sorted(known.items(), key=lambda one: one[1]):
        if journal.find(c, m.federation, digest) is None:
            raise Refused(_forgotten(seq, "statement"), todo=_TODO, rule=RULE)


def check_copy(c: Connection, m: Membership, kept: Connection) -> None:
    """Check the journal against this site's own copy of the ledger; needs no line.

    Raises:
        Refused: as `check_known`.
    """
    own: Iterable[ledger.Own] = ledger.own_entries(kept, ours(c, m))
    check_known(c, m, {str(one.statement): one.seq for one in own})


def keep(c: Connection, federation: str, said: str) -> None:
    """Write down that the store is not to be used, and why."""
    notes.set_note(c, federation, notes.ROLLED_BACK, said)


def why(c: Connection, federation: str) -> str:
    """Return why the store is not to be used, or nothing."""
    return notes.note(c, federation, notes.ROLLED_BACK)


def check(c: Connection, federation: str) -> None:
    """Refuse what must not be done with a store that was rolled back."""
    said = why(c, federation)
    if said:
        raise refusal(federation, said)


def _forgotten(seq: int, kind: str) -> str:
    return (
        f"entry {seq} of the ledger is a {kind} that a key of this hospital signed, and this "
        "store has no memory of it"
    )
