"""A connection as the agent makes it, one step at a time: proxy, name, port, TLS.

Nothing of this hospital is sent: the certificates that answer are read, and the line is closed.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from governance.places import Place
from protos.errors import Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography import x509

PATIENCE_S: Final = 10.0
PROXY_VARIABLES: Final = ("grpc_proxy", "https_proxy", "http_proxy")
"""What gRPC reads, in this order; it does not read them in capitals."""
_NOT_FOR: Final = ("no_grpc_proxy", "no_proxy")
_HEAD_LIMIT: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Route:
    """Through which proxy a place is dialled, and where that was said; None for directly."""

    proxy: Place | None
    said_in: str = ""


def route(setting: str, place: Place, environment: Mapping[str, str] = os.environ) -> Route:
    """Return how the agent's channel would dial, by the `proxy` of site.yaml.

    Raises:
        Refused: a proxy variable does not say http://host:port.
    """
    if setting == "none":
        return Route(None)
    if setting != "env":
        return Route(_proxy_of(setting, "site.yaml"), "site.yaml")
    name = next((one for one in PROXY_VARIABLES if environment.get(one)), "")
    if not name or _is_excepted(place.host, environment):
        return Route(None)
    return Route(_proxy_of(environment[name], name), name)


def proxies_named(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return which variables name a proxy, in small letters or in capitals."""
    names = (*PROXY_VARIABLES, *(name.upper() for name in PROXY_VARIABLES))
    return tuple(name for name in names if environment.get(name))


def _is_excepted(host: str, environment: Mapping[str, str]) -> bool:
    text = next((environment[one] for one in _NOT_FOR if environment.get(one)), "")
    ends = [part.strip() for part in text.split(",") if part.strip()]
    return any(host.lower().endswith(end.lower()) for end in ends)


def _proxy_of(text: str, where: str) -> Place:
    rest = text.removeprefix("http://").rstrip("/").rpartition("@")[2]
    host, _, port = rest.rpartition(":")
    if "://" in rest or not host or not port.isdigit():
        raise Refused(
            f"the proxy in {where} is not of the form http://host:port",
            todo="Say `proxy: http://host:port` in site.yaml.",
            rule="bad-proxy",
        )
    return Place(host.strip("[]"), int(port))


def is_address(host: str) -> bool:
    """Tell whether a host is written as an address and not as a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def connected(place: Place, way: Route) -> socket.socket:
    """Return a connection to a place, by the proxy where there is one.

    Raises:
        Unavailable: nobody answers; `rule` is `refused`, `silent`, `proxy` or `unreachable`.
    """
    first = way.proxy or place
    try:
        line = socket.create_connection((first.host, first.port), timeout=PATIENCE_S)
    except ConnectionRefusedError:
        raise Unavailable(f"{first} refuses connections", rule="refused") from None
    except TimeoutError:
        told = f"{first} does not answer within {PATIENCE_S:.0f} s"
        raise Unavailable(told, rule="silent") from None
    except OSError as problem:
        raise Unavailable(f"{first}: {_reason(problem)}", rule="unreachable") from None
    if way.proxy is not None:
        try:
            _ask_proxy(line, place)
        except BaseException:
            line.close()
            raise
    return line


def _ask_proxy(line: socket.socket, place: Place) -> None:
    line.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
    head = b""
    try:
        while b"\r\n\r\n" not in head and len(head) < _HEAD_LIMIT:
            part = line.recv(4096)
            if not part:
                break
            head += part
    except OSError as problem:
        raise Unavailable(f"the proxy: {_reason(problem)}", rule="proxy") from None
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or words[1] != "200":
        said = " ".join(words[1:]) or "nothing"
        raise Unavailable(f"the proxy does not let through to {place}: {said}", rule="proxy")


@dataclass(frozen=True, slots=True)
class Shown:
    """What answers on a line: its certificates, leaf first, and whether it speaks HTTP/2."""

    certificates: tuple[x509.Certificate, ...]
    http2: bool


def shown_on(line: socket.socket, place: Place) -> Shown:
    """Return what is shown on a connection, and close it.

    Raises:
        Unavailable: what answers does not speak TLS 1.3.
    """
    from governance.ledger.remote import presented

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with context.wrap_socket(line, server_hostname=place.host) as shown:
            http2 = shown.selected_alpn_protocol() == "h2"
            return Shown(tuple(presented(shown)), http2)
    except (OSError, ValueError) as problem:
        raise Unavailable(f"no TLS 1.3 at {place}: {_reason(problem)}", rule="tls") from None
    finally:
        line.close()


def _reason(problem: Exception) -> str:
    if isinstance(problem, ssl.SSLError):
        return (problem.reason or "the handshake failed").lower().replace("_", " ")
    return getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
