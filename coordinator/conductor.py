"""The one task that owns rounds, tasks and connected sites.

Whatever happens (a statement, an upload, an operator's act, the clock) is taken one at a time:
it is written to the store with what follows from it, and only then becomes visible. What sites
say at once is written at once, each with a savepoint of its own. Then `_onward` does the next
step that the state calls for, until there is none, so that a restart needs nothing but the
store.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from coordinator import (
    acts,
    campaign,
    intake,
    masking,
    newcomers,
    onward,
    renewing,
    round_reports,
    uploads,
    waiting,
)
from coordinator.asks import Asks, Kind
from coordinator.reporting import report
from coordinator.round_states import Event
from coordinator.store import kept, outbox, roundbook
from governance import statements
from protos.errors import ConciliumError, PeerFault, Refused
from protos.words import (
    CertificateRequest,
    CosignatureSent,
    Goodbye,
    StatementSent,
    TaskAnswer,
    UploadOffset,
)
from protos.words_masks import MaskSaid

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sqlalchemy import Connection

    from coordinator.effects import Chores
    from coordinator.foundation import Foundation
    from governance.identity.certificate import Peer
    from protos.words import (
        CertificateIssued,
        Enrolled,
        EnrolRequest,
        FromSite,
        Hello,
        Receipt,
        RenewalRequest,
        SiteName,
        ToSiteBody,
        UploadHeader,
        UploadRef,
    )
    from protos.words_operator import (
        OperatorAct,
        OperatorActed,
        RoundsReport,
        RoundsRequest,
        StatusReport,
    )

T = TypeVar("T")
_log = structlog.get_logger("conductor")
_LONGEST_WAIT_S: Final = 60.0


class Conductor:
    """Take what happens, one at a time."""

    def __init__(self, base: Foundation) -> None:
        self.base = base
        self._asks = Asks()
        self._looking: asyncio.Future[onward.Found] | None = None
        base.summing.on_done = self.nudge
        base.store.on_mail = base.sessions.wake
        self.on_revoked: Callable[[str], Awaitable[None]] | None = None
        self.on_invitation: Callable[[bool], Awaitable[None]] | None = None
        self._lingers_until = base.now()

    async def run(self) -> None:
        """Go on from the store, then take what happens, for ever."""
        await self._restart()
        while True:
            wait_s = await self._onward()
            until_s = asyncio.get_running_loop().time() + wait_s
            await self._asks.answer(until_s=until_s, with_them=self._look)

    def _look(self) -> None:
        """Look what is due once that which is asked now is written, in its transaction."""
        looking = self.base.store.write(partial(onward.look, self.base))
        self._looking = asyncio.ensure_future(looking)

    def nudge(self) -> None:
        """Look again at what is to be done, soon."""
        self._asks.nudge()

    # --- what sites ask ------------------------------------------------------------------

    async def site_connected(self, site: SiteName, hello: Hello) -> None:
        """Look whether a site that came can be given work."""

        async def ask() -> None:
            _log.info("hello", site=site, software=hello.software)

        await self._asks.ask(ask)

    async def take(self, site: SiteName, message: FromSite) -> int:
        """Take a numbered message once; return the last one taken."""

        async def ask() -> int:
            return await self._take(site, message)

        body = message.body
        quiet = isinstance(body, TaskAnswer) and body.accepted  # a site works: it is waited for
        return await self._asks.ask(ask, Kind.LOOKS if quiet else Kind.SAID)

    async def _take(self, site: SiteName, message: FromSite) -> int:
        def change(connection: Connection) -> tuple[int, Chores | None]:
            taken = outbox.taken(connection, site)
            if message.seq <= taken:
                return taken, None
            if not outbox.is_next(connection, site, message.seq):
                raise PeerFault(
                    f"message {message.seq} came, but {taken + 1} is the next",
                    rule="message-missing",
                )
            outbox.check_heard(connection, site)
            event = self._heard(connection, site, message)
            outbox.take(connection, site, message.seq)
            chores = None
            if event is not None:
                chores = campaign.happen(self.base, connection, event, now=self.base.now())
            return message.seq, chores

        taken, chores = await self.base.store.write(change)
        if chores is not None:
            await onward.do(self.base, chores)
        return taken

    def _heard(self, connection: Connection, site: SiteName, message: FromSite) -> Event | None:
        body = message.body
        event: Event | None = None
        answer: ToSiteBody | None = None
        if isinstance(body, StatementSent):
            answer, event = intake.take_statement(self.base, connection, site, body)
        elif isinstance(body, TaskAnswer):
            event = intake.take_answer(self.base, connection, site, body)
        elif isinstance(body, MaskSaid):
            event = masking.take(self.base, connection, site, body)
        elif isinstance(body, CosignatureSent):
            intake.take_cosignature(connection, site, body)
        elif isinstance(body, CertificateRequest):
            answer = self._renewed(connection, site, body)
        if answer is not None:
            outbox.send(connection, site, answer)
        if event is Event.SITE_OUT:
            waiting.note_unwilling(self.base, connection, site)
        return event

    def _renewed(
        self, connection: Connection, site: SiteName, body: CertificateRequest
    ) -> ToSiteBody | None:
        try:
            return newcomers.renew(self.base, connection, site, body)
        except ConciliumError as problem:
            _log.warning("renewal-refused", site=site, rule=problem.rule)
            return None

    # --- uploads -------------------------------------------------------------------------

    async def upload_offset(self, site: SiteName, upload: UploadRef) -> UploadOffset:
        """Say from which byte an upload goes on; one that is in the ledger is complete."""
        if await self.base.store.read(lambda c: uploads.is_in(c, site, upload)):
            return UploadOffset(upload.size, complete=True)
        return await asyncio.to_thread(self.base.spool.offset, site, upload)

    async def upload_begins(self, site: SiteName, header: UploadHeader) -> uploads.Sink:
        """Check an upload before a byte of it is taken, and open it for writing."""

        async def ask() -> uploads.Sink:
            if await self.base.store.read(partial(self._is_in, site=site, header=header)):
                return uploads.Whole(header.upload.size)
            return await asyncio.to_thread(uploads.open_, self.base, site, header)

        return await self._asks.ask(ask, Kind.LOOKS)

    def _is_in(self, connection: Connection, site: SiteName, header: UploadHeader) -> bool:
        """Tell whether an update is in the ledger; raise Refused for one that may not be."""
        if uploads.receipt_of(connection, site, header) is not None:
            return True
        uploads.check_before(self.base, connection, site, header)
        return False

    async def upload_ends(self, site: SiteName, header: UploadHeader) -> Receipt:
        """Check an update that is whole, make it durable and enter it in the ledger."""
        known, wanted = await self.base.store.read(
            lambda c: (uploads.receipt_of(c, site, header), uploads.expected(c, site))
        )
        if known is not None:
            return known
        try:
            path = await asyncio.to_thread(self.base.spool.finish, site, header.upload)
        except Refused as problem:
            await self.upload_spoilt(site, header, problem)
            raise
        fault = await asyncio.to_thread(uploads.fault_of, path, wanted)
        return await self._enter(site, header, fault)

    async def upload_spoilt(
        self, site: SiteName, header: UploadHeader, problem: Refused | PeerFault
    ) -> None:
        """Take who sent other bytes than it declared out of a masked round, and raise R13."""
        wanted = await self.base.store.read(lambda c: uploads.expected(c, site))
        fault = uploads.fault_of_masked(problem, wanted)
        if fault is not None:
            await self._enter(site, header, fault)

    async def _enter(
        self, site: SiteName, header: UploadHeader, fault: Refused | None
    ) -> Receipt:
        async def ask() -> Receipt:
            receipt, chores = await self.base.store.write(
                lambda c: uploads.enter(self.base, c, site, header, fault)
            )
            await onward.do(self.base, chores)
            if fault is not None:
                raise fault
            return receipt

        return await self._asks.ask(ask, Kind.SAID)

    # --- what operators and newcomers ask ------------------------------------------------

    async def act(self, operator: str, act: OperatorAct) -> OperatorActed:
        """Take an operator's act."""

        async def ask() -> OperatorActed:
            now = self.base.now()
            acted, chores = await self.base.store.write(
                lambda c: acts.take(self.base, c, operator, act, now)
            )
            if chores is not None:
                await onward.do(self.base, chores)
            if not acted.pending and statements.read(act.envelope).kind == "revoked":
                await self._bar(acted.result)
            await self._door()
            return acted

        return await self._asks.ask(ask)

    async def _bar(self, name: str) -> None:
        self.base.bar(frozenset({name}))
        await self._end_calls(name, Goodbye("revoked", f"{name} is revoked"))

    async def _part_from_those_gone(self, gone: Mapping[str, frozenset[str]]) -> None:
        """Bar the certificates of who left, once it was shown the end of its exit."""
        for name, serials in gone.items():
            if not serials <= self.base.revocations.serials:
                self.base.bar_serials(serials)
                said = f"{name} has left the federation"
                await self._end_calls(name, Goodbye("left", said))

    async def _end_calls(self, name: str, goodbye: Goodbye) -> None:
        self.base.sessions.end(_site(name), goodbye)
        if self.on_revoked is not None:
            await self.on_revoked(name)

    async def status(self, operator: str) -> StatusReport:
        """Report where the federation stands."""

        async def ask() -> StatusReport:
            return await self.base.store.read(lambda c: report(self.base, c, operator))

        return await self._asks.ask(ask, Kind.LOOKS)

    async def rounds(self, wanted: RoundsRequest) -> RoundsReport:
        """Report attempts of rounds."""

        async def ask() -> RoundsReport:
            return await self.base.store.read(
                lambda c: round_reports.report(self.base, c, wanted)
            )

        return await self._asks.ask(ask, Kind.LOOKS)

    async def enrol(self, asked: EnrolRequest) -> Enrolled:
        """Enrol a newcomer."""

        async def ask() -> Enrolled:
            enrolled = await self.base.store.write(
                lambda c: newcomers.enrol(self.base, c, asked)
            )
            self._linger()
            return enrolled

        return await self._asks.ask(ask)

    async def renew_member(self, peer: Peer, asked: CertificateRequest) -> CertificateIssued:
        """Give an operator or auditor the next certificate."""

        async def ask() -> CertificateIssued:
            return await self.base.store.write(
                lambda c: newcomers.renew_member(self.base, c, peer, asked)
            )

        return await self._asks.ask(ask)

    async def renew(self, asked: RenewalRequest) -> Enrolled:
        """Give a site whose certificate has ended the next one."""

        async def ask() -> Enrolled:
            given = await self.base.store.write(lambda c: renewing.renew(self.base, c, asked))
            self._linger()
            return given

        return await self._asks.ask(ask)

    async def _door(self) -> None:
        if self.on_invitation is None:
            return
        now = self.base.now()
        end = await self.base.store.read(lambda c: kept.open_invitations_end(c, now))
        await self._open_door(invited=end is not None)

    async def _open_door(self, *, invited: bool) -> None:
        if self.on_invitation is not None:
            await self.on_invitation(invited or self.base.now() < self._lingers_until)

    def _linger(self) -> None:
        """Listen a while longer: who enrolled may have to ask for its answer again."""
        self._lingers_until = self.base.now() + timedelta(seconds=self.base.lingers_s)

    # --- onward --------------------------------------------------------------------------

    async def _restart(self) -> None:
        def change(connection: Connection) -> Chores:
            running = roundbook.running(connection)
            at = (running.round, running.attempt) if running else None
            over = {a for a in self.base.spool.attempts() if a != at}
            chores = campaign.happen(
                self.base, connection, Event.RESTARTED, now=self.base.now()
            )
            chores.attempts_over |= over
            chores.aggregate = False  # `_onward` sums whatever stands at aggregating
            return chores

        await onward.do(self.base, await self.base.store.write(change))
        await onward.check_files(self.base)
        now = self.base.now()
        if await self.base.store.read(lambda c: kept.used_invitations(c, now)):
            self._linger()
        await self._door()

    async def _onward(self) -> float:
        """Do every step that is due; return for how long nothing will be, in seconds."""
        try:
            looking, self._looking = self._looking, None
            while (rest := await onward.step(self.base, looking)) is None:
                looking = None
            await self._part_from_those_gone(rest.gone)
            await self._open_door(invited=rest.invited)  # it closes by time alone
        except ConciliumError as problem:
            _log.error("stuck", rule=problem.rule, what=str(problem))
            return _LONGEST_WAIT_S
        except Exception:  # noqa: BLE001 - ours: logged, tried again, sessions go on
            _log.exception("bug")
            return _LONGEST_WAIT_S
        return min(rest.wait_s, _LONGEST_WAIT_S)


def _site(name: str) -> SiteName:
    from protos.words import SiteName

    return SiteName(name)
