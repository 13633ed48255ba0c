"""A backup: files by name, in one tar archive that is sealed as it is written."""

from __future__ import annotations

import os
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from governance.sealing import Sealing, Unsealing, altered
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OWNER_ONLY: Final = 0o600


@contextmanager
def written(file: Path, *, passphrase: bytes) -> Iterator[Callable[[Path, str], None]]:
    """Give what adds a file by its name; the backup is there whole at the end, or not at all.

    Raises:
        Refused: the file is there already.
    """
    if file.exists():
        raise Refused(
            "this file is there already, and a backup is never overwritten",
            where=str(file),
            todo="Name another file.",
            rule="backup-exists",
        )
    half = file.with_name(f".{file.name}.partial")
    try:
        handle = _begun(half)
        with os.fdopen(handle, "wb") as out:
            sealing = Sealing(out, passphrase)
            with tarfile.open(fileobj=sealing, mode="w|") as tar:  # type: ignore[call-overload]
                yield lambda path, name: tar.add(path, name, recursive=False)
            sealing.finish()
            out.flush()
            os.fsync(out.fileno())
        half.replace(file)
    finally:
        half.unlink(missing_ok=True)


def _begun(half: Path) -> int:
    try:
        return os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
    except OSError as problem:
        problem.filename = str(half.parent)  # the name that was given, not one made here
        raise


def unpack(file: Path, into: Path, *, passphrase: bytes, holding: str, written_by: str) -> None:
    """Write a backup's files into a folder.

    Args:
        file: The backup.
        into: Where its files go.
        passphrase: The one that it was sealed with.
        holding: The file that every backup of this kind has.
        written_by: The command that writes this kind.

    Raises:
        Refused: it is no backup, one of another kind, or the passphrase is another.
        Corrupt: it was altered.
    """
    try:
        sealed = file.open("rb")
    except OSError as problem:
        raise Refused(
            f"the backup cannot be read: {problem.strerror}",
            where=str(file),
            todo="Name the file that a backup was written to.",
            rule="no-backup",
        ) from None
    with sealed:
        unsealing = Unsealing(sealed, passphrase, where=str(file))
        try:
            with tarfile.open(fileobj=unsealing, mode="r|") as tar:  # type: ignore[call-overload]
                for member in tar:
                    tar.extract(member, into, filter="data")
        except tarfile.TarError:
            raise altered(str(file)) from None
        unsealing.finish()
    if not (into / holding).exists():
        raise Refused(
            f"this is a backup, but not one that `{written_by}` wrote",
            where=str(file),
            todo="A hospital and a coordinator each bring back their own.",
            rule="no-backup",
        )
