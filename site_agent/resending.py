"""Saying again what a recovered ledger has lost, so that it holds what this site decided.

What an officer signed goes again byte for byte. What the agent signed is signed again on the
chain that the ledger has; words about rounds that are over are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protos.words import StatementSent
from site_agent import voice
from site_agent.store import journal, letters
from site_agent.voice import Saying

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from site_agent.membership import Membership
    from site_agent.store.journal import Said

_RULE: Final = "recovered"
_LASTING: Final = frozenset(
    {
        "change-acknowledged",
        "consent-objected",
        "consent-suspended",
        "consent-withdrawn",
        "data-declared",
        "opt-outs-applied",
    }
)
"""What an agent says that outlasts a round."""


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
