"""What stands before both listeners: TLS credentials that follow their files, limits of a line.

gRPC asks for the certificates at each connection. It is given them only when they are others:
a new configuration for each let whoever dropped a thousand connections at once crash it.
"""

from __future__ import annotations

import resource
import threading
from typing import TYPE_CHECKING, Final

from governance.identity.tls import pin_tls13
from protos import codec

pin_tls13()

import grpc  # noqa: E402 - after the cipher list is set

if TYPE_CHECKING:
    from governance.identity.authority import Authority

HANDSHAKE_MS: Final = 10_000
IDLE_MS: Final = 120_000
SENT_BYTES: Final = 4 << 20
"""The largest message that members take."""
_CONNECTIONS: Final = 2048
_STREAMS: Final = 64
_FILES: Final = 16_384
_FILES_SHARE: Final = 4
_SHARES: Final = 4


def options(message_bytes: int) -> list[tuple[str, int]]:
    """Return what every line to this coordinator is held to; a larger message is not read.

    Lines that never finish their handshake, or on which nothing is asked, are closed: they are
    all that somebody without a certificate can open.
    """
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", codec.WINDOW_BYTES),
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.max_receive_message_length", message_bytes),
        ("grpc.max_send_message_length", SENT_BYTES),
        ("grpc.max_concurrent_streams", _STREAMS),
        ("grpc.max_connection_idle_ms", IDLE_MS),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
        ("grpc.max_allowed_incoming_connections", _connections()),
    ]


def allow_files() -> None:
    """Let this process open as many files as the system allows it, up to what it can need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def mutual(authority: Authority) -> grpc.ServerCredentials:
    """Client certificates are required, and checked against the root alone."""
    return _following(authority, authority.root_pem)


def newcomers(authority: Authority) -> grpc.ServerCredentials:
    """Who has no certificate yet sees the coordinator's, and shows none."""
    return _following(authority, None)


def _following(authority: Authority, clients: bytes | None) -> grpc.ServerCredentials:
    """Return credentials of one listener, which follow the coordinator's own certificate."""
    at_work, one_asks = authority.coordinator_tls(), threading.Lock()

    def made() -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([at_work], root_certificates=clients)

    def asked() -> grpc.ServerCertificateConfiguration | None:
        nonlocal at_work
        with one_asks:
            known, at_work = at_work, authority.coordinator_tls()
            return None if at_work == known else made()

    return grpc.dynamic_ssl_server_credentials(
        made(),
        asked,  # type: ignore[arg-type]  # grpc takes None for no change; its stubs do not
        require_client_authentication=clients is not None,
    )


def share_of_one() -> int:
    """Return how many lines of one address a port may have, so that others still get in."""
    return _connections() * (_SHARES - 1) // _SHARES


def _connections() -> int:
    """Return how many lines there may be, so that files are left for the work itself."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _CONNECTIONS
    return min(_CONNECTIONS, soft * (_FILES_SHARE - 1) // _FILES_SHARE)
