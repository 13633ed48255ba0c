"""Every RPC passes here: who is the peer, may it ask this, and what does an error become.

The guard stands in for the server while services are registered and wraps each handler, so that
none can be forgotten: an interceptor would not see the certificate.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import grpc
import structlog

from protos.errors import GRPC_STATUS, ConciliumError, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from governance.identity.certificate import Peer

_log = structlog.get_logger("service")
_peer: ContextVar[Peer] = ContextVar("peer")
_CALLS_AT_ONCE: Final = 32

ROLES: Final[Mapping[str, frozenset[str]]] = {
    "concilium.v1.Federation": frozenset({"site"}),
    "concilium.v1.Operator": frozenset({"operator"}),
    "concilium.v1.Enrolment": frozenset({"operator"}),  # who brings a newcomer's file
    "concilium.v1.Audit": frozenset({"auditor", "operator", "site"}),
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

    async def end_calls_of(self, name: str) -> None:
        """End every open call of a peer that is revoked; it sees PERMISSION_DENIED at once."""
        denied = grpc.StatusCode.PERMISSION_DENIED
        for context, peer in list(self._open.items()):
            if peer.name == name:
                with contextlib.suppress(grpc.aio.AbortError, grpc.aio.UsageError):
                    await context.abort(denied, f"revoked: {name} is revoked")

    def _wrap(self, handler: Handler, roles: frozenset[str], name: str) -> Handler:
        make, inner = _shape(handler)
        guarded = self._guarded(inner, roles, name)
        return make(
            guarded,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _guarded(
        self, inner: Callable[..., Awaitable[Any]], roles: frozenset[str], name: str
    ) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: Any) -> Any:
            try:
                peer = self._admit(context, roles, name)
            except Refused as problem:
                _log.warning("call-refused", rpc=name, rule=problem.rule)
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, details(problem))
                raise
            _peer.set(peer)
            self._open[context] = peer
            try:
                self._check_few(peer)
                return await inner(request, context)
            except ConciliumError as problem:
                _log.info("call-failed", rpc=name, peer=peer.name, rule=problem.rule)
                status = grpc.StatusCode[GRPC_STATUS[type(problem)]]
                await context.abort(status, details(problem))
            finally:
                del self._open[context]

        return call

    def _check_few(self, peer: Peer) -> None:
        """Stops one peer from filling the memory with streams that it never reads."""
        mine = sum(other.actor == peer.actor for other in self._open.values())
        if mine > _CALLS_AT_ONCE:
            raise Unavailable(
                f"{peer.actor} has {_CALLS_AT_ONCE} calls open", rule="too-many-calls"
            )

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
