"""What stands in the line between a hospital and its coordinator, and keeps every byte.

It shows the coordinator's certificate to the hospital and the hospital's to the coordinator,
which only a test that holds both keys can, and hands on whatever it hears, unread.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from governance.identity.tls import pin_tls13

pin_tls13()

import grpc  # noqa: E402 - after the TLS setting


class Heard(NamedTuple):
    """One message of the hospital's: by which method and in which call, and its bytes."""

    method: str
    call: int
    raw: bytes


class Relay(grpc.GenericRpcHandler):
    """Hands on every call as bytes; `heard` is what the hospital's end of the socket sent."""

    def __init__(self, channel):
        self._channel = channel
        self._lock = threading.Lock()
        self._calls = 0
        self.heard: list[Heard] = []

    def service(self, details):
        name = details.method

        def handed_on(requests, context):
            with self._lock:
                self._calls += 1
                number = self._calls

            def kept():
                for raw in requests:
                    with self._lock:
                        self.heard.append(Heard(name.rpartition("/")[2], number, raw))
                    yield raw

            onward = self._channel.stream_stream(name)(kept())
            context.add_callback(onward.cancel)
            try:
                yield from onward
            except grpc.RpcError as problem:
                context.abort(problem.code(), problem.details())

        return grpc.stream_stream_rpc_method_handler(handed_on)


@contextmanager
def relaying(*, coordinator, site, target):
    """Listen in a coordinator's name and dial it in a hospital's; give port and relay.

    Args:
        coordinator: The folder with its keys.
        site: The folder with the hospital's keys of this federation.
        target: Where the coordinator listens.
    """
    root = (coordinator / "root.pem").read_bytes()
    shown = [(coordinator / f"coordinator.{kind}").read_bytes() for kind in ("key", "pem")]
    own = [(site / f"tls.{kind}").read_bytes() for kind in ("key", "pem")]
    dialled = grpc.secure_channel(target, grpc.ssl_channel_credentials(root, *own))
    server = grpc.server(ThreadPoolExecutor(16))
    relay = Relay(dialled)
    server.add_generic_rpc_handlers((relay,))
    papers = grpc.ssl_server_credentials([tuple(shown)], root, require_client_auth=True)
    port = server.add_secure_port("localhost:0", papers)
    server.start()
    try:
        yield port, relay
    finally:
        server.stop(None).wait()
        dialled.close()
