"""Who is revoked is out at once: at every door, in an open session, upload and round."""

from __future__ import annotations

import asyncio
import threading

import grpc
import pytest
from callers import DENIED, papers, status_of
from federations import SITES
from scripted_site import PATIENCE_S, Ended, channel_to, refused, small_step
from uploading import halfway

from coordinator import adding, service
from coordinator.conductor import Conductor
from coordinator.foundation import HEARTBEAT_S
from protos.concilium.v1 import federation_pb2, federation_pb2_grpc
from protos.words import TaskKind


async def test_revoked_certificate_is_refused(fed):
    await fed.revoke("amc")
    async with refused("revoked", DENIED), channel_to(fed.folders.identity("amc")) as channel:
        stub = federation_pb2_grpc.FederationStub(channel)
        await stub.UploadStatus(federation_pb2.UploadRef(), timeout=PATIENCE_S)


async def test_revoked_certificate_is_refused_after_a_restart_too(fed):
    await fed.revoke("amc")
    await fed.restart()
    assert await status_of(papers(fed)) is DENIED


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
        "concilium.v1.Renewal",
        "concilium.v1.Enrolment",
        "grpc.health.v1.Health",
    }
    assert len(paths) >= 11
    await fed.revoke("amc")
    async with channel_to(fed.folders.identity("amc")) as channel:
        for path in paths:
            # One message each way is enough: the guard stands before the shape of the call.
            async with refused("revoked", DENIED):
                await channel.unary_stream(path)(b"").read()


async def test_revocation_ends_an_open_session_at_once(fed):
    await fed.in_force()
    (amc, *_) = (fed.site(name) for name in SITES)
    revoked = fed.aside(fed.revoke("amc"))
    async with asyncio.timeout(HEARTBEAT_S):  # not by a beat that fails
        await amc.ended_by("PERMISSION_DENIED", "revoked")
    await revoked
    with pytest.raises(Ended) as ended:
        await amc.connect()
    assert ended.value.rule == "PERMISSION_DENIED"


async def test_revocation_does_not_wait_for_a_sum_that_is_being_made(fed, monkeypatch):
    begun, go_on, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()
    truly = adding.aggregate.aggregate

    def slowly(*given, **more):
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(PATIENCE_S)
        return truly(*given, **more)

    monkeypatch.setattr(adding.aggregate, "aggregate", slowly)
    await fed.in_force()
    await fed.all_in()
    await begun.wait()
    revoked = fed.aside(fed.revoke("amc"))
    async with asyncio.timeout(HEARTBEAT_S):  # not by a beat that fails
        await fed.site("amc").ended()
    await revoked
    go_on.set()
    await fed.tasks(TaskKind.EVALUATE, sites=("charite", "ucl"))


async def test_revocation_ends_an_open_upload_too(fed):
    await fed.in_force()
    amc = fed.site("amc")
    upload = (await halfway(fed, amc)).upload
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
