"""Models that leave the federation: drafted, published, given and recalled by its operators.

A release is final twice: its round before it is published, and the entry that publishes it
before its folder is handed out, each under a checkpoint that more than half of the hospitals
cosigned.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from coordinator import cards
from coordinator.store import kept, measured, record, released
from governance import canonical
from governance.ledger import store as ledger
from governance.statements import parse_time
from governance.tensors import verify
from protos.errors import Corrupt, PeerFault, Refused, Unavailable
from protos.words import BlobRef, Digest, ReleaseParts
from protos.words_operator import ReleaseDraft

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from coordinator.foundation import Foundation
    from coordinator.store.released import Inside
    from governance.agreement.load import Document
    from governance.statements import Statement
    from protos.words_operator import OperatorAct


@dataclass(frozen=True, slots=True)
class Releasable:
    """A committed round with its agreement, and the bytes of its model's file."""

    made: Inside
    document: Document
    size: int


def releasable(
    base: Foundation, connection: Connection, number: int, release: str
) -> Releasable:
    """Return what is known of a round that is to be released.

    Raises:
        Refused: the round committed no model, an exit undid it, or the name is taken.
        Unavailable: the round is not final yet.
    """
    found = _found(base, connection, number)
    if released.release(connection, release) is not None:
        raise Refused(
            f"a release {release} was published before",
            todo="Choose another name with --name.",
            rule="release-taken",
        )
    _check_final(connection, found.made)
    return found


def drafted(base: Foundation, found: Releasable, release: str, *, at: datetime) -> ReleaseDraft:
    """Return what a release would say, for an operator to sign; asks no database.

    Raises:
        Corrupt: the model's file is not what its name says.
    """
    verify(base.model_path(found.made.model))
    return _drafted(found, release, at)


def _drafted(found: Releasable, release: str, at: datetime) -> ReleaseDraft:
    made = found.made
    facts = cards.composed(found.document, made, release=release, size=found.size, at=at)
    card = canonical.encode(facts)
    body: Mapping[str, Any] = {
        "agreement": made.agreement,
        "round": made.round,
        "attempt": made.attempt,
        "release": release,
        "model": made.model,
        "card": hashlib.sha256(card).hexdigest(),
        "rounds": made.rounds,
        "sites": made.sites,
    }
    return ReleaseDraft(card, canonical.encode(body))


def _found(base: Foundation, connection: Connection, number: int) -> Releasable:
    made = released.inside(connection, number)
    document = None if made is None else record.read_document(connection, made.agreement)
    if made is None or document is None:
        raise Refused(
            f"round {number} committed no model",
            todo="See which rounds are closed: concilium-coordinator rounds",
            rule="release-not-committed",
        )
    released.check_counts(connection, number)
    path = base.model_path(made.model)
    return Releasable(made, document, path.stat().st_size if path.exists() else 0)


def _check_final(connection: Connection, made: Inside) -> None:
    roster = _binding(connection, made.closed_seq + 1).agreement.sites.roster
    size, signed, needed = released.witnessed(connection, made.closed_seq, roster)
    if not size:
        raise Unavailable(
            f"round {made.round} is not final yet: {len(signed)} of {needed} hospitals "
            "cosigned a checkpoint over it, and a release waits for more than half",
            todo="Try again when more agents run; who cosigned what: concilium-ledger witness",
            rule="release-not-witnessed",
        )


def _binding(connection: Connection, seq: int) -> Document:
    """Return the agreement that was in force, or the last one, before an entry."""
    digest = released.agreement_at(connection, seq)
    document = None if digest is None else record.read_document(connection, digest)
    if document is None:
        raise Corrupt("the agreement of a round is gone", rule="altered-document")
    return document


# --- acts ----------------------------------------------------------------------------------


def publish(
    base: Foundation, connection: Connection, statement: Statement, act: OperatorAct
) -> str:
    """Publish a release: the card that came is the one that the record makes.

    Raises:
        Refused: it is not, or the round is not final.
        PeerFault: the card is not the one that was signed, or cannot be read.
    """
    body = statement.body
    if hashlib.sha256(act.document).hexdigest() != body["card"]:
        raise PeerFault("the signed digest is not that of the card", rule="digest")
    at = parse_time(str(canonical.decode(act.document).get("composed_at", "")))
    found = _found(base, connection, int(body["round"]))
    _check_final(connection, found.made)
    again = _drafted(found, str(body["release"]), at)
    if (again.card, again.body) != (act.document, canonical.encode(dict(body))):
        raise Refused(
            "this card is not the one that the record makes now",
            todo="Release it again: the card is composed anew.",
            rule="release-card",
        )
    kept.keep_document(connection, Digest(str(body["card"])), act.document)
    return ""


# --- handing out ---------------------------------------------------------------------------


def _standing(connection: Connection, release: str) -> Row[Any]:
    row = released.release(connection, release)
    if row is None:
        raise Refused(
            f"no release is called {release}",
            todo="Ask the operator how it is called.",
            rule="unknown-release",
        )
    if row.state != "published":
        raise Refused(
            f"the release {release} was recalled at entry {row.recalled_seq}",
            todo="Do not use its model any more; ask the operator which one stands.",
            rule="release-recalled",
        )
    return row


def _witnessed(connection: Connection, row: Row[Any], binding: Document) -> int:
    """Return the size of a checkpoint over a release that more than half cosigned."""
    roster = binding.agreement.sites.roster
    size, signed, needed = released.witnessed(connection, row.seq, roster)
    if not size:
        raise Unavailable(
            f"the release {row.release} is in the ledger, and waits to be witnessed: "
            f"{len(signed)} of {needed} hospitals cosigned it, and more than half must",
            todo="Try again when more agents run.",
            rule="release-not-witnessed",
        )
    return size


def parts(base: Foundation, connection: Connection, release: str) -> ReleaseParts:
    """Return all of a release but its model.

    Raises:
        Refused: there is none of this name, or it was recalled.
        Unavailable: no checkpoint over it is cosigned by more than half of the hospitals yet.
    """
    row = _standing(connection, release)
    binding = _binding(connection, row.seq)
    own = record.read_document(connection, row.agreement)
    size = _witnessed(connection, row, binding)
    made = released.inside(connection, row.round)
    card = kept.document(connection, row.card)
    if own is None or made is None or card is None:
        raise Corrupt(
            "a part of this release is gone from the database", rule="altered-document"
        )
    agreements = {document.digest: document.raw for document in (own, binding)}
    seqs = [
        *(0, made.closed_seq, row.seq),
        *released.keys_of(connection, binding.agreement.sites.roster),
        *(released.in_force_seq(connection, digest) for digest in agreements),
        *measured.seqs(connection, own),
    ]
    path = base.model_path(Digest(row.model))
    return ReleaseParts(
        release=release,
        model=BlobRef(Digest(row.model), path.stat().st_size if path.exists() else 0),
        card=card,
        agreements=tuple(agreements.values()),
        entries=released.proven(connection, seqs, size),
        checkpoint=ledger.checkpoint_of(connection, size) or "",
    )
