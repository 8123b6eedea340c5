"""Behind a proxy: what a site believes of a request that nginx hands over on a unix socket.

Rules (ASVS 4.1.3; peer failures 21, 29, 30):

1. Only where the settings name a proxy, and only on this site's own socket: a request that came
   any other way is refused, so nobody but nginx can speak in nginx's name.
2. The client's address is the last one in ``X-Forwarded-For``. No other forwarded header counts,
   and the host stays what the client sent: it is compared with the settings.
3. The client certificate comes in ``X-SSL-Client-Cert``, and only the certificate site looks at
   it. nginx must say that it verified it; all of it is verified here again.
4. The header is exactly one escaped PEM certificate. Headers of one name, in any spelling, arrive
   joined by a comma, which no escaped certificate contains.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from flask import Flask, request
from werkzeug.exceptions import BadRequest
from werkzeug.middleware.proxy_fix import ProxyFix

from reset.errors import CertificateRefused
from reset.web import journal
from reset.web.site import site

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HEADER_LIMIT = 16 * 1024  # characters of the escaped certificate
_PEM = re.compile(
    r"-----BEGIN CERTIFICATE-----\n"
    r"((?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{1,64}={0,2}\n)"
    r"-----END CERTIFICATE-----\n",
    re.ASCII,
)


class _OneHop(ProxyFix):
    """The address of the client from nginx, where TLS ended."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.url_scheme"] = "https"
        return super().__call__(environ, start_response)


def install(app: Flask) -> None:
    """Let ``app`` answer on its site's socket only. To be installed before all other checks."""
    app.wsgi_app = _OneHop(app.wsgi_app, x_for=1, x_proto=0)  # type: ignore[method-assign]
    app.before_request(check)


def check() -> None:
    """Refuse what did not come from the proxy. Raises ``BadRequest``."""
    if not _on_our_socket():
        _refuse("not on this site's socket")
    try:
        ipaddress.ip_address(request.remote_addr or "")
    except ValueError:
        _refuse("no address of the client")


def _on_our_socket() -> bool:
    connection = request.environ.get("gunicorn.socket")
    return (
        isinstance(connection, socket.socket)
        and connection.family == socket.AF_UNIX
        and connection.getsockname() == str(site().socket)
    )


def _refuse(why: str) -> None:
    journal.log.error("proxy", number=journal.number(), why=why)
    raise BadRequest("proxy")


def certificate() -> bytes:
    """The DER of the client certificate that nginx has verified, to be verified again.

    Raises ``CertificateRefused`` with rule ``none``, or ``header`` when nginx does not set both
    headers as it should.
    """
    escaped = request.environ.get("HTTP_X_SSL_CLIENT_CERT", "")
    if not escaped:
        raise CertificateRefused(rule="none")
    verified = request.environ.get("HTTP_X_SSL_CLIENT_VERIFY") == "SUCCESS"
    if not verified or len(escaped) > HEADER_LIMIT:
        raise CertificateRefused(rule="header")
    return _read(escaped)


def _read(escaped: str) -> bytes:
    try:
        pem = unquote(escaped, errors="strict")
        found = _PEM.fullmatch(pem)
        # escaped anew it must be the same: a certificate has one spelling here
        if not found or quote(pem, safe="") != escaped:
            raise ValueError("not one escaped certificate")
        return base64.b64decode(found[1].replace("\n", ""), validate=True)
    except ValueError:
        raise CertificateRefused(rule="header") from None
