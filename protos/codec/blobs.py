"""Files named by digest, and disclosures: the parts that several messages carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protos.codec import fields
from protos.concilium.v1 import words_pb2
from protos.words import BlobRef, Disclosure

if TYPE_CHECKING:
    from collections.abc import Iterable


def blob_in(field: str, message: words_pb2.BlobRef) -> BlobRef:
    """Check a file's name and size."""
    return BlobRef(
        digest=fields.digest(f"{field}.digest", message.digest),
        size=fields.number(f"{field}.size", message.size, most=fields.FILE_BYTES),
    )


def blob_out(word: BlobRef) -> words_pb2.BlobRef:
    """Return the message for a file's name."""
    return words_pb2.BlobRef(digest=word.digest, size=word.size)


def disclosures_in(
    field: str, messages: Iterable[words_pb2.Disclosure]
) -> tuple[Disclosure, ...]:
    """Check disclosures; salts are 32 bytes."""
    return tuple(
        Disclosure(
            label=fields.text(f"{field}.label", message.label, least=1, most=64),
            salt=fields.octets(f"{field}.salt", message.salt, least=32, most=32),
            value=fields.text(f"{field}.value", message.value, most=fields.DISCLOSURE_CHARS),
        )
        for message in fields.some(field, messages, most=fields.DISCLOSURES)
    )


def disclosures_out(words: Iterable[Disclosure]) -> list[words_pb2.Disclosure]:
    """Return the messages for disclosures."""
    return [
        words_pb2.Disclosure(label=word.label, salt=word.salt, value=word.value)
        for word in words
    ]
