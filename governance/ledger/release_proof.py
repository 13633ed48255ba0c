"""Whether a release is what it says, by its parts alone: offline, trusting nobody who made it.

The entries that it rests on are in a log's tree, whose head more than half of the hospitals
cosigned; their agents' keys are vouched for by the officers whose keys the agreement names, and
its operators signed the release. By the model's digest all of this is said of one file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from governance import canonical, normalisation, statements
from governance.agreement.load import parse
from governance.ledger import checkpoint, merkle, note
from governance.ledger.entry import Entry, leaf_data
from governance.ledger.keyring import Keyring
from governance.ledger.operators import Operators
from governance.ledger.project_statistics import COMBINED
from governance.ledger.source import split_witnesses
from governance.statements import parse_time
from protos.errors import PeerFault, Refused
from protos.words import KeyId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from governance.agreement.load import Document
    from governance.ledger.checkpoint import Checkpoint
    from protos.words import ProvenEntry, ReleaseParts


@dataclass(frozen=True, slots=True)
class Proven:
    """What a release's parts prove; `witnesses` cosigned its head."""

    published: Entry
    closed: Entry
    card: Mapping[str, Any]
    agreement: Document
    head: Checkpoint
    witnesses: tuple[str, ...]
    roster: int


@dataclass(frozen=True, slots=True)
class _Shown:
    """The entries that came with a release, and whose keys they bring in."""

    entries: Sequence[Entry]
    keyring: Keyring
    revoked: frozenset[str]

    def last(self, kind: str, **body: object) -> Entry:
        """Return the last entry of a kind with this in its body, or raise Refused."""
        for entry in reversed(self.entries):
            said = entry.body
            if entry.statement.kind == kind and all(said.get(k) == v for k, v in body.items()):
                return entry
        raise Refused(f"it comes without the {kind} that it rests on", rule="release-unproven")


def check(
    parts: ReleaseParts, *, trusted: Mapping[str, frozenset[KeyId]] | None = None
) -> Proven:
    """Check a release's parts, or raise naming the first thing that is not as it must be.

    Raises:
        Refused: a rule does not hold.
        PeerFault: something in it cannot be read, or a proof or signature is bad.
    """
    # 1. Every entry is in the tree of the checkpoint. Stops entries that no log holds.
    head = checkpoint.parse_body(note.parse(parts.checkpoint).text)
    entries = [_included(one, head) for one in parts.entries]
    # 2. Each is signed by a key that the log knew. Stops statements made up for this release.
    shown = _read(entries)
    # 3. The log's own key signed the checkpoint. Stops another log's head.
    _check_signed(parts.checkpoint, head, shown)
    # 4. A committed round made this very model. Stops a model that came from elsewhere.
    published = shown.last("release-published", release=parts.release)
    closed = _committed(published, shown, parts)
    # 5. The agreement is the round's. Stops terms that nobody consented to.
    documents = {str(document.digest): document for document in map(parse, parts.agreements)}
    own, binding = _agreements(documents, shown, closed, published)
    # 6. Its operators released it, two where it says so. Stops a release by a stranger.
    Operators.of(binding.agreement).check(published.statement)
    # 7. More than half of its hospitals saw this head. Stops a history made for this release.
    sites = binding.agreement.sites.roster
    witnesses = _witnesses(parts.checkpoint, head, shown, sites)
    in_force = [site for site in sites if site not in shown.revoked]
    if 2 * len(witnesses) <= len(in_force):
        raise Refused(
            f"{len(witnesses)} of {len(in_force)} hospitals cosigned it, which is not more "
            "than half",
            rule="release-not-witnessed",
        )
    # 8. The card is the one that was published, and of this release. Stops another card.
    card = _card(parts, published)
    _check_normalised(card, own, shown)
    # 9. The hospitals are those that the reader knows. Stops invented ones.
    _check_trusted(sites, trusted)
    return Proven(published, closed, card, own, head, witnesses, len(in_force))


def _included(one: ProvenEntry, head: Checkpoint) -> Entry:
    leaf = merkle.leaf_hash(leaf_data(one.seq, one.received_at, one.envelope))
    merkle.verify_inclusion(one.seq, head.size, leaf, one.inclusion, head.root)
    return Entry(one.seq, parse_time(one.received_at), statements.read(one.envelope))


def _read(entries: Sequence[Entry]) -> _Shown:
    if not entries or entries[0].seq != 0:
        raise Refused("it comes without the first entry of its log", rule="release-unproven")
    for before, entry in pairwise(entries):
        if entry.seq <= before.seq:
            said = f"its entry {entry.seq} stands after entry {before.seq}: they were reordered"
            raise Refused(said, rule="release-unproven")
    keyring, revoked = Keyring(), set()
    for entry in entries:
        keyring.check_speaker(entry)
        keyring.check_signatures(entry.statement)
        keyring.take(entry)
        if entry.statement.kind == "revoked":
            revoked.add(str(entry.body["name"]))
    return _Shown(entries, keyring, frozenset(revoked))


def _check_signed(text: str, head: Checkpoint, shown: _Shown) -> None:
    assert shown.keyring.founded is not None
    if head.origin != shown.keyring.founded.log.origin:
        raise Refused("its checkpoint is another log's", rule="wrong-log")
    for key in shown.keyring.of("coordinator", "ledger"):
        try:
            checkpoint.read(text, checkpoint.log_key(head.origin, key))
        except PeerFault:
            continue
        return
    raise Refused("its checkpoint is not signed by the log's key", rule="bad-checkpoint")


def _committed(published: Entry, shown: _Shown, parts: ReleaseParts) -> Entry:
    said = published.body
    closed = shown.last("round-closed", round=said["round"], attempt=said["attempt"])
    if closed.seq > published.seq or closed.body["agreement"] != said["agreement"]:
        raise Refused("its round was not committed when it was released", rule="release-model")
    if not closed.body["model_out"] == said["model"] == parts.model.digest:
        raise Refused("the model is not the one that its round made", rule="release-model")
    return closed


def _agreements(
    documents: Mapping[str, Document], shown: _Shown, closed: Entry, published: Entry
) -> tuple[Document, Document]:
    """Return the round's agreement, and the one whose operators counted at the release."""
    own = documents.get(closed.body["agreement"])
    moved = [e for e in shown.entries if e.statement.kind == "agreement-in-force"]
    force = [e for e in moved if e.seq < published.seq]
    binding = documents.get(force[-1].body["agreement"]) if force else None
    if own is None or binding is None:
        raise Refused("it comes without the agreement of its round", rule="release-unproven")
    for digest in sorted(documents.keys() - {str(e.body["agreement"]) for e in moved}):
        said = f"it comes with an agreement ({digest[:8]}) that none of its entries names"
        raise Refused(said, rule="release-unproven")
    return own, binding


def _witnesses(
    text: str, head: Checkpoint, shown: _Shown, roster: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Return the roster's hospitals that cosigned, by keys that their officers vouched for.

    Raises:
        PeerFault: a cosignature in a hospital's name is bad.
    """
    held = split_witnesses(text)
    good = set()
    for site, line in held.lines:
        agents = _vouched(shown, site, frozenset(roster.get(site, ())))
        keys = [checkpoint.witness_key(head.origin, site, key) for key in agents]
        hashes = {key.key_hash for key in keys}
        if note.parse_line(line).key_hash not in hashes:
            continue
        for key in keys:
            if key.key_hash == note.parse_line(line).key_hash:
                checkpoint.cosignature(held.note, line, key)
                good.add(site)
    return tuple(sorted(good))


def _vouched(shown: _Shown, site: str, officers: frozenset[str]) -> set[KeyId]:
    """Return a site's agent keys for which the roster's officers signed."""
    known, agents = set(officers), set()
    for entry in shown.entries:
        said, signed = entry.body, set(entry.statement.signatures)
        if entry.statement.actor != f"site/{site}":
            continue
        if entry.statement.kind == "enrolled" and officers and officers <= signed:
            agents.add(KeyId(str(said["agent"])))
        elif entry.statement.kind == "key-rotated" and known & signed:
            (agents if said["usage"] == "agent" else known).add(KeyId(str(said["new"])))
    return agents


def _card(parts: ReleaseParts, published: Entry) -> Mapping[str, Any]:
    said = published.body
    if hashlib.sha256(parts.card).hexdigest() != said["card"]:
        raise Refused("its model card is not the one that was published", rule="release-card")
    card = canonical.decode(parts.card)
    told = (
        card.get("release"),
        _of(card, "model", "digest"),
        _of(card, "training", "agreement"),
        _of(card, "training", "rounds"),
    )
    if told != (said["release"], said["model"], said["agreement"], said["rounds"]):
        raise Refused("its model card is of another release", rule="release-card")
    return card


def _check_normalised(card: Mapping[str, Any], own: Document, shown: _Shown) -> None:
    """Check that values are normalised as they were in training. Stops other scores for all."""
    if not own.agreement.statistics_federated:
        return
    recorded = shown.last(COMBINED, basis=normalisation.basis_of(own.agreement))
    if _of(card, "normalisation", "values") != recorded.body["values"]:
        raise Refused(
            "its model card normalises by other statistics than the ledger's",
            rule="release-card",
        )
    normalisation.check(normalisation.read(recorded.body["values"]), own.agreement)


def _of(card: Mapping[str, Any], part: str, name: str) -> object:
    inner = card.get(part)
    return inner.get(name) if isinstance(inner, dict) else None


def _check_trusted(
    roster: Mapping[str, Sequence[str]], trusted: Mapping[str, frozenset[KeyId]] | None
) -> None:
    if trusted is None:
        return
    for site, officers in sorted(roster.items()):
        known = trusted.get(site)
        if known is None:
            raise Refused(
                f"{site} stands in the agreement, but the trusted keys name no such hospital; "
                "it was invented, or its keys are missing from the file",
                rule="untrusted-key",
            )
        if not set(officers) <= set(known):
            raise Refused(
                f"the officer key of {site} in the agreement is not one that the hospital gave",
                rule="untrusted-key",
            )
