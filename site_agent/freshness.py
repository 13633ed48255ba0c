"""Whether the running agent goes by the file as it is: it reads site.yaml when it starts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from governance.settings import SiteSettings


def digest_of(settings: SiteSettings) -> str:
    """Return a digest of what a hospital's file says, whatever its comments and spaces."""
    return hashlib.sha256(repr(settings).encode()).hexdigest()


def warnings(live: Mapping[str, Any] | None, settings: SiteSettings) -> list[str]:
    """Return the sentence for an administrator whose agent goes by an older file, or none.

    Args:
        live: What the running agent says of itself; None when none runs.
        settings: The file as it is now.
    """
    if live is None or live.get("settings") in {None, digest_of(settings)}:
        return []
    return [
        "site.yaml has changed since the agent started: restart it, else that has no effect"
    ]
