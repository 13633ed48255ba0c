"""The messages of a session, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from protos.codec import fields, masks
from protos.codec.blobs import blob_in, blob_out, disclosures_in, disclosures_out
from protos.concilium.v1 import federation_pb2 as pb
from protos.words import (
    AgreementState,
    Cancel,
    CertificateIssued,
    CertificateRequest,
    CheckpointSent,
    CosignatureSent,
    FinalModel,
    FromSite,
    Goodbye,
    Heartbeat,
    Hello,
    Proposal,
    Quiet,
    StatementReceipt,
    StatementSent,
    Task,
    TaskAnswer,
    TaskKind,
    ToSite,
    Welcome,
)
from protos.words_masks import MaskAsked, MaskSaid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from protos.words import FromSiteBody, ToSiteBody

PROTOCOL: Final = 1
_KINDS: Final[Mapping[int, TaskKind]] = {
    pb.TASK_KIND_TRAIN: TaskKind.TRAIN,
    pb.TASK_KIND_EVALUATE: TaskKind.EVALUATE,
    pb.TASK_KIND_MEASURE: TaskKind.MEASURE,
}
_KIND_NUMBERS = {kind: number for number, kind in _KINDS.items()}


def _hello_in(m: pb.Hello) -> Hello:
    return Hello(
        protocol_lowest=fields.number("hello.protocol_lowest", m.protocol_lowest, most=1000),
        protocol_highest=fields.number("hello.protocol_highest", m.protocol_highest, most=1000),
        software=fields.line("hello.software", m.software, most=100),
        models=tuple(
            fields.line("hello.models", model, most=200)
            for model in fields.some("hello.models", m.models, most=64)
        ),
        cosigned_size=fields.number("hello.cosigned_size", m.cosigned_size),
        clock=fields.time("hello.clock", m.clock),
        quiet=_quiet_in("hello.quiet", m.quiet) if m.HasField("quiet") else None,
        renumber=m.renumber,
    )


def _hello_out(w: Hello) -> pb.Hello:
    return pb.Hello(
        protocol_lowest=w.protocol_lowest,
        protocol_highest=w.protocol_highest,
        software=w.software,
        models=w.models,
        cosigned_size=w.cosigned_size,
        clock=fields.time_text(w.clock),
        quiet=_quiet_out(w.quiet),
        renumber=w.renumber,
    )


def _quiet_in(field: str, m: pb.Quiet) -> Quiet:
    return Quiet(fields.time(f"{field}.start", m.start), fields.time(f"{field}.end", m.end))


def _quiet_out(w: Quiet | None) -> pb.Quiet | None:
    if w is None:
        return None
    return pb.Quiet(start=fields.time_text(w.start), end=fields.time_text(w.end))


def _heartbeat_in(m: pb.Heartbeat) -> Heartbeat:
    task = fields.task("heartbeat.task", m.task) if m.task else ""
    steps = fields.number("heartbeat.steps_done", m.steps_done)
    quiet = _quiet_in("heartbeat.quiet", m.quiet) if m.HasField("quiet") else None
    return Heartbeat(task, steps, quiet)


def _heartbeat_out(w: Heartbeat) -> pb.Heartbeat:
    return pb.Heartbeat(task=w.task, steps_done=w.steps_done, quiet=_quiet_out(w.quiet))


def _answer_in(m: pb.TaskAnswer) -> TaskAnswer:
    return TaskAnswer(
        task=fields.task("task_answer.task", m.task),
        accepted=m.accepted,
        rule=fields.rule("task_answer.rule", m.rule),
    )


def _answer_out(w: TaskAnswer) -> pb.TaskAnswer:
    return pb.TaskAnswer(task=w.task, accepted=w.accepted, rule=w.rule)


def _statement_in(m: pb.StatementSent) -> StatementSent:
    return StatementSent(
        envelope=fields.octets(
            "statement.envelope", m.envelope, least=2, most=fields.ENVELOPE_BYTES
        ),
        disclosures=disclosures_in("statement.disclosures", m.disclosures),
    )


def _statement_out(w: StatementSent) -> pb.StatementSent:
    return pb.StatementSent(envelope=w.envelope, disclosures=disclosures_out(w.disclosures))


def _cosignature_in(m: pb.CosignatureSent) -> CosignatureSent:
    return CosignatureSent(
        size=fields.number("cosignature.size", m.size, least=1),
        line=fields.line("cosignature.line", m.line),
    )


def _cosignature_out(w: CosignatureSent) -> pb.CosignatureSent:
    return pb.CosignatureSent(size=w.size, line=w.line)


def certificate_request_in(m: pb.CertificateRequest) -> CertificateRequest:
    """Read the request for a next certificate."""
    return CertificateRequest(
        csr=fields.octets("certificate_request.csr", m.csr, most=fields.CERTIFICATE_BYTES),
        proof=fields.octets("certificate_request.proof", m.proof, most=fields.ENVELOPE_BYTES),
    )


def certificate_request_out(w: CertificateRequest) -> pb.CertificateRequest:
    """Return the message."""
    return pb.CertificateRequest(csr=w.csr, proof=w.proof)


def _welcome_in(m: pb.Welcome) -> Welcome:
    return Welcome(
        protocol=fields.number("welcome.protocol", m.protocol, least=1, most=1000),
        heartbeat_s=fields.seconds("welcome.heartbeat_s", m.heartbeat_s, most=3600),
        message_limit_bytes=fields.number(
            "welcome.message_limit_bytes", m.message_limit_bytes, least=1
        ),
        clock=fields.time("welcome.clock", m.clock),
    )


def _welcome_out(w: Welcome) -> pb.Welcome:
    return pb.Welcome(
        protocol=w.protocol,
        heartbeat_s=w.heartbeat_s,
        message_limit_bytes=w.message_limit_bytes,
        clock=fields.time_text(w.clock),
    )


def _proposal_in(m: pb.Proposal) -> Proposal:
    return Proposal(
        fields.octets("proposal.document", m.document, least=2, most=fields.DOCUMENT_BYTES)
    )


def _proposal_out(w: Proposal) -> pb.Proposal:
    return pb.Proposal(document=w.document)


def _agreement_in(m: pb.AgreementState) -> AgreementState:
    return AgreementState(
        fields.digest("agreement_state.agreement", m.agreement),
        fields.rule("agreement_state.state", m.state),
    )


def _agreement_out(w: AgreementState) -> pb.AgreementState:
    return pb.AgreementState(agreement=w.agreement, state=w.state)


def _task_in(m: pb.Task) -> Task:
    kind = _KINDS.get(m.kind)
    if kind is None:
        raise fields.fault("task.kind", f"is {m.kind}, which this version does not know")
    return Task(
        task=fields.task("task.task", m.task),
        kind=kind,
        round=fields.number("task.round", m.round, least=1),
        attempt=fields.number("task.attempt", m.attempt, least=1, most=1000),
        agreement=fields.digest("task.agreement", m.agreement),
        model=blob_in("task.model", m.model),
        state=blob_in("task.state", m.state) if m.HasField("state") else None,
        deadline=fields.time("task.deadline", m.deadline),
        masks=fields.octets("task.masks", m.masks, most=masks.TERMS_BYTES),
    )


def _task_out(w: Task) -> pb.Task:
    return pb.Task(
        task=w.task,
        kind=_KIND_NUMBERS[w.kind],  # type: ignore[arg-type]  # an open enum's number
        round=w.round,
        attempt=w.attempt,
        agreement=w.agreement,
        model=blob_out(w.model),
        state=blob_out(w.state) if w.state else None,
        deadline=fields.time_text(w.deadline),
        masks=w.masks,
    )


def _cancel_in(m: pb.Cancel) -> Cancel:
    return Cancel(fields.task("cancel.task", m.task), fields.rule("cancel.rule", m.rule))


def _cancel_out(w: Cancel) -> pb.Cancel:
    return pb.Cancel(task=w.task, rule=w.rule)


def _receipt_in(m: pb.StatementReceipt) -> StatementReceipt:
    return StatementReceipt(
        statement=fields.digest("statement_receipt.statement", m.statement),
        accepted=m.accepted,
        seq=fields.number("statement_receipt.seq", m.seq),
        rule=fields.rule("statement_receipt.rule", m.rule),
        sentence=fields.text(
            "statement_receipt.sentence", m.sentence, most=fields.SENTENCE_CHARS
        ),
    )


def _receipt_out(w: StatementReceipt) -> pb.StatementReceipt:
    return pb.StatementReceipt(
        statement=w.statement, accepted=w.accepted, seq=w.seq, rule=w.rule, sentence=w.sentence
    )


def _checkpoint_in(m: pb.CheckpointSent) -> CheckpointSent:
    hashes = fields.some("checkpoint.consistency", m.consistency, most=fields.PROOF_HASHES)
    return CheckpointSent(
        note=fields.text("checkpoint.note", m.note, least=1, most=fields.NOTE_CHARS),
        from_size=fields.number("checkpoint.from_size", m.from_size),
        consistency=tuple(
            fields.octets("checkpoint.consistency", node, least=32, most=32) for node in hashes
        ),
        predecessor=fields.text(
            "checkpoint.predecessor", m.predecessor, most=fields.NOTE_CHARS
        ),
    )


def _checkpoint_out(w: CheckpointSent) -> pb.CheckpointSent:
    return pb.CheckpointSent(
        note=w.note,
        from_size=w.from_size,
        consistency=w.consistency,
        predecessor=w.predecessor,
    )


def certificate_issued_in(m: pb.CertificateIssued) -> CertificateIssued:
    """Read a certificate that was issued."""
    return CertificateIssued(
        fields.octets("certificate.chain", m.chain, least=1, most=fields.CERTIFICATE_BYTES)
    )


def certificate_issued_out(w: CertificateIssued) -> pb.CertificateIssued:
    """Return the message."""
    return pb.CertificateIssued(chain=w.chain)


def _final_in(m: pb.FinalModel) -> FinalModel:
    return FinalModel(
        fields.digest("final_model.agreement", m.agreement),
        blob_in("final_model.model", m.model),
    )


def _final_out(w: FinalModel) -> pb.FinalModel:
    return pb.FinalModel(agreement=w.agreement, model=blob_out(w.model))


def _goodbye_in(m: pb.Goodbye) -> Goodbye:
    return Goodbye(
        fields.rule("goodbye.rule", m.rule),
        fields.text("goodbye.sentence", m.sentence, most=fields.SENTENCE_CHARS),
    )


def _goodbye_out(w: Goodbye) -> pb.Goodbye:
    return pb.Goodbye(rule=w.rule, sentence=w.sentence)


_Body = TypeVar("_Body")
_Row: TypeAlias = "tuple[type, Callable[..., _Body], Callable[..., object]]"

# One row a kind of message: the field of the union, the word, and both directions.
_FROM_SITE: Final[Mapping[str, _Row[FromSiteBody]]] = {
    "hello": (Hello, _hello_in, _hello_out),
    "heartbeat": (Heartbeat, _heartbeat_in, _heartbeat_out),
    "task_answer": (TaskAnswer, _answer_in, _answer_out),
    "statement": (StatementSent, _statement_in, _statement_out),
    "cosignature": (CosignatureSent, _cosignature_in, _cosignature_out),
    "certificate_request": (
        CertificateRequest,
        certificate_request_in,
        certificate_request_out,
    ),
    "mask_said": (MaskSaid, masks.said_in, masks.said_out),
}
_TO_SITE: Final[Mapping[str, _Row[ToSiteBody]]] = {
    "welcome": (Welcome, _welcome_in, _welcome_out),
    "heartbeat": (Heartbeat, _heartbeat_in, _heartbeat_out),
    "proposal": (Proposal, _proposal_in, _proposal_out),
    "agreement_state": (AgreementState, _agreement_in, _agreement_out),
    "task": (Task, _task_in, _task_out),
    "cancel": (Cancel, _cancel_in, _cancel_out),
    "statement_receipt": (StatementReceipt, _receipt_in, _receipt_out),
    "checkpoint": (CheckpointSent, _checkpoint_in, _checkpoint_out),
    "certificate": (CertificateIssued, certificate_issued_in, certificate_issued_out),
    "final_model": (FinalModel, _final_in, _final_out),
    "goodbye": (Goodbye, _goodbye_in, _goodbye_out),
    "mask_asked": (MaskAsked, masks.asked_in, masks.asked_out),
}
_FROM_SITE_FIELD = {word: field for field, (word, _, _) in _FROM_SITE.items()}
_TO_SITE_FIELD = {word: field for field, (word, _, _) in _TO_SITE.items()}


def from_site_in(message: pb.FromSite) -> FromSite:
    """Check a message of a site; raise PeerFault naming the field that is wrong."""
    field = message.WhichOneof("body")
    if field is None:
        raise fields.fault("body", "is of a kind that this version does not know")
    body = _FROM_SITE[field][1](getattr(message, field))
    return FromSite(body, fields.number("seq", message.seq), fields.number("ack", message.ack))


def from_site_out(word: FromSite) -> pb.FromSite:
    """Return the message for a site's word."""
    field = _FROM_SITE_FIELD[type(word.body)]
    message = pb.FromSite(seq=word.seq, ack=word.ack)
    getattr(message, field).CopyFrom(_FROM_SITE[field][2](word.body))
    return message


def to_site_in(message: pb.ToSite) -> ToSite:
    """Check a message of the coordinator; raise PeerFault naming the field that is wrong."""
    field = message.WhichOneof("body")
    if field is None:
        raise fields.fault("body", "is of a kind that this version does not know")
    body = _TO_SITE[field][1](getattr(message, field))
    return ToSite(body, fields.number("seq", message.seq), fields.number("ack", message.ack))


def to_site_out(word: ToSite) -> pb.ToSite:
    """Return the message for a coordinator's word."""
    field = _TO_SITE_FIELD[type(word.body)]
    message = pb.ToSite(seq=word.seq, ack=word.ack)
    getattr(message, field).CopyFrom(_TO_SITE[field][2](word.body))
    return message


def from_site_bytes(word: FromSite) -> bytes:
    """Return the bytes of a message, as an outbox keeps them."""
    return from_site_out(word).SerializeToString(deterministic=True)


def from_site_parse(stored: bytes) -> FromSite:
    """Return the word of an outbox's bytes."""
    return from_site_in(pb.FromSite.FromString(stored))


def to_site_bytes(word: ToSite) -> bytes:
    """Return the bytes of a message, as an outbox keeps them."""
    return to_site_out(word).SerializeToString(deterministic=True)


def to_site_parse(stored: bytes) -> ToSite:
    """Return the word of an outbox's bytes."""
    return to_site_in(pb.ToSite.FromString(stored))
