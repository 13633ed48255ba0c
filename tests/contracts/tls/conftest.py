"""A federation's real certificates and a real server on loopback, to try to get in."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from governance.identity import authority
from governance.identity.certificate import make_csr, make_tls_key, to_pem
from governance.identity.keys import private_pem

PASSPHRASE = b"correct horse"


@dataclass(frozen=True)
class Papers:
    """What one side shows and trusts, all PEM."""

    key: bytes
    chain: bytes
    root: bytes


def make_federation(folder, *, now=None):
    return authority.create(
        folder,
        federation="heart",
        host="localhost",
        passphrase=PASSPHRASE,
        now=now or datetime.now(UTC),
    )


def papers_of(fed, *, name="charite", role="site", now=None):
    """A member's papers, as enrolment gives them."""
    key = make_tls_key()
    issued = fed.issue(make_csr(key), name=name, role=role, now=now or datetime.now(UTC))
    return Papers(private_pem(key, passphrase=None), issued.pem_chain, fed.root_pem)


def coordinator_papers(fed):
    key, chain = fed.coordinator_tls()
    return Papers(key, chain, fed.root_pem)


def made_by_hand(fed, *, uri, hosts=(), uses=()):
    """Papers that the authority itself would never issue, signed with its true key."""
    key, now = make_tls_key(), datetime.now(UTC)
    draft = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(fed.issuing.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier(uri), *(x509.DNSName(h) for h in hosts)]
            ),
            critical=False,
        )
    )
    if uses:
        draft = draft.add_extension(x509.ExtendedKeyUsage(uses), critical=True)
    leaf = draft.sign(fed._private, hashes.SHA256())
    chain = to_pem([leaf, fed.issuing, fed.root])
    return Papers(private_pem(key, passphrase=None), chain, fed.root_pem)


@asynccontextmanager
async def serving(papers, *, client_root=None, services=(), client_auth=True):
    """Serve health (and more) with these papers; yields the port."""
    configuration = grpc.ssl_server_certificate_configuration(
        [(papers.key, papers.chain)], root_certificates=client_root or papers.root
    )
    credentials = grpc.dynamic_ssl_server_credentials(
        configuration, lambda: configuration, require_client_authentication=client_auth
    )
    server = grpc.aio.server()
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    for add in services:
        add(server)
    port = server.add_secure_port("localhost:0", credentials)
    await server.start()
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    try:
        yield port
    finally:
        await server.stop(0)


async def call(port, papers, *, root=None):
    """Ask for health with these papers (None: no certificate); returns the status."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=root or papers.root,
        private_key=papers.key if papers else None,
        certificate_chain=papers.chain if papers else None,
    )
    options = [("grpc.enable_http_proxy", 0)]
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials, options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    return answer.status


@pytest.fixture
def fed(tmp_path):
    return make_federation(tmp_path / "coordinator")


@pytest.fixture
def stranger(tmp_path):
    """Another authority that gives itself the same federation's name."""
    return make_federation(tmp_path / "stranger")


@pytest.fixture
def tls():
    """What the tests here build from: papers, a server, a call."""
    return SimpleNamespace(
        by_hand=made_by_hand,
        call=call,
        coordinator=coordinator_papers,
        federation=make_federation,
        member=papers_of,
        serving=serving,
    )
