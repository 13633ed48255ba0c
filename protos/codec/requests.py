"""What a site asked for, read back from the bytes that left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protos.codec import asking, releases, transfer
from protos.concilium.v1 import audit_pb2, federation_pb2, release_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from protos.words import (
        ConsistencyRequest,
        DownloadRequest,
        EntriesRequest,
        ReleaseRequest,
        UploadHeader,
        UploadRef,
    )

    Asked = (
        DownloadRequest
        | UploadRef
        | UploadHeader
        | EntriesRequest
        | ConsistencyRequest
        | ReleaseRequest
    )

_READERS: Final[Mapping[str, Callable[[bytes], Asked | bytes]]] = {
    "download-request": lambda raw: transfer.download_in(
        federation_pb2.DownloadRequest.FromString(raw)
    ),
    "upload-status": lambda raw: transfer.upload_ref_in(
        federation_pb2.UploadRef.FromString(raw)
    ),
    "contribution-made": lambda raw: transfer.upload_part_in(
        federation_pb2.UploadPart.FromString(raw)
    ),
    "entries-request": lambda raw: asking.entries_request_in(
        audit_pb2.EntriesRequest.FromString(raw)
    ),
    "consistency-request": lambda raw: asking.consistency_request_in(
        audit_pb2.ConsistencyRequest.FromString(raw)
    ),
    "release-request": lambda raw: releases.release_request_in(
        release_pb2.ReleaseRequest.FromString(raw)
    ),
}


def asked_parse(kind: str, raw: bytes) -> Asked | None:
    """Return a request by how it is called in the site's list; None for one without content."""
    reader = _READERS.get(kind)
    read = reader(raw) if reader is not None else None
    return None if isinstance(read, bytes) else read
