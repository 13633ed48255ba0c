"""How long a task took, as others may see it: rounded up.

The time of a step grows with the patients who were drawn into it, and that of an evaluation
with those held out. What a task made leaves at a whole second since the work began; after a
minute at whole tens of seconds, after ten minutes at whole minutes.
"""

from __future__ import annotations

import math
from typing import Final

_UNITS: Final = ((60, 1), (600, 10))
_LONGER: Final = 60
_TENTHS: Final = 10


def rounded_up_s(elapsed_s: float) -> float:
    """Return the least time that may be seen for work that took so long, in seconds."""
    unit = next((unit for until, unit in _UNITS if elapsed_s <= until), _LONGER)
    return math.ceil(elapsed_s / unit) * unit


def in_tenths(steps: int, planned: int) -> int:
    """Return how many steps may be seen as done: whole tenths of those planned, if known."""
    tenth = -(-planned // _TENTHS)
    return steps // tenth * tenth if tenth else steps
