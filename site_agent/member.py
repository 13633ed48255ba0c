"""One federation at work: session, duties, witness, final model and certificate side by side.

Each runs for ever in a task of its own. A fault of ours in one of them is logged with its
traceback and that one begins again; the session and the others never notice.
"""

from __future__ import annotations

import asyncio
import os
import random
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import structlog

from governance.identity import folder
from governance.statements import timestamp
from protos.errors import ConciliumError, PeerFault, Refused, Unavailable
from site_agent import changing, noticing, renewal, rollback, stopping, transfers, voice
from site_agent.agent import backoff_s
from site_agent.bell import Bell, Topic
from site_agent.confinement import Confinement
from site_agent.departure import Left, seen_through
from site_agent.duties import Duties
from site_agent.egress import Egress
from site_agent.link import Address, Link, Papers
from site_agent.session import Presence, Removed, Session
from site_agent.standing import has_left
from site_agent.store import copy, notes
from site_agent.store.copy import Copy
from site_agent.store.notes import CERTIFICATE, FINAL, RENEWAL
from site_agent.voice import Saying
from site_agent.witness import Witness
from site_agent.worker import Worker
from site_agent.workshop import Workshop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy import Connection

    from governance.identity.certificate import Peer
    from governance.identity.folder import Identity
    from governance.settings import FederationSettings
    from site_agent.membership import Membership

_log = structlog.get_logger("agent")

VERSION: Final = version("concilium")
_LOOK_AGAIN_S: Final = 60.0


class Member:
    """One federation that this agent serves."""

    def __init__(
        self, m: Membership, identity: Identity, federation: FederationSettings
    ) -> None:
        self.m = m
        self._identity = identity
        self.bell = Bell()
        m.store.on_mail[m.federation] = partial(self.bell.ring, Topic.MAIL)
        self.presence = Presence()
        self._copy = Copy.open(m.premises.copy_of(m.federation))
        address = Address(federation.coordinator, federation.proxy)
        self._link = Link(address, papers_of(identity), Egress(m.store, m.federation, m.now))
        self._session = Session(m, self._link, self.presence, bell=self.bell)
        self._witness = Witness(
            m, self._link, self.bell, ledger_key=identity.ledger_key, kept=self._copy
        )
        confinement = Confinement.of(m.settings, m.premises)
        worker = Worker(m.settings.resources, confinement=confinement)
        self._workshop = Workshop(m, self.presence, worker, bell=self.bell)
        self._duties = Duties(
            m,
            self._link,
            self.bell,
            presence=self.presence,
            witness=self._witness,
            workshop=self._workshop,
        )

    async def run(self) -> str:
        """Serve the federation until cancelled, or until this site has left it.

        Returns why it is served no more where the operators removed this site, else nothing.

        Raises:
            Refused: the store is older than what its keys have signed.
        """
        stopped = removed = ""
        try:
            await self._serve()
        except* Left:
            _log.info("served-to-the-end", federation=self.m.federation)
        except* Removed as found:
            removed = str(_first(found))
            _log.error("removed", federation=self.m.federation, what=removed)
        except* rollback.RolledBack as found:
            stopped = str(_first(found))
        finally:
            await self.close()
        if stopped:
            raise rollback.refusal(self.m.federation, stopped)
        return f"{self.m.federation} lets this site in no more: {removed}" if removed else ""

    async def close(self) -> None:
        """Stop the worker, and close the line and the copy of the ledger."""
        await self._workshop.stop()
        await self._link.close()
        self._copy.close()

    async def _serve(self) -> None:
        federation = self.m.federation
        if await self._noted(notes.LEFT):
            raise Left
        if not await self.m.store.ask(partial(has_left, federation=federation)):
            await _for_ever(self._started, federation)
        async with asyncio.TaskGroup() as group:
            for serve in (
                self._session.run,
                self._witness.run,
                self._duties.run,
                self._workshop.warm,
                self._final_models,
                self._changes,
                self._certificate,
                partial(noticing.notify, self.m, lambda: self.peer),
                partial(
                    seen_through, self.m, self._copy, self.presence, self.bell.of(Topic.LOG)
                ),
            ):
                group.create_task(_for_ever(serve, federation))

    async def _noted(self, name: str) -> str:
        ask = partial(notes.note, federation=self.m.federation, name=name)
        return await self.m.store.ask(ask)

    @property
    def peer(self) -> Peer:
        """Whom the agent's certificate names, and until when."""
        return self._identity.peer

    def status(self) -> dict[str, object]:
        """Return how this federation stands right now, for `concilium-site status`."""
        presence = self.presence
        return {
            "federation": self.m.federation,
            "connected": presence.connected,
            "task": presence.task,
            "steps_done": presence.steps_done,
            "paused_until": (
                timestamp(presence.paused_until) if presence.paused_until is not None else ""
            ),
            "skew_s": presence.skew.total_seconds(),
            "last_fault": presence.last_fault,
        }

    async def _started(self) -> None:
        """Say into the log that this software started, before anything else is said."""
        system = os.uname()
        body = {
            "program": "concilium-site",
            "version": VERSION,
            "os": f"{system.sysname} {system.release} {system.machine}"[:200],
        }
        saying = Saying("software-started", body, "always")
        await self.m.store.do(partial(voice.say, voice=self.m.voice, saying=saying))
        self.bell.ring()

    async def _changes(self) -> None:
        """Acknowledge each change of an agreement that asks for no consent."""
        m, log = self.m, self.bell.of(Topic.LOG)
        while True:
            heard = log.count
            states = await self._copy.do(copy.states)
            due = await m.store.do(partial(changing.acknowledge, m=m, states=states))
            if due is None:
                await log.after(heard)
            else:
                wait = (due - m.now()).total_seconds()
                await log.within(heard, min(max(wait, 0.0), _LOOK_AGAIN_S))

    async def _final_models(self) -> None:
        """Fetch each final model that the coordinator tells of."""
        m, news = self.m, self.bell.of(Topic.NEWS)
        while True:
            heard = news.count
            text = await m.store.ask(partial(notes.note, federation=m.federation, name=FINAL))
            if text:
                await self._fetch_final(text)
            await news.after(heard)

    async def _fetch_final(self, text: str) -> None:
        m = self.m
        folder = m.premises.work_of(m.federation)
        failures = 0
        path = None
        while path is None:
            heard = self.bell.count
            try:
                path = await transfers.download(self._link, notes.blob_of(text), folder)
            except Unavailable:
                wait = backoff_s(failures, draw=random.random())  # noqa: S311 - no secret
                failures += 1
                await self.bell.within(heard, wait)
        await asyncio.to_thread(transfers.keep, path, m.premises.models)
        _log.info("final-model", digest=path.stem)
        clear = partial(notes.clear_note, federation=m.federation, name=FINAL, value=text)
        await m.store.do(clear)

    async def _certificate(self) -> None:
        """Ask for the next certificate when it is due, and change over when it comes."""
        m, news = self.m, self.bell.of(Topic.NEWS)
        while True:
            heard = news.count
            came, asked = await m.store.ask(self._renewal)
            if came:
                await self._change_over(came)
            elif renewal.is_to_be_asked(self._identity, asked=asked, now=m.now()):
                await m.store.do(partial(renewal.ask, m=m, identity=self._identity))
                self.bell.ring()
            await news.within(heard, renewal.wait_s(self._identity, now=m.now()))

    def _renewal(self, c: Connection) -> tuple[str, str]:
        federation = self.m.federation
        return notes.note(c, federation, CERTIFICATE), notes.note(c, federation, RENEWAL)

    async def _change_over(self, chain: str) -> None:
        m = self.m
        try:
            self._identity = folder.finish_renewal(self._identity, chain.encode(), now=m.now())
        except (Refused, PeerFault) as problem:
            _log.warning("certificate-refused", rule=problem.rule, what=problem.what)
        else:
            await self._link.renew(papers_of(self._identity))
            self._session.redial()
            _log.info("certificate-renewed", until=str(self._identity.peer.not_after))
        await m.store.do(partial(renewal.settled, m=m, chain=chain))


def papers_of(identity: Identity) -> Papers:
    """Return what a channel shows and trusts, of an identity's folder."""
    return Papers(identity.tls_key_pem, identity.tls_chain_pem, identity.root_pem)


async def _for_ever(serve: Callable[[], Awaitable[None]], federation: str) -> None:
    failures = 0
    while True:
        try:
            await serve()
        except ConciliumError as problem:
            _log.warning(
                "begins-again", federation=federation, rule=problem.rule, why=str(problem)
            )
        except (Left, Removed, rollback.RolledBack):
            raise
        except Exception:  # noqa: BLE001 - a bug ends one of them, never the session
            _log.exception("crashed", federation=federation)
        else:
            return
        stopping.heed()
        await asyncio.sleep(backoff_s(failures, draw=random.random()))  # noqa: S311 - no secret
        failures += 1


def _first(group: BaseException) -> BaseException:
    return _first(group.exceptions[0]) if isinstance(group, BaseExceptionGroup) else group
