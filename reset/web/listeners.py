"""The TLS listeners of the embedded default: one port per site.

Rules (peer failures 29 and 30):

1. The accepting loop never waits: a connection without a free thread, or beyond its peer's share,
   is dropped at once. The handshake runs in the connection's own thread.
2. Handshake, request header and whole connection each have an absolute time, counted from the
   start, so slow clients are cut as silent ones are; a header that was cut off is not served.
3. Only the certificate listener asks for a client certificate, and it demands one. No session is
   ever resumed there, so each connection proves the key anew.
4. One request per connection, no ``Server`` header, no log of its own.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
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

# absolute, the last two from the moment the connection was accepted
HANDSHAKE_SECONDS = 5
HEADER_SECONDS = 10
CONNECTION_SECONDS = 30
READ_SECONDS = 15  # of silence
THREADS = 64
PER_PEER = 16  # connections of one address


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

    def parse_request(self) -> bool:
        """Read the header; a connection that was cut meanwhile has none."""
        assert isinstance(self.server, Listener)
        return super().parse_request() and self.server.header_complete(self.connection)

    def send_header(self, keyword: str, value: str) -> None:
        if keyword.lower() != "server":
            super().send_header(keyword, value)

    def log(self, type: str, message: str, *args: object) -> None:
        """The application logs its requests; of broken connections nothing is kept."""


@dataclass
class _Times:
    """When a connection was accepted, and when it is cut (monotonic seconds)."""

    accepted: float
    end: float


def _host_of(address: object) -> str:
    """The peer without its port."""
    return str(address[0]) if isinstance(address, tuple) else ""


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
        self.socket.setblocking(False)  # a peer gone before ``accept`` must not stop the loop
        self.ssl_context = context
        self._lock = threading.Lock()
        self._peers: Counter[str] = Counter()
        self._times: dict[socket.socket, _Times] = {}

    @property
    def connections(self) -> int:
        """How many connections have a thread now."""
        with self._lock:
            return self._peers.total()

    def log(self, type: str, message: str, *args: object) -> None:
        """Werkzeug would write tracebacks with values; the application has its own log."""

    # --- in the accepting loop ---------------------------------------------------------
    def process_request(self, request: object, client_address: object) -> None:
        """Start a thread if one is free and the peer has its share left, else hang up at once."""
        assert isinstance(request, socket.socket)
        peer = _host_of(client_address)
        if not self._enter(peer):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except Exception:  # no thread could be started; the caller hangs up
            self._leave(peer)
            raise

    def service_actions(self) -> None:
        """Called after each connection, at least twice a second: cut those that take too long."""
        now = time.monotonic()
        with self._lock:  # so that none of them is closed, and its number reused, meanwhile
            late = [one for one, times in self._times.items() if now > times.end]
            for connection in late:
                del self._times[connection]
                with contextlib.suppress(OSError):
                    # not SSLSocket's own, which would first drop the encryption
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _enter(self, peer: str) -> bool:
        with self._lock:
            if self._peers.total() >= THREADS or self._peers[peer] >= PER_PEER:
                return False
            self._peers[peer] += 1
            return True

    def _leave(self, peer: str) -> None:
        with self._lock:
            self._peers[peer] -= 1
            if not self._peers[peer]:
                del self._peers[peer]

    # --- in the connection's thread ----------------------------------------------------
    def process_request_thread(self, request: object, client_address: object) -> None:
        """Handshake, then one request."""
        assert isinstance(request, socket.socket)
        try:
            accepted = time.monotonic()
            secured = self._secure(request)
            if secured:
                with self._lock:
                    self._times[secured] = _Times(accepted, accepted + HEADER_SECONDS)
                super().process_request_thread(secured, client_address)
        finally:
            self._leave(_host_of(client_address))

    def _secure(self, request: socket.socket) -> ssl.SSLSocket | None:
        assert self.ssl_context is not None
        try:
            request.settimeout(HANDSHAKE_SECONDS)  # for the handshake as a whole
            secured = self.ssl_context.wrap_socket(request, server_side=True)
            secured.settimeout(READ_SECONDS)
        except (OSError, ValueError):  # also ssl.SSLError and time-outs
            self.shutdown_request(request)
            return None
        return secured

    def header_complete(self, connection: socket.socket) -> bool:
        """Grant the time of a whole connection; False when this one is already cut."""
        with self._lock:
            times = self._times.get(connection)
            if times is None:
                return False
            times.end = times.accepted + CONNECTION_SECONDS
            return True

    def shutdown_request(self, request: object) -> None:
        """Close a connection; from here on nothing is to be cut."""
        assert isinstance(request, socket.socket)
        with self._lock:
            self._times.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that broke in the middle; the application has logged what it knows."""


def listen(app: WSGIApplication, host: str, port: int, context: ssl.SSLContext) -> Listener:
    """Bind a listener for ``app``; the caller runs ``serve_forever`` and ``shutdown``.

    Raises ``OSError`` when the address cannot be bound. Port 0 takes a free one (``.port``).
    """
    return Listener(host, port, app, context)
