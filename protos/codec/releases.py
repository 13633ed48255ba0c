"""A release on its way: what it would say, and all of it but the model."""

from __future__ import annotations

from typing import Final

from protos.codec import fields
from protos.codec.blobs import blob_in, blob_out
from protos.concilium.v1 import release_pb2
from protos.words import ProvenEntry, ReleaseParts, ReleaseRequest
from protos.words_operator import DraftRequest, ReleaseDraft, ReleasesReport, ReleaseStatus

AGREEMENTS: Final = 2
ENTRIES: Final = 4000
RELEASES: Final = 1000
LEAVERS: Final = 1000


def release_request_in(m: release_pb2.ReleaseRequest) -> ReleaseRequest:
    """Check which release is asked for."""
    return ReleaseRequest(fields.name("release.release", m.release))


def release_request_out(w: ReleaseRequest) -> release_pb2.ReleaseRequest:
    """Return the message that asks for a release."""
    return release_pb2.ReleaseRequest(release=w.release)


def draft_request_in(m: release_pb2.DraftRequest) -> DraftRequest:
    """Check of which round a draft is asked for."""
    return DraftRequest(
        round=fields.number("draft.round", m.round, least=1),
        release=fields.name("draft.release", m.release),
    )


def draft_request_out(w: DraftRequest) -> release_pb2.DraftRequest:
    """Return the message that asks for a draft."""
    return release_pb2.DraftRequest(round=w.round, release=w.release)


def draft_in(m: release_pb2.ReleaseDraft) -> ReleaseDraft:
    """Check what a release would say."""
    return ReleaseDraft(
        card=fields.octets("draft.card", m.card, least=2, most=fields.DOCUMENT_BYTES),
        body=fields.octets("draft.body", m.body, least=2, most=fields.ENVELOPE_BYTES),
    )


def draft_out(w: ReleaseDraft) -> release_pb2.ReleaseDraft:
    """Return the message for what a release would say."""
    return release_pb2.ReleaseDraft(card=w.card, body=w.body)


def release_in(m: release_pb2.ReleaseParts) -> ReleaseParts:
    """Check the limits of a release's parts; whether they are true is not asked here."""
    return ReleaseParts(
        release=fields.name("release.release", m.release),
        model=blob_in("release.model", m.model),
        card=fields.octets("release.card", m.card, least=2, most=fields.DOCUMENT_BYTES),
        agreements=tuple(
            fields.octets("release.agreements", raw, least=2, most=fields.DOCUMENT_BYTES)
            for raw in fields.some("release.agreements", m.agreements, most=AGREEMENTS)
        ),
        entries=tuple(
            _entry_in(entry)
            for entry in fields.some("release.entries", m.entries, most=ENTRIES)
        ),
        checkpoint=fields.text("release.checkpoint", m.checkpoint, most=fields.NOTE_CHARS),
    )


def release_out(w: ReleaseParts) -> release_pb2.ReleaseParts:
    """Return the message for a release's parts."""
    return release_pb2.ReleaseParts(
        release=w.release,
        model=blob_out(w.model),
        card=w.card,
        agreements=w.agreements,
        entries=[
            release_pb2.ProvenEntry(
                seq=one.seq,
                received_at=one.received_at,
                envelope=one.envelope,
                inclusion=one.inclusion,
            )
            for one in w.entries
        ],
        checkpoint=w.checkpoint,
    )


def releases_in(m: release_pb2.ReleasesReport) -> ReleasesReport:
    """Check a list of releases."""
    return ReleasesReport(
        tuple(
            ReleaseStatus(
                release=fields.name("releases.release", one.release),
                round=fields.number("releases.round", one.round, least=1),
                agreement=fields.digest("releases.agreement", one.agreement),
                model=fields.digest("releases.model", one.model),
                state=fields.line("releases.state", one.state, most=20),
                seq=fields.number("releases.seq", one.seq),
                leavers=tuple(
                    fields.name("releases.leavers", name)
                    for name in fields.some("releases.leavers", one.leavers, most=LEAVERS)
                ),
            )
            for one in fields.some("releases.releases", m.releases, most=RELEASES)
        )
    )


def releases_out(w: ReleasesReport) -> release_pb2.ReleasesReport:
    """Return the message for a list of releases."""
    return release_pb2.ReleasesReport(
        releases=[
            release_pb2.ReleaseStatus(
                release=one.release,
                round=one.round,
                agreement=one.agreement,
                model=one.model,
                state=one.state,
                seq=one.seq,
                leavers=one.leavers,
            )
            for one in w.releases
        ]
    )


def _entry_in(m: release_pb2.ProvenEntry) -> ProvenEntry:
    return ProvenEntry(
        seq=fields.number("release.entries.seq", m.seq),
        received_at=fields.line("release.entries.received_at", m.received_at, most=40),
        envelope=fields.octets(
            "release.entries.envelope", m.envelope, least=2, most=fields.ENVELOPE_BYTES
        ),
        inclusion=tuple(
            fields.octets("release.entries.inclusion", node, least=32, most=32)
            for node in fields.some(
                "release.entries.inclusion", m.inclusion, most=fields.PROOF_HASHES
            )
        ),
    )
