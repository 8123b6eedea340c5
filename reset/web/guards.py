"""Who may call a route: every view declares its guard, and an application without one refuses.

Guards: ``anyone`` (a session is read if there is one), ``login`` (password login),
``certificate`` (TLS client certificate), ``office`` and ``auditor`` (the certificate and that
role), ``bearer`` (a helper's secret, no cookie is read), ``open`` (no session at all),
``metrics`` (the token of the settings; without one loopback, and nobody behind a proxy).
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from flask import Flask, current_app, g, request

from reset.errors import Forbidden, JobRefused, LoginNeeded
from reset.web import sessions
from reset.web.site import person, site

Guard = Literal["anyone", "login", "certificate", "office", "auditor", "bearer", "open", "metrics"]
ON_PUBLIC: frozenset[Guard] = frozenset({"anyone", "login", "bearer", "open", "metrics"})
ON_CERTIFICATE: frozenset[Guard] = frozenset({"certificate", "office", "auditor", "open"})

View = TypeVar("View", bound=Callable[..., Any])
_GUARDS: dict[Callable[..., Any], Guard] = {}
_BEARER = re.compile(r"Bearer ([A-Za-z0-9_-]{16,200})")


def guard(kind: Guard) -> Callable[[View], View]:
    """Declare the guard of a view; stands below the route."""

    def declare(view: View) -> View:
        _GUARDS[view] = kind
        return view

    return declare


def guard_of(app: Flask, endpoint: str) -> Guard:
    """The guard of an endpoint. A view without one is our own bug."""
    if endpoint == "static":
        return "open"
    return _GUARDS[app.view_functions[endpoint]]


def check_declared(app: Flask) -> None:
    """Refuse an application with an unguarded view, or with a guard of the other site."""
    allowed = ON_PUBLIC if app.extensions["reset-site"].name == "public" else ON_CERTIFICATE
    for rule in app.url_map.iter_rules():
        if guard_of(app, rule.endpoint) not in allowed:
            raise RuntimeError(f"{rule.rule}: guard of the other site")


def enforce() -> None:
    """Before every request: let it pass its view's guard.

    Raises ``LoginNeeded``, ``CertificateRefused``, ``Forbidden``, ``JobRefused``.
    """
    if request.endpoint is None:
        return  # no route: the error page follows
    kind = guard_of(current_app, request.endpoint)
    if kind == "bearer":
        bearer()
    elif kind == "metrics":
        _metrics()
    elif kind != "open":
        sessions.load()
        if kind == "login":
            _logged_in()
        elif kind in ("office", "auditor") and kind not in person().roles:
            raise Forbidden(reason="role")


def _logged_in() -> None:
    if g.get("person") is None:
        raise LoginNeeded


def bearer() -> str:
    """The secret of the ``Authorization`` header. Raises ``JobRefused``."""
    found = _BEARER.fullmatch(request.headers.get("Authorization", ""))
    if not found:
        raise JobRefused(reason="secret")
    return found[1]


def _metrics() -> None:
    wanted = site().settings.metrics_token
    if wanted:
        given = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {wanted}".encode()):
            raise Forbidden(reason="metrics")
        return
    forwarded = "X-Forwarded-For" in request.headers or "Forwarded" in request.headers
    try:
        near = ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:  # a unix socket has no address
        near = False
    if forwarded or not near:
        raise Forbidden(reason="metrics")
