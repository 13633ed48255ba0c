"""The door for newcomers: a listener of its own, open only while an invitation is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import grpc
import structlog

from coordinator import doors
from coordinator.service_guard import details, reading
from governance.identity.clock import check_clock
from governance.pacing import Hush
from protos import codec
from protos.concilium.v1 import enrolment_pb2, enrolment_pb2_grpc
from protos.errors import ConciliumError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from coordinator.conductor import Conductor
    from coordinator.service_guard import Handler

_log = structlog.get_logger("enrolment")
_CALLS_AT_ONCE: Final = 16
"""Of everybody who has a token yet: they are few, and none needs more than one."""


class CarriedEnrolmentService(enrolment_pb2_grpc.EnrolmentServicer):
    """Take a newcomer's request from an operator, who has it in a file.

    It stands on the members' listener, where the guard lets operators alone call it. The token,
    the keys and the statement are checked as at the door for newcomers.
    """

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    async def Enrol(
        self, request: enrolment_pb2.EnrolRequest, context: Any
    ) -> enrolment_pb2.Enrolled:
        """Enrol, or refuse with one sentence."""
        asked = codec.enrol_request_in(request)
        return codec.enrolled_out(await self._conductor.enrol(asked))

    async def Renew(
        self, request: enrolment_pb2.RenewalRequest, context: Any
    ) -> enrolment_pb2.Enrolled:
        """Renew, or refuse with one sentence."""
        asked = codec.renewal_request_in(request)
        return codec.enrolled_out(await self._conductor.renew(asked))


class EnrolmentService(CarriedEnrolmentService):
    """Hand a newcomer its certificate for a one-time token and proof of its keys.

    A site whose certificate has ended comes to the same door.
    """

    async def Enrol(
        self, request: enrolment_pb2.EnrolRequest, context: Any
    ) -> enrolment_pb2.Enrolled:
        """Enrol, or refuse with one sentence."""
        check_clock(self._conductor.base.now(), codec.enrol_request_in(request).clock)
        return await super().Enrol(request, context)


_REFUSED: Final = {"Enrol": "enrolment-refused", "Renew": "renewal-refused"}
"""What the log says where a call is refused."""


class Refusing:
    """Register newcomers' calls so that whatever anybody sends is refused in a sentence."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server
        self._hush = Hush()

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Leave out the unwrapped path: registered handlers serve every method."""

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, Handler]
    ) -> None:
        """Wrap and register a service's handlers."""
        self._server.add_registered_method_handlers(
            service, {name: self._wrap(one, _REFUSED[name]) for name, one in handlers.items()}
        )

    def _wrap(self, handler: Handler, event: str) -> Handler:
        made: Any = handler  # grpc's stubs know the synchronous shapes alone
        inner = reading(handler, made.unary_unary)

        async def call(request: bytes, context: Any) -> Any:
            try:
                return await inner(request, context)
            except ConciliumError as problem:
                self._tell(event, problem)
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, details(problem))
                raise

        answer = handler.response_serializer
        return grpc.unary_unary_rpc_method_handler(call, response_serializer=answer)

    def _tell(self, event: str, problem: ConciliumError) -> None:
        now_s = asyncio.get_running_loop().time()
        more = self._hush.says(event, problem.rule, at_s=now_s)
        if more is not None:  # anybody can ask, as often as they like
            _log.warning(event, rule=problem.rule, **more)


def register(conductor: Conductor, guard: Any) -> None:
    """Let operators bring requests that newcomers handed over as files."""
    enrolment_pb2_grpc.add_EnrolmentServicer_to_server(
        CarriedEnrolmentService(conductor), guard
    )


class Door:
    """Open and close the enrolment listener as invitations come and go."""

    def __init__(
        self,
        conductor: Conductor,
        listen: str | None,
        credentials: Callable[[], grpc.ServerCredentials],
    ) -> None:
        self._conductor = conductor
        self._listen = listen
        self._credentials = credentials  # made for each listener: gRPC takes them once
        self._server: grpc.aio.Server | None = None
        self._closing: asyncio.Task[None] | None = None

    async def set_open(self, open_: bool, /) -> None:  # noqa: FBT001 - the one thing it sets
        """Listen, or stop listening; does nothing when enrolment is by file alone.

        A closing that was begun is waited for first, also one whose caller was cancelled.
        """
        await self._closed()
        if self._listen is None or open_ == (self._server is not None):
            return
        if open_:
            await self._open(self._listen)
        elif self._server is not None:
            server, self._server = self._server, None
            self._closing = asyncio.create_task(self._close(server))
            await self._closed()

    async def _closed(self) -> None:
        """Wait for a closing in a task of its own, as grpc's stop may lose a cancellation.

        It waits by `asyncio.wait_for`, which up to Python 3.11 drops one that comes as it ends.
        """
        if self._closing is not None:
            await asyncio.shield(self._closing)
            self._closing = None

    async def _close(self, server: grpc.aio.Server) -> None:
        await server.stop(1.0)
        _log.info("enrolment-closed")

    async def _open(self, listen: str) -> None:
        server = grpc.aio.server(
            options=doors.options(self._conductor.base.settings.limits.message),
            maximum_concurrent_rpcs=_CALLS_AT_ONCE,
        )
        refusing: Any = Refusing(server)
        service = EnrolmentService(self._conductor)
        enrolment_pb2_grpc.add_EnrolmentServicer_to_server(service, refusing)
        try:
            server.add_secure_port(listen, self._credentials())
        except RuntimeError:
            raise Unavailable(
                f"the enrolment port {listen} is taken by another program",
                todo="Free it, or name another under enrolment.listen in coordinator.yaml.",
                rule="port-in-use",
            ) from None
        # Before its start: one that is cut short in it listens, and is to be closed.
        self._server = server
        await server.start()
        _log.info("enrolment-open", listen=listen)
