"""What this site says: each statement is signed, journalled and queued in one transaction.

A key's statements form one chain, so that the next one can be in the ledger only when all
before it are. A contribution is in only when its upload is whole: until then it is «flying»,
and whatever must be said meanwhile gives it up and takes its counter; the upload then says it
anew. A statement that the ledger refuses is void, and what was queued behind it is signed again
(with the agent's key, which is at hand; an officer's must be signed by the officer).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from governance import statements
from governance.identity.folder import KEY_FILE
from protos.words import StatementSent
from site_agent.store import journal, letters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from governance.identity.folder import Identity
    from governance.identity.keys import SigningKey
    from governance.statements import Chain, Log, Statement
    from protos.words import Digest, Disclosure

OVERTAKEN: Final = "overtaken"
REFUSED: Final = "refused"


class HeldKey:
    """The agent key in its file, read again when the file is another: it may be replaced."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._path = identity.folder / KEY_FILE["site"]
        self._stamp = self._path.stat()
        self._key = identity.signing_key()

    @property
    def current(self) -> SigningKey:
        """The key to sign with now."""
        stamp = self._path.stat()
        if (stamp.st_ino, stamp.st_mtime_ns) != (self._stamp.st_ino, self._stamp.st_mtime_ns):
            self._stamp, self._key = stamp, self._identity.signing_key()
        return self._key


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks: a site, into one log, with its agent key; `now` is the site's clock."""

    site: str
    log: Log
    held: HeldKey
    now: Callable[[], datetime]

    @property
    def key(self) -> SigningKey:
        """The agent key."""
        return self.held.current

    @property
    def federation(self) -> str:
        """The federation that is spoken to."""
        return self.log.federation

    @property
    def actor(self) -> str:
        """How statements name this site."""
        return f"site/{self.site}"


@dataclass(frozen=True, slots=True)
class Saying:
    """Something to say; `rule` is what allows it to leave, `task` what it belongs to."""

    kind: str
    body: Mapping[str, Any]
    rule: str
    disclosures: Sequence[Disclosure] = ()
    task: str = ""


def say(c: Connection, voice: Voice, saying: Saying) -> Statement:
    """Sign something with the agent key, journal it and queue it; a flying one is given up."""
    _give_up_flying(c, voice)
    statement = _signed(c, voice, saying)
    enqueue(c, voice.federation, statement, saying)
    return statement


def contribute(c: Connection, voice: Voice, saying: Saying) -> Statement:
    """Sign and journal a contribution, which its upload carries; an earlier try is given up."""
    _give_up_flying(c, voice)
    statement = _signed(c, voice, saying)
    journal.keep(
        c,
        voice.federation,
        statement,
        disclosures=saying.disclosures,
        task=saying.task,
        status=journal.FLYING,
    )
    return statement


def enqueue(c: Connection, federation: str, statement: Statement, saying: Saying) -> None:
    """Journal a statement that is signed already, by whichever key, and queue it."""
    told = tuple(saying.disclosures)
    journal.keep(c, federation, statement, disclosures=told, task=saying.task)
    letters.send(c, federation, StatementSent(statement.envelope, told), rule=saying.rule)


def give_up(c: Connection, voice: Voice, digest: Digest, *, rule: str) -> None:
    """Void a statement that was not taken, and sign again what was queued behind it."""
    journal.mark(c, voice.federation, digest, status=journal.VOID, rule=rule)
    said = journal.find(c, voice.federation, digest)
    if said is not None and said.statement.key == voice.key.key_id:
        resign(c, voice)


def resign(c: Connection, voice: Voice) -> int:
    """Sign again, in order, what is queued with the agent key and no longer fits its chain.

    Returns how many were signed again. The chain is what the ledger is known to hold; what
    stands rightly on it stays as it is.
    """
    _give_up_flying(c, voice)
    key = voice.key.key_id
    settled = chain = journal.settled_chain(c, voice.federation, key)
    known = journal.accepted_counters(c, voice.federation, key)
    count = 0
    for said in journal.by_key(c, voice.federation, key, status=journal.QUEUED):
        old = said.statement
        if old.counter <= settled.counter and old.counter not in known:
            continue  # a later one is in the ledger, so this one is too; its receipt will come
        if (old.counter, old.previous) == (chain.counter + 1, chain.previous):
            chain = old.chain
            continue
        journal.mark(c, voice.federation, old.digest, status=journal.VOID, rule=OVERTAKEN)
        saying = Saying(old.kind, old.body, OVERTAKEN, said.disclosures, said.task)
        new = _signed_on(chain, voice, saying)
        enqueue(c, voice.federation, new, saying)
        chain = new.chain
        count += 1
    return count


def _give_up_flying(c: Connection, voice: Voice) -> None:
    key = voice.key.key_id
    for said in journal.by_key(c, voice.federation, key, status=journal.FLYING):
        journal.mark(
            c, voice.federation, said.statement.digest, status=journal.VOID, rule=OVERTAKEN
        )


def _signed(c: Connection, voice: Voice, saying: Saying) -> Statement:
    return _signed_on(journal.chain(c, voice.federation, voice.key.key_id), voice, saying)


def _signed_on(chain: Chain, voice: Voice, saying: Saying) -> Statement:
    payload = statements.compose(
        saying.kind,
        saying.body,
        actor=voice.actor,
        key=voice.key.key_id,
        chain=chain,
        log=voice.log,
        at=voice.now(),
        disclosures=saying.disclosures,
    )
    return statements.read(statements.sign(payload, [voice.key]))
