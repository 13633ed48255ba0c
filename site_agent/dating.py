"""What was dated by a wrong clock: it is said again, word for word, once both clocks agree.

A clock may be set in the middle of a session. The ledger then takes nothing that is dated
ahead of it; the session is ended, and the next hello holds until the clocks agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protos.errors import Unavailable
from protos.words import StatementReceipt
from site_agent import voice
from site_agent.store import journal
from site_agent.store.notes import DATED, note, set_note
from site_agent.voice import Saying

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from protos.words import ToSiteBody
    from site_agent.membership import Membership
    from site_agent.store.journal import Said

RULE: Final = "dated-ahead"
"""The ledger's rule for a statement that is dated more than five minutes ahead of it."""


def put_off(c: Connection, m: Membership, said: Said) -> bool:
    """Remember to say a refused statement again; an officer's is the officer's to sign."""
    if said.statement.key != m.voice.key.key_id:
        return False
    before = note(c, m.federation, DATED)
    set_note(c, m.federation, DATED, f"{before} {said.statement.digest}".strip())
    voice.give_up(c, m.voice, said.statement.digest, rule=RULE)
    return True


def say_again(c: Connection, m: Membership) -> bool:
    """Say what was put off, in its order, dated now; tell whether there was anything."""
    digests = note(c, m.federation, DATED).split()
    for digest in digests:
        said = journal.find(c, m.federation, digest)
        if said is not None:
            old = said.statement
            saying = Saying(old.kind, old.body, voice.OVERTAKEN, said.disclosures, said.task)
            voice.say(c, m.voice, saying)
    if digests:
        set_note(c, m.federation, DATED, "")
    return bool(digests)


def check(body: ToSiteBody) -> None:
    """End a session in which a clock was set. Stops more from being dated by it."""
    if isinstance(body, StatementReceipt) and not body.accepted and body.rule == RULE:
        raise Unavailable("the coordinator's clock and this one differ since", rule=RULE)
