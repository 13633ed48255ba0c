"""Operators under test: an agreement of two, and the rule that refuses an act."""

from __future__ import annotations

import pytest

from protos.errors import Refused

TWO_FOR = {"operators.two_for": ["propose", "revoke", "invite"]}
BOTH = ("van-dijk", "rossi")


def refusal(rule):
    return pytest.raises(Refused, check=lambda problem: problem.rule == rule)


async def both_in_force(fed, **changes):
    return await fed.in_force(operators=BOTH, changes={**TWO_FOR, **changes})
