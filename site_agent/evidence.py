"""What a site keeps when the ledger shows two histories: both signed notes, and what they mean.

One key signed both, so nobody but the coordinator can have made them. They are shown by
`status`, and written by `audit --evidence` so that others can check them without this site.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from governance import statements
from governance.ledger import checkpoint, export, note, source
from governance.ledger import store as ledger
from protos.errors import Refused
from protos.words import CheckpointSent
from site_agent.store import notes

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from governance.ledger.note import VerifierKey
    from protos.errors import ConciliumError

NONE_YET: Final = "(none yet)"
_BETWEEN: Final = "\n\n"
_MEANING: Final = (
    "No task is taken and nothing is cosigned: the ledger that this site is shown is not the "
    "one that it knows. Tell the other hospitals, and compare these heads with theirs; the "
    "coordinator's key signed them."
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The head that this site holds, the one it was shown, and the rule that is broken."""

    why: str
    ours: str
    theirs: str


def ours_beside(c: Connection, size: int) -> str:
    """Return the copy's own note of a size, else its latest one."""
    return ledger.checkpoint_of(c, size) or ledger.latest_checkpoint(c) or NONE_YET


def raise_alarm(
    c: Connection, federation: str, problem: ConciliumError, *, ours: str, theirs: str
) -> None:
    """Set the alarm and keep both notes; the first alarm stands."""
    if notes.note(c, federation, notes.ALARM):
        return
    notes.set_note(c, federation, notes.ALARM, f"{problem.rule}: {problem.what}")
    notes.set_note(c, federation, notes.EVIDENCE, f"{ours}{_BETWEEN}{theirs}")
    notes.set_note(c, federation, notes.FAULT, problem.what)
    # What is shown is looked at once more: it may be a new log that says what it lost.
    look = CheckpointSent(theirs, 0, (), "")
    notes.set_note(c, federation, notes.CHECKPOINT, notes.checkpoint_text(look))


def found(c: Connection, federation: str) -> Evidence | None:
    """Return what lies behind the alarm, or None where there is none."""
    why = notes.note(c, federation, notes.ALARM)
    if not why:
        return None
    kept = notes.note(c, federation, notes.EVIDENCE)
    if kept.startswith(NONE_YET):
        return Evidence(why, "", kept.removeprefix(NONE_YET + _BETWEEN))
    ours, _, theirs = kept.partition("\n" + _BETWEEN)
    return Evidence(why, f"{ours}\n", theirs)


def sentences(shown: Evidence) -> list[str]:
    """Say in plain words what happened, with the two signed notes."""
    said = [f"INTEGRITY ALARM: {shown.why}.", _MEANING]
    if shown.ours:
        said.append(f"The head that this site holds:\n{shown.ours}")
    said.append(f"The head that it was shown:\n{shown.theirs}")
    said.append("To hand both over as evidence: concilium-site audit --evidence DIR")
    return said


def write(c: Connection, folder: Path, shown: Evidence | None) -> None:
    """Write what convicts into a folder: the notes, the log's key, and this site's copy.

    Each note also lies there as the text that was signed and the signature alone, so that
    openssl checks it; `ledger/` is an export that concilium-ledger verifies.

    Raises:
        Refused: the folder holds something else, or this site has no entry yet.
    """
    latest = ledger.latest_checkpoint(c) or ""
    held = (shown.ours if shown is not None else "") or latest
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(
            "there is something already",
            where=str(folder),
            todo="Name a new folder for the evidence.",
            rule="evidence-exists",
        )
    origin = next(iter(ledger.entries(c, 0, 1)), None)
    if origin is None:
        raise Refused("this site has no copy of the ledger yet", rule="nothing-to-export")
    founding = statements.read(origin.envelope)
    key = checkpoint.log_key(founding.log.origin, founding.key)
    export.export(source.Database(c), folder / "ledger")
    (folder / "log.vkey").write_text(key.text + "\n")
    public = Ed25519PublicKey.from_public_bytes(key.public)
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "log.pem").write_bytes(pem)
    told = {"held": held, "shown": shown.theirs if shown is not None else ""}
    for name, text in told.items():
        if text:
            _write_note(folder, name, text, key)
    why = shown.why if shown is not None else "no alarm: this is what the site holds"
    (folder / "README.md").write_text(_README.replace("{WHY}", why))


def _write_note(folder: Path, name: str, text: str, key: VerifierKey) -> None:
    (folder / f"{name}.note").write_text(text)
    parsed = note.parse(text)
    (folder / f"{name}.text").write_text(parsed.text)
    own = [
        one for one in parsed.signatures if (one.name, one.key_hash) == (key.name, key.key_hash)
    ]
    for one in own:
        (folder / f"{name}.sig").write_bytes(one.blob)


_README: Final = """# Two heads of one ledger

{WHY}

`held.note` is the head that this hospital verified and holds, `shown.note` the one that the
coordinator showed it later; both carry the signature of the log's key (`log.pem`, `log.vkey`).
A log that only grows has one root for each size. Lines 2 and 3 of a note are size and root.

Check the signatures with openssl alone:

    for head in held shown; do
      openssl pkeyutl -verify -pubin -inkey log.pem -rawin -in $head.text -sigfile $head.sig
    done

Check this hospital's copy, and hold the other head against it:

    concilium-ledger verify --export ledger
    concilium-ledger verify --export ledger --against shown.note

The second one names what differs. Compare `log.vkey` with the one that other hospitals have.
"""
