"""The raw reference of a round: the same bytes over gRPC with mutual TLS, and numpy's mean.

The clients, each a process, take a file of float32 from a server in chunks of 1 MiB and give
it back; the server keeps what came in memory, and its mean is the next file. Nothing is signed,
written or remembered.
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from governance.identity.tls import pin_tls13

pin_tls13()

import grpc  # noqa: E402 - after the cipher list is set
import numpy as np  # noqa: E402
from cryptography.hazmat.primitives.serialization import (  # noqa: E402
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from coordinator.rehearsal.stage import free_port  # noqa: E402
from governance.identity.authority import Authority, create  # noqa: E402
from governance.identity.certificate import make_csr, make_tls_key  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHUNK: Final = 1 << 20
_OPTIONS: Final = [("grpc.max_receive_message_length", 4 << 20)]
_SERVICE: Final = "concilium.bench.Raw"


def rounds(folder: Path, parameters: int, count: int, *, sites: int) -> list[float]:
    """Return the seconds of each round but the first."""
    return asyncio.run(_serve(folder, parameters, count, sites))[1:]


class _Server:
    def __init__(self, parameters: int, sites: int) -> None:
        self.sites = sites
        self.model = np.zeros(parameters, np.float32).tobytes()
        self.updates: list[bytes] = []
        self.round = 0
        self.opened = asyncio.Condition()
        self.complete = asyncio.Event()

    async def open(self, number: int) -> None:
        async with self.opened:
            self.round = number
            self.opened.notify_all()

    async def download(self, request: bytes, _context: object) -> AsyncIterator[bytes]:
        async with self.opened:
            await self.opened.wait_for(lambda: self.round >= int(request))
        for start in range(0, len(self.model), CHUNK):
            yield self.model[start : start + CHUNK]

    async def upload(self, parts: AsyncIterator[bytes], _context: object) -> bytes:
        self.updates.append(b"".join([part async for part in parts]))
        if len(self.updates) == self.sites:
            self.complete.set()
        return b""

    def mean(self) -> None:
        values = np.stack([np.frombuffer(one, np.float32) for one in self.updates])
        self.model = values.mean(axis=0).tobytes()
        self.updates.clear()


async def _serve(folder: Path, parameters: int, count: int, sites: int) -> list[float]:
    authority, port = _founded(folder), free_port()
    key, chain = authority.coordinator_tls()
    credentials = grpc.ssl_server_credentials(
        [(key, chain)], authority.root_pem, require_client_auth=True
    )
    kept, server = _Server(parameters, sites), grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((_handlers(kept),))
    server.add_secure_port(f"127.0.0.1:{port}", credentials)
    await server.start()
    command = [sys.executable, __file__, str(port), str(folder / "keys"), str(count)]
    clients = [await asyncio.create_subprocess_exec(*command) for _ in range(sites)]
    taken = []
    for number in range(1, count + 1):
        begun = time.perf_counter()
        await kept.open(number)
        await kept.complete.wait()
        kept.complete.clear()
        kept.mean()
        taken.append(time.perf_counter() - begun)
    await asyncio.gather(*(client.wait() for client in clients))
    await server.stop(0)
    return taken


def _handlers(kept: _Server) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        _SERVICE,
        {
            "Download": grpc.unary_stream_rpc_method_handler(kept.download),
            "Upload": grpc.stream_unary_rpc_method_handler(kept.upload),
        },
    )


def _founded(folder: Path) -> Authority:
    """Found an authority, and write the one client's key and certificate that all show."""
    now = datetime.now(UTC)
    create(folder, federation="raw", host="localhost", passphrase=b"raw", now=now)
    authority, key = Authority.load(folder), make_tls_key()
    issued = authority.issue(make_csr(key), name="client", role="site", now=now)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "keys" / "client.key").write_bytes(private)
    (folder / "keys" / "client.pem").write_bytes(issued.pem_chain)
    return authority


async def _client(port: int, keys: Path, count: int) -> None:
    """Take a file and give it back, so often."""
    names = ("root.pem", "client.key", "client.pem")
    root, key, chain = ((keys / name).read_bytes() for name in names)
    credentials = grpc.ssl_channel_credentials(root, key, chain)
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials, _OPTIONS) as channel:
        download = channel.unary_stream(f"/{_SERVICE}/Download")
        upload = channel.stream_unary(f"/{_SERVICE}/Upload")
        for number in range(1, count + 1):
            asked = download(str(number).encode(), wait_for_ready=True)
            parts = [part async for part in asked]
            await upload(iter(parts))


if __name__ == "__main__":
    asyncio.run(_client(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
