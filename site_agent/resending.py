"""Saying again what a recovered ledger has lost, so that it holds what this site decided.

What an officer signed goes again byte for byte. What the agent signed is signed again on the
chain that the ledger has; words about rounds that are over are left out.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from governance import statements
from governance.ledger import store as ledger
from protos.words import StatementSent
from site_agent import anew, voice
from site_agent.store import journal, letters, notes
from site_agent.voice import Saying

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from protos.words import KeyId
    from site_agent.link import Link
    from site_agent.membership import Membership
    from site_agent.store.copy import Copy
    from site_agent.store.journal import Said

_RULE: Final = "recovered"
LOST: Final = "lost-with-log"
"""The journal's word for what a recovered ledger lacks: it was lost, nobody dropped it."""
TAIL: Final = 10_000
"""Entries beyond the last checkpoint that are looked through for this site's own statements."""
_LASTING: Final = frozenset(
    {
        "change-acknowledged",
        "consent-objected",
        "consent-suspended",
        "consent-withdrawn",
        "data-declared",
        "opt-outs-applied",
        "privacy-audited",
    }
)
"""What an agent says that outlasts a round."""


async def known(m: Membership, kept: Copy, link: Link) -> dict[str, int]:
    """Return the seq of every statement of this site's keys in the log, by digest.

    The newest entries are under no checkpoint yet. That does not matter here: they are this
    site's own, by its signature, and are only looked for.
    """
    keys = await m.store.ask(partial(journal.keys, federation=m.federation))
    size = await kept.do(ledger.size_of)
    own = await kept.do(lambda c: list(ledger.own_entries(c, keys)))
    found = {str(one.statement): one.seq for one in own}
    end = size
    while end == size:
        end, size = await _look_on(link, size, keys, found), size + TAIL
    return found


async def _look_on(link: Link, size: int, keys: Sequence[KeyId], found: dict[str, int]) -> int:
    """Note these keys' statements among the next entries; return where they end."""
    end = size
    async for batch in link.entries(size, size + TAIL):
        for record in batch:
            said = statements.read(record.envelope)
            end = record.seq + 1
            if said.key in keys:
                found[said.digest] = record.seq
    return end


def relink(
    c: Connection,
    m: Membership,
    known: Mapping[str, int],
    attempts: frozenset[tuple[int, int]],
) -> int:
    """Let the journal say what the ledger holds, and sign again what no longer fits.

    Returns how many statements are on their way again.
    """
    notes.set_note(c, m.federation, notes.RELINK, "")
    gone = lost(c, m, known)
    journal.reconcile(c, m.federation, m.voice.key.key_id, known=known)
    if notes.note(c, m.federation, notes.LOST):
        anew.set_aside(c, m, attempts)
        say_lost(c, m, gone)
    return voice.resign(c, m.voice) + again(c, m, gone)


def say_lost(c: Connection, m: Membership, gone: Sequence[Said]) -> None:
    """Let the journal say that this was lost with a ledger that was recovered."""
    notes.set_note(c, m.federation, notes.LOST, "")
    for one in gone:
        if one.statement.key == m.voice.key.key_id:
            digest = one.statement.digest
            journal.mark(c, m.federation, digest, status=journal.VOID, rule=LOST)


def lost(c: Connection, m: Membership, known: Mapping[str, int]) -> list[Said]:
    """Return what was taken into the ledger once and is not in it, in the order of its seq."""
    keys = journal.keys(c, m.federation)
    said = [
        one
        for key in keys
        for one in journal.by_key(c, m.federation, key, status=journal.ACCEPTED)
    ]
    gone = [one for one in said if one.statement.digest not in known]
    return sorted(gone, key=lambda one: one.seq or 0)


def again(c: Connection, m: Membership, gone: list[Said]) -> int:
    """Queue what was lost; return how much is on its way again."""
    own = m.voice.key.key_id
    officers = {one.statement.key for one in gone if one.statement.key != own}
    count = 0
    for one in gone:
        statement = one.statement
        if statement.key in officers:
            _send(c, m, one)
        elif statement.kind in _LASTING:
            saying = Saying(statement.kind, statement.body, _RULE, one.disclosures, one.task)
            voice.say(c, m.voice, saying)
        else:
            continue
        count += 1
    for key in sorted(officers):  # what was refused since, as it followed on what was lost
        for one in journal.by_key(c, m.federation, key, status=journal.QUEUED):
            if one not in gone:
                _send(c, m, one)
    return count


def _send(c: Connection, m: Membership, one: Said) -> None:
    word = StatementSent(one.statement.envelope, tuple(one.disclosures))
    letters.send(c, m.federation, word, rule=_RULE)
