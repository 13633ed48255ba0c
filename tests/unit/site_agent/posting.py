"""A hospital as a witness at its post, with the log that it watches."""

from __future__ import annotations

from hospital import FEDERATION, SITE
from simulated import Log, SimulatedLink

from site_agent.bell import Bell
from site_agent.store import copy, notes
from site_agent.store.copy import Copy
from site_agent.witness import Witness


class Post:
    """A witness at its post, with the log that it watches."""

    def __init__(self, charite, path):
        self.charite = charite
        self.log = Log(charite, path)
        self.link = SimulatedLink(self.log)
        self.copy = None
        self.open()

    def open(self):
        self.copy = Copy.open(self.charite.premises.copy_of(FEDERATION))
        self.bell = Bell()
        self.witness = Witness(
            self.charite.m,
            self.link,
            self.bell,
            ledger_key=self.charite.identity.ledger_key,
            kept=self.copy,
        )

    def restart(self):
        self.copy.close()
        self.charite.restart()
        self.open()

    def close(self):
        self.copy.close()
        self.log.close()

    @property
    def cosigned(self):
        return self.copy.now(lambda c: copy.cosigned(c, SITE))[0]

    async def see(self, *, since=None):
        sent = self.log.checkpoint(since=self.cosigned if since is None else since)
        await self.witness.witness(sent)
        return sent

    def note(self, name):
        return self.charite.store.look(lambda c: notes.note(c, FEDERATION, name))
