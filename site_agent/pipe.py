"""Messages between an agent and its worker: four bytes of length, then JSON.

From the agent: a job, and while it trains `pause` and `resume`. From the worker: `ready` once,
`steps` while it works, then `done` or `refused` with the error's class, rule and sentence.
"""

from __future__ import annotations

import json
from typing import Any, Final

from protos.errors import PeerFault

LENGTH_BYTES: Final = 4
LIMIT_BYTES: Final = 64 << 20
"""Room for a million opt-outs."""


def pack(message: dict[str, Any]) -> bytes:
    """Return a message's bytes; raises ValueError when it is too large."""
    body = json.dumps(message, separators=(",", ":")).encode()
    if len(body) > LIMIT_BYTES:
        raise ValueError("a message to a worker is too large")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def length_of(head: bytes) -> int:
    """Return how many bytes follow; raises PeerFault when too many."""
    length = int.from_bytes(head, "big")
    if length > LIMIT_BYTES:
        raise PeerFault("a message of the worker is too large", rule="bad-worker-message")
    return length


def unpack(body: bytes) -> dict[str, Any]:
    """Return the message in these bytes; raises PeerFault when there is none."""
    try:
        message = json.loads(body)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise PeerFault("the worker said what is no message", rule="bad-worker-message")
    return message
