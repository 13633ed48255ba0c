"""Histories compared: who else cosigned what this site holds.

A branch shown to one hospital alone stays consistent for ever, so hospitals compare. Each
checkpoint comes with the cosignatures on its predecessor; they are kept here once their root is
that of this copy. A peer's agent key is believed only because an officer key of the agreement's
roster vouched for it when that site enrolled, or a key so vouched signed the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, or_, select

from governance.consent import Consent
from governance.ledger import checkpoint, note, tree
from governance.ledger import store as ledger
from governance.ledger.prepared import Prepared
from governance.ledger.schema import checkpoints, consents, cosignatures, keys, rounds
from protos.errors import PeerFault, Refused
from protos.words import KeyId

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from governance.agreement.load import Document
    from governance.ledger.checkpoint import Checkpoint
    from governance.ledger.note import VerifierKey

_ENDED: Final = Prepared(
    select(rounds.c.ended_seq).where(
        rounds.c.round == bindparam("round"), rounds.c.state == "closed"
    )
)
_COSIGNED: Final = Prepared(
    select(checkpoints.c.note, cosignatures.c.line)
    .join(cosignatures, cosignatures.c.size == checkpoints.c.size)
    .where(cosignatures.c.site == bindparam("site"), cosignatures.c.size >= bindparam("least"))
    .order_by(cosignatures.c.size.desc())
    .limit(3)
)
_KEYS: Final = Prepared(
    select(keys.c.key_id, keys.c.usage).where(keys.c.name == bindparam("name"))
)
_LEFT: Final = Prepared(
    select(consents.c.site).where(
        consents.c.material == bindparam("material"),
        or_(
            consents.c.state == Consent.DECLINED.value,
            consents.c.state == Consent.WITHDRAWN.value,
        ),
    )
)
ROUNDS_AGO: Final = 2
"""A task of round r is taken once a majority has seen how round r − 2 ended."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Who holds the same history, up to the round that must be covered.

    Attributes:
        covers: That round; 0 where nothing must be covered yet.
        agreeing: Sites of the roster that cosigned it, lately enough.
        counted: Sites of the roster that count: all but those that left by their own signature.
    """

    covers: int
    agreeing: tuple[str, ...]
    counted: tuple[str, ...]

    @property
    def enough(self) -> bool:
        """Whether more than half of those who count agree, or nothing must be covered."""
        return self.covers == 0 or 2 * len(self.agreeing) > len(self.counted)


def take(c: Connection, text: str, key: VerifierKey, *, own: str) -> bool:
    """Keep the cosignatures of others that a note brings, if this copy reaches it; tell if so.

    Raises:
        PeerFault: the log did not sign it.
        Refused: its root is not that of the entries here (`history-differs`).
    """
    head = checkpoint.read(text, key)
    if head.size > ledger.size_of(c):
        return False
    ledger.add_checkpoint(c, text)
    prefix = checkpoint.witness_name(head.origin, "")
    for signature in note.parse(text).signatures:
        site = signature.name.removeprefix(prefix)
        if site in {signature.name, own}:
            continue
        try:
            ledger.add_cosignature(c, head.size, signature.line, site)
        except (PeerFault, Refused):
            continue  # it counts for nothing: whoever made it is not that site today
    return True


def compared(
    c: Connection, document: Document, *, round_: int, since: datetime
) -> Compared | None:
    """Return who agrees with this copy, as a task of a round asks; None where it is too short.

    Args:
        c: A connection to the copy.
        document: The task's agreement, whose roster is believed.
        round_: The task's round.
        since: A cosignature before this time is too old.
    """
    covers = max(0, round_ - ROUNDS_AGO)
    roster = document.agreement.sites.roster
    left = _left(c, document.material)
    counted = tuple(sorted(set(roster) - left))
    if covers == 0:
        return Compared(0, (), counted)
    ended = _ENDED.first(c, round=covers)
    if ended is None or ended.ended_seq is None:
        return None
    seq = int(ended.ended_seq)
    agreeing = (
        site
        for site in counted
        if any(time >= since for time in _times(c, site, roster[site], size=seq + 1))
    )
    return Compared(covers, tuple(agreeing), counted)


def why_alone(seen: Compared | None, round_: int, lag_s: float) -> str:
    """Say why a task of a round waits for others to be seen on this history; empty if not."""
    if seen is None:
        covers = round_ - ROUNDS_AGO
        return f"this site was shown no head that covers round {covers} yet"
    if seen.enough:
        return ""
    names = ", ".join(seen.agreeing) or "none"
    lag = f"{lag_s / 3600:g} h" if lag_s >= 3600 else f"{lag_s:g} s"
    return (
        f"more than half of {len(seen.counted)} hospitals must have cosigned a head that "
        f"covers round {seen.covers} within {lag}; seen so far: {names}"
    )


def _left(c: Connection, material: str) -> set[str]:
    """Return the sites whose consent to these terms ended by a signature of their own."""
    return {row.site for row in _LEFT.all(c, material=material)}


def _times(
    c: Connection, site: str, officers: Sequence[str], *, size: int
) -> Iterator[datetime]:
    """Yield when a site cosigned heads of at least this size, by a key that is believed."""
    agents = _believed(c, site, officers)
    for row in _COSIGNED.all(c, site=site, least=size):
        origin = checkpoint.parse_body(note.parse(row.note).text).origin
        for agent in agents:
            witness = checkpoint.witness_key(origin, site, agent)
            try:
                yield checkpoint.cosignature(row.note, row.line, witness)
            except PeerFault:
                continue


def _believed(c: Connection, site: str, officers: Sequence[str]) -> list[KeyId]:
    """Return a site's agent keys, if the roster's officer keys are those it enrolled with.

    A name enrols once; every officer key of an enrolment signed it, and each later key is
    signed by the one before. So one look at the officers tells whose the agent keys are.
    """
    rows = _KEYS.all(c, name=site)
    held: Mapping[str, set[str]] = {
        usage: {row.key_id for row in rows if row.usage == usage}
        for usage in ("officer", "agent")
    }
    if not officers or not set(officers) <= held["officer"]:
        return []
    return [KeyId(key) for key in sorted(held["agent"])]


def check_older(c: Connection, head: Checkpoint) -> None:
    """Check a head that is no newer than what was cosigned: it must be of the same history."""
    if head.size and tree.root(c, head.size) != head.root:
        raise Refused(
            f"the checkpoint of size {head.size} is of another history than this site's copy",
            rule="history-differs",
        )
