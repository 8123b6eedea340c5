"""Probes and measurements: no session, nothing about persons."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from reset.errors import ResetError
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
    ends = CollectorRegistry()
    with contextlib.suppress(ResetError):  # the database: all else is still told
        ends.register(_Ends())
    return Response(
        generate_latest(registry) + generate_latest(ends), content_type=CONTENT_TYPE_LATEST
    )


class _Ends(Collector):
    """Until when CRLs and OCSP responses count, as it is now: no process keeps it."""

    def __init__(self) -> None:
        self._standing = flows().revocation.standing()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One gauge, with a line for each word of each CA."""
        gauge = GaugeMetricFamily(
            "reset_revocation_end_timestamp_seconds",
            "When the word of a CA about revocation counts no more; 0: nothing counts now",
            labels=["kind", "issuer"],
        )
        for one in self._standing:
            until = one.until.timestamp() if one.until else 0
            gauge.add_metric([one.kind, one.issuer], until)
        yield gauge
