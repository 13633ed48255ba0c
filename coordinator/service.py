"""The gRPC edge: one listener for members, another for newcomers, and a clean end."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

from governance.identity.tls import pin_tls13

pin_tls13()
os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what it has to say, we say in a sentence

import grpc  # noqa: E402 - after the cipher list is set
import structlog  # noqa: E402
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # noqa: E402

from coordinator import (  # noqa: E402
    crowding,
    doors,
    metrics,
    noticing,
    service_desk,
    service_enrolment,
    service_federation,
    starting,
)
from coordinator.conductor import Conductor  # noqa: E402
from coordinator.foundation import Foundation  # noqa: E402
from coordinator.service_enrolment import Door  # noqa: E402
from coordinator.service_guard import Guard  # noqa: E402
from governance.exposition import exposed  # noqa: E402
from governance.places import Place  # noqa: E402
from protos.errors import Unavailable  # noqa: E402
from protos.words import Goodbye  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

_log = structlog.get_logger("service")


def serve(folder: Path) -> None:
    """Serve a coordinator's folder until SIGINT or SIGTERM."""
    at_work: dict[str, int] = {}
    starting.log_to_stderr(at_work)
    doors.allow_files()
    base = Foundation.open(folder)
    base.at_work = at_work
    if base.migrated is not None:
        _log.info("migrated", what=base.migrated.sentence)
    asyncio.run(_serve_until_signalled(base))


async def _serve_until_signalled(base: Foundation) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, stop.set)
    await serve_until(base, stop)


async def serve_until(base: Foundation, stop: asyncio.Event) -> None:
    """Serve until `stop` is set, then say goodbye to everybody and close what is open.

    Raises:
        Unavailable: a port is taken.
    """
    try:
        await _serve(base, stop)
    finally:
        await base.close()


async def _serve(base: Foundation, stop: asyncio.Event) -> None:
    conductor = Conductor(base)
    server, guard = make_server(conductor)
    await base.store.write(lambda c: starting.name_authority(base, c))
    await base.store.write(lambda c: starting.say_started(base, c))
    door = Door(conductor, _enrolment(base), partial(doors.newcomers, base.authority))
    conductor.on_revoked = guard.end_calls_of
    conductor.on_invitation = door.set_open
    async with exposed(_metrics(base), partial(metrics.figures, base)):
        await _work(conductor, server, door, stop, _kept(base, guard))


async def _work(
    conductor: Conductor,
    server: grpc.aio.Server,
    door: Door,
    stop: asyncio.Event,
    keeping: Coroutine[Any, Any, None],
) -> None:
    base = conductor.base
    await server.start()
    _log.info("serving", federation=base.federation, listen=base.settings.listen)
    work = asyncio.create_task(conductor.run())
    stopping = asyncio.create_task(stop.wait())
    beside = [asyncio.create_task(one) for one in (noticing.notice(base), keeping)]
    await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
    _log.info("stopping")
    base.sessions.end_all(Goodbye("draining", "the coordinator stops; it will be back"))
    work.cancel()  # first, since it opens the door
    results = await asyncio.gather(work, return_exceptions=True)
    await door.set_open(False)
    await server.stop(0.5)
    for task in (stopping, *beside):
        task.cancel()
    await asyncio.gather(stopping, *beside, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


def make_server(conductor: Conductor) -> tuple[grpc.aio.Server, Guard]:
    """Return the members' server, bound but not started, with every handler guarded.

    Raises:
        Unavailable: the port is taken.
    """
    base = conductor.base
    server = grpc.aio.server(options=doors.options(base.settings.limits.message))
    guard = Guard(server, base.identify)
    service_federation.register(conductor, guard)
    service_desk.register(conductor, guard)
    service_enrolment.register(conductor, guard)
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, guard)
    healthy._server_status[""] = health_pb2.HealthCheckResponse.SERVING  # noqa: SLF001
    _bind(server, base.settings.listen, doors.mutual(base.authority))
    return server, guard


def _bind(server: grpc.aio.Server, listen: str, credentials: grpc.ServerCredentials) -> None:
    try:
        server.add_secure_port(listen, credentials)
    except RuntimeError:
        raise Unavailable(
            f"the port {listen} is taken by another program",
            todo="Free it, or name another under `listen` in coordinator.yaml.",
            rule="port-in-use",
        ) from None


def _kept(base: Foundation, guard: Guard) -> Coroutine[Any, Any, None]:
    """Return what keeps one address from taking all places of the two listeners."""
    listens = [base.settings.listen, *filter(None, [_enrolment(base)])]
    ports = frozenset(Place.of(listen).port for listen in listens)
    return crowding.keep_places(ports, share=doors.share_of_one(), at_work=guard.remote_ports)


def _metrics(base: Foundation) -> str | None:
    return base.settings.metrics.listen if base.settings.metrics else None


def _enrolment(base: Foundation) -> str | None:
    return base.settings.enrolment.listen if base.settings.enrolment else None
