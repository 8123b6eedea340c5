"""Probes and measurements: no session, nothing about persons."""

from __future__ import annotations

import os

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from reset.web.guards import guard
from reset.web.site import flows

MEASURED_IN = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client reads it when it is imported

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
    """Measurements in the Prometheus text format, of all processes of both sites."""
    registry = REGISTRY
    if MEASURED_IN in os.environ:  # where each process keeps its own in a file
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
