"""The OpenAPI document of the helper's API, made from the message classes themselves."""

from __future__ import annotations

import dataclasses
import typing

from pkcs11_driver import wire

Schema = dict[str, object]
_PLAIN: dict[object, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    bytes: {"type": "string", "contentEncoding": "base64"},
}
_PROBLEM: Schema = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "the stable code of the error"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}
_MESSAGES = (wire.Claim, wire.Claimed, wire.Release, wire.Released, wire.Report, wire.JobState)


def document(url: str) -> Schema:
    """The document for a service at ``url``."""
    schemas: dict[str, Schema] = {"Problem": _PROBLEM}
    for kind in _MESSAGES:
        _add(kind, schemas)
    job = "/helper/v1/jobs/{job}"
    return {
        "openapi": "3.1.0",
        "info": {"title": "Helper API of the token PIN reset", "version": wire.PROTOCOL},
        "servers": [{"url": url}],
        "paths": {
            "/helper/v1/claim": {"post": _operation("claim", wire.Claim, wire.Claimed)},
            f"{job}/release": {"post": _operation("release", wire.Release, wire.Released)},
            f"{job}/report": {"post": _operation("report", wire.Report, wire.JobState)},
            job: {"get": _operation("state", None, wire.JobState)},
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {"job": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(name: str, asks: type | None, answers: type) -> Schema:
    operation: Schema = {
        "operationId": name,
        "responses": {
            "200": _content("application/json", answers.__name__, "done"),
            "default": _content("application/problem+json", "Problem", "refused (RFC 9457)"),
        },
    }
    if asks:
        body = _content("application/json", asks.__name__, "")
        operation["requestBody"] = {"required": True, "content": body["content"]}
    if name != "claim":
        operation["security"] = [{"job": []}]
        pattern = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
        operation["parameters"] = [
            {"name": "job", "in": "path", "required": True, "schema": pattern}
        ]
    return operation


def _content(media: str, schema: str, description: str) -> Schema:
    reference = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    return {"description": description, "content": {media: reference}}


def _add(kind: type, schemas: dict[str, Schema]) -> None:
    if kind.__name__ in schemas:
        return
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = dataclasses.fields(kind)
    schemas[kind.__name__] = {
        "type": "object",
        "additionalProperties": False,
        "required": [f.name for f in fields if f.default is dataclasses.MISSING],
        "properties": {f.name: _schema(hints[f.name], schemas) for f in fields},
    }


def _schema(hint: typing.Any, schemas: dict[str, Schema]) -> Schema:  # noqa: ANN401
    kind, size = wire.bounds(hint)
    if dataclasses.is_dataclass(kind):
        named = typing.cast(type, kind)
        _add(named, schemas)
        return {"$ref": f"#/components/schemas/{named.__name__}"}
    if typing.get_origin(kind) is typing.Literal:
        return {"type": "string", "enum": list(typing.get_args(kind))}
    if typing.get_origin(kind) is tuple:
        items = _schema(typing.get_args(kind)[0], schemas)
        return {"type": "array", "maxItems": wire.LIST_LIMIT, "items": items}
    return {**_PLAIN[kind], **(_lengths(kind, size) if size else {})}


def _lengths(kind: type, size: wire.Size) -> Schema:
    """In characters: padded base64 has four for each three bytes begun."""
    least, most = (4 * -(-n // 3) if kind is bytes else n for n in (size.least, size.most))
    return {"minLength": least, "maxLength": most} if least else {"maxLength": most}
