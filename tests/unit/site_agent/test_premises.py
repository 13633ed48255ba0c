"""One agent in a folder, one bell to it, and a secret that is made once."""

from __future__ import annotations

import asyncio
import os
import socket
import stat

import pytest

from protos.errors import Corrupt, Refused
from site_agent import doorbell
from site_agent.premises import Premises, sole_agent


@pytest.fixture
def premises(tmp_path):
    made = Premises(tmp_path / "state")
    made.prepare()
    return made


def test_everything_is_for_its_owner_alone(premises):
    premises.held_out_secret()
    for path in (premises.state, premises.work, premises.models, premises.copies):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in (premises.database, premises.held_out_secret_path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_secret_is_made_once_and_kept(premises):
    secret = premises.held_out_secret()
    assert len(secret) == 32
    assert premises.held_out_secret() == secret


def test_a_secret_that_is_cut_short_is_not_used(premises):
    premises.held_out_secret()
    premises.held_out_secret_path.write_bytes(b"short")
    with pytest.raises(Corrupt):
        premises.held_out_secret()


def test_a_second_agent_is_refused_and_told_which_process_holds_it(premises):
    second = pytest.raises(Refused, match=f"process {os.getpid()}")
    with sole_agent(premises), second, sole_agent(premises):
        pass
    with sole_agent(premises):
        pass


async def test_the_bell_rings_and_tells_the_status(premises):
    rung = []
    listening = doorbell.listening(
        premises.state, ring=lambda: rung.append(1), status=lambda: {"pid": 7}
    )
    async with listening:
        bell = premises.state / "agent.sock"
        assert stat.S_IMODE(bell.stat().st_mode) == 0o600
        assert await asyncio.to_thread(doorbell.ring, premises.state) == {"pid": 7}
    assert rung == [1]
    assert not bell.exists()


def test_without_an_agent_nobody_answers(premises):
    assert doorbell.ring(premises.state) is None


async def test_a_socket_that_a_crash_left_is_no_agent_and_no_obstacle(premises, monkeypatch):
    with socket.socket(socket.AF_UNIX) as left, monkeypatch.context() as there:
        there.chdir(premises.state)
        left.bind("agent.sock")
    assert doorbell.ring(premises.state) is None
    async with doorbell.listening(premises.state, ring=lambda: None, status=dict):
        assert await asyncio.to_thread(doorbell.ring, premises.state) == {}


async def test_a_path_longer_than_a_socket_may_have_is_no_obstacle(tmp_path):
    deep = Premises(tmp_path / ("x" * 120))
    deep.prepare()
    async with doorbell.listening(deep.state, ring=lambda: None, status=dict):
        assert await asyncio.to_thread(doorbell.ring, deep.state) == {}
