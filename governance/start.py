"""Where a program begins and ends: there a Ctrl-C has nothing to tidy up, and says nothing.

Nothing heavy may be imported here: until this module runs, Python itself answers a Ctrl-C.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def start(load: Callable[[], Callable[[], None]]) -> None:
    """Load a program and run it; `load` imports it and returns its main function."""
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard:  # else whoever started it wants Ctrl-C ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    main = load()
    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main()
    finally:
        if heard:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
