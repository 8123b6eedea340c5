"""Requests byte by byte: to nginx over TLS, or past it to a site's own socket."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Self
from urllib.parse import quote

from tests.institution.proxied import Proxied

Headers = Sequence[tuple[str, str]]
FOR = ("X-Forwarded-For", "192.0.2.9")
VERIFIED = ("X-SSL-Client-Verify", "SUCCESS")
CERTIFICATE = "X-SSL-Client-Cert"
_sources = count(2)


@dataclass(frozen=True)
class Reply:
    """Status, headers with lower-case names, and the text of one answer."""

    status: int
    headers: Headers
    text: str

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for known, value in self.headers if known == name]

    def header(self, name: str) -> str:
        """The one value of a header, empty without it."""
        found = self.all(name)
        assert len(found) <= 1, found
        return found[0] if found else ""


def new_source() -> str:
    """A loopback address that nobody has asked from: nginx counts for each address."""
    number = next(_sources)
    return f"127.9.{number // 250}.{number % 250 + 1}"


def escaped(institution: Proxied, part: str) -> str:
    """A person's certificate as nginx writes it into a header."""
    pem = (institution.tokens[part].directory / "certificate.pem").read_text()
    return quote(pem, safe="")


def said_by_nginx(institution: Proxied, part: str) -> Headers:
    """What nginx says of somebody whose certificate it has verified."""
    return [FOR, VERIFIED, (CERTIFICATE, escaped(institution, part))]


def context(institution: Proxied, part: str = "") -> ssl.SSLContext:
    """TLS that trusts the institution, with the software key of ``part``."""
    made = ssl.create_default_context(cafile=str(institution.authority.anchors_pem))
    if part:
        place = institution.tokens[part].directory
        made.load_cert_chain(place / "certificate.pem", place / "key.pem")
    return made


def secured(
    institution: Proxied,
    site: str,
    tls: ssl.SSLContext,
    name: str | None = "localhost",
    source: str = "",
    session: ssl.SSLSession | None = None,
) -> ssl.SSLSocket:
    """A TLS connection to a site; ``name``: the server's name in the handshake."""
    place = ("127.0.0.1", institution.ports[site])
    raw = socket.create_connection(place, 60, source_address=(source or new_source(), 0))
    try:
        return tls.wrap_socket(raw, server_hostname=name, session=session)
    except OSError:
        raw.close()
        raise


def ask(
    institution: Proxied,
    site: str,
    target: str,
    *,
    part: str = "",
    tls: ssl.SSLContext | None = None,
    method: str = "GET",
    host: str | None = None,
    headers: Headers = (),
    body: bytes = b"",
    source: str = "",
) -> Reply:
    """One request through nginx; ``target`` and ``headers`` go out exactly as given."""
    secure = tls or context(institution, part)
    with secured(institution, site, secure, source=source) as connection:
        own = f"localhost:{institution.ports[site]}"
        return _exchange(
            connection, method, target, [("Host", own if host is None else host), *headers], body
        )


def ask_socket(
    path: Path, target: str, host: str, headers: Headers = (), method: str = "GET"
) -> Reply:
    """One request to a unix socket, as nginx makes it but for ``headers``."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(path))
        return _exchange(connection, method, target, [("Host", host), *headers], b"")


def _exchange(
    connection: socket.socket, method: str, target: str, headers: Headers, body: bytes
) -> Reply:
    length = [("Content-Length", str(len(body)))] if body else []
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{n}: {v}" for n, v in (*headers, ("Connection", "close"), *length)]
    connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    found = [(name.lower(), value) for name, value in response.getheaders()]
    return Reply(response.status, found, response.read().decode(errors="replace"))


class Line:
    """Many requests to a site, over one connection as long as nginx keeps it."""

    def __init__(self, institution: Proxied, site: str, tls: ssl.SSLContext) -> None:
        self._host = f"localhost:{institution.ports[site]}"
        self._open = lambda: secured(institution, site, tls)
        self._connection = http.client.HTTPConnection("localhost")

    def ask(self, method: str, target: str, headers: Headers = ()) -> Reply:
        """One request; a target that Python would refuse is not for here."""
        if self._connection.sock is None:
            self._connection.sock = self._open()
        self._connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in (("Host", self._host), *headers):
            self._connection.putheader(name, value)
        self._connection.endheaders()
        response = self._connection.getresponse()
        found = [(name.lower(), value) for name, value in response.getheaders()]
        return Reply(response.status, found, response.read().decode(errors="replace"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
