"""The helper's API: JSON only, a bearer secret instead of cookies, described by OpenAPI."""

from __future__ import annotations

import json
from typing import TypeVar

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import UnsupportedMediaType

from pkcs11_driver import wire
from reset.errors import BadInput
from reset.web.guards import bearer, guard
from reset.web.openapi import document
from reset.web.sessions import address
from reset.web.site import flows, site

blueprint = Blueprint("helper_api", __name__, url_prefix="/helper/v1")
T = TypeVar("T")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _refuse(constant: str) -> object:
    raise ValueError(constant)


def _check_text(value: object) -> None:
    """No NUL and no lone surrogate, at any depth: neither has a place in a message."""
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("NUL")
        value.encode()
    elif isinstance(value, list):
        for item in value:
            _check_text(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_text(name)
            _check_text(item)


def _message(kind: type[T]) -> T:
    """The body as a message. Raises ``BadInput`` for anything but exactly that."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType
    try:
        text = request.get_data(cache=False).decode()
        raw = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
        _check_text(raw)
    except (ValueError, RecursionError):
        raise BadInput(field="message", rule="form", need="must be one JSON object") from None
    try:
        return wire.from_json(kind, raw)
    except wire.WireError as wrong:
        raise BadInput(field=wrong.field, rule="form", need=wrong.rule) from None


@blueprint.post("/claim")
@guard("open")
def claim() -> ResponseReturnValue:
    """Spend a pairing code."""
    return jsonify(wire.to_json(flows().pair.claim(_message(wire.Claim), address())))


@blueprint.post("/jobs/<random:job>/release")
@guard("bearer")
def release(job: str) -> ResponseReturnValue:
    """Release the sealed order to the job's helper."""
    released = flows().custody.release(job, bearer(), _message(wire.Release))
    return jsonify(wire.to_json(released))


@blueprint.post("/jobs/<random:job>/report")
@guard("bearer")
def report(job: str) -> ResponseReturnValue:
    """Settle what the helper did."""
    state = flows().custody.report(job, bearer(), _message(wire.Report))
    return jsonify(wire.to_json(state))


@blueprint.get("/jobs/<random:job>")
@guard("bearer")
def job_state(job: str) -> ResponseReturnValue:
    """Where the job's request stands."""
    return jsonify(wire.to_json(flows().custody.state(job, bearer())))


@blueprint.get("/openapi.json")
@guard("open")
def openapi() -> ResponseReturnValue:
    """This API as an OpenAPI document."""
    return jsonify(document(site().url))
