"""What sites are brought in a masked sum, on its way: kept back, or the cue for something."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

from attacking import purpose_of

from protos.words_masks import MaskAsked


class Post:
    """What sites are brought in the steps of a sum, kept back where a test says so."""

    def __init__(self, fed, attacker, purpose="train"):
        self.fed, self.attacker, self.kept, self._lost = fed, attacker, {}, {}
        self._purpose = purpose
        self.hurries = False
        self._asides, self._lacks = [], False
        attacker.follows(self._sent)

    def patience(self, _document):
        """A step that lacks somebody waits for a second, any other for as long as it takes."""
        lacks, self._lacks = self._lacks, False
        return timedelta(seconds=1 if lacks and self.hurries else 120)

    def found(self):
        """Let everybody be heard of again."""
        self._lost.clear()
        self.kept.clear()

    def loses(self, step, *names):
        """Keep back what these are brought in a step: they are gone for the coordinator."""
        self._lost |= dict.fromkeys(names, step)

    def then(self, step, name, act):
        """Do something as soon as a site is brought a step's message."""
        loop = asyncio.get_running_loop()  # messages are written in a thread of the store's
        begin = partial(loop.call_soon_threadsafe, lambda: self.fed.aside(act()))
        self._asides.append((step, name, begin))

    def _sent(self, _, name, body):
        if not isinstance(body, MaskAsked) or purpose_of(body.task) != self._purpose:
            return body
        asked = body.asked
        for step, who, begin in self._asides:
            if isinstance(asked, step) and name == who:
                begin()
        if isinstance(asked, self._lost.get(name, ())):
            self.kept[name], self._lacks = body, True
            return None
        return body

    async def brings(self, name):
        """Bring what was kept back."""
        self._lost.pop(name)
        body = self.kept.pop(name)
        await self.fed.base.store.write(lambda c: self.attacker.send(c, name, body))
