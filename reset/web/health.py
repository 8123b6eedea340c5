"""Probes and measurements: no session, nothing about persons."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from reset.web.guards import guard
from reset.web.site import flows

blueprint = Blueprint("health", __name__)


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
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)
