"""What a store that was rolled back has forgotten, learnt anew from the ledger.

The log is fetched and checked as a witness checks it, and extended here by the rules of
admission. What keys of this site signed in it goes into the journal; each reservation among it
is spent, whether or not this store knew of it. A training task that was sent and of which the
log does not say yet what became of it counts as spent too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from governance import statements
from governance.ledger import checkpoint, merkle, note
from governance.ledger import store as ledger
from governance.privacy.releases import of_statement, purpose_of
from protos.errors import Refused
from site_agent import claims
from site_agent.deciding import document_of, release_of
from site_agent.egress import Egress
from site_agent.link import Address, Link
from site_agent.member import papers_of
from site_agent.standing import standing_of
from site_agent.store import copy, in_our_name, journal, notes, terms, work
from site_agent.store.work import Spent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from governance.identity.folder import Identity
    from governance.privacy.releases import Release
    from governance.settings import FederationSettings
    from governance.statements import Statement
    from protos.words import EntryRecord
    from site_agent.membership import Membership
    from site_agent.store.copy import Copy
    from site_agent.store.in_our_name import Open

_TAIL: Final = 10_000
"""So many entries that no checkpoint covers yet are looked through at the most."""


@dataclass(frozen=True, slots=True)
class Read:
    """What the log says: how many entries were read, the own ones, and what is open.

    `others` is what anybody reserved in rounds of the agreements that are open.
    `proposed` is when each agreement was proposed last.
    """

    size: int
    own: tuple[EntryRecord, ...]
    open: tuple[Open, ...]
    others: tuple[Release, ...]
    proposed: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the store learnt: statements that it had forgotten, by kind, and tasks to count."""

    kinds: tuple[str, ...]
    tasks: tuple[Open, ...]


async def read(
    m: Membership, identity: Identity, federation: FederationSettings, kept: Copy
) -> Read:
    """Fetch the log, extend this site's copy by it, and return what it says of this site.

    Raises:
        Unavailable: the coordinator is not reached.
        Refused, PeerFault: what it shows is not the history that this site cosigned.
    """
    address = Address(federation.coordinator, federation.proxy)
    link = Link(address, papers_of(identity), Egress(m.store, m.federation, m.now))
    try:
        await _extend(m, identity, link, kept)
        size = await kept.do(ledger.size_of)
        newest = [
            record async for batch in link.entries(size, size + _TAIL) for record in batch
        ]
    finally:
        await link.close()
    with kept.looked_at() as c:  # the newest are under no head yet: looked at, and not kept
        ledger.append_mirrored(c, newest)
        attempts, others = in_our_name.open_attempts(c, m.site, m.federation)
        own = _own(c, m)
        proposed = in_our_name.proposals(c)
    return Read(size + len(newest), tuple(own), tuple(attempts), tuple(others), proposed)


async def _extend(m: Membership, identity: Identity, link: Link, kept: Copy) -> None:
    key = note.parse_vkey(identity.ledger_key)
    # 1. The log's own key, as it was at enrolment. Stops a head that somebody made up.
    text = await link.checkpoint()
    head = checkpoint.read(text, key)
    since, _ = await kept.do(partial(copy.cosigned, site=m.site))
    # 2. It extends what this site cosigned. Stops a loss here from hiding a rewritten past.
    if head.size < since:
        raise Refused(
            f"the log has {head.size} entries, but this hospital cosigned {since}",
            rule="history-differs",
        )
    if 0 < since < head.size:
        known = await kept.do(partial(copy.root_of, size=since))
        proof = await link.consistency(since, head.size)
        merkle.verify_consistency(since, head.size, proof, known, head.root)
    size = await kept.do(ledger.size_of)
    fresh = [
        record
        async for batch in link.entries(size, max(head.size, size))
        for record in batch
        if record.seq < head.size
    ]
    # 3. The log is the one this site enrolled in. Stops another log in its place.
    if fresh and fresh[0].seq == 0:
        claims.check_first(fresh[0], m, key)
    # 4. Each entry is admitted here by the same rules, and the root is theirs. Stops what the
    #    log let slip in, and a second history.
    await kept.do(partial(ledger.append_mirrored, records=fresh))
    await kept.do(partial(ledger.add_checkpoint, note=text))


def _own(c: Connection, m: Membership) -> list[EntryRecord]:
    """Return the entries in this site's name; its present agent key must be among its keys."""
    if m.voice.key.key_id not in in_our_name.keys_of(c, m.site):
        raise Refused(
            "the ledger does not know this site's agent key",
            todo="Where the keys are lost too, ask the operator for a new invitation: "
            f"concilium-coordinator invite site {m.site} --replace",
            rule="key-not-enrolled",
        )
    own = in_our_name.entries_of(c, m.voice.actor)
    return [record for one in own for record in ledger.entries(c, one.seq, one.seq + 1)]


# --- into the store ----------------------------------------------------------------------


def learn(c: Connection, m: Membership, found: Read) -> Learnt:
    """Write down what the log knows and this store did not; nothing that it has is lost."""
    kinds = []
    for record in found.own:
        said = statements.read(record.envelope)
        known = journal.find(c, m.federation, said.digest)
        if known is None:
            kinds.append(said.kind)
            journal.keep(
                c,
                m.federation,
                said,
                disclosures=record.disclosures,
                task=str(said.body.get("task", "")),
                status=journal.ACCEPTED,
            )
        journal.mark(c, m.federation, said.digest, status=journal.ACCEPTED, seq=record.seq)
        if said.kind == "budget-reserved":
            _spend(c, m, said)
    for digest, time in found.proposed.items():
        if terms.find(c, m.federation, digest) is None:
            notes.set_note(c, m.federation, f"{notes.PROPOSED}/{digest}", time)
    return Learnt(tuple(kinds), tuple(_count(c, m, found)))


def _spend(c: Connection, m: Membership, said: Statement) -> None:
    body = said.body
    spent = Spent(
        federation=m.federation,
        task=str(body["task"]),
        cohort=str(body["cohort"]),
        agreement=str(body["agreement"]),
        round=int(body["round"]),
        attempt=int(body["attempt"]),
        release=of_statement(body),
        delta=float(body["delta"]),
        epsilon_total=str(body["epsilon_total"]),
        purpose=purpose_of(body),
    )
    if not work.is_reserved(c, m.federation, spent.task):
        work.reserve(c, spent, at=said.at)


def _count(c: Connection, m: Membership, found: Read) -> list[Open]:
    """Count each task that is open as spent; return those of this store and of the log."""
    for one in found.open:
        if one.reserved or work.is_reserved(c, m.federation, one.task):
            continue
        release = _release(c, m, one, found.others)
        last = work.spent_on(c, m.cohort)
        spent = Spent(
            m.federation, one.task, m.cohort, one.agreement, one.round, one.attempt,
            release, last[-1].delta if last else m.settings.policy.cap.delta,
            last[-1].epsilon_total if last else "0",
        )  # fmt: skip
        work.reserve(c, spent, at=m.now())
    return list(found.open)


def _release(c: Connection, m: Membership, one: Open, others: Sequence[Release]) -> Release:
    document = document_of(c, m, one.agreement)
    if document is not None:
        standing = standing_of(c, m.federation, one.agreement)
        return release_of(document.agreement, standing.declared_patients)
    if others:
        return max(others, key=lambda release: (release.steps, release.sampling_rate))
    raise Refused(
        f"round {one.round} is at work, and this store does not know what it would release",
        todo="Wait until the round has ended, then: concilium-site recover",
        rule="task-of-unknown-cost",
    )
