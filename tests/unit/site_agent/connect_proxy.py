"""A hospital's HTTP proxy, small: it lets CONNECT through, refuses it, or asks for a login.

Its lines have no TCP keepalive.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket


class ConnectProxy:
    """What it was asked, and what passed through; `status` is what it answers."""

    def __init__(self, status="200 Connection established", *, host="127.0.0.1"):
        self.status, self._host = status, host
        self.asked, self.heads = [], []
        self.passed_bytes = 0
        self._lines, self._deaf = set(), set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, self._host, 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://{self._host}:{port}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        await self.cut()

    async def cut(self):
        """Cut every line that passes through it."""
        for line in list(self._lines):
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    def swallow(self):
        """Let nothing more pass on the lines that there are, and close none of them.

        So does one that has forgotten an idle line: keepalive pings are answered by nobody.
        """
        self._deaf |= self._lines

    async def _serve(self, reader, writer):
        line = asyncio.current_task()
        self._lines.add(line)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.asked.append(head.split("\r\n")[0])
            self.heads.append(head)
            answer = "" if self.status.startswith("200") else "Content-Length: 0\r\n"
            writer.write(f"HTTP/1.1 {self.status}\r\n{answer}\r\n".encode())
            if self.status.startswith("200"):
                host, _, port = self.asked[-1].split()[1].rpartition(":")
                far_reader, far_writer = await asyncio.open_connection(host, int(port))
                for end in (writer, far_writer):
                    end.get_extra_info("socket").setsockopt(
                        socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0
                    )
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(reader, far_writer, line))
                    both.create_task(self._pump(far_reader, writer, line))
        except* (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._lines.discard(line)
            self._deaf.discard(line)
            writer.close()

    async def _pump(self, reader, writer, line):
        with contextlib.closing(writer):
            while data := await reader.read(1 << 16):
                if line in self._deaf:
                    continue
                self.passed_bytes += len(data)
                writer.write(data)
                await writer.drain()
