"""What one address has beyond its share of a port's places is closed, and nothing else."""

from __future__ import annotations

import contextlib
import socket

import pytest

from coordinator import crowding

SHARE = 4


class Crowd:
    """A listener in this process, and lines to it from addresses of this machine."""

    def __init__(self, held, kind, host):
        self._held = held
        self._door = held.enter_context(socket.socket(kind))
        if kind is socket.AF_INET6:
            self._door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self._door.bind((host, 0))
        self._door.listen(64)
        self.port = self._door.getsockname()[1]

    def lines(self, of, count):
        return [self._line(of) for _ in range(count)]

    def _line(self, of):
        line = socket.create_connection(("127.0.0.1", self.port), source_address=(of, 0))
        self._held.enter_context(line)
        self._held.enter_context(self._door.accept()[0])
        return line

    def thin_out(self, *at_work):
        ports = frozenset(line.getsockname()[1] for line in at_work)
        return crowding.thin_out(frozenset({self.port}), share=SHARE, at_work=ports)


@pytest.fixture(params=["IPv4", "both"])
def crowd(request):
    both = request.param == "both"
    kind, host = (socket.AF_INET6, "::") if both else (socket.AF_INET, "127.0.0.1")
    with contextlib.ExitStack() as held:
        yield Crowd(held, kind, host)


def closed(lines):
    """Return how many lines the other side has closed."""
    count = 0
    for line in lines:
        line.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            count += line.recv(1) == b""
    return count


def test_what_an_address_has_beyond_its_share_is_closed_and_others_stay(crowd):
    many, few = crowd.lines("127.0.0.2", 10), crowd.lines("127.0.0.3", SHARE)
    assert crowd.thin_out() == {"127.0.0.2": 6}
    assert (closed(many), closed(few)) == (6, 0)


def test_lines_on_which_a_call_is_open_stay(crowd):
    many = crowd.lines("127.0.0.2", 10)
    assert crowd.thin_out(*many[:7]) == {"127.0.0.2": 3}
    assert (closed(many[:7]), closed(many[7:])) == (0, 3)


def test_lines_of_other_ports_are_none_of_its_business(crowd):
    with contextlib.ExitStack() as held:
        other = Crowd(held, socket.AF_INET, "127.0.0.1")
        many = other.lines("127.0.0.2", 10)
        assert crowd.thin_out() == {}
        assert closed(many) == 0
