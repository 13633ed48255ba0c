"""What a peer disclosed, read as JSON: the first thing that is asked of each such text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from protos.errors import PeerFault

TEXT_LIMIT_CHARS: Final = 16_384


def fields_of(text: str, fault: Callable[[str], PeerFault]) -> dict[str, Any]:
    """Return the fields of a text that holds one JSON object.

    Args:
        text: As it was disclosed.
        fault: Makes the fault that says what is wrong, such as «are no JSON».

    Raises:
        PeerFault: it is too long, or no such text.
    """
    if len(text) > TEXT_LIMIT_CHARS:
        raise fault("are too long")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise fault("are no JSON") from None
    if not isinstance(said, dict):
        raise fault("have other fields than ours")
    return said
