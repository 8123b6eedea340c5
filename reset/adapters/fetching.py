"""One answer over http or https, from an address that the settings name.

Nothing but that address is asked: no redirect is followed, and no proxy of the environment used.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit, urlunsplit

from reset.errors import Unavailable

SILENCE = 10.0  # seconds without a byte
DEADLINE = 30.0  # seconds for all of an answer
_KINDS: dict[str, type[http.client.HTTPConnection]] = {
    "http": http.client.HTTPConnection,
    "https": http.client.HTTPSConnection,
}
_OCSP = {"Content-Type": "application/ocsp-request"}


def fetch(url: str, *, limit: int, proxy: str = "", body: bytes | None = None) -> bytes:
    """The whole answer to a GET, or to a POST of ``body`` (an OCSP request).

    Parameters: ``limit`` in bytes; ``proxy``: ``http://host:port``, or empty for none.
    Raises ``Unavailable`` with ``part`` (the host) and ``why``.
    """
    host = urlsplit(url).hostname
    method, headers = ("GET", {}) if body is None else ("POST", _OCSP)
    try:
        with closing(_connection(url, proxy)) as connection:
            connection.connect()
            with _ended_after(connection.sock, DEADLINE):
                connection.request(method, _target(url, proxy), body, headers)
                with closing(connection.getresponse()) as answer:
                    if answer.status != 200:
                        raise Unavailable(part=host, why=f"status {answer.status}")
                    return _body(answer, limit)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(part=host, why=type(error).__name__) from None


def _connection(url: str, proxy: str) -> http.client.HTTPConnection:
    asked, first = urlsplit(url), urlsplit(proxy or url)
    kind = _KINDS[asked.scheme]
    connection = kind(first.hostname or "", first.port, timeout=SILENCE)
    if proxy and asked.scheme == "https":
        connection.set_tunnel(asked.hostname or "", asked.port or 443)
    return connection


def _target(url: str, proxy: str) -> str:
    """What stands in the request's first line (RFC 9112 section 3.2)."""
    asked = urlsplit(url)
    if proxy and asked.scheme == "http":
        return url
    return urlunsplit(("", "", asked.path or "/", asked.query, ""))


@contextmanager
def _ended_after(opened: socket.socket, seconds: float) -> Iterator[None]:
    """However slowly the bytes drip: a time-out of the socket counts from the last one."""
    late = threading.Event()

    def end() -> None:
        late.set()
        with contextlib.suppress(OSError):
            opened.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if late.is_set():  # what came may look whole
        raise TimeoutError


def _body(answer: http.client.HTTPResponse, limit: int) -> bytes:
    found = bytearray()
    while len(found) <= limit and (part := answer.read1(65_536)):
        found += part
    if len(found) > limit:
        raise ValueError("too large")
    if answer.length:  # less than was announced
        raise http.client.IncompleteRead(b"", answer.length)
    return bytes(found)
