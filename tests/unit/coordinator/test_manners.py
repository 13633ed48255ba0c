"""One caller's many calls are refused to it alone, and are said once in a minute."""

from __future__ import annotations

import pytest

from coordinator.manners import CALLS, CALLS_AT_ONCE, SESSIONS, Manners
from governance.pacing import QUIET_S, Hush
from protos.errors import Unavailable

SESSION = "concilium.v1.Federation/Session"
DOWNLOAD = "concilium.v1.Federation/Download"


def made(manners, rpc, *, at_s, caller="site/amc"):
    """Make calls that end at once until one is refused; return how many were taken."""
    for count in range(10_000):
        try:
            manners.begin(caller, rpc, at_s=at_s)
        except Unavailable:
            return count
        manners.end(caller)
    raise AssertionError("every call was taken")


def test_caller_has_so_many_calls_open_and_no_more():
    manners = Manners()
    for _ in range(CALLS_AT_ONCE):
        manners.begin("site/amc", DOWNLOAD, at_s=0)
    with pytest.raises(Unavailable):
        manners.begin("site/amc", DOWNLOAD, at_s=0)
    manners.begin("site/ucl", DOWNLOAD, at_s=0)
    manners.end("site/amc")
    manners.begin("site/amc", DOWNLOAD, at_s=0)


@pytest.mark.parametrize(("rpc", "pace"), [(DOWNLOAD, CALLS), (SESSION, SESSIONS)])
def test_caller_makes_so_many_calls_in_a_time_and_then_again(rpc, pace):
    manners, (rate, burst) = Manners(), pace
    assert made(manners, rpc, at_s=0) == burst
    assert made(manners, rpc, at_s=0, caller="site/ucl") == burst
    assert made(manners, rpc, at_s=10) == min(burst, 10 * rate)


def test_call_that_was_refused_leaves_nothing_open():
    manners = Manners()
    made(manners, SESSION, at_s=0)
    assert not manners._open


def test_the_same_of_the_same_peer_is_said_once_in_a_minute():
    hush = Hush()
    assert hush.says("revoked", "amc", at_s=0) == {}
    assert [hush.says("revoked", "amc", at_s=s) for s in (1, 2)] == [None, None]
    assert hush.says("revoked", "ucl", at_s=2) == {}
    assert hush.says("role", "amc", at_s=2) == {}
    assert hush.says("revoked", "amc", at_s=QUIET_S) == {"unsaid": 2}
