"""This hospital as a witness: it keeps a full copy of the log and cosigns what extends it.

A checkpoint is cosigned only when its root is that of the entries held here, when it is proven
to extend the one cosigned last, and when every entry in this site's own name is in its own
journal. A history that was rewritten or forked stops the site from taking tasks; both signed
notes are kept as the proof.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from governance import logs
from governance.ledger import checkpoint, merkle, note
from governance.ledger import store as ledger
from protos.errors import ConciliumError, Corrupt, PeerFault, Refused, Unavailable
from protos.words import CheckpointSent, CosignatureSent
from site_agent import (
    anew,
    claims,
    custody,
    evidence,
    facts,
    resending,
    rollback,
    settling,
)
from site_agent.bell import Topic
from site_agent.deciding import document_of
from site_agent.readiness import Seen
from site_agent.store import comparing, copy, letters, notes
from site_agent.store.notes import ALARM, CHECKPOINT, COSIGNED, RELINK, WAITS

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence
    from datetime import timedelta

    from sqlalchemy import Connection

    from governance.ledger.checkpoint import Checkpoint
    from governance.ledger.note import VerifierKey
    from protos.words import EntryRecord, Task
    from site_agent.bell import Bell
    from site_agent.deciding import Facts
    from site_agent.link import Link
    from site_agent.membership import Membership
    from site_agent.readiness import Readiness
    from site_agent.store.copy import Copy

T = TypeVar("T")
_log = structlog.get_logger("witness")

SLICE: Final = 20_000
"""Entries that are fetched before they are checked and stored."""
RETRY_S: Final = 10.0
COMPARE_S: Final = 1.0
"""How soon a task that waits for the others' cosignatures asks for them again."""
FORKS: Final = frozenset(
    {
        "history-differs",
        "bad-proof",
        "time-went-back",
        "foreign-statement",
        "bad-signature",
        "broken-chain",
        "key-not-enrolled",
        "wrong-log",
        "operators-misstated",
        anew.RULE,
    }
)
"""What only a log that was rewritten, shown twice, written in others' names, begun anew, or
given other operators than the agreement brings about."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A checkpoint with all that it is judged by; `since` is the size cosigned last.

    `accepted` are the new logs that this site's officers accepted.
    """

    note: str
    head: Checkpoint
    since: int
    fresh: Sequence[EntryRecord]
    accepted: frozenset[str]


class Witness:
    """One federation's log, as this site sees it."""

    def __init__(
        self, m: Membership, link: Link, bell: Bell, *, ledger_key: str, kept: Copy
    ) -> None:
        self._m = m
        self._link = link
        self._bell = bell
        self._key: VerifierKey = note.parse_vkey(ledger_key)
        self._copy = kept
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Witness each checkpoint that comes, for ever."""
        m, heads = self._m, self._bell.of(Topic.HEADS)
        await self._send_last()
        while True:
            heard = heads.count
            said, trusted = await m.store.ask(self._decided)
            if said:
                raise rollback.RolledBack(said)
            if trusted:
                await self._go_on()
            waiting = await m.store.ask(self._waiting)
            if waiting == ("", ""):
                await heads.after(heard)
                continue
            try:
                if not await self._catch_up(*waiting):
                    await heads.within(heard, RETRY_S)
            except ConciliumError as problem:
                told = {"rule": problem.rule, "what": problem.what}
                logs.once_a_minute(_log.warning, "checkpoint-not-witnessed", m.federation, told)
                await heads.within(heard, RETRY_S)

    async def _go_on(self) -> None:
        """Go on with a new log that the officers accepted, and witness it."""
        async with self._turn:
            went_on = await anew.go_on(self._m, self._copy)
        if went_on:
            await self._ask_for_the_latest()

    async def facts_for(self, task: Task, skew: timedelta, readiness: Readiness) -> Facts:
        """Return what a decision needs, once every checkpoint that came before is witnessed.

        A task that trains also waits until the ledger says what became of the control variates
        of the rounds before.
        """
        m = self._m
        document = await m.store.ask(partial(document_of, m=m, digest=task.agreement))
        seen = Seen() if document is None else await readiness.look(document)
        log = self._bell.of(Topic.LOG)
        while True:
            heard = log.count
            alarm, waiting, pending, noted = await m.store.ask(
                partial(self._unsettled, task=task)
            )
            pending = pending or await facts.awaits_end(m, self._copy, task)
            waits = (
                ""
                if alarm or waiting or pending
                else await facts.alone(m, self._copy, task, document)
            )
            if waits != noted:
                await m.store.do(partial(self._note_waits, waits=waits))
            if alarm or not (waiting or pending or waits) or task.deadline <= m.now():
                break
            if not waiting:
                await self._ask_for_the_latest()
            await log.within(heard, COMPARE_S if waits else RETRY_S)
        known = partial(facts.of_task, task=task, document=document, skew=skew, seen=seen)
        return replace(await self._copy.do(known), alone=waits)

    def _note_waits(self, c: Connection, waits: str) -> None:
        notes.set_note(c, self._m.federation, WAITS, waits)

    def _decided(self, c: Connection) -> tuple[str, str]:
        federation = self._m.federation
        return rollback.why(c, federation), notes.note(c, federation, notes.TRUSTED)

    def _waiting(self, c: Connection) -> tuple[str, str]:
        federation = self._m.federation
        return notes.note(c, federation, CHECKPOINT), notes.note(c, federation, RELINK)

    def _unsettled(self, c: Connection, task: Task) -> tuple[bool, bool, bool, str]:
        federation = self._m.federation
        waiting = self._waiting(c)
        return (
            bool(notes.note(c, federation, ALARM) or rollback.why(c, federation)),
            waiting != ("", ""),
            custody.has_pending(c, self._m, task),
            notes.note(c, federation, WAITS),
        )

    async def _catch_up(self, text: str, relink: str) -> bool:
        """Witness what waits, mend the chain where it must be; tell whether that helped."""
        m = self._m
        if await m.store.ask(partial(self._noted, name=ALARM)):
            if text:
                await anew.look(m, self._link, self._key, self._copy)
                await m.store.do(partial(self._done, value=text))
            return False
        if text:
            await self.witness(notes.checkpoint_of(text))
            await m.store.do(partial(self._done, value=text))
        mended = True
        if relink:
            known = await resending.known(m, self._copy, self._link)
            await self._check_known(known)
            attempts = await self._copy.do(copy.attempts)
            mend = partial(resending.relink, m=m, known=known, attempts=attempts)
            mended = await m.store.do(mend) > 0
            self._bell.ring()
        self._bell.ring(Topic.LOG)
        return mended

    async def _check_known(self, known: Mapping[str, int]) -> None:
        try:
            await self._m.store.ask(partial(rollback.check_known, m=self._m, known=known))
        except Refused as problem:
            await self._rolled_back(problem)
            raise

    async def _rolled_back(self, problem: ConciliumError) -> None:
        m = self._m
        _log.error("store-rolled-back", what=problem.what, next=problem.todo)
        await m.store.do(partial(rollback.keep, federation=m.federation, said=problem.what))
        self._bell.ring()

    def _done(self, c: Connection, value: str) -> None:
        notes.clear_note(c, self._m.federation, CHECKPOINT, value)

    async def _ask_for_the_latest(self) -> None:
        try:
            await self.witness(await self._fetched())
        except ConciliumError as problem:
            _log.info("no-newer-checkpoint", rule=problem.rule, what=problem.what)

    async def _fetched(self) -> CheckpointSent:
        """Ask for the latest checkpoint with the proof from the one cosigned last."""
        text = await self._link.checkpoint()
        size = checkpoint.read(text, self._key).size
        since, _ = await self._copy.do(partial(copy.cosigned, site=self._m.site))
        proof: tuple[bytes, ...] = ()
        if 0 < since < size:
            proof = await self._link.consistency(since, size)
        return CheckpointSent(text, since, proof, "")

    async def witness(self, sent: CheckpointSent) -> None:
        """Verify a checkpoint, store its entries, cosign it and queue the cosignature.

        Raises:
            PeerFault, Refused: it cannot be; another history sets the alarm.
            Unavailable: the entries could not be fetched.
        """
        # 0. No alarm. Stops a fork that was found once from being cosigned over.
        if await self._m.store.ask(partial(self._noted, name=ALARM)):
            raise Refused("the log is not to be trusted", rule="integrity-alarm")
        # 1. The log's own key, as it was at enrolment. Stops a head that somebody made up.
        head = checkpoint.read(sent.note, self._key)
        async with self._turn:
            # 2. The head before it, which others cosigned, is of this history too. Stops a
            #    branch that is shown to few.
            reached = await self._compare(sent.predecessor)
            await self._or_alarm(self._witnessed(sent, head), sent.note, head)
            if not reached:  # its entries came just now
                await self._compare(sent.predecessor, most=head.size)
            await self._compare(sent.note)

    async def _compare(self, text: str, *, most: int | None = None) -> bool:
        """Hold a head's cosignatures against this copy; tell whether it reaches that far."""
        if not text:
            return True
        head = checkpoint.read(text, self._key)
        return await self._or_alarm(self._compared(text, head, most), text, head)

    async def _compared(self, text: str, head: Checkpoint, most: int | None) -> bool:
        """Compare as `_compare` does; `most` is the size that the head may have."""
        if most is not None and head.size > most:
            raise Refused(
                f"the log had {head.size} entries before it had {most}: it was cut",
                rule="history-differs",
            )
        own = self._m.site
        return await self._copy.do(partial(comparing.take, text=text, key=self._key, own=own))

    async def _or_alarm(
        self, doing: Coroutine[None, None, T], text: str, head: Checkpoint
    ) -> T:
        try:
            return await doing
        except (Refused, PeerFault, Corrupt) as problem:
            if problem.rule in FORKS:
                await self._alarm(text, head, problem)
            if problem.rule == rollback.RULE:
                await self._rolled_back(problem)
            raise

    async def _witnessed(self, sent: CheckpointSent, head: Checkpoint) -> None:
        since, known, size = await self._copy.do(self._stands)
        if head.size <= since:
            await self._copy.do(partial(comparing.check_older, head=head))
            return
        if since:
            await self._check_extends(sent, head, since, known)
        fresh: list[EntryRecord] = []
        async for batch in self._link.entries(size, max(head.size, size)):
            fresh += [record for record in batch if record.seq < head.size]
            if len(fresh) >= SLICE:
                await self._store(fresh)
                fresh = []
        accepted = await self._check_own(fresh)
        found = _Found(sent.note, head, since, fresh, accepted)
        line = await self._copy.do(partial(self._cosign, found=found))
        await self._m.store.do(partial(self._queue, head=head, line=line))
        await self._settle()
        _log.info("cosigned", size=head.size)

    def _stands(self, c: Connection) -> tuple[int, bytes, int]:
        """Return the size and root cosigned last, and how many entries this copy has."""
        since, _ = copy.cosigned(c, self._m.site)
        return since, copy.root_of(c, since), ledger.size_of(c)

    async def _check_extends(
        self, sent: CheckpointSent, head: Checkpoint, since: int, known: bytes
    ) -> None:
        """Check that a head extends the one cosigned last, by the proof of RFC 9162."""
        proof = sent.consistency
        if sent.from_size != since:
            proof = await self._link.consistency(since, head.size)
        # 3. It extends the one cosigned last. Stops a rewritten past.
        merkle.verify_consistency(since, head.size, proof, known, head.root)

    async def _store(self, fresh: Sequence[EntryRecord]) -> None:
        await self._check_own(fresh)
        await self._copy.do(partial(ledger.append_mirrored, records=fresh))

    async def _check_own(self, fresh: Sequence[EntryRecord]) -> frozenset[str]:
        """Take entries in this site's name; return the new logs that its officers accepted."""
        if fresh and fresh[0].seq == 0:
            claims.check_first(fresh[0], self._m, self._key)
        return await self._m.store.do(partial(self._owned, fresh=fresh))

    def _owned(self, c: Connection, fresh: Sequence[EntryRecord]) -> frozenset[str]:
        claims.accept(c, self._m, fresh)
        return anew.accepted(c, self._m)

    def _cosign(self, c: Connection, found: _Found) -> str:
        """Append, compare and cosign, in one transaction of the copy."""
        m, head = self._m, found.head
        if copy.cosigned(c, m.site)[0] != found.since:
            raise Unavailable("another checkpoint was cosigned meanwhile", rule="overtaken")
        # 4. The entries are admitted here by the same rules. Stops what the log let slip in.
        ledger.append_mirrored(c, found.fresh)
        # 5. A new log has this site's word. Stops a history from ending unseen.
        anew.check_accepted(c, m.site, found.accepted)
        # 6. The root is that of the entries held here. Stops a second history.
        ledger.add_checkpoint(c, found.note)
        line = checkpoint.cosign(found.note, site=m.site, key=m.voice.key, at=m.now())
        try:
            ledger.add_cosignature(c, head.size, line, m.site)
        except PeerFault:
            raise Unavailable(
                "this site's new agent key is not in the ledger yet", rule="key-turning"
            ) from None
        return line

    def _queue(self, c: Connection, head: Checkpoint, line: str) -> None:
        m = self._m
        letters.send(c, m.federation, CosignatureSent(head.size, line), rule="witness")
        notes.set_note(c, m.federation, COSIGNED, str(head.size))

    async def _send_last(self) -> None:
        """Queue a cosignature that a crash left in the copy alone; settle what it decides."""
        m = self._m
        size, line = await self._copy.do(partial(copy.cosigned, site=m.site))
        queued = int(await m.store.ask(partial(self._noted, name=COSIGNED)) or 0)
        if size > queued:
            text = await self._copy.do(partial(ledger.checkpoint_of, size=size))
            head = checkpoint.read(text or "", self._key)
            await m.store.do(partial(self._queue, head=head, line=line))
        await self._settle()

    def _noted(self, c: Connection, name: str) -> str:
        return notes.note(c, self._m.federation, name)

    async def _settle(self) -> None:
        await settling.settle(self._m, self._copy)
        self._bell.ring(Topic.LOG, Topic.WORK)

    async def _alarm(self, theirs: str, head: Checkpoint, problem: ConciliumError) -> None:
        m = self._m
        ours = await self._copy.do(partial(evidence.ours_beside, size=head.size))
        _log.error("integrity-alarm", rule=problem.rule, what=problem.what)
        raising = partial(evidence.raise_alarm, federation=m.federation, problem=problem)
        await m.store.do(partial(raising, ours=ours, theirs=theirs))
        self._bell.ring()
