"""Downloads, uploads and enrolment."""

from __future__ import annotations

from protos.codec import fields
from protos.concilium.v1 import enrolment_pb2, federation_pb2
from protos.errors import PeerFault
from protos.words import (
    DownloadRequest,
    Enrolled,
    EnrolRequest,
    Receipt,
    RenewalRequest,
    UploadHeader,
    UploadOffset,
    UploadRef,
)


def download_in(m: federation_pb2.DownloadRequest) -> DownloadRequest:
    """Check a request for a file."""
    return DownloadRequest(
        fields.digest("download.digest", m.digest),
        fields.number("download.offset", m.offset, most=fields.FILE_BYTES),
    )


def download_out(w: DownloadRequest) -> federation_pb2.DownloadRequest:
    """Return the message that asks for a file."""
    return federation_pb2.DownloadRequest(digest=w.digest, offset=w.offset)


def chunk_in(m: federation_pb2.Chunk) -> bytes:
    """Check a piece of a file, 1 MiB at most."""
    return fields.octets("chunk.data", m.data, least=1, most=fields.CHUNK_BYTES)


def chunk_out(data: bytes) -> federation_pb2.Chunk:
    """Return the message for a piece of a file."""
    return federation_pb2.Chunk(data=data)


def upload_ref_in(m: federation_pb2.UploadRef) -> UploadRef:
    """Check what an upload is bound to."""
    return UploadRef(
        round=fields.number("upload.round", m.round, least=1),
        attempt=fields.number("upload.attempt", m.attempt, least=1, most=1000),
        digest=fields.digest("upload.digest", m.digest),
        size=fields.number("upload.size", m.size, least=1, most=fields.FILE_BYTES),
    )


def upload_ref_out(w: UploadRef) -> federation_pb2.UploadRef:
    """Return the message for what an upload is bound to."""
    return federation_pb2.UploadRef(
        round=w.round, attempt=w.attempt, digest=w.digest, size=w.size
    )


def upload_offset_in(m: federation_pb2.UploadOffset) -> UploadOffset:
    """Check from where an upload goes on."""
    return UploadOffset(
        fields.number("upload_offset.offset", m.offset, most=fields.FILE_BYTES), m.complete
    )


def upload_offset_out(w: UploadOffset) -> federation_pb2.UploadOffset:
    """Return the message that says from where an upload goes on."""
    return federation_pb2.UploadOffset(offset=w.offset, complete=w.complete)


def upload_part_in(m: federation_pb2.UploadPart) -> UploadHeader | bytes:
    """Check one part of an upload: the header, or up to 1 MiB of its bytes."""
    part = m.WhichOneof("part")
    if part == "chunk":
        return fields.octets("upload.chunk", m.chunk, least=1, most=fields.CHUNK_BYTES)
    if part != "header":
        raise PeerFault("an upload's part is no header or chunk", rule="malformed-message")
    return UploadHeader(
        upload=upload_ref_in(m.header.upload),
        offset=fields.number("upload.offset", m.header.offset, most=fields.FILE_BYTES),
        statement=fields.octets(
            "upload.statement", m.header.statement, least=2, most=fields.ENVELOPE_BYTES
        ),
    )


def upload_part_out(part: UploadHeader | bytes) -> federation_pb2.UploadPart:
    """Return the message for one part of an upload."""
    if isinstance(part, bytes):
        return federation_pb2.UploadPart(chunk=part)
    return federation_pb2.UploadPart(
        header=federation_pb2.UploadHeader(
            upload=upload_ref_out(part.upload), offset=part.offset, statement=part.statement
        )
    )


def receipt_in(m: federation_pb2.Receipt) -> Receipt:
    """Check a receipt."""
    return Receipt(
        fields.digest("receipt.digest", m.digest), fields.number("receipt.seq", m.seq)
    )


def receipt_out(w: Receipt) -> federation_pb2.Receipt:
    """Return the message for a receipt."""
    return federation_pb2.Receipt(digest=w.digest, seq=w.seq)


def enrol_request_in(m: enrolment_pb2.EnrolRequest) -> EnrolRequest:
    """Check a newcomer's request."""
    return EnrolRequest(
        secret=fields.octets("enrol.secret", m.secret, least=32, most=32),
        csr=fields.octets("enrol.csr", m.csr, least=1, most=fields.CERTIFICATE_BYTES),
        statement=fields.octets(
            "enrol.statement", m.statement, least=2, most=fields.ENVELOPE_BYTES
        ),
        clock=fields.time("enrol.clock", m.clock),
    )


def enrol_request_out(w: EnrolRequest) -> enrolment_pb2.EnrolRequest:
    """Return the message for a newcomer's request."""
    return enrolment_pb2.EnrolRequest(
        secret=w.secret, csr=w.csr, statement=w.statement, clock=fields.time_text(w.clock)
    )


def renewal_request_in(m: enrolment_pb2.RenewalRequest) -> RenewalRequest:
    """Check a request in place of a certificate that has ended."""
    return RenewalRequest(
        secret=fields.octets("renew.secret", m.secret, least=32, most=32),
        csr=fields.octets("renew.csr", m.csr, least=1, most=fields.CERTIFICATE_BYTES),
        proof=fields.octets("renew.proof", m.proof, least=2, most=fields.ENVELOPE_BYTES),
        certificate=fields.octets(
            "renew.certificate", m.certificate, least=1, most=fields.CERTIFICATE_BYTES
        ),
        clock=fields.time("renew.clock", m.clock),
    )


def renewal_request_out(w: RenewalRequest) -> enrolment_pb2.RenewalRequest:
    """Return the message for a request in place of a certificate that has ended."""
    return enrolment_pb2.RenewalRequest(
        secret=w.secret,
        csr=w.csr,
        proof=w.proof,
        certificate=w.certificate,
        clock=fields.time_text(w.clock),
    )


def enrolled_in(m: enrolment_pb2.Enrolled) -> Enrolled:
    """Check what a newcomer is given."""
    return Enrolled(
        chain=fields.octets("enrolled.chain", m.chain, most=fields.CERTIFICATE_BYTES, least=1),
        root=fields.octets("enrolled.root", m.root, most=fields.CERTIFICATE_BYTES, least=1),
        ledger_key=fields.line("enrolled.ledger_key", m.ledger_key, most=500),
    )


def enrolled_out(w: Enrolled) -> enrolment_pb2.Enrolled:
    """Return the message for what a newcomer is given."""
    return enrolment_pb2.Enrolled(chain=w.chain, root=w.root, ledger_key=w.ledger_key)
