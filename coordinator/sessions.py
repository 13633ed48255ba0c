"""Which sites are connected, and what waits to be written to each.

Numbered messages lie in the database's outbox; a session remembers how far it has written them
and is woken when there may be more. What is not numbered (heartbeats) passes through a queue.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from protos.words import Goodbye, Heartbeat, ToSite

if TYPE_CHECKING:
    from collections.abc import Iterable

    from governance.identity.certificate import Peer
    from protos.words import Quiet, SiteName, TaskId

GOODBYE_S: Final = 5.0
"""How long a session that is replaced has to read its goodbye, where too many stand."""


@dataclass(slots=True)
class Session:
    """One site's live stream. `written` is the highest seq written to this stream.

    `taken` is the last message of the site that is durably taken, `told` the last that it was
    told so of. `mail` is whether its outbox may hold more.
    `unwilling` is the agreement under which it refused a task for a lasting reason, and by
    which rule: it is asked again when it comes back, as it does once somebody has acted there.
    """

    site: SiteName
    peer: Peer
    written: int = 0
    taken: int = 0
    told: int = 0
    mail: bool = True
    unnumbered: deque[ToSite] = field(default_factory=deque)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    ended: Goodbye | None = None
    task: TaskId | str = ""
    steps_done: int = 0
    quiet: Quiet | None = None
    unwilling: tuple[str, str] | None = None
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    serving: asyncio.Task[object] | None = None

    def push(self, message: ToSite) -> None:
        """Queue a message that is not replayed."""
        self.unnumbered.append(message)
        self.woken.set()

    def end(self, goodbye: Goodbye) -> None:
        """Ask the stream to say goodbye and close."""
        if self.ended is None:
            self.ended = goodbye
            self.woken.set()

    def heard(self, beat: Heartbeat) -> bool:
        """Note a site's progress and its quiet hours; tell whether these are others now."""
        self.task, self.steps_done = beat.task, beat.steps_done
        former, self.quiet = self.quiet, beat.quiet
        return former != beat.quiet


class Sessions:
    """The live streams by site; a second session of a site replaces the first.

    `beside` of those that were replaced may stand beside the newest.
    """

    def __init__(self, beside: int = 1) -> None:
        self._beside = beside
        self._live: dict[SiteName, Session] = {}
        self._standing: dict[SiteName, list[Session]] = {}

    def open(
        self, site: SiteName, peer: Peer, serving: asyncio.Task[object] | None = None
    ) -> Session:
        """Begin a site's session, in the task that serves it."""
        former = self._live.get(site)
        if former is not None:
            former.end(Goodbye("session-replaced", f"a newer session of {site} took over"))
        session = Session(site, peer, serving=serving)
        self._live[site] = session
        self._standing.setdefault(site, []).append(session)
        return session

    async def make_room(self, session: Session) -> None:
        """Wait until few enough sessions that were replaced stand beside this one.

        One whose goodbye is not read in time is cut off. Stops a site that reads nothing from
        holding what is kept of each session that it opens.
        """
        standing = self._standing[session.site]
        former = standing[: standing.index(session)]
        for oldest in former[: max(0, len(former) - self._beside)]:
            try:
                async with asyncio.timeout(GOODBYE_S):
                    await oldest.closed.wait()
            except TimeoutError:
                if oldest.serving is not None:
                    oldest.serving.cancel()
                await oldest.closed.wait()

    def close(self, session: Session) -> None:
        """Forget a session, unless a newer one has taken its place."""
        session.closed.set()
        standing = self._standing[session.site]
        standing.remove(session)
        if not standing:
            del self._standing[session.site]
        if self._live.get(session.site) is session:
            del self._live[session.site]

    def of(self, site: SiteName) -> Session | None:
        """Return a site's live session."""
        return self._live.get(site)

    def standing(self, site: SiteName) -> tuple[Session, ...]:
        """Return a site's sessions that have not ended, the oldest first."""
        return tuple(self._standing.get(site, ()))

    @property
    def connected(self) -> frozenset[SiteName]:
        """The sites that can be given a task now."""
        return frozenset(self._live)

    def wake(self, sites: Iterable[SiteName]) -> None:
        """Tell the streams of these sites that there is something in their outboxes."""
        for site in sites:
            session = self._live.get(site)
            if session is not None:
                session.mail = True
                session.woken.set()

    def end(self, site: SiteName, goodbye: Goodbye) -> None:
        """End a site's session, if it has one."""
        session = self._live.get(site)
        if session is not None:
            session.end(goodbye)

    def end_all(self, goodbye: Goodbye) -> None:
        """End every session."""
        for session in list(self._live.values()):
            session.end(goodbye)
