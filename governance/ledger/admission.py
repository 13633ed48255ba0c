"""What a statement must be to enter the log, before what it says is looked at.

The state of things (a consent in force, a round open) is checked by the kind's projection. The
coordinator admits, every hospital's copy admits the same again, and so does a rebuild.
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, bindparam, or_, select

from governance import statements
from governance.identity import names
from governance.ledger import founding, operators, project_members, remembered
from governance.ledger.kind import Usage
from governance.ledger.kinds import check_form
from governance.ledger.prepared import Prepared
from governance.ledger.schema import entries, keys, revocations
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography import x509

    from governance.ledger.entry import Entry
    from governance.ledger.founding import Founding
    from governance.ledger.kind import Kind
    from governance.statements import Chain, Statement
    from protos.words import KeyId

AHEAD_LIMIT: Final = timedelta(minutes=5)


def admit(
    c: Connection,
    e: Entry,
    *,
    founded: Founding,
    chain: Chain,
    unsafe_signatures_checked: bool = False,
) -> Kind:
    """Return the kind of a statement that may enter the log at this place.

    Args:
        c: A connection inside the transaction that will write it.
        e: The statement with its place and time.
        founded: What the first entry founds; for the first one, what it would found itself.
        chain: Where the chain of its signer's key stands.
        unsafe_signatures_checked: Whether the caller itself checked every signature on it.

    Raises:
        Refused: naming the first rule that it breaks.
    """
    statement = e.statement
    # 1. It is for this log. Stops a statement to another federation from being used here.
    if statement.log != founded.log:
        raise Refused("the statement is for another log", rule="wrong-log")
    # 2. Its kind is known and has this form. Stops unread fields, and free text in the record.
    kind = check_form(statement)
    # 3. It is not dated ahead. Stops a statement from counting longer than it may.
    if statement.at > e.received_at + AHEAD_LIMIT:
        raise Refused("the statement is dated more than five minutes ahead", rule="dated-ahead")
    # 4. It continues its key's chain. Stops replay, reordering and leaving out.
    if (statement.counter, statement.previous) != (chain.counter + 1, chain.previous):
        raise Refused(
            f"the key's next statement has counter {chain.counter + 1} and names its last",
            rule="broken-chain",
        )
    # 5. The first entry alone founds the log. Stops a second root of trust.
    _check_founding(e)
    # 6. Its keys are enrolled, not replaced, not revoked. Stops strangers and those who left.
    known = _known_keys(c, statement)
    # 7. The signer speaks for itself, and may say this. Stops one hospital speaking for
    #    another, and an agent consenting in its officer's name.
    _check_speaker(statement, known[statement.key], kind)
    # 8. Every signature on it is good. Stops one that nobody checked from being taken for a
    #    second approval.
    if not unsafe_signatures_checked:
        authorities = _authorities(c, statement, founded)
        statements.check_signatures(statement, statement.signatures, certificates=authorities)
    # 9. Whoever must sign beside it did. Stops an agent key that no officer vouched for, a
    #    member whom the authority does not know, and one officer where two are needed.
    _check_others(c, statement, kind, known)
    # 10. An operator's act counts by the agreement that binds: its keys, two where it says so.
    #     Stops an operator whom no hospital agreed to, and one alone where two must sign.
    if operators.is_act(statement):
        operators.check_act(c, statement)
    return kind


def _check_founding(e: Entry) -> None:
    body = e.body
    is_newcomer = e.statement.kind == "enrolled"
    if is_newcomer and ("issuing" in body) != (e.seq == 0):
        raise Refused("the first entry alone founds the log", rule="second-founding")
    if not is_newcomer and ("issuing" in body) != (body.get("usage") == "authority"):
        raise Refused("an authority's key alone comes with a certificate", rule="bad-body")


def _known_keys(c: Connection, statement: Statement) -> dict[str, Mapping[str, Any]]:
    """Return a row of `keys` for each signature, also those that the statement brings in."""
    known: dict[str, Mapping[str, Any]] = {
        row["key_id"]: row for row in project_members.newcomers(statement)
    }
    wanted = [key for key in statement.signatures if key not in known]
    if wanted:
        known |= _enrolled(c, wanted)
    for key in wanted:
        if key not in known:
            raise Refused(f"the key {key} is not enrolled", rule="key-not-enrolled")
    return known


def _enrolled(c: Connection, wanted: Sequence[KeyId]) -> Mapping[str, Mapping[str, Any]]:
    """Return the rows of those of some keys that are enrolled and count, by their names."""
    remember, question = remembered.answers(c), (_enrolled, *wanted)
    answer = remember.by_question.get(question)
    if answer is None:
        asked = {f"key{place}": key for place, key in enumerate(wanted)}
        rows = _keys(len(wanted)).all(c, **asked)
        answer = [{row.key_id: _current(row._asdict()) for row in rows}]
        remember.keep(question, _OF_KEYS, answer)
    (found,) = answer
    return found  # type: ignore[no-any-return]


_OF_KEYS: Final = frozenset({keys.name, revocations.name})


@lru_cache(maxsize=32)
def _keys(count: int) -> Prepared:
    each = (keys.c.key_id == bindparam(f"key{place}") for place in range(count))
    return Prepared(
        select(keys, revocations.c.seq.label("revoked_seq"))
        .outerjoin(revocations, revocations.c.name == keys.c.name)
        .where(or_(*each))
    )


def _current(row: Mapping[str, Any]) -> Mapping[str, Any]:
    if row["revoked_seq"] is not None:
        raise Refused(f"{row['name']} is revoked", rule="revoked")
    if row["until_seq"] is not None:
        raise Refused(f"this key of {row['name']} was replaced", rule="key-replaced")
    return row


def _check_speaker(statement: Statement, row: Mapping[str, Any], kind: Kind) -> None:
    if statement.actor != project_members.actor_of(row):
        raise Refused(f"{row['name']} signed as {statement.actor}", rule="not-yours")
    if row["usage"] not in kind.signer:
        raise Refused(
            f"a {statement.kind} is not signed by a key for {row['usage']}", rule="wrong-signer"
        )


def _authorities(
    c: Connection, statement: Statement, founded: Founding
) -> dict[KeyId, x509.Certificate]:
    """Return the issuing certificates by which this statement's signatures are verified."""
    known = {founded.authority: founded.issuing}
    if statement.kind == "key-rotated" and "issuing" in statement.body:
        known.update([founding.rotated(statement, founded.root)])
    wanted = {key for key in statement.signatures if key.startswith("x509:")}
    if wanted <= known.keys():
        return known
    later = select(entries.c.envelope).where(
        entries.c.kind == "key-rotated", entries.c.actor == names.COORDINATOR
    )
    rotations = (statements.read(envelope) for envelope in c.execute(later).scalars())
    known.update(founding.rotated(rotation, founded.root) for rotation in rotations)
    return known


def _check_others(
    c: Connection, statement: Statement, kind: Kind, known: Mapping[str, Mapping[str, Any]]
) -> None:
    signed = [known[key] for key in statement.signatures]
    if statement.kind == "enrolled":
        _check_newcomer(statement, signed)
    elif statement.kind == "key-rotated":
        _check_rotation(c, statement, signed)
    elif kind.by_officers and statement.actor.startswith("site/"):
        _check_officers(c, statement, signed)


def _check_newcomer(statement: Statement, signed: list[Mapping[str, Any]]) -> None:
    body = statement.body
    least = 1 if body["role"] == "site" else 0
    if len(body["officers"]) < least or (least == 0 and body["officers"]):
        raise Refused("a site has officers, and nobody else", rule="bad-officers")
    if not least <= body["needed"] <= len(body["officers"]):
        raise Refused("it needs more officers than there are, or none", rule="bad-officers")
    for key in (body["agent"], *body["officers"]):
        if key not in statement.signatures:
            raise Refused(f"{key} did not sign its own enrolment", rule="not-vouched")
    if not any(row["usage"] == Usage.AUTHORITY for row in signed):
        raise Refused("the authority did not sign the enrolment", rule="not-vouched")


def _check_rotation(
    c: Connection, statement: Statement, signed: list[Mapping[str, Any]]
) -> None:
    body = statement.body
    if body["new"] not in statement.signatures:
        raise Refused("the new key did not sign", rule="not-vouched")
    if body["usage"] == "authority":
        if statement.actor != names.COORDINATOR or body["name"] != names.AUTHORITY:
            raise Refused("the coordinator names the new authority", rule="wrong-signer")
        return
    if statement.key != body["old"] or not str(body["new"]).startswith("ed25519:"):
        raise Refused("the old key signs the new one", rule="wrong-key")
    if body["usage"] == "agent":
        _check_officers(c, statement, signed)


def _check_officers(
    c: Connection, statement: Statement, signed: list[Mapping[str, Any]]
) -> None:
    _, site = names.parse_actor(statement.actor)
    mine = [row for row in signed if row["usage"] == Usage.OFFICER and row["name"] == site]
    needed = officers_needed(c, site)
    if len(mine) < needed:
        raise Refused(
            f"{statement.kind} of {site} needs {needed} of its officers", rule="officer-needed"
        )


def officers_needed(c: Connection, site: str) -> int:
    """Return how many of its officers must sign for a site, as its enrolment says."""
    enrolment = c.execute(
        select(entries.c.envelope)
        .where(entries.c.kind == "enrolled", entries.c.site == site)
        .order_by(entries.c.seq.desc())
        .limit(1)
    ).scalar()
    if enrolment is None:
        raise Refused(f"{site} is not enrolled", rule="not-enrolled")
    return int(statements.read(enrolment).body["needed"])
