"""A whole agent behind a hospital's proxy."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from programs import SITE, Running
from standing import edited

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "site_agent"))

from connect_proxy import ConnectProxy

DEAD = "http://127.0.0.1:9"


@contextmanager
def proxied(status="200 OK"):
    """Run a proxy in a thread of its own."""
    ready, over = threading.Event(), asyncio.Event()
    proxy = ConnectProxy(status)

    async def serve():
        proxy.loop = asyncio.get_running_loop()
        async with proxy:
            ready.set()
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(60)
    try:
        yield proxy
    finally:
        proxy.loop.call_soon_threadsafe(over.set)
        thread.join()


def agent(fed, name, proxy):
    """Start an agent whose file names a proxy, and whose environment names one that is dead."""
    edited(fed.site_file(name), lambda said: said["federations"][0].update(proxy=proxy))
    environment = {**os.environ, "https_proxy": DEAD, "no_proxy": "localhost"}
    argv = (SITE, "run", "--site", fed.site_file(name))
    fed.running[name] = Running(*argv, env=environment)
    return fed.running[name]


def test_agents_reach_their_coordinator_by_the_proxy_of_their_own_file(fed):
    fed.serve()
    with proxied() as proxy, proxied("407 Proxy Authentication Required") as strict:
        agent(fed, "eastfield", proxy.url).until("session-open")
        agent(fed, "hillcrest", "none").until("session-open")
        told = agent(fed, "lakeside", strict.url).until("session-lost")
        assert proxy.asked
        assert "asks for a login (407)" in told
        status = fed.site("lakeside", "status")
        assert "asks for a login (407)" in status.out
        fed.end()


@pytest.mark.long
def test_round_is_held_though_a_proxy_swallows_all_that_a_line_carries(fed):
    fed.serve()
    with proxied() as proxy:
        behind = agent(fed, "eastfield", proxy.url)
        behind.until("session-open")
        fed.run("hillcrest", "lakeside")
        proxy.loop.call_soon_threadsafe(proxy.swallow)
        for name in ("hillcrest", "lakeside", "eastfield"):
            assert fed.consent(name).code == 0
        behind.until("session-lost")
        behind.until("session-open")
        fed.until(lambda: fed.closed() == 2, why="for two rounds")
        assert len(fed.entries("contribution-made")) == 6
        fed.end()
    fed.verified()
