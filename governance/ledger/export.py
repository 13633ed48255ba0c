"""One folder that anyone can verify offline: the entries, the heads and who cosigned them.

It needs no database and none of our software: its README shows the way with sha256sum, openssl
and jq. Every file is written beside its place and moved there whole, so that an export that was
interrupted is simply made again.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from governance import canonical, statements
from governance.counts import count
from governance.ledger import checkpoint, note, source
from governance.ledger.replay import Fault
from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from typing import IO

    from governance.ledger.source import HeldCheckpoint, Source
    from governance.statements import Statement

_PART: Final = ".part"


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export holds; `since` is its first seq, `size` the one after its last."""

    since: int
    size: int
    disclosures: int
    checkpoints: int


def export(held: Source, folder: Path, *, since: int = 0) -> Exported:
    """Write a log into a folder, from a seq on; an export that is there is written anew.

    Raises:
        Refused: there is no entry from that seq on, or the folder holds something else.
    """
    _check_folder(folder)
    first = next(held.entries(since), None)
    origin = next(held.entries(), None)
    if first is None or origin is None:
        raise Refused(
            f"the log has no entry {since} yet, so there is nothing to export",
            rule="nothing-to-export",
        )
    genesis = statements.read(origin.envelope)
    (folder / source.CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    size = _write_entries(held, folder, since)
    disclosures = _write_disclosures(held, folder, since)
    _write_json(folder / source.KEYS, held.rows("keys") if "keys" in held.tables() else ())
    for name, text in anchors(genesis).items():
        _write_text(folder / name, text)
    checkpoints = _write_checkpoints(held, folder)
    _write_text(folder / source.README, _readme(genesis, since, size, checkpoints))
    return Exported(since, size, disclosures, checkpoints)


def _check_folder(folder: Path) -> None:
    """Refuse to write among files of another kind: nothing of anybody's is ever overwritten."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise Refused("this is a file, not a folder", where=str(folder), rule="not-a-folder")
    names = {path.name.removesuffix(_PART) for path in folder.iterdir()}
    if names and source.ENTRIES not in names and not names <= source.FILES:
        raise Refused(
            "this folder holds other files, and no export",
            where=str(folder),
            todo="Name a new folder, or an export to write anew.",
            rule="not-an-export",
        )


def _write_entries(held: Source, folder: Path, since: int) -> int:
    size = since
    with _replaced(folder / source.ENTRIES) as file:
        for entry in held.entries(since):
            _write_line(
                file,
                {
                    "envelope": entry.envelope.decode(),
                    "received_at": entry.received_at,
                    "seq": entry.seq,
                },
            )
            size = entry.seq + 1
    return size


def _write_disclosures(held: Source, folder: Path, since: int) -> int:
    count = 0
    with _replaced(folder / source.DISCLOSURES) as file:
        for seq, told in held.disclosures():
            if seq >= since:
                count += 1
                _write_line(
                    file,
                    {
                        "label": told.label,
                        "salt": told.salt.hex(),
                        "seq": seq,
                        "value": told.value,
                    },
                )
    return count


def _write_checkpoints(held: Source, folder: Path) -> int:
    """Write every head under its size, and the last one as `checkpoint`; return how many."""
    texts = [_joined(one) for one in held.checkpoints()]
    names = set()
    for text in texts:
        size = checkpoint.parse_body(note.parse(text).text).size
        name = f"{size:012d}"
        names.add(name)
        _write_text(folder / source.CHECKPOINTS / name, text)
    for old in (folder / source.CHECKPOINTS).iterdir():
        if old.name not in names:
            old.unlink()
    if texts:
        _write_text(folder / source.CHECKPOINT, texts[-1])
    else:
        (folder / source.CHECKPOINT).unlink(missing_ok=True)
    return len(names)


def _joined(held: HeldCheckpoint) -> str:
    return checkpoint.with_cosignatures(held.note, [line for _, line in held.lines])


def anchors(genesis: Statement) -> Mapping[str, str]:
    """Return the files that the first entry alone decides: the root, and the log's key."""
    vkey = checkpoint.log_key(genesis.log.origin, genesis.key).text
    return {source.ROOT: str(genesis.body.get("origin_root", "")), source.VKEY: vkey + "\n"}


def fault(held: Source) -> Fault | None:
    """Return what is wrong with the files of an export that a reader without us relies on."""
    first = next(held.entries(), None)
    if not isinstance(held, source.Export) or first is None or first.seq != 0:
        return None
    for name, text in anchors(statements.read(first.envelope)).items():
        path = held.folder / name
        if not path.is_file() or path.read_text("utf-8", "replace") != text:
            said = f"{name} is not what the first entry says: it was altered, or is not there"
            return Fault(0, "altered-file", said)
    return _fault_of_newest(held)


def _fault_of_newest(held: source.Export) -> Fault | None:
    """Return a fault where `checkpoint`, which auditors keep, is not the newest head."""
    sizes = [
        checkpoint.parse_body(note.parse(one.note).text).size for one in held.checkpoints()
    ]
    kept = (held.folder / source.CHECKPOINT).is_file()
    if not sizes or (kept and sizes[-1] == max(sizes)):
        return None
    said = f"`checkpoint` is not the newest head, which covers {count(max(sizes), 'entry')}"
    return Fault(
        0, "altered-file", f"{said}: it was taken away, or an older one put in its place"
    )


def _readme(genesis: Statement, since: int, size: int, checkpoints: int) -> str:
    text = resources.files("governance.ledger").joinpath("export_readme.md").read_text("utf-8")
    said: Mapping[str, str] = {
        "FEDERATION": genesis.log.federation,
        "ORIGIN": genesis.log.origin,
        "ROOT": genesis.log.root,
        "SINCE": str(since),
        "LAST": str(size - 1),
        "CHECKPOINTS": str(checkpoints),
    }
    for name, value in said.items():
        text = text.replace("{" + name + "}", value)
    return text


def _write_line(file: IO[bytes], value: Mapping[str, Any]) -> None:
    file.write(canonical.encode(value) + b"\n")


def _write_json(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    _write_text(path, json.dumps(list(rows), indent=1, sort_keys=True) + "\n")


def _write_text(path: Path, text: str) -> None:
    with _replaced(path) as file:
        file.write(text.encode())


@contextmanager
def _replaced(path: Path) -> Iterator[IO[bytes]]:
    """Write a file beside its place, have it on the disk, and move it there whole."""
    beside = path.with_name(path.name + _PART)
    with beside.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
