"""How many bytes came up in an attempt is what the hospitals' own statements say."""

from __future__ import annotations

from governance.ledger.upstream import CameUp, said


def test_what_came_up_is_said_in_one_sentence():
    assert said(2, CameUp(5, 8480)) == ["5 updates came up in attempt 2, 8,480 bytes in all."]


def test_where_nothing_came_up_nothing_is_said():
    assert said(1, CameUp(0, 0)) == []
