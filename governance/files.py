"""Files and folders that are durable, and what is in a file by its digest."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from protos.words import BlobRef, Digest

if TYPE_CHECKING:
    from pathlib import Path


def sync(path: Path) -> None:
    """Make a file's bytes durable, or a folder's names (a rename is one)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest_of(path: Path) -> BlobRef:
    """Return a file's SHA-256 and size in bytes."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return BlobRef(Digest(digest), os.fstat(file.fileno()).st_size)


def is_whole(path: Path) -> bool:
    """Tell whether a file that is named by its digest has it."""
    return digest_of(path).digest == path.stem
