"""Files on their way to members: by digest, from an offset on, in chunks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from protos import codec
from protos.errors import Refused
from protos.words import Digest

if TYPE_CHECKING:
    from coordinator.foundation import Foundation
    from protos.words import DownloadRequest


async def send_file(base: Foundation, wanted: DownloadRequest, context: Any) -> None:  # noqa: ANN401 - grpc's
    """Write a model or a strategy state to a caller, or raise Refused where there is none."""
    path = base.model_path(Digest(wanted.digest))
    if not path.exists():
        raise Refused("there is no model of this digest", rule="unknown-model")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        chunk = codec.RESUMED_CHUNK_BYTES if wanted.offset else codec.CHUNK_BYTES
        for offset in range(wanted.offset, size, chunk):
            data = os.pread(file.fileno(), chunk, offset)
            await context.write(codec.chunk_out(data))
