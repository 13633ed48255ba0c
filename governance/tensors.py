"""Tensors on disk: safetensors files of float32, read strictly and always written alike.

A file is an 8-byte little-endian length, that many bytes of JSON naming each tensor with its
shape and its place, and the numbers (https://github.com/huggingface/safetensors, "Format").
Nothing in it can run. What comes from a peer is read by `load` alone, which maps the file and
copies nothing; what we write is named by its digest. An update's tensors carry a prefix: `y/`
for Δy, `c/` for Δc.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import mmap
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from governance import files
from protos.errors import Corrupt, PeerFault, Unavailable
from protos.words import BlobRef, Digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

HEADER_LIMIT_BYTES: Final = 4 << 20
FILE_LIMIT_BYTES: Final = 1 << 36
TENSORS_LIMIT: Final = 10_000
DIMENSIONS_LIMIT: Final = 8
CHUNK_BYTES: Final = 1 << 20

_LENGTH_BYTES: Final = 8
_FLOAT_BYTES: Final = 4
_ALIGNMENT_BYTES: Final = 8
_NAME: Final = re.compile(r"[A-Za-z0-9_./-]{1,256}")
_FIELDS: Final = {"dtype", "shape", "data_offsets"}
_DISK_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies: its shape, and its bytes [begin, end) from the file's start."""

    shape: tuple[int, ...]
    begin: int
    end: int


def load(path: Path, *, limit_bytes: int = FILE_LIMIT_BYTES) -> dict[str, Floats]:
    """Map a file and return read-only views by name, in name order; nothing is copied.

    Raises:
        PeerFault: The file is not what this module would write, or is larger than the limit.
    """
    with path.open("rb") as file:
        mapped = _map(file.fileno(), path, limit_bytes)
    places = _places(mapped, path)
    return {
        name: np.frombuffer(
            mapped, dtype="<f4", count=math.prod(place.shape), offset=place.begin
        ).reshape(place.shape)
        for name, place in places.items()
    }


def shapes(path: Path, *, limit_bytes: int = FILE_LIMIT_BYTES) -> dict[str, tuple[int, ...]]:
    """Return each tensor's shape by name; raises as `load` does."""
    return {name: view.shape for name, view in load(path, limit_bytes=limit_bytes).items()}


def write(tensors: Mapping[str, Floats], folder: Path) -> BlobRef:
    """Write tensors as `<digest>.safetensors` in a folder, whole or not at all.

    Raises:
        Unavailable: The disk is full.
    """
    with Writer(folder, {name: view.shape for name, view in tensors.items()}) as writer:
        for name in writer.names:
            flat = np.ascontiguousarray(tensors[name], dtype="<f4").reshape(-1)
            for part in chunks(flat.size):
                writer.append(flat[part])
        return writer.commit()


def path_of(folder: Path, digest: Digest) -> Path:
    """Return where a file of this digest lies in a folder."""
    return folder / f"{digest}.safetensors"


def size_of(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return how long a file of tensors of these shapes is, in bytes."""
    return len(_header(shapes)) + sum(map(_size_bytes, shapes.values()))


def verify(path: Path) -> None:
    """Check that a file named by its digest is there and has it; raises Corrupt when not."""
    if not path.exists():
        raise Corrupt("the file is gone", where=str(path), rule="corrupt-file")
    if not files.is_whole(path):
        raise Corrupt(
            "the file's bytes are not those of its name",
            where=str(path),
            todo="Restore it from a backup, or delete it so that it is fetched again.",
            rule="corrupt-file",
        )


def chunks(count: int, *, size_bytes: int = CHUNK_BYTES) -> Iterator[slice]:
    """Yield the slices that cut `count` floats into pieces of at most `size_bytes`."""
    step = size_bytes // _FLOAT_BYTES
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def add_prefix(prefix: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tensors under `prefix/name`."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def under_prefix(prefix: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Return those under `prefix/`, without it."""
    start = f"{prefix}/"
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }


class Writer:
    """A file written piece by piece in name order, that appears only when it is whole.

    As a context manager: leaving without `commit` leaves nothing behind.
    """

    def __init__(self, folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Open a temporary file in the folder; shapes are by name, each dimension ≥ 1."""
        header = _header(shapes)
        self.names: Final = sorted(shapes)
        self._folder = folder
        self._hash = hashlib.sha256()
        self._written = 0
        self._size = len(header) + sum(map(_size_bytes, shapes.values()))
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".partial")
        self._path = Path(name)
        self._file = os.fdopen(handle, "wb")
        self._put(header)

    def append(self, values: Floats) -> None:
        """Write the next values, in C order; raises Unavailable when the disk is full."""
        self._put(np.ascontiguousarray(values, dtype="<f4").reshape(-1).view(np.uint8).data)

    def commit(self) -> BlobRef:
        """Make the file durable under its digest's name."""
        if self._written != self._size:
            raise ValueError(f"wrote {self._written} of {self._size} bytes")
        with disk_full_said(self._folder):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        digest = Digest(self._hash.hexdigest())
        self._path.replace(path_of(self._folder, digest))
        files.sync(self._folder)
        return BlobRef(digest, self._size)

    def _put(self, piece: bytes | memoryview) -> None:
        with disk_full_said(self._folder):
            self._file.write(piece)
        self._hash.update(piece)
        self._written += len(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):  # what a full disk kept in the buffer is unwanted
            self._file.close()
        self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def disk_full_said(place: Path) -> Iterator[None]:
    """Turn the system's ways of saying that a disk takes no more into one Unavailable."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise
        raise Unavailable(
            f"the disk that holds {place} is full",
            todo="Free space there; the work goes on from where it stopped.",
            rule="disk-full",
        ) from error


def _map(handle: int, path: Path, limit_bytes: int) -> mmap.mmap:
    size = os.fstat(handle).st_size
    if not _LENGTH_BYTES < size <= limit_bytes:
        _fault(path, f"has {size} bytes, but must have 9 to {limit_bytes}")
    return mmap.mmap(handle, 0, access=mmap.ACCESS_READ)


def _places(mapped: mmap.mmap, path: Path) -> dict[str, Place]:
    """Check a file's header against its size and return each tensor's place, in name order."""
    # 1. The header's length, before anything is read by it. Stops a request for all memory.
    length = int.from_bytes(mapped[:_LENGTH_BYTES], "little")
    start = _LENGTH_BYTES + length
    if length > HEADER_LIMIT_BYTES or start > len(mapped):
        _fault(path, "has a header that is too long")
    if start % _ALIGNMENT_BYTES:
        _fault(path, "has numbers that are not aligned to 8 bytes")
    # 2. The header's form. Stops duplicate names, which readers resolve in different ways.
    entries = _parse(mapped[_LENGTH_BYTES:start], path)
    places = {name: _place(name, entries[name], start, path) for name in sorted(entries)}
    # 3. Every byte belongs to one tensor, in order. Stops overlaps and hidden content.
    end = start
    for place in sorted(places.values(), key=lambda place: place.begin):
        if place.begin != end:
            _fault(path, "has tensors that overlap or leave gaps")
        end = place.end
    if end != len(mapped):
        _fault(path, "has bytes that belong to no tensor, or too few of them")
    return places


def _parse(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        text = raw.decode("ascii").rstrip(" ")
        entries = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        _fault(path, "has a header that is not strict JSON")
    if not isinstance(entries, dict) or not text.startswith("{"):
        _fault(path, "has a header that is no JSON object")
    if not 1 <= len(entries) <= TENSORS_LIMIT:
        _fault(path, f"must have 1 to {TENSORS_LIMIT} tensors")
    return entries


def _place(name: str, entry: object, start: int, path: Path) -> Place:
    if not _NAME.fullmatch(name):
        _fault(path, "names a tensor with other than letters, digits and _ . / -")
    if not isinstance(entry, dict) or set(entry) != _FIELDS or entry["dtype"] != "F32":
        _fault(path, f"must say of {name} dtype F32, shape and data_offsets, and no more")
    shape, offsets = _integers(entry["shape"]), _integers(entry["data_offsets"])
    if shape is None or len(shape) > DIMENSIONS_LIMIT or 0 in shape:
        _fault(path, f"gives {name} no shape of up to {DIMENSIONS_LIMIT} positive dimensions")
    if offsets is None or len(offsets) != 2 or offsets[1] - offsets[0] != _size_bytes(shape):
        _fault(path, f"gives {name} a place that does not fit its shape")
    return Place(shape=shape, begin=start + offsets[0], end=start + offsets[1])


def _integers(value: object) -> tuple[int, ...] | None:
    """Return a JSON list of integers in [0, 2^40], or None; true is no integer here."""
    if not isinstance(value, list):
        return None
    if not all(type(item) is int and 0 <= item <= 1 << 40 for item in value):
        return None
    return tuple(value)


def _header(shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    """Return length and header, names sorted, padded so that the numbers are aligned."""
    entries: dict[str, Any] = {}
    end = 0
    for name in sorted(shapes):
        if not _NAME.fullmatch(name) or 0 in shapes[name]:
            raise ValueError(f"no tensor of ours: {name} {shapes[name]}")
        begin, end = end, end + _size_bytes(shapes[name])
        entries[name] = {
            "dtype": "F32",
            "shape": list(shapes[name]),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT_BYTES)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text


def _size_bytes(shape: Iterable[int]) -> int:
    return math.prod(shape) * _FLOAT_BYTES


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _fault(path: Path, what: str) -> NoReturn:
    raise PeerFault(f"the file {what}", where=str(path), rule="bad-tensors")
