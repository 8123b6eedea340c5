"""Probes and measurements: no session, nothing about persons."""

from __future__ import annotations

import contextlib

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest

from reset.errors import ResetError
from reset.web.guards import guard
from reset.web.site import flows

blueprint = Blueprint("health", __name__)
ENDS = Gauge(
    "reset_revocation_end_timestamp_seconds",
    "When the word of a CA about revocation counts no more; 0: nothing counts now",
    ["kind", "issuer"],
)


@blueprint.get("/healthz")
@guard("open")
def alive() -> ResponseReturnValue:
    """Whether this process answers."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
@guard("open")
def ready() -> ResponseReturnValue:
    """Whether all parts answer; a missing one is a problem document with status 503."""
    flows().health()
    return jsonify(status="ready")


@blueprint.get("/metrics")
@guard("metrics")
def metrics() -> ResponseReturnValue:
    """Measurements in the Prometheus text format."""
    ENDS.clear()  # what is no longer configured, or cannot be known
    with contextlib.suppress(ResetError):  # the database: all else is still told
        for one in flows().revocation.standing():
            ENDS.labels(one.kind, one.issuer).set(one.until.timestamp() if one.until else 0)
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)
