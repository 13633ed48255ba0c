"""Files on their way to members: by digest, from an offset on, in chunks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protos import codec
from protos.errors import Refused
from protos.words import Digest

if TYPE_CHECKING:
    from coordinator.foundation import Foundation
    from protos.words import DownloadRequest


@dataclass(slots=True)
class WentDown:
    """How many bytes went to sites for the attempt at work, since this process began."""

    _attempt: tuple[int, int] = (0, 0)
    _size_bytes: int = 0

    def more(self, attempt: tuple[int, int], size_bytes: int) -> None:
        """Count what was sent for a round and attempt; an earlier one's is forgotten."""
        if attempt > self._attempt:
            self._attempt, self._size_bytes = attempt, 0
        if attempt == self._attempt:
            self._size_bytes += size_bytes

    def of(self, attempt: tuple[int, int]) -> int:
        """Return what was sent for an attempt, 0 for one that is not the last."""
        return self._size_bytes if attempt == self._attempt else 0


async def send_file(
    base: Foundation,
    wanted: DownloadRequest,
    context: Any,  # noqa: ANN401 - grpc's
    attempt: tuple[int, int] | None = None,
) -> None:
    """Write a model or a strategy state to a caller, for the attempt at work or for none.

    Raises:
        Refused: there is no such file.
    """
    path = base.model_path(Digest(wanted.digest))
    if not path.exists():
        raise Refused("there is no model of this digest", rule="unknown-model")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        chunk = codec.RESUMED_CHUNK_BYTES if wanted.offset else codec.CHUNK_BYTES
        for offset in range(wanted.offset, size, chunk):
            data = os.pread(file.fileno(), chunk, offset)
            await context.write(codec.chunk_out(data))
            if attempt is not None:
                base.down.more(attempt, len(data))
