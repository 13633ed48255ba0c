"""A new log as this site meets it: taken in beside the copy, held against it, gone on with.

An agent stops at a new log as at any other history that is not its own. What tells the two
apart is looked for here: the whole of it is taken into a file of its own by the rules of every
copy, and offered to the administrator only where it says what it lost and agrees up to there.
Nothing is cosigned in it before the officers have accepted.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from governance import statements
from governance.ledger import checkpoint, new_log, note, project_recovery, tree
from governance.ledger import store as ledger
from protos.errors import Corrupt, PeerFault, Refused
from protos.words import StatementSent
from site_agent import claims, progress
from site_agent.agent import TaskState
from site_agent.store import copy, journal, letters, masks, notes, work
from site_agent.store.copy import Copy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from governance.ledger.new_log import NewLog
    from governance.ledger.note import VerifierKey
    from protos.words import EntryRecord, KeyId
    from site_agent.link import Link
    from site_agent.membership import Membership

_log = structlog.get_logger("witness")

RULE: Final = "new-log"
"""The alarm of a log whose new beginning this site's officers have not accepted."""
_SLICE: Final = 20_000


def awaits(c: Connection, site: str) -> NewLog | None:
    """Return the new log of a ledger that this site's officers have not accepted, or None."""
    row = project_recovery.waiting(c, site)
    return None if row is None else project_recovery.declaration(c, int(str(row.declared_seq)))


def accepted(c: Connection, m: Membership) -> frozenset[str]:
    """Return the new logs that this site's officers accepted, by their declarations' digests.

    What they signed counts at once, also before the ledger has it.
    """
    said = journal.of_kind(c, m.federation, new_log.ACCEPTED)
    return frozenset(
        str(one.statement.body["declared"]) for one in said if one.status != journal.VOID
    )


def check_accepted(c: Connection, site: str, known: frozenset[str]) -> None:
    """Refuse a log that begins anew without this site's word (`new-log`)."""
    new = awaits(c, site)
    if new is not None and new.statement not in known:
        raise Refused(
            f"the log begins anew with entry {new.seq}, and {new.lost} entries are lost",
            rule=RULE,
        )


def check_follows(ours: Connection, theirs: Connection, new: NewLog, site: str) -> str:
    """Check that a new log is this site's own up to what it says is lost; return the head held.

    1. Up to the recovered head both are the same. Stops a rewritten past from passing for a
       loss.
    2. The last head that this site cosigned covers no more than the lost one. Stops a loss
       that is told too small from being accepted.

    Raises:
        Refused: `history-differs` or `gap-hidden`.
    """
    size, _ = copy.cosigned(ours, site)
    shared = min(new.seq, ledger.size_of(ours))
    # 1.
    if shared and tree.root(ours, shared) != tree.root(theirs, shared):
        raise Refused(
            f"the first {shared} entries are others than this site holds",
            rule="history-differs",
        )
    # 2.
    held = ledger.checkpoint_of(ours, size) or "" if size else ""
    if held:
        new_log.check_within(new, checkpoint.parse_body(note.parse(held).text), site)
    return held


async def look(m: Membership, link: Link, key: VerifierKey, ours: Copy) -> None:
    """Take what the coordinator shows into a file of its own; note what it declares, if so.

    Raises:
        Unavailable: the line broke; look again.
    """
    path = m.premises.candidate_of(m.federation)
    offered = ""
    for begun in (path.exists(), False):
        try:
            offered = await _looked(m, link, key, ours)
            break
        except (Refused, PeerFault, Corrupt) as problem:
            remove(path)
            if not begun:
                _log.warning("no-new-log", rule=problem.rule, what=problem.what)
                break
    await m.store.do(
        partial(notes.set_note, federation=m.federation, name=notes.NEW_LOG, value=offered)
    )


async def _looked(m: Membership, link: Link, key: VerifierKey, ours: Copy) -> str:
    beside = Copy.open(m.premises.candidate_of(m.federation))
    try:
        text = await link.checkpoint()
        await _take_in(link, beside, checkpoint.read(text, key).size)
        await beside.do(partial(ledger.add_checkpoint, note=text))
        every = await beside.do(lambda c: list(ledger.entries(c, 0, ledger.size_of(c))))
        claims.check_first(every[0], m, key)
        await m.store.ask(partial(_check_claims, m=m, every=every))
        new = await beside.do(partial(awaits, site=m.site))
        if new is None or new.statement in await m.store.ask(partial(accepted, m=m)):
            raise Refused("it declares no loss that waits for this site", rule="no-new-log")
        await ours.do(lambda c: beside.now(lambda b: check_follows(c, b, new, m.site)))
        return str(new.statement)
    finally:
        beside.close()


async def _take_in(link: Link, beside: Copy, until: int) -> None:
    size = await beside.do(ledger.size_of)
    fresh: list[EntryRecord] = []
    async for batch in link.entries(size, max(until, size)):
        fresh += [record for record in batch if record.seq < until]
        if len(fresh) >= _SLICE:
            await beside.do(partial(ledger.append_mirrored, records=fresh))
            fresh = []
    await beside.do(partial(ledger.append_mirrored, records=fresh))


def _check_claims(c: Connection, m: Membership, every: Sequence[EntryRecord]) -> None:
    """Stops statements in this site's name that it never signed, and other operators."""
    for record in every:
        said = statements.read(record.envelope)
        if said.kind == "agreement-proposed":
            claims.check_proposed(c, m, said)
        if said.actor == m.voice.actor and not journal.find(c, m.federation, said.digest):
            raise Refused(
                "it holds a statement that this site never signed", rule="foreign-statement"
            )


def remove(path: Path) -> None:
    """Delete a database with what lies beside it."""
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)


# --- going on ----------------------------------------------------------------------------


async def go_on(m: Membership, kept: Copy) -> bool:
    """Go on with the new log that the officers accepted; tell whether there was one.

    The copy of before stays as evidence. May be broken off anywhere, and begins again.
    """
    digest = await m.store.ask(partial(notes.note, federation=m.federation, name=notes.TRUSTED))
    if not digest:
        return False
    before = m.premises.copy_before(m.federation, digest)
    await kept.give_way(m.premises.candidate_of(m.federation), before)
    attempts = await kept.do(copy.attempts)
    await m.store.do(partial(_gone_on, m=m, digest=digest, attempts=attempts))
    _log.warning("goes-on-with-a-new-log", declared=digest[:12], before=str(before))
    return True


def _gone_on(
    c: Connection, m: Membership, digest: str, attempts: frozenset[tuple[int, int]]
) -> None:
    federation = m.federation
    set_aside(c, m, attempts)
    evidence = notes.note(c, federation, notes.EVIDENCE)
    if evidence:
        notes.set_note(c, federation, f"{notes.EVIDENCE}/{digest[:12]}", evidence)
    for name in (notes.ALARM, notes.EVIDENCE, notes.FAULT, notes.NEW_LOG, notes.TRUSTED):
        notes.set_note(c, federation, name, "")
    notes.set_note(c, federation, notes.COSIGNED, "")
    notes.set_note(c, federation, notes.LOST, "yes")
    notes.set_note(c, federation, notes.RELINK, "yes")
    for key in journal.keys(c, federation):
        if key != m.voice.key.key_id:
            _send_again(c, federation, key)


def _send_again(c: Connection, federation: str, key: KeyId) -> None:
    """Queue what an officer signed and the ledger lacks, in order, byte for byte."""
    for one in journal.by_key(c, federation, key, status=journal.QUEUED):
        word = StatementSent(one.statement.envelope, tuple(one.disclosures))
        letters.send(c, federation, word, rule="recovered")


def set_aside(c: Connection, m: Membership, attempts: frozenset[tuple[int, int]]) -> None:
    """Set aside every task of an attempt that the ledger does not know; what it cost stays.

    The round may be held again, as another task with a cost of its own.
    """
    for held in work.active(c, m.federation):
        if held.state is TaskState.OFFERED:
            continue  # it may be of the log that goes on
        if (held.task.round, held.task.attempt) not in attempts:
            progress.cancel(c, m, held, "log-recovered")
    work.set_aside(c, m.federation, attempts)
    masks.set_aside(c, m.federation, attempts)
