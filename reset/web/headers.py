"""Which requests are answered at all, and the headers of every answer."""

from __future__ import annotations

from flask import Flask, Response, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import BadRequest, NotFound

from reset.web.site import site

_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # not no-referrer: browsers would then send "Origin: null" with our own forms
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_SAFE = ("GET", "HEAD", "OPTIONS")


def install(app: Flask) -> None:
    """Put the checks before, and the headers after, every request of ``app``."""
    app.before_request(check_path)
    app.before_request(check_host)
    app.before_request(check_origin)
    app.after_request(add)


def check_path() -> None:
    """A page has one address: the router reads ``//login`` as ``/login``, a proxy's rules do not.

    Raises ``NotFound`` (peer failure 13).
    """
    if request.environ.get("PATH_INFO", "").startswith("//"):
        raise NotFound


def check_host() -> None:
    """Only the site's own name is answered (peer failure 21).

    Probes ask by address; they get a page without any address in it.
    """
    if request.blueprint == "health":
        return
    given = request.environ.get("HTTP_HOST", "").lower().removesuffix(":443")
    if given != site().host:
        raise BadRequest("host")


def check_origin() -> None:
    """A change may come only from our own pages; browsers say where it comes from.

    Anything else may come from elsewhere only by a link that somebody follows: the browser shows
    the certificate for a picture or a frame of another page, too. This stands beside the form
    token and replaces Flask-WTF's look at ``Referer``, which some proxies remove.
    """
    ours = from_here()
    if request.method in _SAFE:
        if not ours and request.headers.get("Sec-Fetch-Dest") != "document":
            raise BadRequest("elsewhere")
        return
    if not ours or request.headers.get("Origin") not in (None, site().origin):
        raise CSRFError("origin")


def from_here() -> bool:
    """Whether our own page asks, or the person by hand; true where the browser says nothing."""
    return request.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")


def add(response: Response) -> Response:
    """The security headers; what is not a static file is never kept by a cache."""
    response.headers.extend({n: v for n, v in _HEADERS.items() if n not in response.headers})
    if request.endpoint == "static" and response.status_code in (200, 304):
        response.headers["Cache-Control"] = "public, max-age=3600"
    else:
        response.headers["Cache-Control"] = "no-store"
        response.headers["Vary"] = "Accept, Cookie"
    return response
