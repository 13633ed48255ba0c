"""The Unsafe fixed noise seed of an agreement, for each site, task and purpose another one."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from governance.agreement.load import Document
    from protos.words import Task


def noise_seed_of(document: Document, whose: str, task: Task) -> int | None:
    """Return the Unsafe fixed noise seed of a task, or None: the operating system's entropy."""
    privacy = document.agreement.privacy
    if privacy is None or privacy.noise_seed is None:
        return None
    said = f"{privacy.noise_seed}/{whose}/{task.round}/{task.attempt}"
    return int(hashlib.sha256(said.encode()).hexdigest()[:8], 16)
