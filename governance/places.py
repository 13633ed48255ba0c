"""Hosts and ports, as the settings write them, and what a name resolves to."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from typing_extensions import override

from protos.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Place:
    """A host and a port."""

    host: str
    port: int

    @classmethod
    def of(cls, endpoint: str) -> Place:
        """Read `host:port`; an IPv6 address stands in brackets."""
        host, _, port = endpoint.rpartition(":")
        return cls(host.strip("[]"), int(port))

    @override
    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def resolved(host: str) -> tuple[str, ...]:
    """Return a name's addresses.

    Raises:
        Unavailable: it has none.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        why = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
        raise Unavailable(f"{host} has no address: {why}", rule="dns") from None
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
