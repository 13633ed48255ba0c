"""Statements that wait for an officer's signature, here or on another machine.

Such a statement travels as a file: its payload, the text that was shown, and the values that it
only commits to.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from governance import canonical, statements
from protos.errors import Refused
from protos.words import Disclosure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from governance.identity.keys import Signer

_FORM: Final = "concilium-to-sign"
_REVIEWED: Final = frozenset({"consent-given", "log-accepted", "store-recovered"})
"""Kinds whose statement names the text that was shown."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A statement that waits for an officer's signature; `envelope` is empty until then."""

    payload: bytes
    disclosures: tuple[Disclosure, ...]
    shown: str
    envelope: bytes = b""


def check_shown(draft: Draft) -> str:
    """Check that a draft's text is what its statement names, and return the statement's kind.

    Raises:
        Refused: the text of a consent is not the one that was reviewed, or what was signed
            before is another statement.
        PeerFault: the statement cannot be read.
    """
    fields = canonical.decode(draft.payload)
    # 1. The text. Stops an officer from being shown one agreement and signing another.
    shown = hashlib.sha256(draft.shown.encode()).hexdigest()
    if fields.get("kind") in _REVIEWED and fields["body"].get("review") != shown:
        raise _tampered("the text in this file is not the text that its statement names")
    # 2. The statement that a first officer signed. Stops a second from signing another.
    if draft.envelope and statements.read(draft.envelope).payload != draft.payload:
        raise _tampered("what was signed in this file is not the statement that it shows")
    return str(fields.get("kind"))


def _tampered(what: str) -> Refused:
    todo = "Do not sign it: have it exported anew, and find out who changed it."
    return Refused(what, todo=todo, rule="other-text")


def sign(draft: Draft, key: Signer) -> Draft:
    """Return a draft with one more signature."""
    if draft.envelope:
        return replace(draft, envelope=statements.countersign(draft.envelope, key))
    return replace(draft, envelope=statements.sign(draft.payload, [key]))


def to_file(draft: Draft) -> bytes:
    """Write a draft as the file that goes to another machine, and comes back signed."""
    told = [[one.label, one.salt.hex(), one.value] for one in draft.disclosures]
    fields = {
        "form": _FORM,
        "payload": draft.payload.decode(),
        "shown": draft.shown,
        "envelope": draft.envelope.decode(),
        "disclosures": told,
    }
    return json.dumps(fields, indent=1, ensure_ascii=False).encode() + b"\n"


def from_file(path: Path) -> Draft:
    """Read such a file.

    Raises:
        Refused: it is none.
    """
    try:
        return _read(json.loads(path.read_bytes()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refused(
            "this is no statement to sign",
            where=str(path),
            todo="It is written by `concilium-site consent --export FILE`.",
            rule="bad-file",
        ) from None


def _read(fields: Mapping[str, Any]) -> Draft:
    if fields["form"] != _FORM:
        raise ValueError("another form")
    told = tuple(
        Disclosure(label, bytes.fromhex(salt), value)
        for label, salt, value in fields["disclosures"]
    )
    return Draft(fields["payload"].encode(), told, fields["shown"], fields["envelope"].encode())
