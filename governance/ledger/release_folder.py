"""A release as a folder: the model, its card, the licence, and the proof of its lineage.

It is written beside its place and moved there whole. What people read in it (the card in words,
the licence, the README) follows from the card's facts alone, so that an edited one is found.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from governance import canonical, files, model_card
from governance.ledger import checkpoint, note
from governance.ledger.release_proof import Proven, check
from governance.terminal import Answer
from protos.errors import PeerFault, Refused
from protos.words import ProvenEntry, ReleaseParts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from protos.words import KeyId

MODEL: Final = "model.safetensors"
CARD: Final = "model-card.json"
CARD_IN_WORDS: Final = "model-card.md"
LICENCE: Final = "LICENCE"
README: Final = "README.md"
ENTRIES: Final = "lineage/entries.jsonl"
CHECKPOINT: Final = "lineage/checkpoint"
AGREEMENTS: Final = "lineage/agreements"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of checking a folder; `fault` is the rule that is broken, '' for none."""

    proven: Proven | None
    fault: str = ""
    sentence: str = ""
    trusted: bool = False

    @property
    def verified(self) -> bool:
        """Whether no fault was found."""
        return not self.fault


def write(parts: ReleaseParts, model: Path, folder: Path) -> None:
    """Write a release's folder, with a copy of its model's file.

    Raises:
        Refused: something else is there already.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / CARD).is_file():
        raise Refused(
            "this folder holds other files, and no release",
            where=str(folder),
            todo="Name a new folder with --out.",
            rule="not-a-release",
        )
    half = folder.with_name(f".{folder.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    (half / AGREEMENTS).mkdir(parents=True, mode=0o700)
    shutil.copyfile(model, half / MODEL)
    card = canonical.decode(parts.card)
    for name, content in _texts(card).items():
        (half / name).write_text(content, encoding="utf-8")
    (half / CARD).write_bytes(parts.card)
    (half / CHECKPOINT).write_text(parts.checkpoint, encoding="utf-8")
    lines = b"".join(_line(one) for one in parts.entries)
    (half / ENTRIES).write_bytes(lines)
    for raw in parts.agreements:
        name = f"{hashlib.sha256(raw).hexdigest()}.json"
        (half / AGREEMENTS / name).write_bytes(raw)
    for path in half.rglob("*"):
        files.sync(path)
    if folder.exists():
        shutil.rmtree(folder)
    half.replace(folder)
    files.sync(folder.parent)


def read(folder: Path) -> ReleaseParts:
    """Read a release's folder; the model's digest is computed from its bytes.

    Raises:
        Refused: it is none, or a file of it is damaged.
    """
    for name in (MODEL, CARD, ENTRIES, CHECKPOINT):
        if not (folder / name).is_file():
            raise Refused(
                f"there is no {name} in it",
                where=str(folder),
                todo="Name the folder of a release, whole as it was written.",
                rule="not-a-release",
            )
    try:
        card = (folder / CARD).read_bytes()
        lines = (folder / ENTRIES).read_bytes().splitlines()
        agreements = sorted((folder / AGREEMENTS).glob("*.json"))
        return ReleaseParts(
            release=str(canonical.decode(card).get("release", "")),
            model=files.digest_of(folder / MODEL),
            card=card,
            agreements=tuple(path.read_bytes() for path in agreements),
            entries=tuple(_entry(line) for line in lines),
            checkpoint=(folder / CHECKPOINT).read_text(encoding="utf-8"),
        )
    except (ValueError, KeyError, TypeError, RecursionError, PeerFault):
        raise Refused(
            "a file of this release is damaged",
            where=str(folder),
            todo="Get the folder again from whoever gave it.",
            rule="not-a-release",
        ) from None


def verify(folder: Path, *, trusted: Mapping[str, frozenset[KeyId]] | None = None) -> Verdict:
    """Check a release's folder offline, with the hospitals' keys where the reader has them.

    Raises:
        Refused: it is no folder of a release.
    """
    parts = read(folder)
    try:
        proven = check(parts, trusted=trusted)
        _check_texts(folder, proven.card)
    except (Refused, PeerFault) as broken:
        return Verdict(None, broken.rule, broken.what, trusted is not None)
    return Verdict(proven, trusted=trusted is not None)


def answer(verdict: Verdict) -> Answer:
    """Return what `verify-release` prints."""
    proven = verdict.proven
    if proven is None:
        return Answer(
            ("verified", "rule", "sentence"),
            [(False, verdict.fault, verdict.sentence)],
            title=f"FAULT: {verdict.sentence}",
            facts={"verified": False, "proven": False, "rule": verdict.fault},
        )
    said = proven.published.body
    rows: list[tuple[object, ...]] = [
        ("model", said["model"]),
        ("round", f"{said['round']} of {len(said['rounds'])} inside"),
        ("agreement", said["agreement"]),
        ("card", said["card"]),
        ("entry", proven.published.seq),
        ("cosigned by", ", ".join(proven.witnesses)),
    ]
    notes = ["Whether it was recalled since, only the ledger says: concilium-ledger releases."]
    if not verdict.trusted:
        notes.append("Not proven, because the hospitals' keys were not given with --trust.")
    how = (
        "proven" if verdict.trusted else "consistent; the signers' identity is not established"
    )
    facts = {
        "verified": True,
        "proven": verdict.trusted,
        "release": said["release"],
        **{name: said[name] for name in ("model", "card", "agreement", "round", "rounds")},
        "seq": proven.published.seq,
        "size": proven.head.size,
        "witnesses": list(proven.witnesses),
    }
    title = f"Release {said['release']}: {how}"
    return Answer(("what", "value"), rows, title=title, notes=notes, facts=facts)


def _check_texts(folder: Path, card: Mapping[str, Any]) -> None:
    try:
        texts = _texts(card)
    except (KeyError, TypeError, AttributeError, AssertionError):
        raise Refused("its model card lacks a part", rule="release-card") from None
    for name, text in texts.items():
        path = folder / name
        if not path.is_file() or path.read_text("utf-8", "replace") != text:
            raise Refused(
                f"{name} is not what the model card says: it was altered, or is not there",
                rule="altered-file",
            )


def _texts(card: Mapping[str, Any]) -> Mapping[str, str]:
    return {
        CARD_IN_WORDS: model_card.rendered(card),
        LICENCE: model_card.licence(card),
        README: _README.format(release=card["release"], federation=card["federation"]),
    }


def _line(one: ProvenEntry) -> bytes:
    said = {
        "envelope": one.envelope.decode(),
        "inclusion": [node.hex() for node in one.inclusion],
        "received_at": one.received_at,
        "seq": one.seq,
    }
    return canonical.encode(said) + b"\n"


def _entry(line: bytes) -> ProvenEntry:
    said = json.loads(line)
    nodes = tuple(bytes.fromhex(node) for node in said["inclusion"])
    return ProvenEntry(
        int(said["seq"]), str(said["received_at"]), _encoded(said["envelope"]), nodes
    )


def _encoded(text: object) -> bytes:
    if not isinstance(text, str):
        raise TypeError("an envelope is text")
    return text.encode()


def head_of(parts: ReleaseParts) -> checkpoint.Checkpoint:
    """Return the head that a release's proofs lead to; who signed it is not asked."""
    return checkpoint.parse_body(note.parse(parts.checkpoint).text)


_README: Final = """\
# Release {release} of {federation}

| file | what it is |
|---|---|
| model.safetensors | the model: float32 numbers, nothing in it can run |
| model-card.md | what it is for, who is inside, how good it is, what it cost in privacy |
| model-card.json | the facts of the card; its SHA-256 stands in the ledger |
| LICENCE | whose it is, and on what terms |
| lineage/entries.jsonl | the ledger's entries that it rests on, each with its proof |
| lineage/checkpoint | the ledger's head, cosigned by the hospitals |
| lineage/agreements/ | what the hospitals consented to |

Check all of it offline, with the hospitals' keys where you have them from the hospitals:

    concilium-ledger verify-release . --trust hospitals.keys

Whether it was recalled since, only the ledger says: `concilium-ledger releases {release}`.
"""
