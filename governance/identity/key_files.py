"""Files of keys and certificates: whole and durable or not there; secret ones for their owner.

A private file is written once with mode 0600 and refused when it is wider.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from governance import files
from protos.errors import Refused

if TYPE_CHECKING:
    from pathlib import Path

_OWNER_ONLY: Final = 0o600
_ALL_READ: Final = 0o644


def write_private(path: Path, data: bytes) -> None:
    """Write a new file of mode 0600, whole and durable or not at all.

    Raises:
        Refused: the file exists; it stays as it is.
    """
    half = path.with_name(f".{path.name}.new")
    half.unlink(missing_ok=True)
    handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(half, path)
    except FileExistsError:
        raise Refused(
            "this file exists and is never overwritten", where=str(path), rule="key-exists"
        ) from None
    finally:
        half.unlink()
    files.sync(path.parent)


def read_private(path: Path) -> bytes:
    """Read a file that its owner alone may read.

    Raises:
        Refused: it is missing, or its mode is wider than 0600.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & ~_OWNER_ONLY:
                raise Refused(
                    f"this file's mode is {mode:04o}, but must be 0600: others could read it",
                    where=str(path),
                    todo=f"chmod 600 {path}, and rotate the key if anybody may have read it.",
                    rule="key-mode",
                )
            return file.read()
    except FileNotFoundError:
        raise Refused("there is no such file", where=str(path), rule="key-missing") from None


def replace_private(path: Path, data: bytes) -> None:
    """Put new bytes under a name in one step, mode 0600, durable."""
    half = path.with_name(f".{path.name}.next")
    half.unlink(missing_ok=True)
    write_private(half, data)
    move(half, path)


def replace_public(path: Path, data: bytes) -> None:
    """Put new bytes under a name in one step, mode 0644, durable."""
    half = path.with_name(f".{path.name}.next")
    half.unlink(missing_ok=True)
    write_private(half, data)
    half.chmod(_ALL_READ)
    move(half, path)


def move(source: Path, target: Path) -> None:
    """Give a file another name of the same folder in one step, durable."""
    source.replace(target)
    files.sync(target.parent)
