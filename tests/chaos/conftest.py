"""Disturbed federations: the tools of whole programs and of killing are at hand."""

from __future__ import annotations

import sys
from pathlib import Path

_TESTS = Path(__file__).parents[1]
sys.path[:0] = [
    str(_TESTS / place) for place in ("chaos", "e2e", "integration/coordinator", "")
]
