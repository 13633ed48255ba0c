"""Verification of a log by somebody who trusts nobody that keeps it: everything from nothing.

Three things are done. The walk checks every entry with all that came before: bytes, tree,
chains, keys, signatures, checkpoints and state rules. Then the log is admitted anew, as a
hospital's copy would, and its tables are compared with those that come out. Last, the keys are
compared with those that the hospitals gave the auditor themselves: without these a log proves
only that it agrees with itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from governance.ledger import check_keeping, checkpoint, export, gap, note, rebuild, trust
from governance.ledger.ahead import unchecked
from governance.ledger.heads import Heads
from governance.ledger.replay import Fault
from governance.ledger.signatures import Signatures
from governance.ledger.walk import Walk
from governance.ledger.watching import unwatched
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from governance.ledger.ahead import Ahead
    from governance.ledger.apart import Apart
    from governance.ledger.replay import Begun
    from governance.ledger.source import HeldCheckpoint, Source
    from governance.ledger.watching import Watch
    from protos.words import KeyId

CONSISTENT: Final = "consistent; the signers' identity is not established"
PROVEN: Final = "proven, but for what docs/auditor.md lists"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verification found.

    `entries` is how many were found good; `checkpoint_size` the largest checkpoint that agrees
    with them, `cosignatures` how many sites cosigned it, and `witnessed` the largest size that
    more than half of the sites cosigned. Signatures were checked from entry `signatures_from`
    on; those before were checked when the record was verified up to there. `new_logs` are those
    that the entries begin, each with who accepted it. With `values_unread`, what is disclosed
    was neither read nor checked.
    """

    entries: int
    checkpoint_size: int
    cosignatures: int
    witnessed: int
    fault: Fault | None
    unproven: str
    signatures_from: int = 0
    new_logs: tuple[Begun, ...] = ()
    values_unread: bool = False

    @property
    def verified(self) -> bool:
        """Whether no fault was found."""
        return self.fault is None

    @property
    def proven(self) -> bool:
        """Whether the hospitals said this, by keys known from elsewhere."""
        return self.verified and not self.unproven

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        if self.fault is not None:
            return f"entry {self.fault.seq}: {self.fault.sentence}"
        return PROVEN if self.proven else CONSISTENT

    def to_json(self) -> dict[str, Any]:
        """Return the documented fields."""
        fault = self.fault
        return {
            "verified": self.verified,
            "proven": self.proven,
            "entries": self.entries,
            "checkpoint_size": self.checkpoint_size,
            "cosignatures": self.cosignatures,
            "witnessed": self.witnessed,
            "fault": None
            if fault is None
            else {"seq": fault.seq, "rule": fault.rule, "sentence": fault.sentence},
            "unproven": self.unproven,
            "signatures_from": self.signatures_from,
            "new_logs": [gap.to_json(begun) for begun in self.new_logs],
            "verdict": self.sentence,
        }


def verify(  # noqa: PLR0913 - what an auditor chooses, each by itself
    source: Source,
    *,
    trusted: Mapping[str, frozenset[KeyId]] | None = None,
    against: HeldCheckpoint | None = None,
    signatures: Signatures = Signatures.ALL,
    incremental: bool = False,
    watch: Watch = unwatched,
    apart: Apart | None = None,
    ahead: Ahead | None = None,
) -> Verdict:
    """Verify a log from nothing, or on from a head up to which it was verified before.

    Args:
        source: Where it lies.
        trusted: The hospitals' keys by name, from the hospitals themselves.
        against: A checkpoint kept from before, which the log must extend.
        signatures: Which signatures to check; the log is admitted anew with ALL alone.
        incremental: The record was verified up to `against`: its root binds those bytes, so
            their signatures are not checked again. All else is.
        watch: Who sees each entry pass.
        apart: A second process that makes the tables of the same log anew meanwhile.
        ahead: Processes that check signatures ahead of the walk.

    Raises:
        Refused: there is nothing to verify, or no head from which to go on.
    """
    pinned = () if against is None else (against,)
    verified = _size_of(against) if incremental else 0
    heads = Heads.of(source.checkpoints(), pinned)
    heads.binds = incremental
    walk = Walk(heads, signatures, rebuild.disclosed(source), unsafe_signed_before=verified)
    fault = _walked(source, walk, watch, None if signatures is Signatures.NONE else ahead)
    if signatures is Signatures.ALL:
        fault = _first(fault, _tables(source, walk, fault, watch, apart))
    fault = fault or _disclosed(source, walk) or export.fault(source) or _open(source, walk)
    if fault is None and trusted is not None:
        fault = trust.fault(source, walk, trusted)
    return Verdict(
        entries=walk.size,
        checkpoint_size=walk.heads.agreed,
        cosignatures=len(set(walk.heads.witnesses)),
        witnessed=walk.heads.witnessed,
        fault=fault,
        unproven=_unproven(walk, trusted, signatures),
        signatures_from=verified,
        new_logs=tuple(walk.replay.state.new_logs),
    )


def _size_of(against: HeldCheckpoint | None) -> int:
    """Return how many entries a pinned checkpoint covers, or raise Refused."""
    if against is None:
        raise Refused(
            "nothing says up to where the record was verified before",
            todo="Name the checkpoint that you kept then with --against FILE.",
            rule="no-checkpoint",
        )
    return checkpoint.parse_body(note.parse(against.note).text).size


def _walked(source: Source, walk: Walk, watch: Watch, ahead: Ahead | None) -> Fault | None:
    checked = (
        unchecked if ahead is None else partial(ahead.checked, since=walk.unsafe_signed_before)
    )
    try:
        for held, good in checked(watch("Checking entries", source.entries())):
            fault = walk.take(held, signatures_are_good=good)
            if fault is not None:
                return _first(fault, walk.replay.doubtful())
    except Refused as unread:
        if unread.rule != "bad-export" or walk.size == 0:
            raise
        return Fault(walk.size, unread.rule, f"its line cannot be read: {unread.where}")
    if walk.size == 0:
        raise Refused("the log is empty: there is nothing to verify", rule="no-ledger")
    return walk.finish()


def _tables(
    source: Source, walk: Walk, found: Fault | None, watch: Watch, apart: Apart | None
) -> Fault | None:
    if found is None and apart is not None:
        made = apart.made(watch)
        if made is not None and (made.size, made.root) == (walk.size, walk.tree.root()):
            return made.fault
    return _rebuilt(source, found, watch)


def _rebuilt(source: Source, found: Fault | None, watch: Watch) -> Fault | None:
    with rebuild.empty() as connection:
        until = None if found is None else found.seq
        # The walk has checked the signatures of all that comes before its fault.
        fault = rebuild.admitted(
            connection, source, until=until, watch=watch, unsafe_signatures_checked=True
        )
        if fault is None and found is None:
            fault = rebuild.difference(connection, source)
        return fault


def _open(source: Source, walk: Walk) -> Fault | None:
    """Return a fault where the database would let its entries be written over."""
    gone = source.unguarded()
    if not gone:
        return _acted_on(source, walk) or _misleading(source, walk)
    said = f"the trigger {gone[0]} is" if len(gone) == 1 else f"{len(gone)} triggers are"
    more = "" if len(gone) == 1 else f" ({', '.join(gone)})"
    return Fault(
        walk.size,
        "trigger-missing",
        f"no entry is wrong, but {said} gone or changed{more}: somebody opened the database to "
        "write over it, and what no hospital has cosigned yet may have been",
    )


def _acted_on(source: Source, walk: Walk) -> Fault | None:
    """Return a fault where something of somebody's swallows, changes or hides rows."""
    others = source.interlopers()
    if not others:
        return None
    return Fault(
        walk.size,
        "foreign-trigger",
        f"no entry is wrong, but the database has what is none of ours: {', '.join(others)}; "
        "what it swallows, changes or hides no reader of this database sees",
    )


def _misleading(source: Source, walk: Walk) -> Fault | None:
    """Return a fault where auditors' own tools are shown something else than the record."""
    altered = source.altered_views()
    if not altered:
        return None
    return Fault(
        walk.size,
        "view-altered",
        f"no entry is wrong, but {', '.join(altered)} does not show what its tables say, or is "
        "gone: what was read from it is not the record",
    )


def _disclosed(source: Source, walk: Walk) -> Fault | None:
    state, told = walk.replay.state, walk.disclosures
    return check_keeping.disclosed_fault(state, told, size=walk.size, complete=source.complete)


def _first(*faults: Fault | None) -> Fault | None:
    known = [fault for fault in faults if fault is not None]
    return min(known, key=lambda fault: fault.seq, default=None)


def _unproven(
    walk: Walk, trusted: Mapping[str, frozenset[KeyId]] | None, signatures: Signatures
) -> str:
    """Say what a clean log still lacks to be proven; empty when it lacks nothing."""
    if trusted is None:
        return "the hospitals' keys were not given with --trust"
    if signatures is not Signatures.ALL:
        return "not all signatures were checked"
    if walk.heads.witnessed == 0:
        return "no checkpoint is cosigned by more than half of the sites"
    return ""
