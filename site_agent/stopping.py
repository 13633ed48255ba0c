"""A stop that was asked for, and lost on its way.

Up to Python 3.12 a task group that ends by an error of its own swallows a cancellation that
comes with it, and whoever begins again after errors would go on for ever.
"""

from __future__ import annotations

import asyncio


def heed() -> None:
    """Raise CancelledError where this task was asked to stop."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
