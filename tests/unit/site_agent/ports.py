"""Ports of this machine that answer as a coordinator, or as something else."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager


@contextmanager
def served(keys, *, host="127.0.0.1", protocol="h2"):
    """Show a coordinator's certificates on a port of this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "coordinator.pem", keys / "coordinator.key")
    context.set_alpn_protocols([protocol])
    with listening(lambda peer: _shaken(context, peer), host=host) as port:
        yield port


def _shaken(context, peer):
    try:
        with context.wrap_socket(peer, server_side=True) as shown:
            shown.recv(1)
    except OSError:
        pass


@contextmanager
def listening(serve, *, host="127.0.0.1"):
    with socket.create_server((host, 0)) as door:
        over = threading.Event()

        def accept():
            while not over.is_set():
                try:
                    peer, _ = door.accept()
                except OSError:
                    return
                with peer:
                    peer.settimeout(5)
                    serve(peer)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield door.getsockname()[1]
        finally:
            over.set()
            door.shutdown(socket.SHUT_RDWR)
            thread.join(10)
