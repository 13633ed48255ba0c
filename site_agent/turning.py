"""New keys for old ones: the old key signs the new one, and an officer stands beside it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from governance import statements
from governance.identity import folder
from governance.identity.key_files import move
from governance.identity.keys import SigningKey
from governance.identity.rotation import check_rotation, rotate
from protos.errors import Refused
from site_agent import office, voice
from site_agent.store import journal, work
from site_agent.voice import Saying

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from governance.identity.folder import Identity
    from governance.identity.keys import Signer
    from protos.words import KeyId
    from site_agent.membership import Membership

AGENT = "agent"
OFFICER = "officer"


def turn_agent(m: Membership, identity: Identity, officers: Sequence[Signer]) -> None:
    """Put a new agent key in the old one's place, vouched for by officers.

    A try that was broken off is completed by the next one.

    Raises:
        Refused: a task is at work, whose contribution the old key must sign; or something that
            the old key signed waits for the ledger.
    """
    new = folder.begin_rotation(identity)
    m.store.now(lambda c: _say(c, m, AGENT, (identity.signing_key(), new), officers))
    folder.finish_rotation(identity)


def turn_officer(m: Membership, path: Path, old: bytes, new: bytes) -> None:
    """Put a new officer key in the old one's place; the old file stays beside it as `.old`.

    A try that was broken off is completed by the next one; at no moment is there no key.

    Args:
        m: The federation.
        path: The officer key's file.
        old: The passphrase of the present key.
        new: The passphrase of the next one.
    """
    present = SigningKey.load(path, passphrase=old)
    half = path.with_name(f"{path.name}.next")
    if not half.exists():
        SigningKey.generate().save(half, passphrase=new)
    following = SigningKey.load(half, passphrase=new)
    m.store.now(lambda c: _say(c, m, OFFICER, (present, following), []))
    former = path.with_name(f"{path.name}.old")
    former.unlink(missing_ok=True)
    os.link(path, former)
    move(half, path)


def _say(
    c: Connection,
    m: Membership,
    usage: str,
    keys: tuple[SigningKey, SigningKey],
    officers: Sequence[Signer],
) -> None:
    if _is_said(c, m, keys[1].key_id):
        return
    if work.active(c, m.federation):
        raise Refused(
            "a task is at work, and the present key must sign what it sends",
            todo="Try again when `concilium-site status` says that there is nothing to do.",
            rule="task-at-work",
        )
    chain = journal.chain(c, m.federation, keys[0].key_id)
    # Were what waits refused, the rotation would stand on nothing, and the key to sign it again
    # would be gone.
    if chain != journal.settled_chain(c, m.federation, keys[0].key_id):
        raise Refused(
            "what the present key signed still waits for the ledger",
            todo="Let the agent run until it is connected, then try again.",
            rule="statements-wait",
        )
    envelope = rotate(usage, site=m.site, keys=keys, chain=chain, log=m.voice.log, at=m.now())
    for officer in officers:
        envelope = statements.countersign(envelope, officer)
    statement = statements.read(envelope)
    known, needed = office.officers_of(c, m)
    check_rotation(statement, officers=known, needed=needed)
    voice.enqueue(c, m.federation, statement, Saying(statement.kind, statement.body, "keys"))


def _is_said(c: Connection, m: Membership, new: KeyId) -> bool:
    """Tell whether a rotation to this key is in the journal: only its files are left to do."""
    turned = journal.of_kind(c, m.federation, "key-rotated")
    return any(s.status != journal.VOID and s.statement.body["new"] == new for s in turned)
