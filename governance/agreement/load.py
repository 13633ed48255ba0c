"""From agreement.yaml to the document that travels, is digested and is consented to.

YAML is only what the operator edits. The document is canonical JSON of the agreement, with its
defaults written out, and the text of the obligations.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from governance import canonical
from governance.agreement import classes, consistency
from governance.agreement.schema import SCHEMA_VERSION, Agreement
from governance.privacy.releases import decimal_text
from governance.statements import timestamp
from governance.yaml_models import explained, validated
from governance.yaml_positions import Located, Problem, read
from governance.yaml_values import CANONICAL, misleads
from protos.errors import PeerFault, Refused
from protos.words import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Agreement", "Document", "canonical_agreement", "load", "made", "parse"]

DOCUMENT_LIMIT_BYTES: Final = 1 << 20
OBLIGATIONS_LIMIT_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Document:
    """An agreement as it travels.

    Attributes:
        agreement: What it says.
        obligations: Rights and duties in the consortium's own words; may be empty.
        raw: The canonical bytes.
        digest: Their SHA-256: what is signed.
        material: The SHA-256 of the material fields: what a consent holds for.
        places: Where each path stands in the operator's file; empty when it came from a peer.
    """

    agreement: Agreement
    obligations: str
    raw: bytes = field(repr=False)
    digest: Digest
    material: Digest
    places: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def fields(self) -> dict[str, Any]:
        """Return the canonical agreement as JSON holds it."""
        return canonical_agreement(self.agreement)

    def place(self, path: str) -> str:
        """Return `file:line:column` of a path or its nearest section; empty when unknown."""
        steps = path.split(".")
        for length in range(len(steps), 0, -1):
            if (found := self.places.get(".".join(steps[:length]))) is not None:
                return found
        return ""


def load(path: Path) -> Document:
    """Read an operator's file.

    Raises:
        Refused: with every error of the file, each as `file:line:column: path is …, but must
            be …`.
    """
    located = read(path)
    obligations = _obligations(located, path)
    agreement = validated(Agreement, located, context={}, further=consistency.problems)
    places = {
        ".".join(str(step) for step in steps): located.place(steps)
        for steps in located.spans
        if steps
    }
    return replace(parse(made(agreement, obligations).raw), places=places)


def parse(raw: bytes) -> Document:
    """Read the canonical bytes of an agreement from a peer; they have this one form only.

    Raises:
        PeerFault: they are not a canonical agreement.
        Refused: they are of a schema version that this program does not know.
    """
    if len(raw) > DOCUMENT_LIMIT_BYTES:
        raise _fault(f"it has more than {DOCUMENT_LIMIT_BYTES} bytes")
    return _parse(bytes(raw))


@lru_cache(maxsize=32)
def _parse(raw: bytes) -> Document:
    """Read an agreement; one that was read lately, as every step of a round does, is known."""
    fields = canonical.decode(raw)
    if set(fields) != {"agreement", "obligations"} or not isinstance(fields["agreement"], dict):
        raise _fault("it must hold an agreement and its obligations")
    _check_version(fields["agreement"])
    try:
        agreement = Agreement.model_validate(fields["agreement"], context={CANONICAL: True})
    except ValidationError as error:
        found = explained(Agreement, error.errors(include_url=False))
        raise _fault("; ".join(problem.sentence for problem in found)) from None
    if broken := consistency.problems(agreement):
        raise _fault("; ".join(problem.sentence for problem in broken))
    obligations = fields["obligations"]
    if not isinstance(obligations, str) or agreement.obligations != digest_of(obligations):
        raise _fault("its obligations are not the text that it names by digest")
    if misleads(obligations):
        raise _fault("its obligations hold characters that are not shown")
    document = made(agreement, obligations)
    if document.raw != raw:
        raise _fault("it is not in canonical form")
    return document


def made(agreement: Agreement, obligations: str) -> Document:
    """Return the document of an agreement and the text whose digest it names."""
    fields = canonical_agreement(agreement)
    raw = canonical.encode({"agreement": fields, "obligations": obligations})
    return Document(
        agreement=agreement,
        obligations=obligations,
        raw=raw,
        digest=Digest(hashlib.sha256(raw).hexdigest()),
        material=classes.material_digest(fields),
    )


def canonical_agreement(agreement: Agreement) -> dict[str, Any]:
    """Return an agreement's fields in their one form; what is absent is left out."""
    fields = agreement.model_dump(mode="python", by_alias=True, exclude_none=True)
    fields.setdefault("privacy", "off")
    return {name: _plain(value) for name, value in fields.items()}


def digest_of(obligations: str) -> str:
    """Return the SHA-256 of the obligations' text, or nothing for none."""
    return hashlib.sha256(obligations.encode()).hexdigest() if obligations else ""


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return decimal_text(value)
    return timestamp(value) if isinstance(value, datetime) else value


def _check_version(fields: Mapping[str, Any]) -> None:
    if fields.get("agreement") != SCHEMA_VERSION:
        raise Refused(
            "the agreement is of a schema version that this program does not know",
            todo="Install a newer Concilium.",
            rule="unknown-agreement-schema",
        )


def _fault(why: str) -> PeerFault:
    return PeerFault(f"this is not an agreement: {why}", rule="malformed-agreement")


def _obligations(located: Located, path: Path) -> str:
    """Read the text that `obligations` names and put its digest in the name's place."""
    if not isinstance(located.value, dict) or "obligations" not in located.value:
        return ""
    named = located.value["obligations"]
    located.value["obligations"] = ""
    where = ("obligations",)
    if not isinstance(named, str) or not named or misleads(named):
        located.problems.append(Problem(where, "obligations must be the name of a text file"))
        return ""
    try:
        content = (path.parent / named).read_bytes()
        text = content.decode("utf-8").replace("\r\n", "\n")
    except OSError as problem:
        said = f"obligations names {named!r}, which cannot be read: {problem.strerror}"
        located.problems.append(Problem(where, said))
        return ""
    except UnicodeDecodeError:
        located.problems.append(Problem(where, f"{named!r} must be UTF-8 text"))
        return ""
    if len(content) > OBLIGATIONS_LIMIT_BYTES or misleads(text):
        said = f"{named!r} must be plain text of at most {OBLIGATIONS_LIMIT_BYTES} bytes"
        located.problems.append(Problem(where, said))
        return ""
    located.value["obligations"] = digest_of(text)
    return text
