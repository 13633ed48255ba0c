"""Files that come and go in chunks, bound to their digest, resumed where they broke off."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from typing import TYPE_CHECKING, Final

from governance import files
from governance.tensors import disk_full_said
from protos.codec import CHUNK_BYTES, RESUMED_CHUNK_BYTES
from protos.errors import Corrupt, PeerFault, Refused, Unavailable
from protos.words import UploadHeader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from protos.words import BlobRef, Receipt, UploadRef
    from site_agent.link import Link


_OTHER_BYTES: Final = "wrong-digest"
_MENDED: Final = frozenset({_OTHER_BYTES, "upload-offset", "upload-short"})


async def download(link: Link, blob: BlobRef, folder: Path) -> Path:
    """Fetch a file by its digest into a folder, unless it is there; return its path.

    What arrived before a break is kept beside it as `<digest>.part` and is not asked for again.

    Raises:
        Unavailable: the line broke, or the disk is full; call again.
        PeerFault: what came is longer, or is not what the digest says; it is deleted.
    """
    path = folder / f"{blob.digest}.safetensors"
    if path.exists():
        return path
    part = folder / f"{blob.digest}.part"
    if part.exists() and not await _goes_on(link, blob, part):
        part.unlink()  # what had lain here was spoilt, by a power cut say
    if not part.exists() and not await _goes_on(link, blob, part):
        part.unlink()
        raise PeerFault(
            f"a file of {blob.size} bytes was promised, and what came is another one",
            rule="digest-mismatch",
        )
    part.replace(path)
    files.sync(folder)
    return path


def keep(path: Path, folder: Path) -> None:
    """Copy a file into another folder of the same disk, where it appears whole and durable.

    Raises:
        Unavailable: the disk is full.
    """
    half = path.with_suffix(".final")
    with disk_full_said(folder):
        shutil.copyfile(path, half)
        files.sync(half)
    half.replace(folder / path.name)
    files.sync(folder)


async def _goes_on(link: Link, blob: BlobRef, part: Path) -> bool:
    """Fetch what is missing of a file; tell whether the whole is what its digest says."""
    hasher = hashlib.sha256()
    with disk_full_said(part.parent), part.open("ab+") as file:
        offset = await asyncio.to_thread(_hash_so_far, file.fileno(), hasher)
        if offset < blob.size:
            async for chunk in link.download(blob.digest, offset):
                offset += len(chunk)
                if offset > blob.size:
                    break
                hasher.update(chunk)
                await asyncio.to_thread(file.write, chunk)
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
    return offset == blob.size and hasher.hexdigest() == blob.digest


async def upload(
    link: Link, ref: UploadRef, path: Path, statement: bytes, *, begun: bool = True
) -> Receipt:
    """Send an update from where the coordinator has it, and return the receipt.

    Where none of it was ever sent (not `begun`) the coordinator is not asked how far it is.

    Raises:
        Unavailable: the line broke, or the coordinator has other bytes than it said or than it
            was sent; call again.
        Refused: the coordinator does not take it.
        Corrupt: the file is gone, or is another one.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise Corrupt("the update is gone", where=str(path), rule="update-missing") from None
    with file:
        if os.fstat(file.fileno()).st_size != ref.size:
            raise Corrupt("the update has another size", where=str(path), rule="update-size")
        offset = await _goes_on_at(link, ref) if begun else 0
        header = UploadHeader(ref, offset, statement)
        try:
            return await link.upload(header, _chunks(file.fileno(), offset))
        except Refused as problem:
            await asyncio.to_thread(_look_again, problem, ref, path)
            raise


async def _goes_on_at(link: Link, ref: UploadRef) -> int:
    status = await link.upload_status(ref)
    return ref.size if status.complete else min(status.offset, ref.size)


def _look_again(problem: Refused, ref: UploadRef, path: Path) -> None:
    """Raise what is worth another try: what the coordinator has of an update can be mended.

    Bytes of a broken line may still reach its disk after it said where they end.
    """
    if problem.rule not in _MENDED:
        return
    if problem.rule == _OTHER_BYTES and files.digest_of(path).digest != ref.digest:
        raise Corrupt("the update was spoilt here", where=str(path), rule="update-spoilt")
    raise Unavailable(problem.what, where=problem.where, rule=problem.rule) from None


async def _chunks(handle: int, offset: int) -> AsyncIterator[bytes]:
    size = RESUMED_CHUNK_BYTES if offset else CHUNK_BYTES
    while chunk := await asyncio.to_thread(os.pread, handle, size, offset):
        yield chunk
        offset += len(chunk)


def _hash_so_far(handle: int, hasher: hashlib._Hash) -> int:
    offset = 0
    while chunk := os.pread(handle, CHUNK_BYTES, offset):
        hasher.update(chunk)
        offset += len(chunk)
    return offset
