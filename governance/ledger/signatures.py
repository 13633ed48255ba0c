"""Which entries' signatures a verification checks; light, so that `--help` answers at once."""

from __future__ import annotations

import enum


class Signatures(enum.StrEnum):
    """All of them, those of hospitals alone, or none."""

    ALL = "all"
    SITE = "site"
    NONE = "none"
