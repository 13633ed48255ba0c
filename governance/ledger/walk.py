"""One walk over a log's entries from nothing: each is checked with all that came before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from governance import statements
from governance.ledger import check_statistics, merkle, new_log
from governance.ledger.admission import AHEAD_LIMIT
from governance.ledger.entry import Entry, columns, leaf_data
from governance.ledger.keyring import Keyring
from governance.ledger.replay import Fault
from governance.ledger.rules import Replay
from governance.ledger.signatures import Signatures
from governance.statements import Chain
from protos.errors import PeerFault, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from governance.ledger.heads import Heads
    from governance.ledger.source import HeldEntry
    from governance.statements import Statement
    from protos.words import Disclosure, KeyId


@dataclass(slots=True)
class Walk:
    """Where a walk stands; `take` each entry in the order in which it lies there.

    Args:
        heads: The checkpoints that the log is held against.
        signatures: Which signatures are verified.
        disclosures: What is disclosed, by seq.
        unsafe_signed_before: The entries before this one were verified at an earlier time, so
            their signatures are not looked at; only with a head that binds their bytes.
    """

    heads: Heads
    signatures: Signatures = Signatures.ALL
    disclosures: Mapping[int, Sequence[Disclosure]] = field(default_factory=dict)
    keyring: Keyring = field(default_factory=Keyring)
    unsafe_signed_before: int = 0
    replay: Replay = field(default_factory=Replay)
    tree: merkle.Frontier = field(default_factory=merkle.Frontier)
    speakers: set[str] = field(default_factory=set)
    _chains: dict[KeyId, tuple[Chain, int]] = field(default_factory=dict)
    _latest: str = ""

    @property
    def size(self) -> int:
        """How many entries were taken."""
        return self.tree.size

    def take(self, held: HeldEntry, *, signatures_are_good: bool = False) -> Fault | None:
        """Check one entry and let it take effect; return its fault, if it has one.

        `signatures_are_good` is what was found ahead of the walk, of these very bytes.
        """
        try:
            statement, leaf = self._read(held)
            entry = Entry(held.seq, _moment(held), statement)
            self._check(entry, held, signatures_are_good=signatures_are_good)
        except (Refused, PeerFault) as broken:
            return Fault(self.size, broken.rule, f"{_who(held)}{_meaning(broken)}")
        fault = self.replay.take(entry) or self._misstated(entry)
        if fault is not None:
            return fault
        self.tree.append(leaf)
        return self.heads.fault_at(self.tree, self.keyring)

    def finish(self) -> Fault | None:
        """Return what is wrong with the log's end, once all entries were taken."""
        return self.replay.doubtful() or self.heads.fault_at_end(self.size, self.keyring)

    def _read(self, held: HeldEntry) -> tuple[Statement, bytes]:
        """Return the statement that lies there, and the hash of its leaf."""
        # 1. Entries are numbered without gaps. Stops deleting, repeating and inserting.
        if held.seq != self.size:
            raise Refused(_out_of_place(held.seq, self.size), rule="entry-missing")
        # 2. The stored leaf is that of the stored bytes. Stops altering an entry in place.
        leaf = merkle.leaf_hash(leaf_data(held.seq, held.received_at, held.envelope))
        if held.stored is not None and held.stored.get("leaf_hash") != leaf:
            raise Refused("its bytes are not those that its leaf was made of", rule="altered")
        # 3. The bytes are a statement. Stops anything else from lying in the record.
        statement = statements.read(held.envelope)
        # 4. Every column follows from the bytes. Stops lying to those who ask the table.
        if held.stored is not None:
            _check_columns(held.stored, {**columns(statement), "leaf_hash": leaf})
        return statement, leaf

    def _check(self, entry: Entry, held: HeldEntry, *, signatures_are_good: bool) -> None:
        statement = entry.statement
        # 5. Time goes forward, and nothing is dated ahead. Stops dating an entry back.
        if held.received_at < self._latest:
            raise Refused("it was received before the entry before it", rule="time-went-back")
        if statement.at > entry.received_at + AHEAD_LIMIT:
            raise Refused("it was signed after it was received", rule="dated-ahead")
        # 6. The key's statements follow each other. Stops replay, reordering and leaving out.
        self._check_chain(statement)
        # 7. The key was enrolled then, for this. Stops strangers, and speaking for others.
        self.keyring.check_speaker(entry)
        self.keyring.check_approvals(statement)
        # 8. The signatures are good. Stops inventing and altering what somebody said.
        if not signatures_are_good and self._wants(entry):
            self.keyring.check_signatures(statement)
        # 9. What is disclosed is what was committed to. Stops changing a name or a figure.
        statements.check_disclosures(statement, self.disclosures.get(entry.seq, ()))
        # 10. A new log is bound to the one before. Stops a second history from being begun.
        self._check_bound(entry)
        self.keyring.take(entry)
        self._chains[statement.key] = (statement.chain, entry.seq)
        self._latest = held.received_at
        self.speakers.add(statement.actor)

    def _misstated(self, entry: Entry) -> Fault | None:
        """Return the fault of what can be made again of values that are disclosed here."""
        if entry.statement.kind != check_statistics.COMBINED:
            return None
        return check_statistics.fault_of_values(self.replay.state, entry, self.disclosures)

    def _check_bound(self, entry: Entry) -> None:
        new = new_log.declared(entry)
        if new is not None:
            origin = entry.statement.log.origin
            root, keys_of = self.tree.root(), self.keyring.of
            new_log.check_bound(new, root=root, origin=origin, keys_of=keys_of)
            self.heads.lost.append(new)

    def _check_chain(self, statement: Statement) -> None:
        chain, seq = self._chains.get(statement.key, (Chain.START, -1))
        before = "" if seq < 0 else f" (its last is entry {seq})"
        if statement.counter > chain.counter + 1:
            raise Refused(
                f"{_count(statement.counter - chain.counter - 1)} of its key before it, "
                f"counter {chain.counter + 1} on{before}",
                rule="counter-gap",
            )
        if statement.counter <= chain.counter:
            raise Refused(
                f"its key had used counter {statement.counter} before{before}",
                rule="counter-repeated",
            )
        if statement.previous != chain.previous:
            raise Refused(
                f"it does not follow its key's last statement{before}", rule="broken-chain"
            )

    def _wants(self, entry: Entry) -> bool:
        if entry.seq < self.unsafe_signed_before:
            return False
        if self.signatures is Signatures.SITE:
            return entry.statement.actor.startswith("site/")
        return self.signatures is Signatures.ALL


def _moment(held: HeldEntry) -> datetime:
    return statements.parse_time(held.received_at)


def _check_columns(stored: Mapping[str, object], derived: Mapping[str, object]) -> None:
    if stored == derived:
        return
    for name in sorted(derived.keys() | stored.keys()):
        if stored.get(name) != derived.get(name):
            raise Refused(
                f"its column {name} says {stored.get(name)!s:.70}, but its bytes say "
                f"{derived.get(name)!s:.70}",
                rule="column-altered",
            )


def _out_of_place(seq: int, expected: int) -> str:
    if expected == 0:
        return (
            f"the record begins with entry {seq}; if it is a later part, join it to the one "
            "before: cat earlier/entries.jsonl later/entries.jsonl"
        )
    return f"entry {seq} stands in its place"


def _count(missing: int) -> str:
    return "a statement is missing" if missing == 1 else f"{missing} statements are missing"


def _who(held: HeldEntry) -> str:
    """Name an entry by what it says it is, which need not be true."""
    try:
        statement = statements.read(held.envelope)
    except PeerFault:
        return ""
    return f"{statement.kind} of {statement.actor}: "


def _meaning(broken: Refused | PeerFault) -> str:
    meaning = _MEANINGS.get(broken.rule, "")
    return f"{broken.what}; {meaning}" if meaning else broken.what


_MEANINGS: Final[Mapping[str, str]] = {
    "entry-missing": "an entry was deleted, inserted or moved",
    "altered": "the entry was altered after it was written",
    "bad-statement": "the entry was altered after it was written",
    "bad-json": "the entry was altered after it was written",
    "column-altered": "the table was altered, and answers from it are false",
    "time-went-back": "entries were moved or dated back",
    "counter-gap": "what the key said before was left out of the record",
    "counter-repeated": "an old statement was played again, or one was forged beside it",
    "broken-chain": "what the key said before was replaced",
    "key-not-enrolled": "nobody known said this",
    "bad-signature": "it was invented, or altered after it was signed",
    "wrong-log": "it was taken from another federation's record",
    "not-yours": "somebody spoke in another's name",
    "wrong-signer": "this key has no right to say it",
    "new-log-unbound": "nothing shows what was lost, or that it was lost at all",
    "disclosure-mismatch": "the value was changed after it was committed to",
}
"""What a broken rule means to somebody who did not write it."""
