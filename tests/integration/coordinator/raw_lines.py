"""Lines to the coordinator's port that no program of ours makes: half-open, or by hand."""

from __future__ import annotations

import socket
import ssl
import struct
import tempfile

GARBAGE = b"\x16\x03\x01\x02\x00" + bytes(100)
"""As a TLS handshake begins, and then nothing of one."""
HEADERS, RESET, SETTINGS, PING = 1, 3, 4, 6
READS_NOTHING = struct.pack(">HI", 4, 0)
"""Settings of a peer that lets nothing be sent to it: a window of no bytes."""
DATA, END_STREAM, END_HEADERS = 0, 1, 4


def open_lines(port, count, first=b"", *, of="127.0.0.1"):
    """Open so many connections, say something that is no handshake, and return them."""
    lines = []
    for _ in range(count):
        line = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(of, 0))
        line.sendall(first)
        lines.append(line)
    return lines


def frame(kind, flags, stream, payload=b""):
    """Return an HTTP/2 frame."""
    head = struct.pack(">I", len(payload))[1:]
    return head + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def message(raw, *, claimed=None):
    """Return a gRPC message as it lies in DATA frames, that may claim another length."""
    return struct.pack(">BI", 0, len(raw) if claimed is None else claimed) + raw


def headers(path):
    """Return a header block for a call, without compression."""
    known = {
        ":method": "POST",
        ":scheme": "https",
        ":path": path,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in known.items())


def _text(text):
    return bytes([len(text)]) + text.encode()


class Raw:
    """A member's own TLS connection, on which every frame is made by hand."""

    def __init__(self, port, identity):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(["h2"])
        context.load_verify_locations(cadata=identity.root_pem.decode())
        with tempfile.NamedTemporaryFile(suffix=".pem") as papers:
            papers.write(identity.tls_key_pem + identity.tls_chain_pem)
            papers.flush()
            context.load_cert_chain(papers.name)
        line = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.line = context.wrap_socket(line, server_hostname="localhost")
        self._stream = -1
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))

    def send(self, raw):
        """Send bytes; tell whether the other side still takes them."""
        try:
            self.line.sendall(raw)
        except OSError:
            return False
        return True

    def sends(self, raw, times):
        """Send the same again and again; tell whether it was taken every time."""
        return all(self.send(raw) for _ in range(times))

    def stream(self):
        """Return the next stream's number."""
        self._stream += 2
        return self._stream

    def call(self, path):
        """Begin a call and return its stream."""
        stream = self.stream()
        self.send(frame(HEADERS, END_HEADERS, stream, headers(path)))
        return stream

    def close(self):
        self.line.close()
