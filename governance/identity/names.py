"""Names are URIs in a certificate: `concilium://<federation>/site/<name>`, `/coordinator`, ….

A peer is who its certificate says; no message carries a name that is believed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from protos.errors import PeerFault, Refused

SCHEME: Final = "concilium://"
COORDINATOR: Final = "coordinator"
AUTHORITY: Final = "authority"
NAMED_ROLES: Final = ("site", "operator", "auditor")
ROLES: Final = (COORDINATOR, *NAMED_ROLES)

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Name:
    """Who somebody is: the coordinator's name is `coordinator`, as its role."""

    federation: str
    role: str
    name: str

    @property
    def actor(self) -> str:
        """How statements name it: `site/NAME`, `coordinator`."""
        return actor(self.role, self.name)


def is_name(text: str) -> bool:
    """Tell whether a text is 1 to 63 of a-z, 0-9 and inner hyphens, as a DNS label is."""
    return _NAME.fullmatch(text) is not None


def check_name(text: str, *, what: str) -> str:
    """Return a name as it is, or raise Refused saying what it must be; `what` is its place."""
    if not is_name(text):
        raise Refused(
            f"{what} is {text!r}, but must be 1 to 63 of a-z, 0-9 and hyphens inside",
            rule="bad-name",
        )
    return text


def uri(federation: str, role: str, name: str) -> str:
    """Return the URI of a peer; the coordinator's has no name of its own."""
    return f"{SCHEME}{federation}/{actor(role, name)}"


def actor(role: str, name: str) -> str:
    """Return how statements name a peer: `site/NAME`, `coordinator`."""
    return COORDINATOR if role == COORDINATOR else f"{role}/{name}"


def parse_uri(text: str) -> Name:
    """Read a peer's URI strictly, or raise PeerFault."""
    if not text.startswith(SCHEME):
        raise PeerFault("the certificate's name is no concilium URI", rule="bad-name")
    federation, _, rest = text.removeprefix(SCHEME).partition("/")
    role, name = parse_actor(rest)
    if not is_name(federation) or role == AUTHORITY:
        raise PeerFault("the certificate's name is no concilium URI", rule="bad-name")
    return Name(federation, role, name)


@lru_cache(maxsize=1024)
def parse_actor(text: str) -> tuple[str, str]:
    """Read `site/NAME`, `coordinator` or `authority` as role and name, or raise PeerFault."""
    if text in {COORDINATOR, AUTHORITY}:
        return text, text
    role, _, name = text.partition("/")
    if role not in NAMED_ROLES or not is_name(name):
        raise PeerFault("the actor is no role and name", rule="bad-name")
    return role, name
