"""What dials out to a coordinator for an auditor or a newcomer: the one network in governance.

A newcomer knows nothing of the coordinator but the fingerprint of its root. So it first looks
at the certificates that are shown, sends nothing, and goes on only when they lead to that root.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar

from governance.identity.tls import pin_tls13

pin_tls13()

import grpc  # noqa: E402 - after the TLS setting
from cryptography import x509  # noqa: E402

from governance.identity import names  # noqa: E402
from governance.identity.certificate import check_chain, to_pem  # noqa: E402
from governance.places import Place  # noqa: E402
from protos import codec  # noqa: E402
from protos.concilium.v1 import audit_pb2, audit_pb2_grpc, enrolment_pb2_grpc  # noqa: E402
from protos.errors import (  # noqa: E402
    GRPC_STATUS,
    ConciliumError,
    PeerFault,
    Refused,
    Unavailable,
)
from protos.words import ConsistencyRequest, EntriesRequest  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from datetime import datetime

    from governance.identity.enrolment import Token
    from governance.identity.folder import Identity
    from protos.concilium.v1 import enrolment_pb2
    from protos.words import (
        CertificateRequest,
        Enrolled,
        EnrolRequest,
        EntryRecord,
        RenewalRequest,
    )

T = TypeVar("T")
DEADLINE_S: Final = 30.0
_DETAILS_LIMIT: Final = 2000
_DETAILS: Final = re.compile(
    r"(?s)(?P<rule>[a-z0-9-]{1,64}): (?P<what>[^\n]*)(\n(?P<todo>.*))?"
)
_OPTIONS: Final = (("grpc.enable_http_proxy", 0),)
_CHAIN: Final = 3
CALL_FAILED: Final = "call-failed"
"""The rule of a call that failed and whose answer names none."""
_ERRORS: Final[Mapping[str, type[ConciliumError]]] = {
    **{status: kind for kind, status in GRPC_STATUS.items()},
    "PERMISSION_DENIED": Refused,
    "UNAUTHENTICATED": Refused,
    "DEADLINE_EXCEEDED": Unavailable,
}


async def enrol(
    token: Token, request: EnrolRequest, *, leaving: Callable[[], None] = lambda: None
) -> Enrolled:
    """Send a newcomer's request to the coordinator that its token names.

    Args:
        token: The invitation.
        request: What enrols the newcomer.
        leaving: Called once the coordinator's root is proven, before a byte of the request
            leaves.

    Raises:
        Refused: somebody else answers there (nothing was sent), the coordinator says no, or it
            runs and its door for newcomers is shut.
        PeerFault: what answers does not speak the protocol.
        Unavailable: nobody answers.
    """
    message = codec.enrol_request_out(request)
    return await _asked(
        token,
        lambda door: door.Enrol(message, timeout=DEADLINE_S),
        now=request.clock,
        leaving=leaving,
    )


async def renew(
    token: Token, request: RenewalRequest, *, leaving: Callable[[], None] = lambda: None
) -> Enrolled:
    """Send the request of a site whose certificate has ended; all else is as with `enrol`."""
    message = codec.renewal_request_out(request)
    return await _asked(
        token,
        lambda door: door.Renew(message, timeout=DEADLINE_S),
        now=request.clock,
        leaving=leaving,
    )


async def _asked(
    token: Token,
    ask: Callable[[Any], Awaitable[enrolment_pb2.Enrolled]],
    *,
    now: datetime,
    leaving: Callable[[], None],
) -> Enrolled:
    try:
        root = await pinned_root(token, token.enrolment, now=now)
    except Unavailable as nobody:
        raise await _why(nobody, token, now=now) from None
    leaving()
    credentials = grpc.ssl_channel_credentials(root_certificates=root)
    async with grpc.aio.secure_channel(token.enrolment, credentials, _OPTIONS) as channel:
        try:
            answer = await ask(enrolment_pb2_grpc.EnrolmentStub(channel))
        except grpc.aio.AioRpcError as error:
            raise error_of(error, where=token.enrolment) from None
    return codec.enrolled_in(answer)


async def pinned_root(token: Token, endpoint: str, *, now: datetime) -> bytes:
    """Return the root (PEM) behind the coordinator that a token names, once it is proven.

    The connection looks and says nothing; it is closed before anything of ours is sent.
    """
    shown = await _shown_chain(endpoint)
    if len(shown) != _CHAIN:
        raise PeerFault(
            "what answers shows no coordinator's certificates",
            where=endpoint,
            rule="bad-chain",
        )
    peer = check_chain(shown, root=token.root, now=now)
    if (peer.federation, peer.role) != (token.federation, names.COORDINATOR):
        raise Refused(
            f"{peer.actor} of {peer.federation} answers, and not the coordinator of "
            f"{token.federation}",
            where=endpoint,
            rule="wrong-name",
        )
    return to_pem([shown[-1]])


async def _why(nobody: Unavailable, token: Token, *, now: datetime) -> ConciliumError:
    """Tell a coordinator that is away from one whose door for newcomers is shut.

    The members' listener shows the same certificates to whoever connects.
    """
    try:
        await pinned_root(token, token.coordinator, now=now)
    except ConciliumError:
        return nobody
    return Refused(
        "the coordinator runs, but takes no newcomer now: this token was used, or its time is "
        "over",
        where=token.enrolment,
        todo="Ask the operator for a new one; if that fails too, a firewall may shut the port.",
        rule="door-shut",
    )


class LogLine:
    """A line to the Audit service in an enrolled name; use it in a with block.

    Its certificate says who asks; the root of the enrolment says whom it asks.
    """

    def __init__(self, identity: Identity, server: str) -> None:
        self._server = server
        credentials = grpc.ssl_channel_credentials(
            root_certificates=identity.root_pem,
            private_key=identity.tls_key_pem,
            certificate_chain=identity.tls_chain_pem,
        )
        self._channel = grpc.secure_channel(server, credentials, _OPTIONS)
        self._stub = audit_pb2_grpc.AuditStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def checkpoint(self) -> str:
        """Return the log's latest checkpoint with its cosignatures, a signed note."""
        asked = audit_pb2.CheckpointRequest()
        return codec.note_in(
            self._call(lambda: self._stub.Checkpoint(asked, timeout=DEADLINE_S))
        )

    def consistency(self, old_size: int, new_size: int) -> tuple[bytes, ...]:
        """Return the proof that the log of one size extends that of another."""
        asked = codec.consistency_request_out(ConsistencyRequest(old_size, new_size))
        return codec.proof_in(
            self._call(lambda: self._stub.Consistency(asked, timeout=DEADLINE_S))
        )

    def renew(self, request: CertificateRequest) -> bytes:
        """Return the next certificate of who asks, PEM, leaf first."""
        asked = codec.certificate_request_out(request)
        renewal = audit_pb2_grpc.RenewalStub(self._channel)
        answer = self._call(lambda: renewal.Renew(asked, timeout=DEADLINE_S))
        return codec.certificate_issued_in(answer).chain

    def entries(self, since: int, until: int) -> Iterator[EntryRecord]:
        """Give the entries with since <= seq < until, and what this name may see of them."""
        wanted = EntriesRequest(since, until, disclosed=True)
        batches = iter(self._stub.Entries(codec.entries_request_out(wanted)))
        while (batch := self._call(lambda: next(batches, None))) is not None:
            yield from codec.entry_batch_in(batch)

    def _call(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except grpc.RpcError as error:
            raise _for_reader(error, where=self._server) from None


def _for_reader(error: Any, *, where: str) -> ConciliumError:  # noqa: ANN401 - RpcError says less
    problem = error_of(error, where=where)
    if isinstance(problem, Unavailable) and problem.rule == CALL_FAILED:
        return Unavailable(
            f"the coordinator cannot be reached ({error.code().name.lower()})",
            where=where,
            todo="Is it the address that members dial, and may this machine dial out to it?",
            rule="unreachable",
        )
    return problem


class _Failed(Protocol):
    """A call that failed, of either kind that gRPC has."""

    def code(self) -> grpc.StatusCode: ...

    def details(self) -> str | None: ...


def error_of(error: _Failed, *, where: str) -> ConciliumError:
    """Return which of our errors a failed call means.

    A peer names rule, sentence and remedy in the details: `rule: what`, a new line, `todo`.
    """
    kind = _ERRORS.get(error.code().name)
    if kind is None:
        return PeerFault(f"the call failed: {error.code().name}", where=where, rule=CALL_FAILED)
    told = (error.details() or error.code().name)[:_DETAILS_LIMIT]
    named = _DETAILS.fullmatch(told)
    if named is None:
        return kind(told, where=where, rule=CALL_FAILED)
    return kind(named["what"], where=where, todo=named["todo"] or "", rule=named["rule"])


async def _shown_chain(endpoint: str) -> list[x509.Certificate]:
    place = Place.of(endpoint)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(DEADLINE_S):
            _, writer = await asyncio.open_connection(
                place.host, place.port, ssl=context, server_hostname=place.host
            )
    except (OSError, TimeoutError) as problem:
        raise Unavailable(
            f"nobody answers there as a coordinator does: {problem}",
            where=endpoint,
            todo="Is the invitation still open, and may this machine dial out to that port?",
            rule="unreachable",
        ) from None
    try:
        return presented(writer.get_extra_info("ssl_object"))
    finally:
        writer.transport.abort()


def presented(connection: Any) -> list[x509.Certificate]:  # noqa: ANN401 - ssl's own, untyped
    """Return the certificates as shown, leaf first.

    Python has the method in public from 3.13 on, and before in the object below.
    """
    public = getattr(connection, "get_unverified_chain", None)
    if public is not None:
        return [x509.load_der_x509_certificate(der) for der in public()]
    import _ssl

    inner = connection._sslobj  # noqa: SLF001 - see above
    return [
        x509.load_der_x509_certificate(certificate.public_bytes(_ssl.ENCODING_DER))
        for certificate in inner.get_unverified_chain()
    ]
