"""Who may call what: over real sockets, with real certificates, each that must not get in."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from federations import SITES
from folders import found
from grpc_health.v1 import health_pb2, health_pb2_grpc
from scripted_site import PATIENCE_S, Ended, channel_to, refused, small_step
from site_line import OPTIONS

from coordinator import onward, service
from coordinator.conductor import Conductor
from governance.identity.authority import Authority
from governance.identity.certificate import make_csr, make_tls_key
from governance.identity.keys import SigningKey, private_pem
from protos.concilium.v1 import (
    audit_pb2,
    audit_pb2_grpc,
    federation_pb2,
    federation_pb2_grpc,
    operator_pb2,
    operator_pb2_grpc,
)
from protos.words import CosignatureSent, StatementSent, TaskAnswer, TaskKind

DENIED = grpc.StatusCode.PERMISSION_DENIED
NO_CONNECTION = {grpc.StatusCode.UNAVAILABLE}


def papers(fed, *, authority=None, role="site", name="amc", now=None):
    """Return an identity with a certificate that an authority issues for a new key."""
    mine = fed.folders.identity("amc")
    authority = authority or Authority.load(fed.folders.coordinator)
    key = make_tls_key()
    issued = authority.issue(make_csr(key), name=name, role=role, now=now or datetime.now(UTC))
    return dataclasses.replace(
        mine,
        role=role,
        name=name,
        tls_key_pem=private_pem(key, passphrase=None),
        tls_chain_pem=issued.pem_chain,
    )


async def status_of(identity):
    """Ask for a model; return the status that it ends with."""
    async with channel_to(identity) as channel:
        stub = federation_pb2_grpc.FederationStub(channel)
        asked = federation_pb2.UploadRef(round=1, attempt=1, digest="0" * 64, size=1)
        try:
            await stub.UploadStatus(asked, timeout=PATIENCE_S)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


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


async def test_revoked_certificate_is_refused(fed):
    await fed.revoke("amc")
    async with refused("revoked", DENIED), channel_to(fed.folders.identity("amc")) as channel:
        stub = federation_pb2_grpc.FederationStub(channel)
        await stub.UploadStatus(federation_pb2.UploadRef(), timeout=PATIENCE_S)


async def test_revoked_certificate_is_refused_after_a_restart_too(fed):
    await fed.revoke("amc")
    await fed.restart()
    assert await status_of(papers(fed)) is DENIED


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


def every_rpc(base):
    """Return the path of every RPC that the coordinator registers, health included."""
    _, guard = service.make_server(Conductor(base))
    return guard.guarded


async def test_every_rpc_refuses_a_revoked_certificate(fed, monkeypatch):
    monkeypatch.setattr(service, "_bind", lambda *_: None)
    paths = every_rpc(fed.base)
    services = {path.split("/")[1] for path in paths}
    assert services == {
        "concilium.v1.Federation",
        "concilium.v1.Operator",
        "concilium.v1.Audit",
        "concilium.v1.Enrolment",
        "grpc.health.v1.Health",
    }
    assert len(paths) >= 11
    await fed.revoke("amc")
    async with channel_to(fed.folders.identity("amc")) as channel:
        for path in paths:
            # One message each way is enough: the guard stands before the shape of the call.
            call = channel.stream_stream(path)()
            async with refused("revoked", DENIED):
                await call.write(b"")
                await call.done_writing()
                await call.read()


async def test_revocation_ends_an_open_session_within_a_second(fed):
    await fed.in_force()
    (amc, *_) = (fed.site(name) for name in SITES)
    begun = time.monotonic()
    revoked = fed.aside(fed.revoke("amc"))
    over = await amc.ended()
    assert time.monotonic() - begun < 1
    await revoked
    assert over.rule in {"PERMISSION_DENIED", "revoked"}
    with pytest.raises(Ended) as ended:
        await amc.connect()
    assert ended.value.rule == "PERMISSION_DENIED"


async def test_revocation_does_not_wait_for_a_sum_that_is_being_made(fed, monkeypatch):
    begun, go_on, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()
    truly = onward.aggregate.aggregate

    def slowly(*given, **more):
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(PATIENCE_S)
        return truly(*given, **more)

    monkeypatch.setattr(onward.aggregate, "aggregate", slowly)
    await fed.in_force()
    await fed.all_in()
    await begun.wait()
    started = time.monotonic()
    revoked = fed.aside(fed.revoke("amc"))
    await fed.site("amc").ended()
    assert time.monotonic() - started < 1
    await revoked
    go_on.set()
    await fed.tasks(TaskKind.EVALUATE, sites=("charite", "ucl"))


async def test_revocation_ends_an_open_upload_too(fed):
    await fed.in_force()
    amc = fed.site("amc")
    task = await amc.task()
    await amc.accept(task)
    path, blob = amc.update(small_step(amc, task))
    half = asyncio.Event()
    upload = fed.aside(
        amc.upload(
            task,
            blob,
            path.read_bytes(),
            amc.contribution(task, blob),
            pauses=(half, asyncio.Event()),
        )
    )
    await half.wait()
    await fed.revoke("amc")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await upload
    assert error.value.code() in {DENIED, grpc.StatusCode.UNAVAILABLE}
    await fed.until(lambda: fed.spooled() == [])


async def test_revoked_site_leaves_the_round_and_the_round_goes_on(fed):
    await fed.in_force(changes={"schedule.rounds": 1})
    amc = fed.site("amc")
    task = await amc.task()
    await amc.contribute(task, small_step(amc, task))
    await fed.revoke("amc")
    for name in ("charite", "ucl"):
        fed.site(name).works()
    await fed.until_ended((1, 1, "closed", ""))
    assert fed.entries("round-closed")[0].body["sites_out"] == {"amc": "consent"}
    await fed.until(lambda: fed.spooled() == [])


async def test_revoked_operator_cannot_act(fed):
    await fed.revoke("rossi")
    with pytest.raises(Exception, match="revoked"):
        await fed.status(by="rossi")


async def test_second_session_of_a_site_replaces_the_first(fed):
    (amc,) = await fed.come("amc")
    other = type(amc)(amc.identity, amc.officer)
    await other.connect()
    over = await amc.ended()
    assert over.rule == "session-replaced"
    other.chains = amc.chains
    body = {"program": "x", "version": "1", "os": "y"}
    assert (await other.say("software-started", body)).accepted
    await other.close()


@pytest.mark.parametrize("minutes", [-6, 6])
async def test_clock_that_is_off_by_more_than_five_minutes_gets_a_goodbye(fed, minutes):
    amc = fed.site("amc")
    with pytest.raises(Ended) as ended:
        await amc.connect(clock=datetime.now(UTC) + timedelta(minutes=minutes))
    assert ended.value.rule == "clock-skew"
    assert "clock" in ended.value.said
    await amc.connect(clock=datetime.now(UTC) + timedelta(minutes=minutes / 2))


@pytest.mark.parametrize(
    ("lowest", "highest", "who"), [(2, 9, "the coordinator"), (0, 0, "this site")]
)
async def test_no_common_version_gets_a_goodbye_that_says_who_must_upgrade(
    fed, lowest, highest, who
):
    amc = fed.site("amc")
    with pytest.raises(Ended) as ended:
        await amc.connect(protocol_lowest=lowest, protocol_highest=highest)
    assert ended.value.rule == "protocol-version"
    assert who in ended.value.said
    await amc.connect(protocol_lowest=0, protocol_highest=9)


async def test_session_that_begins_without_a_hello_is_refused(fed):
    amc = fed.site("amc")
    async with amc.calls() as stub:
        call = stub.Session(wait_for_ready=True)
        await call.write(federation_pb2.FromSite(seq=1, task_answer={"task": "a/b"}))
        async with refused("hello-first", grpc.StatusCode.INVALID_ARGUMENT):
            await call.read()


HOSTILE = {
    "no body": federation_pb2.FromSite(),
    "a rule that is none": federation_pb2.FromSite(
        seq=1, task_answer={"task": "a/b", "rule": "\x00" * 200}
    ),
    "an envelope too large": federation_pb2.FromSite(
        seq=1, statement={"envelope": b"x" * 1_000_000}
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_message_that_breaks_a_limit_ends_the_session_and_not_the_coordinator(fed, what):
    (amc,) = await fed.come("amc")
    with contextlib.suppress(grpc.aio.AioRpcError):
        await amc._call.write(HOSTILE[what])
    assert (await amc.ended()).rule == "INVALID_ARGUMENT"
    await amc.connect()


@pytest.mark.parametrize(
    ("kind", "body", "rule"),
    [
        ("evaluation-made", {}, "bad-body"),
        ("evaluation-made", {"round": "x", "attempt": 1, "agreement": 1}, "bad-body"),
        ("task-refused", {"task": []}, "bad-body"),
        ("consent-withdrawn", {"agreement": "none"}, "bad-body"),
        ("made-up", {}, "unknown-kind"),
        ("round-closed", {}, "bad-body"),
        ("contribution-made", {}, "bad-body"),
    ],
)
async def test_statement_of_another_form_gets_a_receipt_that_names_the_rule(
    fed, kind, body, rule
):
    (amc,) = await fed.come("amc")
    receipt = await amc.say(kind, body)
    assert (receipt.accepted, receipt.rule) == (False, rule)
    assert amc.over is None


async def test_envelope_that_is_none_gets_a_receipt(fed):
    (amc,) = await fed.come("amc")
    await amc.send(StatementSent(b"{}"))
    await amc.acknowledged()
    await amc.send(TaskAnswer("a/b", accepted=True))
    await amc.send(CosignatureSent(1, "no line"))
    await amc.acknowledged()
    assert amc.over is None
