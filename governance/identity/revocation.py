"""Revocation bars a name, all its certificates and all its keys, at once and for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protos.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from governance.identity.certificate import Peer
    from protos.words import KeyId


@dataclass(frozen=True, slots=True)
class Revocations:
    """What is revoked: names, serials (lower-case hex) and keys (TLS keys as `x509:…`)."""

    names: frozenset[str] = frozenset()
    serials: frozenset[str] = frozenset()
    keys: frozenset[KeyId] = frozenset()

    def revoke(self, name: str, serials: Iterable[str], keys: Iterable[KeyId]) -> Revocations:
        """Return these and one more name, with every serial and key that was ever its own."""
        return Revocations(
            self.names | {name}, self.serials | set(serials), self.keys | set(keys)
        )

    def check_peer(self, peer: Peer) -> None:
        """Raise Refused when a peer's name, certificate or TLS key is revoked."""
        barred = peer.name in self.names or peer.serial in self.serials or peer.key in self.keys
        if barred:
            raise Refused(f"{peer.actor} is revoked", rule="revoked")

    def check_key(self, key: KeyId) -> None:
        """Raise Refused when a signing key is revoked."""
        if key in self.keys:
            raise Refused(f"the key {key} is revoked", rule="revoked")
