"""Every RPC passes here: who is the peer, may it ask this, and what does an error become.

The guard stands in for the server while services are registered and wraps each handler, so that
none can be forgotten: an interceptor would not see the certificate. Bytes become messages here
too, after the peer is known, so that what is none is the peer's fault and not ours.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import grpc
import structlog
from google.protobuf.message import DecodeError

from coordinator.manners import Manners
from governance.pacing import Hush
from protos.errors import GRPC_STATUS, ConciliumError, PeerFault, Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from governance.identity.certificate import Peer

_log = structlog.get_logger("service")
_peer: ContextVar[Peer] = ContextVar("peer")

ROLES: Final[Mapping[str, frozenset[str]]] = {
    "concilium.v1.Federation": frozenset({"site"}),
    "concilium.v1.Operator": frozenset({"operator"}),
    "concilium.v1.Enrolment": frozenset({"operator"}),  # who brings a newcomer's file
    "concilium.v1.Audit": frozenset({"auditor", "operator", "site"}),
    "concilium.v1.Renewal": frozenset({"auditor", "operator"}),
    "grpc.health.v1.Health": frozenset({"auditor", "operator", "site"}),
}
"""Which certificates may call which service."""


def caller() -> Peer:
    """Return who makes this call, from its certificate alone."""
    return _peer.get()


Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Guard:
    """Register services on a server with every handler wrapped.

    Args:
        server: The grpc.aio server, not yet started.
        identify: From a PEM certificate to the peer, or raise Refused (revoked, expired, other
            federation); asked anew at every RPC.
    """

    def __init__(self, server: grpc.aio.Server, identify: Callable[[bytes], Peer]) -> None:
        self._server = server
        self._identify = identify
        self.guarded: list[str] = []
        self._open: dict[Any, Peer] = {}
        self._manners = Manners()
        self._hush = Hush()

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Leave out the unwrapped path: registered handlers serve every method."""

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, Handler]
    ) -> None:
        """Wrap and register a service's handlers."""
        roles = ROLES[service]
        wrapped = {
            name: self._wrap(handler, roles, f"{service}/{name}")
            for name, handler in handlers.items()
        }
        self._server.add_registered_method_handlers(service, wrapped)
        self.guarded.extend(f"/{service}/{name}" for name in handlers)

    def remote_ports(self) -> frozenset[int]:
        """Return the callers' ports of the lines on which a call is open."""
        found = (context.peer().rpartition(":")[2] for context in self._open)
        return frozenset(int(port) for port in found if port.isdecimal())

    async def end_calls_of(self, name: str) -> None:
        """End every open call of a peer that is revoked; it sees PERMISSION_DENIED at once."""
        denied = grpc.StatusCode.PERMISSION_DENIED
        for context, peer in list(self._open.items()):
            if peer.name == name:
                with contextlib.suppress(grpc.aio.AbortError, grpc.aio.UsageError):
                    await context.abort(denied, f"revoked: {name} is revoked")

    def _wrap(self, handler: Handler, roles: frozenset[str], name: str) -> Handler:
        make, inner = _shape(handler)
        guarded = self._guarded(reading(handler, inner), roles, name)
        return make(
            guarded,
            request_deserializer=None,
            response_serializer=handler.response_serializer,
        )

    def _guarded(
        self, inner: Callable[..., Awaitable[Any]], roles: frozenset[str], name: str
    ) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: Any) -> Any:
            try:
                peer = self._admit(context, roles, name)
            except Refused as problem:
                self._tell(_log.warning, "call-refused", problem, rpc=name)
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, details(problem))
                raise
            _peer.set(peer)
            try:
                self._manners.begin(peer.actor, name, at_s=_clock_s())
                self._open[context] = peer
                try:
                    return await inner(request, context)
                finally:
                    del self._open[context]
                    self._manners.end(peer.actor)
            except ConciliumError as problem:
                self._tell(_log.info, "call-failed", problem, rpc=name, peer=peer.name)
                status = grpc.StatusCode[GRPC_STATUS[type(problem)]]
                await context.abort(status, details(problem))

        return call

    def _tell(
        self, log: Callable[..., Any], event: str, problem: ConciliumError, **where: str
    ) -> None:
        """Log that a call ended in an error; the same of the same peer once in a minute."""
        of = where.get("peer", "")
        more = self._hush.says(f"{where['rpc']} {problem.rule}", of, at_s=_clock_s())
        if more is not None:
            log(event, **where, rule=problem.rule, **more)

    def _admit(self, context: Any, roles: frozenset[str], name: str) -> Peer:
        certificates = context.auth_context().get("x509_pem_cert", [])
        # 1. A certificate was shown. Stops an anonymous client.
        if not certificates:
            raise Refused("no client certificate was shown", rule="no-certificate")
        # 2. It is of this federation, in date and not revoked. Stops an old or foreign key.
        peer = self._identify(certificates[0])
        # 3. Its role may ask this. Stops a site from acting as an operator.
        if peer.role not in roles:
            raise Refused(f"a {peer.role} may not call {name}", rule="role")
        return peer


def _clock_s() -> float:
    return asyncio.get_running_loop().time()


def reading(
    handler: Handler, inner: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    """Return a handler that takes bytes, and raises PeerFault for what is no message."""
    read = handler.request_deserializer

    def message(raw: bytes) -> Any:
        try:
            return read(raw) if read is not None else raw
        except DecodeError:
            raise PeerFault("what came is no message", rule="malformed-message") from None

    async def messages(parts: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for raw in parts:
            yield message(raw)

    async def call(request: Any, context: Any) -> Any:
        taken = messages(request) if handler.request_streaming else message(request)
        return await inner(taken, context)

    return call


def _shape(
    handler: Handler,
) -> tuple[Callable[..., Handler], Callable[..., Awaitable[Any]]]:
    """Return how to make a handler of the same shape, and what it calls."""
    made: Any = handler  # grpc's stubs know the synchronous shapes alone
    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler, made.stream_stream
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler, made.stream_unary
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler, made.unary_stream
    return grpc.unary_unary_rpc_method_handler, made.unary_unary


def details(problem: ConciliumError) -> str:
    """Return an error as it crosses the wire: rule, sentence, and what to do."""
    todo = f"\n{problem.todo}" if problem.todo else ""
    return f"{problem.rule or 'refused'}: {problem.what}{todo}"
