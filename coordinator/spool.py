"""Updates on the coordinator's disk while they come in, and until their round is final.

    spool/<round>-<attempt>/<site>/<digest>.part          what came so far
    spool/<round>-<attempt>/<site>/<digest>.safetensors   whole, right and durable

A transfer is bound to (site, round, attempt, digest, size). Bytes are hashed as they come; what
a cut connection or a restart leaves is gone on with from its end, after a restart by hashing it
again. The files are the only memory, so that a crash at any instruction loses no more than what
had not reached the disk. Calls block: use a thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from governance import files
from governance.identity.names import is_name
from governance.tensors import CHUNK_BYTES, disk_full_said, path_of
from protos.errors import Corrupt, PeerFault, Refused, Unavailable
from protos.words import Digest, SiteName, UploadOffset

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from protos.words import UploadRef

QUOTA_BYTES: Final = 8 << 30

_ATTEMPT: Final = re.compile(r"([0-9]+)-([0-9]+)", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(slots=True)
class _Progress:
    """How far a transfer is: the bytes in the file, the hash over them, and who writes now.

    `from_disk` tells whether bytes that an earlier run of this program took are among them.
    """

    size_bytes: int
    from_disk: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    writing: Writing | None = None
    offset: int = 0
    hash: hashlib._Hash = field(default_factory=hashlib.sha256)


class Spool:
    """All updates of the rounds that are not final; safe to use from several threads."""

    def __init__(self, folder: Path, *, quota_bytes: int = QUOTA_BYTES) -> None:
        """Use a folder; `quota_bytes` is what one site may keep in it."""
        self._folder = folder
        self._quota_bytes = quota_bytes
        self._lock = threading.Lock()
        self._progress: dict[Path, _Progress] = {}

    def offset(self, site: SiteName, upload: UploadRef) -> UploadOffset:
        """Return from which byte a transfer goes on, and whether all of it is there."""
        if self.path(site, upload).exists():
            return UploadOffset(upload.size, complete=True)
        part = self._part(site, upload)
        return UploadOffset(part.stat().st_size if part.exists() else 0, complete=False)

    def begin(self, site: SiteName, upload: UploadRef, offset: int) -> Writing:
        """Open a transfer for writing from `offset` on; one still open for it is cut off.

        Raises:
            Refused: The site's update of this attempt is here already, the offset is not where
                its bytes end, or the site's quota is used up.
            Unavailable: The disk has not the room.
        """
        part = self._part(site, upload)
        # 1. One update per site and attempt. Stops a second one replacing the first.
        self._check_first(site, upload)
        # 2. Room for all of it before any of it. Stops a site from filling the disk.
        self._check_room(site, upload)
        progress = self._progress_of(part, upload)
        with progress.lock:
            _cut_off(progress)
            # 3. No gap and no overlap. Stops bytes that no digest covers.
            _catch_up(part, progress)
            if offset != progress.offset:
                raise Refused(
                    f"this upload goes on at byte {progress.offset}, not {offset}",
                    where=site,
                    rule="upload-offset",
                )
            part.parent.mkdir(parents=True, exist_ok=True)
            progress.writing = Writing(part, progress)
            return progress.writing

    def finish(self, site: SiteName, upload: UploadRef) -> Path:
        """Make a transfer durable and return its file; asking again gives the same answer.

        Raises:
            Refused: Bytes are missing, or their digest is another; the latter are deleted.
            Unavailable: As the latter, but some of them had lain on the disk when this program
                started: nobody can say that they came so.
        """
        final, part = self.path(site, upload), self._part(site, upload)
        if final.exists():
            return final
        self._check_first(site, upload)
        progress = self._progress_of(part, upload)
        with progress.lock:
            _cut_off(progress)
            _catch_up(part, progress)
            if progress.offset < upload.size:
                missing = upload.size - progress.offset
                raise Refused(f"{missing} bytes are missing", where=site, rule="upload-short")
            self._forget(part)
            if progress.hash.hexdigest() != upload.digest or progress.offset > upload.size:
                part.unlink()
                raise _other_bytes(site, from_disk=progress.from_disk)
            _make_durable(part, final)
        return final

    def path(self, site: SiteName, upload: UploadRef) -> Path:
        """Return where a finished update lies."""
        return path_of(self._place(site, upload), _checked(upload.digest))

    def attempts(self) -> set[tuple[int, int]]:
        """Return the (round, attempt) pairs of which anything is here."""
        found = (_ATTEMPT.fullmatch(folder.name) for folder in self._folder.glob("*-*"))
        return {(int(match[1]), int(match[2])) for match in found if match is not None}

    def whole(self, site: SiteName, round_: int, attempt: int) -> Path:
        """Return a site's finished update of an attempt; raises Corrupt when it is gone."""
        folder = self._attempt(round_, attempt) / _named(site)
        for path in folder.glob("*.safetensors"):
            return path
        raise Corrupt(
            f"{site}'s update of round {round_}, attempt {attempt} is gone from the spool",
            where=str(folder),
            rule="corrupt-file",
        )

    def coming(self, site: SiteName, round_: int, attempt: int) -> tuple[int, int]:
        """Return (bytes here, bytes declared) of what a site sends now, (0, 0) for nothing."""
        folder = self._attempt(round_, attempt) / _named(site)
        with self._lock:
            for part, progress in self._progress.items():
                if part.parent == folder:
                    return progress.offset, progress.size_bytes
        return 0, 0

    def delete(self, site: SiteName, round_: int, attempt: int) -> list[Digest]:
        """Delete what a site sent for an attempt; return the digests of whole updates."""
        return self._delete(self._attempt(round_, attempt) / _named(site))

    def delete_attempt(self, round_: int, attempt: int) -> list[Digest]:
        """Delete all of an attempt; return the digests of whole updates, sorted."""
        return self._delete(self._attempt(round_, attempt))

    def _delete(self, folder: Path) -> list[Digest]:
        with self._lock:
            parts = [part for part in self._progress if part.is_relative_to(folder)]
            ended = [self._progress.pop(part) for part in parts]
        with contextlib.ExitStack() as stack:
            for progress in ended:
                stack.enter_context(progress.lock)
                _cut_off(progress)
            whole = sorted(Digest(path.stem) for path in folder.rglob("*.safetensors"))
            if folder.exists():
                shutil.rmtree(folder)
                files.sync(folder.parent)
        return whole

    def _progress_of(self, part: Path, upload: UploadRef) -> _Progress:
        with self._lock:
            return self._progress.setdefault(part, _Progress(upload.size))

    def _forget(self, part: Path) -> None:
        with self._lock:
            progress = self._progress.pop(part, None)
        if progress is not None:
            _cut_off(progress)

    def _check_first(self, site: SiteName, upload: UploadRef) -> None:
        folder = self._place(site, upload)
        if any(folder.glob("*.safetensors")):
            raise Refused(
                f"{site}'s update of this attempt is here already",
                where=site,
                rule="second-update",
            )
        for other in folder.glob("*.part"):  # trained anew after a crash: the old one is void
            if other != self._part(site, upload):
                self._forget(other)
                other.unlink(missing_ok=True)

    def _check_room(self, site: SiteName, upload: UploadRef) -> None:
        part = self._part(site, upload)
        there = part.stat().st_size if part.exists() else 0
        with self._lock:
            declared = {
                other: progress.size_bytes for other, progress in self._progress.items()
            }
        used = sum(
            declared.get(path, path.stat().st_size)
            for path in self._folder.glob(f"*/{_named(site)}/*")
            if path != part
        )
        if used + upload.size > self._quota_bytes:
            raise Refused(
                f"{site} may keep {self._quota_bytes} bytes here, and {used} are used",
                where=site,
                rule="spool-quota",
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self._folder).free < upload.size - there:
            raise Unavailable(
                f"the disk that holds {self._folder} has no room for an update",
                todo="Free space there; the upload goes on from where it stopped.",
                rule="disk-full",
            )

    def _attempt(self, round_: int, attempt: int) -> Path:
        return self._folder / f"{round_:d}-{attempt:d}"

    def _place(self, site: SiteName, upload: UploadRef) -> Path:
        return self._attempt(upload.round, upload.attempt) / _named(site)

    def _part(self, site: SiteName, upload: UploadRef) -> Path:
        return self._place(site, upload) / f"{_checked(upload.digest)}.part"


class Writing:
    """An open transfer; a context manager that leaves what came for the next one."""

    def __init__(self, part: Path, progress: _Progress) -> None:
        """Open the file for what follows the bytes that `progress` counts."""
        self._part = part
        self._progress = progress
        self._lock = threading.Lock()
        self._handle: int | None = os.open(
            part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600
        )

    def write(self, data: bytes) -> None:
        """Write the next bytes.

        Raises:
            PeerFault: More than the declared size.
            Unavailable: The disk is full, or the transfer was ended from here.
        """
        with self._lock:
            if self._handle is None:
                raise Unavailable("this transfer was ended here", rule="upload-ended")
            progress = self._progress
            if progress.offset + len(data) > progress.size_bytes:
                raise PeerFault(
                    f"the upload is longer than the {progress.size_bytes} bytes it declared",
                    rule="upload-long",
                )
            with disk_full_said(self._part.parent):
                _write_all(self._handle, data, progress.offset)
            progress.hash.update(data)
            progress.offset += len(data)

    def cut_off(self) -> None:
        """End it; writing more raises Unavailable."""
        with self._lock:
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut_off()


def _cut_off(progress: _Progress) -> None:
    if progress.writing is not None:
        progress.writing.cut_off()


def _catch_up(part: Path, progress: _Progress) -> None:
    """Bring the hash up to what the file holds, from its start when they disagree."""
    size = part.stat().st_size if part.exists() else 0
    if progress.offset > size:
        progress.offset, progress.hash = 0, hashlib.sha256()
    if progress.offset == size:
        return
    progress.from_disk = True
    with part.open("rb") as file:
        file.seek(progress.offset)
        while piece := file.read(CHUNK_BYTES):
            progress.hash.update(piece)
            progress.offset += len(piece)


def _other_bytes(site: SiteName, *, from_disk: bool) -> Refused | Unavailable:
    if from_disk:
        return Unavailable(
            "what had come of an update before this coordinator started was spoilt on its disk"
            " and is deleted",
            where=site,
            todo="Send it again.",
            rule="upload-spoilt",
        )
    return Refused(
        "the update's bytes do not match its digest and are deleted",
        where=site,
        todo="Send it again.",
        rule="wrong-digest",
    )


def _write_all(handle: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(handle, rest, offset)
        rest, offset = rest[written:], offset + written


def _make_durable(part: Path, final: Path) -> None:
    with disk_full_said(part.parent), part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(final)
    for folder in (final.parent, final.parent.parent, final.parent.parent.parent):
        files.sync(folder)


def _checked(digest: Digest) -> Digest:
    """Refuse what is no digest. Stops a name that leads out of the spool."""
    if not _DIGEST.fullmatch(digest):
        raise ValueError("no digest")
    return digest


def _named(site: SiteName) -> SiteName:
    """Refuse what is no site's name, as above."""
    if not is_name(site):
        raise ValueError("no site's name")
    return site
