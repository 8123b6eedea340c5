"""The TLS listeners of the embedded default: one port per site.

Rules (peer failures 29 and 30):

1. The handshake runs in the connection's own thread with a time limit: silent connections stall
   nobody. Threads are bounded; a connection is cut when its time is over.
2. Only the certificate listener asks for a client certificate, and it demands one. No session is
   ever resumed there, so each connection proves the key anew.
3. One request per connection, no ``Server`` header, no log of its own.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from werkzeug.serving import (
    ThreadedWSGIServer,
    WSGIRequestHandler,
    get_sockaddr,
    select_address_family,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

HANDSHAKE_SECONDS = 5
READ_SECONDS = 15
CONNECTION_SECONDS = 60
THREADS = 64


def public_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or 1.3; no client certificate is asked for, so no PIN prompt appears."""
    context = _context(certificate, key)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    return context


def certificate_context(certificate: Path, key: Path, client_cas: Sequence[Path]) -> ssl.SSLContext:
    """TLS 1.3 only; a client without a certificate of ``client_cas`` gets no connection."""
    context = _context(certificate, key)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    for file in client_cas:
        context.load_verify_locations(file)
    if not context.get_ca_certs():
        raise ssl.SSLError("no CA for client certificates")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    return context


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.0"

    def send_header(self, keyword: str, value: str) -> None:
        if keyword.lower() != "server":
            super().send_header(keyword, value)

    def log(self, type: str, message: str, *args: object) -> None:
        """The application logs its requests; of broken connections nothing is kept."""


class Listener(ThreadedWSGIServer):
    """A threaded WSGI server that does the TLS handshake in the connection's thread."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, app: WSGIApplication, context: ssl.SSLContext) -> None:
        family = select_address_family(host, port)
        place = get_sockaddr(host, port, family)
        listening = socket.create_server(place, family=family, backlog=128)
        with listening:
            super().__init__(host, port, app, _Handler, fd=listening.fileno())
        self.ssl_context = context
        self._slots = threading.BoundedSemaphore(THREADS)
        self._lock = threading.Lock()
        self._deadlines: dict[socket.socket, float] = {}

    def log(self, type: str, message: str, *args: object) -> None:
        """Werkzeug would write tracebacks with values; the application has its own log."""

    def process_request(self, request: object, client_address: object) -> None:
        """Start a thread if one is free within the time of a handshake, else hang up."""
        assert isinstance(request, socket.socket)
        if not self._slots.acquire(timeout=HANDSHAKE_SECONDS):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: object, client_address: object) -> None:
        """Handshake, then one request."""
        assert isinstance(request, socket.socket)
        try:
            request.settimeout(HANDSHAKE_SECONDS)
            assert self.ssl_context is not None
            try:
                secured = self.ssl_context.wrap_socket(request, server_side=True)
            except OSError:  # also ssl.SSLError and time-outs
                self.shutdown_request(request)
                return
            secured.settimeout(READ_SECONDS)
            self._serve(secured, client_address)
        finally:
            self._slots.release()

    def _serve(self, secured: ssl.SSLSocket, client_address: object) -> None:
        with self._lock:
            self._deadlines[secured] = time.monotonic() + CONNECTION_SECONDS
        try:
            super().process_request_thread(secured, client_address)
        finally:
            with self._lock:
                del self._deadlines[secured]

    def service_actions(self) -> None:
        """Called twice a second by the accepting loop: cut connections that take too long."""
        with self._lock:
            late = [s for s, end in self._deadlines.items() if time.monotonic() > end]
        for connection in late:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that broke in the middle; the application has logged what it knows."""


def listen(app: WSGIApplication, host: str, port: int, context: ssl.SSLContext) -> Listener:
    """Bind a listener for ``app``; the caller runs ``serve_forever`` and ``shutdown``.

    Raises ``OSError`` when the address cannot be bound. Port 0 takes a free one (``.port``).
    """
    return Listener(host, port, app, context)
