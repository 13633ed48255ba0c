"""Over a real socket: whom TLS lets in, and whom it does not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from grpc_health.v1 import health_pb2

from governance.identity.certificate import authenticate
from governance.identity.revocation import Revocations
from protos.errors import Refused

SERVING = health_pb2.HealthCheckResponse.SERVING


async def refused(call):
    """The call fails in the handshake: the peer sees UNAVAILABLE."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    return error.value.details()


async def test_a_member_gets_in(fed, tls):
    async with tls.serving(tls.coordinator(fed)) as port:
        for role in ("site", "operator", "auditor"):
            assert await tls.call(port, tls.member(fed, role=role)) == SERVING


async def test_a_client_without_a_certificate_is_refused(fed, tls):
    async with tls.serving(tls.coordinator(fed)) as port:
        await refused(tls.call(port, None, root=fed.root_pem))
        assert await tls.call(port, tls.member(fed)) == SERVING


async def test_a_client_of_another_authority_is_refused(fed, stranger, tls):
    forged = replace(tls.member(stranger), root=fed.root_pem)
    async with tls.serving(tls.coordinator(fed)) as port:
        await refused(tls.call(port, forged))
        assert await tls.call(port, tls.member(fed)) == SERVING


async def test_a_client_with_another_authoritys_chain_around_the_true_root_is_refused(
    fed, stranger, tls
):
    papers = tls.member(stranger)
    forged = replace(papers, chain=papers.chain + fed.root_pem, root=fed.root_pem)
    async with tls.serving(tls.coordinator(fed)) as port:
        await refused(tls.call(port, forged))


async def test_an_expired_client_is_refused(tmp_path, tls):
    now = datetime.now(UTC)
    old = tls.federation(tmp_path, now=now - timedelta(days=200))
    old.renew_coordinator(now)
    async with tls.serving(tls.coordinator(old)) as port:
        ended = tls.member(old, now=now - timedelta(days=90, minutes=1))
        await refused(tls.call(port, ended))
        in_time = tls.member(old, now=now - timedelta(days=89))
        assert await tls.call(port, in_time) == SERVING


async def test_a_client_that_is_not_yet_valid_is_refused(fed, tls):
    async with tls.serving(tls.coordinator(fed)) as port:
        early = tls.member(fed, now=datetime.now(UTC) + timedelta(days=2))
        await refused(tls.call(port, early))


async def test_a_client_without_its_key_is_refused(fed, tls):
    papers = tls.member(fed)
    thief = replace(papers, key=tls.member(fed).key)
    async with tls.serving(tls.coordinator(fed)) as port:
        await refused(tls.call(port, thief))


async def test_the_coordinators_certificate_is_no_clients(fed, tls):
    async with tls.serving(tls.coordinator(fed)) as port:
        await refused(tls.call(port, tls.coordinator(fed)))


async def test_a_member_is_no_authority(fed, tls):
    """A site signs a certificate for another site's name with its own key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    papers, other = tls.member(fed), tls.member(fed, name="oslo")
    own = x509.load_pem_x509_certificates(papers.chain)[0]
    key = serialization.load_pem_private_key(papers.key, None)
    theirs = serialization.load_pem_private_key(other.key, None)
    uri = x509.UniformResourceIdentifier("concilium://heart/site/rome")
    forged = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(own.subject)
        .public_key(theirs.public_key())
        .serial_number(7)
        .not_valid_before(own.not_valid_before_utc)
        .not_valid_after(own.not_valid_after_utc)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain = forged.public_bytes(serialization.Encoding.PEM) + papers.chain
    async with tls.serving(tls.coordinator(fed)) as port:
        await refused(tls.call(port, replace(other, chain=chain)))


# The other way round: who is taken for the coordinator.


async def test_a_sites_certificate_does_not_pass_for_the_coordinators(fed, tls):
    rogue = tls.member(fed, name="oslo")
    async with tls.serving(rogue) as port:
        details = await refused(tls.call(port, tls.member(fed)))
    assert "CERTIFICATE_VERIFY_FAILED" in details


@pytest.mark.parametrize(
    ("hosts", "uses"),
    [
        ((), (ExtendedKeyUsageOID.SERVER_AUTH,)),
        (("localhost",), (ExtendedKeyUsageOID.CLIENT_AUTH,)),
        (("elsewhere.org",), (ExtendedKeyUsageOID.SERVER_AUTH,)),
    ],
    ids=["no host's name", "no server's use", "another host"],
)
async def test_a_server_needs_the_hosts_name_and_a_servers_use(fed, tls, hosts, uses):
    rogue = tls.by_hand(fed, uri="concilium://heart/site/oslo", hosts=hosts, uses=uses)
    async with tls.serving(rogue) as port:
        await refused(tls.call(port, tls.member(fed)))


async def test_another_authoritys_server_is_refused(fed, stranger, tls):
    async with tls.serving(tls.coordinator(stranger), client_root=fed.root_pem) as port:
        details = await refused(tls.call(port, tls.member(fed)))
    assert "CERTIFICATE_VERIFY_FAILED" in details


# TLS 1.3 alone.


def _knock(port, context):
    """Shake hands and wait for the server's first bytes; returns the version."""
    with (
        socket.create_connection(("localhost", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        assert secure.recv(1)
        return secure.version()


@contextlib.contextmanager
def _client(papers, tmp_path, *, highest):
    key, chain = tmp_path / "knock.key", tmp_path / "knock.pem"
    key.write_bytes(papers.key)
    chain.write_bytes(papers.chain)
    context = ssl.create_default_context(cadata=papers.root.decode())
    context.load_cert_chain(chain, key)
    context.set_alpn_protocols(["h2"])
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = highest
    yield context


async def test_tls_1_2_is_refused_and_1_3_is_not(fed, tls, tmp_path):
    papers = tls.member(fed)
    async with tls.serving(tls.coordinator(fed)) as port:
        with _client(papers, tmp_path, highest=ssl.TLSVersion.TLSv1_3) as context:
            assert await asyncio.to_thread(_knock, port, context) == "TLSv1.3"
        with _client(papers, tmp_path, highest=ssl.TLSVersion.TLSv1_2) as context:
            context.set_ciphers("ALL:@SECLEVEL=0")
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await asyncio.to_thread(_knock, port, context)


@pytest.mark.parametrize(
    ("highest", "met"), [(ssl.TLSVersion.TLSv1_2, False), (ssl.TLSVersion.TLSv1_3, True)]
)
async def test_our_clients_shake_hands_at_1_3_and_at_no_lower(fed, tls, tmp_path, highest, met):
    papers, member = tls.coordinator(fed), tls.member(fed)
    key, chain = tmp_path / "old.key", tmp_path / "old.pem"
    key.write_bytes(papers.key)
    chain.write_bytes(papers.chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    context.set_alpn_protocols(["h2"])
    context.maximum_version = highest
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        port = listener.getsockname()[1]
        server = asyncio.create_task(asyncio.to_thread(_shake_once, listener, context))
        await refused(tls.call(port, member))
        assert await server is met


def _shake_once(listener, context):
    """Answer one client; tells whether the handshake came to its end."""
    plain, _ = listener.accept()
    with plain:
        try:
            context.wrap_socket(plain, server_side=True).close()
        except OSError:
            return False
    return True


# Who calls, at every call.


class WhoAmI(grpc.GenericRpcHandler):
    """Answers with the caller's name, as the coordinator's guard learns it."""

    def __init__(self, federation):
        self.federation = federation
        self.revocations = Revocations()
        self.now = datetime.now(UTC)

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(self.answer)

    async def answer(self, request, context):
        pem = context.auth_context()["x509_pem_cert"][0]
        try:
            peer = authenticate(
                pem, federation=self.federation, revocations=self.revocations, now=self.now
            )
        except Refused as problem:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, problem.rule)
        return peer.actor.encode()


@contextlib.asynccontextmanager
async def asking(fed, tls, papers, *, federation="heart"):
    who = WhoAmI(federation)

    def add(server):
        server.add_generic_rpc_handlers((who,))

    async with tls.serving(tls.coordinator(fed), services=[add]) as port:
        credentials = grpc.ssl_channel_credentials(papers.root, papers.key, papers.chain)
        options = [("grpc.enable_http_proxy", 0)]
        target = f"localhost:{port}"
        async with grpc.aio.secure_channel(target, credentials, options) as channel:
            yield who, channel.unary_unary("/who/AmI")


async def denied(call):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
    return error.value.details()


async def test_a_peer_is_who_its_certificate_says_over_the_wire(fed, tls):
    async with asking(fed, tls, tls.member(fed, name="oslo")) as (_, ask):
        assert await ask(b"I am site/charite") == b"site/oslo"


async def test_a_peer_revoked_while_connected_is_refused_at_its_next_call(fed, tls):
    async with asking(fed, tls, tls.member(fed)) as (who, ask):
        assert await ask(b"") == b"site/charite"
        who.revocations = who.revocations.revoke("charite", [], [])
        assert await denied(ask(b"")) == "revoked"


async def test_a_peer_whose_certificate_ends_while_connected_is_refused_at_its_next_call(
    fed, tls
):
    async with asking(fed, tls, tls.member(fed)) as (who, ask):
        assert await ask(b"") == b"site/charite"
        who.now += timedelta(days=91)
        assert await denied(ask(b"")) == "certificate-expired"


async def test_a_peer_of_another_federation_is_refused(fed, tls):
    async with asking(fed, tls, tls.member(fed), federation="lung") as (_, ask):
        assert await denied(ask(b"")) == "wrong-federation"
