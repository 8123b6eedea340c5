"""One log line and one measurement per request; never a form value, header, cookie or query."""

from __future__ import annotations

import logging
import secrets
import time
import traceback

import structlog
from flask import Flask, Response, g, request
from prometheus_client import Counter, Histogram

from reset.web.site import site

log = structlog.wrap_logger(
    logging.getLogger("reset.web"),
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.processors.KeyValueRenderer(key_order=["event"]),
    ],
)
REQUESTS = Counter("reset_requests", "Answered requests", ["site", "route", "status"])
SECONDS = Histogram("reset_request_seconds", "Time to answer", ["site", "route"])


def install(app: Flask) -> None:
    """Number, time and log every request of ``app``. To be installed first."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.number = secrets.token_hex(6)
    g.began = time.monotonic()


def number() -> str:
    """The number by which this request is found in the log."""
    found: str | None = g.get("number")
    if found is None:
        g.number = found = secrets.token_hex(6)
    return found


def _end(response: Response) -> Response:
    took = time.monotonic() - g.get("began", time.monotonic())
    route = request.url_rule.rule if request.url_rule else "-"
    name = site().name
    REQUESTS.labels(name, route, response.status_code).inc()
    SECONDS.labels(name, route).observe(took)
    log.info(
        "request", number=number(), site=name, route=route, method=_method(),
        status=response.status_code, ms=round(took * 1000),
    )  # fmt: skip
    return response


def _method() -> str:
    known = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH")
    return request.method if request.method in known else "other"


def failure(error: BaseException) -> None:
    """Log where an unforeseen error came from: its type and place, not its message.

    Messages of drivers quote the values of a statement, and those may be anybody's secrets.
    """
    frames = traceback.extract_tb(error.__traceback__)
    log.error(
        "failure", number=number(), error=type(error).__qualname__,
        cause=type(error.__cause__).__qualname__ if error.__cause__ else "",
        at=[f"{f.filename.rsplit('/', 2)[-1]}:{f.lineno} {f.name}" for f in frames[-12:]],
    )  # fmt: skip
