"""The engines that every rule of the log is asked on."""

from __future__ import annotations

import pytest

ENGINES = {"sqlite": (), "postgresql": (pytest.mark.slow,)}
