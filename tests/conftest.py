"""What all tests share: examples are judged by what they show, never by the clock."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("concilium", deadline=None)
settings.load_profile("concilium")
