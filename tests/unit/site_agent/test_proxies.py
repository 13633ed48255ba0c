"""A hospital's proxy: gone through where site.yaml says so, and named where it refuses."""

from __future__ import annotations

import contextlib
import re

import pytest
from connect_proxy import ConnectProxy
from coordinator_line import DATA, Coordinator, serving
from hospital import FEDERATION

from protos.errors import Unavailable
from protos.words import FromSite, Heartbeat, UploadRef
from site_agent.egress import Egress
from site_agent.link import Address, Link, Papers
from site_agent.process import forget_proxies

REF = UploadRef(1, 1, "a" * 64, 5)


@pytest.fixture
async def dialled(today):
    """Dial a served coordinator by a proxy as site.yaml names it."""
    links = []
    identity = today.identity
    papers = Papers(identity.tls_key_pem, identity.tls_chain_pem, identity.root_pem)
    async with serving(today.place / "coordinator" / "keys", Coordinator()) as port:

        def dial(proxy):
            egress = Egress(today.store, FEDERATION, today.clock)
            links.append(Link(Address(f"localhost:{port}", proxy), papers, egress))
            return links[-1]

        yield dial
        for link in links:
            await link.close()


async def test_session_and_transfers_go_through_a_proxy(dialled):
    async with ConnectProxy() as proxy:
        link = dialled(proxy.url)
        async with link.session() as stream:
            await stream.send(FromSite(Heartbeat()))
        assert b"".join([chunk async for chunk in link.download("a" * 64, 0)]) == DATA
        assert (await link.upload_status(REF)).offset == 0
        assert len(proxy.asked) == 1  # one line for all of it
        assert proxy.asked[0].startswith("CONNECT localhost:")
        assert proxy.passed_bytes > len(DATA)


async def test_line_that_a_proxy_cut_is_dialled_again(dialled):
    async with ConnectProxy() as proxy:
        link = dialled(proxy.url)
        await link.upload_status(REF)
        await proxy.cut()
        while len(proxy.asked) < 2:
            with contextlib.suppress(Unavailable):
                await link.upload_status(REF)
        assert (await link.upload_status(REF)).offset == 0


@pytest.mark.parametrize(
    ("status", "rule", "said"),
    [
        ("407 Proxy Authentication Required", "proxy-login", "asks for a login (407)"),
        ("403 Forbidden", "proxy-refused", "does not let through to the coordinator (403)"),
        ("502 Bad Gateway", "proxy-refused", "(502)"),
    ],
)
async def test_proxy_that_refuses_is_named_in_a_sentence(dialled, status, rule, said):
    async with ConnectProxy(status) as proxy:
        link = dialled(proxy.url)
        with pytest.raises(Unavailable, match=re.escape(said)) as unary:
            await link.upload_status(REF)
        with pytest.raises(Unavailable, match=re.escape(said)) as session:
            async with link.session() as stream:
                await stream.send(FromSite(Heartbeat()))
    for refused in (unary.value, session.value):
        assert refused.rule == rule
        assert refused.todo


async def test_environment_s_proxy_does_nothing_unless_it_is_asked_for(dialled, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert (await dialled("none").upload_status(REF)).offset == 0
    with pytest.raises(Unavailable):
        await dialled("env").upload_status(REF)


async def test_exceptions_of_the_environment_do_not_go_around_the_hospital_s_proxy(
    dialled, today, monkeypatch
):
    monkeypatch.setenv("no_proxy", "localhost")
    forget_proxies(today.settings)
    async with ConnectProxy() as proxy:
        await dialled(proxy.url).upload_status(REF)
        assert proxy.asked


async def test_login_of_the_environment_s_proxy_is_sent(dialled, monkeypatch):
    async with ConnectProxy() as proxy:
        with_login = proxy.url.replace("http://", "http://agent:secret@")
        monkeypatch.setenv("https_proxy", with_login)
        await dialled("env").upload_status(REF)
        assert "Proxy-Authorization: Basic YWdlbnQ6c2VjcmV0" in proxy.heads[0]
