"""The session: hello, replay, then words both ways until the line breaks, and again, for ever.

What is numbered comes from the store and goes into it; heartbeats say how far the work is. A
word is acknowledged only after the store has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import structlog

from governance.hours import quiet_ahead
from governance.pacing import Pace
from protos import codec
from protos.errors import ConciliumError, PeerFault, Refused, Unavailable
from protos.words import (
    CheckpointSent,
    FromSite,
    Goodbye,
    Heartbeat,
    Hello,
    Quiet,
    StatementReceipt,
    Task,
    Welcome,
)
from site_agent import dating, inbox, restraint, stopping
from site_agent.agent import backoff_s
from site_agent.bell import Topic
from site_agent.rounding import in_tenths
from site_agent.standing import has_left
from site_agent.store import letters
from site_agent.store.notes import COSIGNED, RELINK, RENUMBER, SENT, note, set_note

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from protos.words import ToSite, ToSiteBody
    from site_agent.bell import Bell
    from site_agent.link import Link, Stream
    from site_agent.membership import Membership

_log = structlog.get_logger("session")

SOFTWARE: Final = f"concilium-site/{version('concilium')}"
SILENCE_S: Final = 60.0
"""Seconds without a word after which a session is given up and dialled again."""


WORDS_PER_SECOND: Final = 500
"""What the coordinator says faster is read later: it waits on the line, and then over there."""
STEADY_S: Final = 5.0
"""A session that lasted longer was a good one: its end is no failure in a row."""
_AT_ONCE: Final = 16
"""So many words are listed together before they leave: a line may break before the last."""


@dataclass(slots=True)
class Presence:
    """What the agent shows of itself in heartbeats and in its status.

    `planned` is how many steps the task has; 0 where that is not known beforehand.
    """

    task: str = ""
    steps_done: int = 0
    planned: int = 0
    paused_until: datetime | None = None
    connected: bool = False
    skew: timedelta = timedelta()
    last_fault: str = ""
    failures: int = 0


class Removed(Exception):
    """The operators revoked this site: nothing that it says is heard any more."""


class Session:
    """One federation's session, dialled again whenever it breaks."""

    def __init__(self, m: Membership, link: Link, presence: Presence, *, bell: Bell) -> None:
        self._m = m
        self._link = link
        self._presence = presence
        self._bell = bell
        self._redial = asyncio.Event()
        self._acked = 0
        self._beat_s = 1.0

    def redial(self) -> None:
        """End the present session and dial at once, with the link's new papers."""
        self._redial.set()

    async def run(self) -> None:
        """Hold a session for ever; wait between attempts as `backoff_s` says.

        Raises:
            Removed: the coordinator knows this site's certificate as revoked.
        """
        while True:
            self._redial.clear()
            began = time.monotonic()
            try:
                await self._once()
            except ConciliumError as problem:
                stopping.heed()
                await self._lost(problem, lasted_s=time.monotonic() - began)

    async def _lost(self, problem: ConciliumError, *, lasted_s: float) -> None:
        presence = self._presence
        presence.connected = False
        if lasted_s > STEADY_S:
            presence.failures = 0
        if self._redial.is_set():
            return
        if isinstance(problem, Refused) and problem.rule == "revoked":
            await self._removed(problem)
        told = f"{problem.rule}: {problem.what}"
        if told != presence.last_fault:
            _log.warning("session-lost", rule=problem.rule, what=problem.what)
        presence.last_fault = told
        wait = backoff_s(presence.failures, draw=random.random())  # noqa: S311 - no secret
        presence.failures += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._redial.wait()

    async def _removed(self, problem: Refused) -> None:
        """Give up for good, unless this site is leaving: then it is seen through elsewhere."""
        leaving = partial(has_left, federation=self._m.federation)
        if not await self._m.store.ask(leaving):
            raise Removed(problem.what)

    async def _once(self) -> None:
        async with self._link.session() as stream:
            after = await self._greet(stream)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._write(stream, after))
                    group.create_task(self._until_redial())
                    await self._read(stream)
            except* ConciliumError as problems:
                raise _first(problems) from None

    async def _greet(self, stream: Stream) -> int:
        """Say hello; return the number up to which the coordinator has what we sent."""
        m = self._m
        taken = await m.store.ask(partial(letters.taken, federation=m.federation))
        cosigned = await m.store.ask(partial(note, federation=m.federation, name=COSIGNED))
        renumber = await m.store.ask(partial(note, federation=m.federation, name=RENUMBER))
        hello = Hello(
            protocol_lowest=codec.PROTOCOL,
            protocol_highest=codec.PROTOCOL,
            software=SOFTWARE,
            models=m.settings.policy.models,
            cosigned_size=int(cosigned or 0),
            clock=m.now(),
            quiet=self._quiet(),
            renumber=bool(renumber),
        )
        await stream.send(FromSite(hello, ack=taken))
        word = await _heard(stream)
        if not isinstance(word.body, Welcome):
            raise PeerFault("the coordinator did not say welcome", rule="welcome-first")
        welcome = word.body
        if hello.renumber:
            forget = partial(set_note, federation=m.federation, name=RENUMBER, value="")
            await m.store.do(forget)
        if welcome.protocol != codec.PROTOCOL:
            raise PeerFault(f"protocol {welcome.protocol} was not offered", rule="protocol")
        await self._look_back(word.ack)
        await m.store.do(partial(dating.say_again, m=m))
        self._presence.skew = m.now() - welcome.clock
        self._presence.connected = True
        self._presence.last_fault = ""
        self._beat_s = welcome.heartbeat_s
        if self._acknowledged(word.ack):
            await self._m.store.settle()
        self._bell.ring()
        _log.info("session-open", skew_s=self._presence.skew.total_seconds())
        return word.ack

    async def _look_back(self, acknowledged: int) -> None:
        """Have the ledger looked at where more was taken from this site than it ever sent.

        So it is when the store is an old one; the ledger tells by this site's own signatures.
        """
        m = self._m
        sent = await m.store.ask(partial(note, federation=m.federation, name=SENT))
        if acknowledged > int(sent or 0):
            look = partial(set_note, federation=m.federation, name=RELINK, value="yes")
            await m.store.do(look)
            self._bell.ring()

    def _quiet(self) -> Quiet | None:
        """Return the hospital's quiet hours that last or come next, so that it is not asked."""
        span = quiet_ahead(self._m.settings.policy.quiet_hours, self._m.now())
        return None if span is None else Quiet(span.start, span.end)

    def _acknowledged(self, seq: int) -> bool:
        """Forget, with the next transaction, what the coordinator has; tell if it was news."""
        if seq <= self._acked:
            return False
        m = self._m
        done = partial(letters.acknowledged, federation=m.federation, seq=seq)
        m.store.later(("acknowledged", m.federation), done)  # the next welcome says it too
        self._acked = seq
        return True

    async def _read(self, stream: Stream) -> None:
        m, pace = self._m, Pace(WORDS_PER_SECOND)
        while True:
            word = await _heard(stream)
            await asyncio.sleep(pace.wait_s(time.monotonic()))
            self._acknowledged(word.ack)
            if word.seq:
                await m.store.do(partial(inbox.take, m=m, word=word))
                self._bell.ring(*_concerned(word.body))
                dating.check(word.body)
                if isinstance(word.body, Task):
                    await m.store.ask(partial(restraint.check, m=m))

    async def _write(self, stream: Stream, after: int) -> None:
        """Send what is new in the outbox, and a heartbeat when it is time.

        Either says what was taken.
        """
        loop, mail = asyncio.get_running_loop(), self._bell.of(Topic.MAIL)
        beat_at = 0.0
        while True:
            heard = mail.count
            beat = self._beat() if loop.time() >= beat_at else None
            words = await stream.send_chosen(partial(self._waiting, after=after, beat=beat))
            after = max((word.seq for word in words), default=after) or after
            if beat is not None:
                beat_at = loop.time() + self._beat_s
            if len(words) < _AT_ONCE:
                await mail.within(heard, max(0.0, beat_at - loop.time()))

    def _beat(self) -> Heartbeat:
        presence = self._presence
        steps = in_tenths(presence.steps_done, presence.planned)
        return Heartbeat(presence.task, steps, self._quiet())

    def _waiting(self, c: Connection, after: int, beat: Heartbeat | None) -> list[FromSite]:
        federation = self._m.federation
        taken = letters.taken(c, federation)
        unsent = letters.unsent(c, federation, after=after, most=_AT_ONCE)
        words = [FromSite(word.body, seq=word.seq, ack=taken) for word in unsent]
        return words if beat is None else [*words, FromSite(beat, ack=taken)]

    async def _until_redial(self) -> None:
        await self._redial.wait()
        raise Unavailable("dialling again", rule="redial")


def _concerned(body: ToSiteBody) -> tuple[Topic, ...]:
    """Return what a message may change that comes with every round; nothing for anything."""
    if isinstance(body, Task) or (isinstance(body, StatementReceipt) and body.accepted):
        return (Topic.WORK,)
    return (Topic.HEADS,) if isinstance(body, CheckpointSent) else ()


async def _heard(stream: Stream) -> ToSite:
    try:
        async with asyncio.timeout(SILENCE_S):
            word = await stream.receive()
    except TimeoutError:
        raise Unavailable(f"nothing was heard for {SILENCE_S:.0f} s", rule="silence") from None
    if word is None:
        await stream.ended()
        raise Unavailable("the coordinator ended the session", rule="session-ended")
    if isinstance(word.body, Goodbye):
        raise Unavailable(word.body.sentence or "goodbye", rule=word.body.rule)
    return word


def _first(problems: ExceptionGroup[ConciliumError]) -> ConciliumError:
    for problem in problems.exceptions:
        if isinstance(problem, ConciliumError):
            return problem
        return _first(problem)
    raise AssertionError("an exception group is never empty")
