"""A new key for an old one: both sign, the new one to show that its owner has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from governance.identity import names
from governance.identity.keys import parse_key_id
from governance.statements import check_signatures, compose, sign
from protos.errors import PeerFault, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from governance.identity.keys import SigningKey
    from governance.statements import Chain, Log, Statement
    from protos.words import KeyId

KIND: Final = "key-rotated"
USAGES: Final = ("agent", "officer")


def rotate(
    usage: str,
    *,
    site: str,
    keys: tuple[SigningKey, SigningKey],
    chain: Chain,
    log: Log,
    at: datetime,
) -> bytes:
    """Return a signed `key-rotated` that continues the old key's chain.

    An agent key's needs an officer too: add it with `statements.countersign`.

    Args:
        usage: `agent` or `officer`.
        site: Whose key it is.
        keys: The old one and the new one.
        chain: Where the old key's chain stands.
        log: The federation's.
        at: The present time.
    """
    old, new = keys
    payload = compose(
        KIND,
        {"name": site, "usage": usage, "old": old.key_id, "new": new.key_id},
        actor=names.actor("site", site),
        key=old.key_id,
        chain=chain,
        log=log,
        at=at,
    )
    return sign(payload, [old, new])


def check_rotation(
    statement: Statement, *, officers: Sequence[KeyId], needed: int = 1
) -> tuple[KeyId, KeyId]:
    """Check who signed a `key-rotated` and return the old and the new key.

    Args:
        statement: As read.
        officers: The officer keys in force.
        needed: How many of them sign for a new agent key.

    Raises:
        PeerFault: it is malformed.
        Refused: a signature is missing or bad.
    """
    old, new = _keys(statement)
    check_signatures(statement, [old, new])
    # Stops a stolen agent key from naming its own successor.
    if statement.body["usage"] == "agent":
        check_officers(statement, officers=officers, needed=needed)
    elif old not in officers:
        raise Refused("the old key is no officer's", rule="wrong-key")
    return old, new


def check_officers(statement: Statement, *, officers: Sequence[KeyId], needed: int) -> None:
    """Check that as many officers as are needed signed, all of them well."""
    signed = [key for key in officers if key in statement.signatures]
    if len(signed) < needed:
        raise Refused(
            f"{statement.kind} needs {needed} officer signatures and has {len(signed)}",
            rule="officer-needed",
        )
    check_signatures(statement, signed)


def _keys(statement: Statement) -> tuple[KeyId, KeyId]:
    body = statement.body
    well_formed = (
        statement.kind == KIND
        and set(body) == {"name", "usage", "old", "new"}
        and all(isinstance(value, str) for value in body.values())
        and body["usage"] in USAGES
        and statement.actor == names.actor("site", body["name"])
    )
    if not well_formed:
        raise PeerFault("this is no key-rotated", rule="bad-statement")
    old, new = parse_key_id(body["old"]), parse_key_id(body["new"])
    if old != statement.key or old == new:
        raise PeerFault("a key is not rotated to another by itself", rule="bad-statement")
    return old, new
