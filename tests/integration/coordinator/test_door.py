"""The door for newcomers closes at whatever moment the coordinator is told to stop."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from functools import partial

import grpc
import pytest
from structlog.testing import capture_logs

from coordinator import doors
from coordinator.conductor import Conductor
from coordinator.rehearsal.stage import free_port
from coordinator.service_enrolment import Door
from protos.concilium.v1 import enrolment_pb2, enrolment_pb2_grpc


async def test_closing_door_never_swallows_a_cancellation(fed):
    door = Door(
        Conductor(fed.base),
        f"127.0.0.1:{free_port()}",
        partial(doors.newcomers, fed.base.authority),
    )
    for moments in range(120):
        await door.set_open(True)
        closing = asyncio.create_task(door.set_open(False))
        for _ in range(moments):
            await asyncio.sleep(0)
        if closing.cancel():
            with pytest.raises(asyncio.CancelledError):
                await closing
    await door.set_open(False)


async def test_door_whose_closing_was_cancelled_is_closed_when_asked_again(fed):
    address = f"127.0.0.1:{free_port()}"
    door = Door(Conductor(fed.base), address, partial(doors.newcomers, fed.base.authority))
    await door.set_open(True)
    closing = asyncio.create_task(door.set_open(False))
    await asyncio.sleep(0)
    closing.cancel()
    await door.set_open(False)
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection(*address.split(":"))


async def test_newcomers_see_the_certificate_that_the_coordinator_renewed(fed):
    address = ("127.0.0.1", free_port())
    listen = ":".join(str(part) for part in address)
    door = Door(Conductor(fed.base), listen, partial(doors.newcomers, fed.base.authority))
    await door.set_open(True)
    former = await asyncio.to_thread(ssl.get_server_certificate, address)
    renewed = fed.base.authority.renew_coordinator(datetime.now(UTC) + timedelta(days=61))
    shown = await asyncio.to_thread(ssl.get_server_certificate, address)
    assert shown != former
    assert renewed.pem_chain.decode().startswith(shown.strip())
    await door.set_open(False)


async def test_requests_that_are_refused_again_and_again_are_said_once(fed):
    address = f"127.0.0.1:{free_port()}"
    door = Door(Conductor(fed.base), address, partial(doors.newcomers, fed.base.authority))
    await door.set_open(True)
    root = grpc.ssl_channel_credentials(fed.base.authority.root_pem)
    port = address.partition(":")[2]
    with capture_logs() as said:
        async with grpc.aio.secure_channel(f"localhost:{port}", root) as channel:
            stub = enrolment_pb2_grpc.EnrolmentStub(channel)
            for _ in range(5):
                with pytest.raises(grpc.aio.AioRpcError, match="malformed-message"):
                    await stub.Enrol(enrolment_pb2.EnrolRequest())
    await door.set_open(False)
    assert [line["event"] for line in said].count("enrolment-refused") == 1


async def test_bytes_that_are_no_request_are_refused_in_our_words_and_said_once(fed):
    address = f"127.0.0.1:{free_port()}"
    door = Door(Conductor(fed.base), address, partial(doors.newcomers, fed.base.authority))
    await door.set_open(True)
    root = grpc.ssl_channel_credentials(fed.base.authority.root_pem)
    port = address.partition(":")[2]
    with capture_logs() as said:
        async with grpc.aio.secure_channel(f"localhost:{port}", root) as channel:
            for name in ("Enrol", "Renew"):
                call = channel.unary_unary(f"/concilium.v1.Enrolment/{name}")
                for _ in range(5):
                    with pytest.raises(grpc.aio.AioRpcError, match="malformed-message") as told:
                        await call(b"\xff\xff\xff")
                    assert told.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    await door.set_open(False)
    events = [line["event"] for line in said]
    assert events.count("enrolment-refused") == events.count("renewal-refused") == 1


@pytest.mark.parametrize("turns", range(4))
async def test_a_door_whose_opening_was_cut_short_is_closed_with_it(fed, turns):
    address = f"127.0.0.1:{free_port()}"
    door = Door(Conductor(fed.base), address, partial(doors.newcomers, fed.base.authority))
    opening = asyncio.create_task(door.set_open(True))
    for _ in range(turns):
        await asyncio.sleep(0)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    await door.set_open(False)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address.split(":"))
