"""What operators and auditors ask of a running coordinator."""

from __future__ import annotations

from typing import Final

from protos.codec import fields
from protos.codec.blobs import disclosures_in, disclosures_out
from protos.concilium.v1 import audit_pb2, operator_pb2
from protos.words import ConsistencyRequest, EntriesRequest, EntryRecord
from protos.words_operator import (
    AttemptStatus,
    Dissent,
    OperatorAct,
    OperatorActed,
    PendingAct,
    RosterKey,
    RoundsReport,
    RoundsRequest,
    SitePart,
    SiteStatus,
    StatusReport,
)

ATTEMPTS: Final = 200
_SITES: Final = 1000
_BATCH: Final = 1000
_FIGURES: Final = 100
_REASON_CHARS: Final = 8000


def act_in(m: operator_pb2.OperatorAct) -> OperatorAct:
    """Check an operator's act."""
    return OperatorAct(
        envelope=fields.octets("act.envelope", m.envelope, least=2, most=fields.ENVELOPE_BYTES),
        disclosures=disclosures_in("act.disclosures", m.disclosures),
        document=fields.octets("act.document", m.document, most=fields.DOCUMENT_BYTES),
    )


def act_out(w: OperatorAct) -> operator_pb2.OperatorAct:
    """Return the message for an operator's act."""
    return operator_pb2.OperatorAct(
        envelope=w.envelope, disclosures=disclosures_out(w.disclosures), document=w.document
    )


def acted_in(m: operator_pb2.OperatorActed) -> OperatorActed:
    """Check what became of an act."""
    return OperatorActed(
        pending=m.pending,
        seq=fields.number("acted.seq", m.seq),
        result=fields.text("acted.result", m.result, most=fields.SENTENCE_CHARS),
    )


def acted_out(w: OperatorActed) -> operator_pb2.OperatorActed:
    """Return the message for what became of an act."""
    return operator_pb2.OperatorActed(pending=w.pending, seq=w.seq, result=w.result)


def _site_in(m: operator_pb2.SiteStatus) -> SiteStatus:
    return SiteStatus(
        name=fields.name("status.sites.name", m.name),
        connected=m.connected,
        consent=fields.line("status.sites.consent", m.consent),
        doing=fields.line("status.sites.doing", m.doing),
        waiting_for=fields.line("status.sites.waiting_for", m.waiting_for),
        steps_done=fields.number("status.sites.steps_done", m.steps_done),
        bytes_in=fields.number("status.sites.bytes_in", m.bytes_in),
        bytes_all=fields.number("status.sites.bytes_all", m.bytes_all),
    )


def _site_out(w: SiteStatus) -> operator_pb2.SiteStatus:
    return operator_pb2.SiteStatus(
        name=w.name,
        connected=w.connected,
        consent=w.consent,
        doing=w.doing,
        waiting_for=w.waiting_for,
        steps_done=w.steps_done,
        bytes_in=w.bytes_in,
        bytes_all=w.bytes_all,
    )


def _pending_in(m: operator_pb2.PendingAct) -> PendingAct:
    return PendingAct(
        digest=fields.digest("status.pending.digest", m.digest),
        act=fields.line("status.pending.act", m.act),
        by=fields.line("status.pending.by", m.by),
        envelope=fields.octets(
            "status.pending.envelope", m.envelope, most=fields.ENVELOPE_BYTES
        ),
    )


def _roster_in(m: operator_pb2.RosterKey) -> RosterKey:
    keys = fields.some("status.enrolled.keys", m.keys, most=16)
    return RosterKey(
        name=fields.name("status.enrolled.name", m.name),
        role=fields.line("status.enrolled.role", m.role, most=20),
        keys=tuple(fields.key("status.enrolled.keys", key) for key in keys),
    )


def _dissent_in(m: operator_pb2.Dissent) -> Dissent:
    return Dissent(
        site=fields.name("status.dissents.site", m.site),
        state=fields.line("status.dissents.state", m.state, most=20),
        reason=fields.line("status.dissents.reason", m.reason),
        counter=fields.text("status.dissents.counter", m.counter, most=fields.DISCLOSURE_CHARS),
    )


def status_in(m: operator_pb2.StatusReport) -> StatusReport:
    """Check a status report."""
    return StatusReport(
        federation=fields.line("status.federation", m.federation),
        state=fields.line("status.state", m.state),
        agreement=m.agreement and fields.digest("status.agreement", m.agreement),
        proposed=m.proposed and fields.digest("status.proposed", m.proposed),
        round=fields.number("status.round", m.round),
        attempt=fields.number("status.attempt", m.attempt),
        round_state=fields.line("status.round_state", m.round_state),
        sites=tuple(
            _site_in(site) for site in fields.some("status.sites", m.sites, most=_SITES)
        ),
        enrolled=tuple(
            _roster_in(row) for row in fields.some("status.enrolled", m.enrolled, most=_SITES)
        ),
        pending=tuple(
            _pending_in(act) for act in fields.some("status.pending", m.pending, most=_SITES)
        ),
        operator_counter=fields.number("status.operator_counter", m.operator_counter),
        operator_previous=fields.digest("status.operator_previous", m.operator_previous),
        ledger_size=fields.number("status.ledger_size", m.ledger_size),
        root=fields.digest("status.root", m.root),
        rounds_committed=fields.number("status.rounds_committed", m.rounds_committed),
        rounds_planned=fields.number("status.rounds_planned", m.rounds_planned),
        document=fields.octets("status.document", m.document, most=fields.DOCUMENT_BYTES),
        metric=fields.line("status.metric", m.metric, most=20),
        quality=tuple(
            fields.finite("status.quality", value)
            for value in fields.some("status.quality", m.quality, most=_FIGURES)
        ),
        alarms=tuple(
            fields.line("status.alarms", alarm)
            for alarm in fields.some("status.alarms", m.alarms, most=_SITES)
        ),
        proposed_material=m.proposed_material
        and fields.digest("status.proposed_material", m.proposed_material),
        dissents=tuple(
            _dissent_in(one) for one in fields.some("status.dissents", m.dissents, most=_SITES)
        ),
    )


def status_out(w: StatusReport) -> operator_pb2.StatusReport:
    """Return the message for a status report."""
    return operator_pb2.StatusReport(
        federation=w.federation,
        state=w.state,
        agreement=w.agreement,
        proposed=w.proposed,
        round=w.round,
        attempt=w.attempt,
        round_state=w.round_state,
        sites=[_site_out(site) for site in w.sites],
        enrolled=[
            operator_pb2.RosterKey(name=row.name, role=row.role, keys=row.keys)
            for row in w.enrolled
        ],
        pending=[
            operator_pb2.PendingAct(
                digest=act.digest, act=act.act, by=act.by, envelope=act.envelope
            )
            for act in w.pending
        ],
        operator_counter=w.operator_counter,
        operator_previous=w.operator_previous,
        ledger_size=w.ledger_size,
        root=w.root,
        rounds_committed=w.rounds_committed,
        rounds_planned=w.rounds_planned,
        document=w.document,
        metric=w.metric,
        quality=w.quality,
        alarms=w.alarms,
        proposed_material=w.proposed_material,
        dissents=[
            operator_pb2.Dissent(
                site=one.site, state=one.state, reason=one.reason, counter=one.counter
            )
            for one in w.dissents
        ],
    )


def rounds_request_in(m: operator_pb2.RoundsRequest) -> RoundsRequest:
    """Check which attempts are asked for."""
    return RoundsRequest(
        round=fields.number("rounds.round", m.round),
        before=fields.number("rounds.before", m.before),
        most=fields.number("rounds.most", m.most, least=1, most=ATTEMPTS),
    )


def rounds_request_out(w: RoundsRequest) -> operator_pb2.RoundsRequest:
    """Return the message that asks for attempts."""
    return operator_pb2.RoundsRequest(round=w.round, before=w.before, most=w.most)


def rounds_in(m: operator_pb2.RoundsReport) -> RoundsReport:
    """Check a report of attempts."""
    attempts = fields.some("rounds.attempts", m.attempts, most=ATTEMPTS)
    return RoundsReport(tuple(_attempt_in(one) for one in attempts), m.more)


def rounds_out(w: RoundsReport) -> operator_pb2.RoundsReport:
    """Return the message for a report of attempts."""
    return operator_pb2.RoundsReport(
        attempts=[_attempt_out(one) for one in w.attempts], more=w.more
    )


def _attempt_in(m: operator_pb2.AttemptStatus) -> AttemptStatus:
    parts = fields.some("rounds.sites", m.sites, most=_SITES)
    return AttemptStatus(
        round=fields.number("rounds.round", m.round),
        attempt=fields.number("rounds.attempt", m.attempt),
        agreement=fields.digest("rounds.agreement", m.agreement),
        state=fields.line("rounds.state", m.state, most=20),
        reason=fields.line("rounds.reason", m.reason, most=_REASON_CHARS),
        opened_seq=fields.number("rounds.opened_seq", m.opened_seq),
        ended_seq=fields.number("rounds.ended_seq", m.ended_seq),
        opened_at=fields.line("rounds.opened_at", m.opened_at, most=40),
        ended_at=fields.line("rounds.ended_at", m.ended_at, most=40),
        deadline=fields.line("rounds.deadline", m.deadline, most=40),
        model_in=m.model_in and fields.digest("rounds.model_in", m.model_in),
        model_out=m.model_out and fields.digest("rounds.model_out", m.model_out),
        sites=tuple(_part_in(part) for part in parts),
        updates=fields.number("rounds.updates", m.updates),
        update_bytes=fields.number("rounds.update_bytes", m.update_bytes),
        down_bytes=fields.number("rounds.down_bytes", m.down_bytes),
    )


def _attempt_out(w: AttemptStatus) -> operator_pb2.AttemptStatus:
    return operator_pb2.AttemptStatus(
        round=w.round,
        attempt=w.attempt,
        agreement=w.agreement,
        state=w.state,
        reason=w.reason,
        opened_seq=w.opened_seq,
        ended_seq=w.ended_seq,
        opened_at=w.opened_at,
        ended_at=w.ended_at,
        deadline=w.deadline,
        model_in=w.model_in,
        model_out=w.model_out,
        sites=[_part_out(part) for part in w.sites],
        updates=w.updates,
        update_bytes=w.update_bytes,
        down_bytes=w.down_bytes,
    )


def _part_in(m: operator_pb2.SitePart) -> SitePart:
    return SitePart(
        site=fields.name("rounds.sites.site", m.site),
        part=fields.line("rounds.sites.part", m.part, most=20),
        reason=fields.rule("rounds.sites.reason", m.reason),
        now=_site_in(m.now) if m.HasField("now") else None,
    )


def _part_out(w: SitePart) -> operator_pb2.SitePart:
    now = _site_out(w.now) if w.now is not None else None
    return operator_pb2.SitePart(site=w.site, part=w.part, reason=w.reason, now=now)


def entries_request_in(m: audit_pb2.EntriesRequest) -> EntriesRequest:
    """Check which entries are asked for."""
    return EntriesRequest(
        fields.number("entries.since", m.since),
        fields.number("entries.until", m.until),
        m.disclosed,
    )


def entries_request_out(w: EntriesRequest) -> audit_pb2.EntriesRequest:
    """Return the message that asks for entries."""
    return audit_pb2.EntriesRequest(since=w.since, until=w.until, disclosed=w.disclosed)


def entry_batch_in(m: audit_pb2.EntryBatch) -> tuple[EntryRecord, ...]:
    """Check a batch of entries."""
    return tuple(
        EntryRecord(
            seq=fields.number("entry.seq", entry.seq),
            received_at=fields.line("entry.received_at", entry.received_at, most=40),
            envelope=fields.octets(
                "entry.envelope", entry.envelope, least=2, most=fields.ENVELOPE_BYTES
            ),
            disclosures=disclosures_in("entry.disclosures", entry.disclosures),
        )
        for entry in fields.some("entries", m.entries, most=_BATCH)
    )


def entry_batch_out(records: tuple[EntryRecord, ...]) -> audit_pb2.EntryBatch:
    """Return the message for a batch of entries."""
    return audit_pb2.EntryBatch(
        entries=[
            audit_pb2.EntryRecord(
                seq=record.seq,
                received_at=record.received_at,
                envelope=record.envelope,
                disclosures=disclosures_out(record.disclosures),
            )
            for record in records
        ]
    )


def note_in(m: audit_pb2.CheckpointNote) -> str:
    """Check a checkpoint's note."""
    return fields.text("checkpoint.note", m.note, most=fields.NOTE_CHARS)


def note_out(note: str) -> audit_pb2.CheckpointNote:
    """Return the message for a checkpoint's note."""
    return audit_pb2.CheckpointNote(note=note)


def consistency_request_in(m: audit_pb2.ConsistencyRequest) -> ConsistencyRequest:
    """Check which proof is asked for."""
    return ConsistencyRequest(
        fields.number("consistency.from_size", m.from_size),
        fields.number("consistency.to_size", m.to_size),
    )


def consistency_request_out(w: ConsistencyRequest) -> audit_pb2.ConsistencyRequest:
    """Return the message that asks for a proof."""
    return audit_pb2.ConsistencyRequest(from_size=w.from_size, to_size=w.to_size)


def proof_in(m: audit_pb2.ConsistencyProof) -> tuple[bytes, ...]:
    """Check a proof: hashes of 32 bytes."""
    return tuple(
        fields.octets("consistency.hashes", node, least=32, most=32)
        for node in fields.some("consistency.hashes", m.hashes, most=fields.PROOF_HASHES)
    )


def proof_out(hashes: tuple[bytes, ...]) -> audit_pb2.ConsistencyProof:
    """Return the message for a proof."""
    return audit_pb2.ConsistencyProof(hashes=hashes)


def act_bytes(w: OperatorAct) -> bytes:
    """Return the bytes of an act, as a store keeps them."""
    return act_out(w).SerializeToString(deterministic=True)


def act_parse(stored: bytes) -> OperatorAct:
    """Return the act of a store's bytes."""
    return act_in(operator_pb2.OperatorAct.FromString(stored))
