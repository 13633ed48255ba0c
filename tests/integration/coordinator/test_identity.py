"""Who may call what: over real sockets, with real certificates, each that must not get in."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import ssl
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from callers import DENIED, NO_CONNECTION, papers, status_of
from folders import found
from grpc_health.v1 import health_pb2, health_pb2_grpc
from scripted_site import PATIENCE_S, channel_to, refused
from site_line import OPTIONS

from governance.identity.authority import Authority
from governance.identity.keys import SigningKey
from protos.concilium.v1 import (
    audit_pb2,
    audit_pb2_grpc,
    federation_pb2,
    federation_pb2_grpc,
    operator_pb2,
    operator_pb2_grpc,
)
from protos.words import StatementSent


async def test_member_with_its_certificate_is_let_in(fed):
    assert await status_of(papers(fed)) is grpc.StatusCode.OK


async def test_client_without_a_certificate_is_refused(fed):
    identity = fed.folders.identity("amc")
    only_root = grpc.ssl_channel_credentials(root_certificates=identity.root_pem)
    async with grpc.aio.secure_channel(identity.coordinator, only_root, OPTIONS) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)
    assert error.value.code() in NO_CONNECTION


async def test_certificate_of_another_authority_is_refused(fed, tmp_path):
    stranger = found(tmp_path / "stranger")
    authority = Authority.load(stranger.coordinator)
    assert await status_of(papers(fed, authority=authority)) in NO_CONNECTION


async def test_certificate_that_has_expired_is_refused(fed):
    old = papers(fed, now=datetime.now(UTC) - timedelta(days=91))
    assert await status_of(old) in {*NO_CONNECTION, DENIED}


async def test_certificate_that_expires_on_an_open_connection_is_refused(fed):
    nearly = datetime.now(UTC) - timedelta(days=90) + timedelta(seconds=2)
    identity = papers(fed, now=nearly)
    async with channel_to(identity) as channel:
        stub = federation_pb2_grpc.FederationStub(channel)
        asked = federation_pb2.UploadRef(round=1, attempt=1, digest="0" * 64, size=1)
        await stub.UploadStatus(asked, timeout=PATIENCE_S)
        end = identity.peer.not_after
        seen = asyncio.Event()
        asyncio.get_running_loop().call_later(
            max(0.0, (end - datetime.now(UTC)).total_seconds() + 0.01), seen.set
        )
        await seen.wait()
        async with refused("certificate-expired", DENIED):
            await stub.UploadStatus(asked, timeout=PATIENCE_S)


async def test_tls_1_2_is_refused(fed):
    identity = fed.folders.identity("amc")
    (fed.folders.place / "chain.pem").write_bytes(identity.tls_chain_pem)
    (fed.folders.place / "key.pem").write_bytes(identity.tls_key_pem)
    (fed.folders.place / "root.pem").write_bytes(identity.root_pem)

    def shake_hands(version):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = context.maximum_version = version
        context.load_cert_chain(fed.folders.place / "chain.pem", fed.folders.place / "key.pem")
        context.load_verify_locations(fed.folders.place / "root.pem")
        context.set_alpn_protocols(["h2"])
        host, port = identity.coordinator.split(":")
        with (
            socket.create_connection((host, int(port)), timeout=PATIENCE_S) as raw,
            context.wrap_socket(raw, server_hostname=host) as connection,
        ):
            return connection.version()

    assert await asyncio.to_thread(shake_hands, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    with pytest.raises((ssl.SSLError, OSError)):
        await asyncio.to_thread(shake_hands, ssl.TLSVersion.TLSv1_2)


async def test_site_calling_as_an_operator_is_refused(fed):
    async with channel_to(fed.folders.identity("amc")) as channel:
        stub = operator_pb2_grpc.OperatorStub(channel)
        async with refused("role", DENIED):
            await stub.Status(operator_pb2.StatusRequest(), timeout=PATIENCE_S)
        async with refused("role", DENIED):
            await stub.Act(operator_pb2.OperatorAct(), timeout=PATIENCE_S)


@pytest.mark.parametrize("who", ["van-dijk", "edpb"])
async def test_operator_or_auditor_calling_as_a_site_is_refused(fed, who):
    async with channel_to(fed.folders.identity(who)) as channel:
        stub = federation_pb2_grpc.FederationStub(channel)
        async with refused("role", DENIED):
            await stub.Session().read()
        async with refused("role", DENIED):
            await stub.UploadStatus(federation_pb2.UploadRef(), timeout=PATIENCE_S)


async def test_auditor_may_read_the_log_and_nothing_else(fed):
    async with channel_to(fed.folders.identity("edpb")) as channel:
        stub = audit_pb2_grpc.AuditStub(channel)
        asked = audit_pb2.EntriesRequest(since=0, until=1000)
        batches = [b async for b in stub.Entries(asked, timeout=PATIENCE_S)]
        assert sum(len(b.entries) for b in batches) == len(fed.entries())
        async with refused("role", DENIED):
            await operator_pb2_grpc.OperatorStub(channel).Status(operator_pb2.StatusRequest())


async def test_coordinators_own_certificate_is_no_clients(fed):
    key, chain = Authority.load(fed.folders.coordinator).coordinator_tls()
    mine = dataclasses.replace(
        fed.folders.identity("amc"), tls_key_pem=key, tls_chain_pem=chain
    )
    assert await status_of(mine) in {*NO_CONNECTION, DENIED}


async def test_statement_in_another_sites_name_is_refused(fed):
    amc, ucl = await fed.come("amc", "ucl")
    stolen = amc.compose("software-started", {"program": "x", "version": "1", "os": "y"})
    await ucl.send(StatementSent(stolen.envelope))
    receipt = await ucl.next_receipt(stolen)
    assert (receipt.accepted, receipt.rule) == (False, "not-yours")
    lie = {"actor": "site/amc"}
    receipt = await ucl.say("software-started", stolen.body, **lie)
    assert (receipt.accepted, receipt.rule) == (False, "not-yours")
    receipt = await amc.say("software-started", stolen.body)
    assert receipt.accepted


async def test_statement_by_a_key_that_is_not_enrolled_is_refused(fed):
    (amc,) = await fed.come("amc")
    stranger = SigningKey.generate()
    amc.chains[stranger.key_id] = amc.chains[amc.agent.key_id].START
    body = {"program": "x", "version": "1", "os": "y"}
    receipt = await amc.say("software-started", body, key=stranger)
    assert (receipt.accepted, receipt.rule) == (False, "key-not-enrolled")
