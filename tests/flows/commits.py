"""A proxy between service and PostgreSQL that does something to one COMMIT."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

COMMIT = b"Q\0\0\0\x0bCOMMIT\0"  # a simple query, as psycopg sends it

# gets the connection to the server and the message; afterwards the connection breaks on both sides
Fault = Callable[[socket.socket, bytes], None]


def lost(server: socket.socket, message: bytes) -> None:
    """The server never gets it."""


def unanswered(server: socket.socket, message: bytes) -> None:
    """It is done; nobody hears of it."""
    server.sendall(message)
    answer = server.recv(4096)
    assert answer.startswith(b"C\0\0\0\x0bCOMMIT\0"), answer


class CommitProxy(socketserver.ThreadingTCPServer):
    """``with CommitProxy(port) as proxy``: ``proxy.port`` leads to the server at ``port``."""

    daemon_threads = True

    def __init__(self, server_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.server_port = server_port
        self.port: int = self.server_address[1]
        self.struck = 0
        self.armed: Fault | None = None
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def arm(self, fault: Fault) -> None:
        """Let ``fault`` happen to the next COMMIT."""
        self.struck, self.armed = 0, fault


class _Connection(socketserver.BaseRequestHandler):
    server: CommitProxy
    request: socket.socket

    def handle(self) -> None:
        there = socket.create_connection(("127.0.0.1", self.server.server_port))
        with there, contextlib.suppress(OSError):
            while self._passed(there):
                pass

    def _passed(self, there: socket.socket) -> bool:
        """Pass on what there is; False at the end."""
        proxy = self.server
        for source in select.select([self.request, there], [], [])[0]:
            data = source.recv(65536)
            if not data:
                return False
            if source is self.request and proxy.armed and COMMIT in data:
                fault, proxy.armed = proxy.armed, None
                proxy.struck += 1
                fault(there, data)
                return False
            (there if source is self.request else self.request).sendall(data)
        return True
