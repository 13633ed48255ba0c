"""What is said in a masked sum, step by step: a site's words, and what it is brought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protos.words import TaskId


@dataclass(frozen=True, slots=True)
class Keys:
    """Step 1: a site's two public keys for the run, 32 bytes each, signed by its agent key."""

    site: str
    mask: bytes
    share: bytes
    signature: bytes = b""


@dataclass(frozen=True, slots=True)
class Sealed:
    """Step 2: a site's shares for each other site, and what it is held to, signed.

    Attributes:
        site: Whose they are.
        shares: Sealed, by receiver.
        digests: Of both shares of each site of U1, its own with them.
        commitment: To its b_u.
        signature: Of its agent key.
    """

    site: str
    shares: Mapping[str, bytes]
    digests: Mapping[str, bytes]
    commitment: str
    signature: bytes = b""


@dataclass(frozen=True, slots=True)
class Signed:
    """Step 4: a site's signature over who is in the sum."""

    signature: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """Step 5: shares of b_v for survivors, and of the mask key for those who dropped out."""

    own_masks: Mapping[str, bytes]
    keys: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Vector:
    """Step 3 of a sum of figures: the masked vector, uint32 in little-endian bytes."""

    values: bytes


@dataclass(frozen=True, slots=True)
class Peers:
    """To a site: the keys of everybody in the run, U1."""

    keys: tuple[Keys, ...]


@dataclass(frozen=True, slots=True)
class Delivered:
    """To a site: what each other site of U2 sealed for it, and the digests of what is in it."""

    shares: Mapping[str, bytes]
    digests: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Survivors:
    """To a site: who is in the sum, U3."""

    sites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unmask:
    """To a site: who signed that set, and whose shares are asked for."""

    survivors: tuple[str, ...]
    dropped: tuple[str, ...]
    signatures: Mapping[str, bytes]


SaidBody = Keys | Sealed | Vector | Signed | Opened
AskedBody = Peers | Delivered | Survivors | Unmask


@dataclass(frozen=True, slots=True)
class MaskSaid:
    """A site's word in the masked sum of a task."""

    task: TaskId
    said: SaidBody


@dataclass(frozen=True, slots=True)
class MaskAsked:
    """What a site is brought for the masked sum of a task."""

    task: TaskId
    asked: AskedBody
