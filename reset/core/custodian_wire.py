"""What the service and its custodian say to each other over the socket: bytes to values and back.

Rules (design section 5):

1. A message is 4 bytes of length, big-endian, and one JSON object of at most ``LIMIT`` bytes.
2. A request is ``{"operation", "arguments"}``; only the operations of ``OPERATIONS`` exist, each
   with exactly its arguments, each of exactly its type. Bytes travel as padded base64.
3. A reply is ``{"result"}`` or ``{"error", "data"}``; only the errors of ``ERRORS`` are rebuilt.
4. Whatever bytes come, the answer is a value or ``WireRefused``.

No input or output happens here; both sides import it.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from reset.errors import (
    CertificateRefused,
    EscrowDamaged,
    ReleaseRefused,
    ResetError,
    SignatureRefused,
    StatementRefused,
    Unavailable,
)

LIMIT = 256 * 1024
HEADER = 4
BAD_REQUEST = "bad-request"
ERRORS: Mapping[str, type[ResetError]] = {
    kind.code: kind
    for kind in (
        CertificateRefused,
        EscrowDamaged,
        ReleaseRefused,
        SignatureRefused,
        StatementRefused,
        Unavailable,
    )
}
_DATA = frozenset({"rule", "why", "part", "serial", "version"})
_TEXT = 1_024
_NUMBER = 1 << 63


class WireRefused(ValueError):
    """A message that breaks the format. ``where`` names the place; no value is repeated."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where


# --- types of arguments and results ---------------------------------------------------
def _refuse(where: str) -> NoReturn:
    raise WireRefused(where) from None


def _text(raw: object, where: str) -> str:
    if not isinstance(raw, str) or len(raw) > _TEXT:
        _refuse(where)
    try:
        raw.encode()
    except UnicodeEncodeError:  # a lone surrogate is valid JSON and no text
        _refuse(where)
    return raw


def _number(raw: object, where: str) -> int:
    # bool is an int in Python; on the wire it is not
    if not isinstance(raw, int) or isinstance(raw, bool) or not 0 <= raw < _NUMBER:
        _refuse(where)
    return raw


def _flag(raw: object, where: str) -> bool:
    if not isinstance(raw, bool):
        _refuse(where)
    return raw


def _bytes(raw: object, where: str) -> bytes:
    if not isinstance(raw, str):
        _refuse(where)
    try:
        return base64.b64decode(raw, validate=True)
    except (binascii.Error, ValueError):
        _refuse(where)


def _bytes_or_none(raw: object, where: str) -> bytes | None:
    return None if raw is None else _bytes(raw, where)


def _sealed(raw: object, where: str) -> tuple[int, bytes]:
    if not isinstance(raw, list) or len(raw) != 2:
        _refuse(where)
    return _number(raw[0], where), _bytes(raw[1], where)


def _sealed_list(raw: object, where: str) -> tuple[tuple[int, bytes], ...]:
    if not isinstance(raw, list) or len(raw) > 8:
        _refuse(where)
    return tuple(_sealed(item, where) for item in raw)


def _hashes(raw: object, where: str) -> tuple[bytes, ...]:
    if not isinstance(raw, list) or len(raw) > 128:
        _refuse(where)
    found = tuple(_bytes(item, where) for item in raw)
    if any(len(item) != 32 for item in found):
        _refuse(where)
    return found


def _escrowed(raw: object, where: str) -> tuple[int, bool, tuple[tuple[int, bytes], ...]]:
    if not isinstance(raw, list) or len(raw) != 3 or not isinstance(raw[2], list):
        _refuse(where)
    versions = tuple(_sealed(item, where) for item in raw[2])
    return _number(raw[0], where), _flag(raw[1], where), versions


def _nothing(raw: object, where: str) -> None:
    if raw is not None:
        _refuse(where)


def _facts(raw: object, where: str) -> Mapping[str, str]:
    if not isinstance(raw, dict):
        _refuse(where)
    return {_text(name, where): _text(value, where) for name, value in raw.items()}


Reader = Callable[[object, str], object]


@dataclass(frozen=True)
class Form:
    """The arguments of an operation by name, and its result, each with what reads it."""

    arguments: Mapping[str, Reader]
    result: Reader


_VERSIONED: Mapping[str, Reader] = {"serial": _text, "version": _number, "sealed": _bytes}
OPERATIONS: Mapping[str, Form] = {
    "import_key": Form({}, _bytes),
    "store": Form(
        {
            "serial": _text,
            "version": _number,
            "envelope": _bytes_or_none,
            "holder_uid": _text,
            "family": _text,
        },
        _bytes,
    ),
    "correct": Form({"serial": _text, "envelope": _bytes, "holder_uid": _text}, _sealed),
    "release": Form(
        {
            "operation_id": _text,
            "job_id": _text,
            "epoch": _number,
            "nonce": _text,
            "token_serial": _text,
            "holder_uid": _text,
            "candidates": _sealed_list,
            "pending": _sealed,
            "helper_key": _bytes,
            "statement": _bytes,
            "signature": _bytes,
        },
        _bytes,
    ),
    "settle": Form({"operation_id": _text, "serial": _text, "resolved": _flag}, _nothing),
    "withdraw": Form({"operation_id": _text, "serial": _text}, _nothing),
    "hmac": Form({"message": _bytes}, _bytes),
    "check": Form(_VERSIONED, _bytes),
    "rewrap": Form(_VERSIONED, _bytes),
    "escrowed": Form({"serial": _text}, _escrowed),
    "sign_checkpoint": Form({"body": _bytes, "proof": _hashes}, _bytes),
    "checkpoint_size": Form({"origin": _text}, _number),
    "checkpoint_key": Form({}, _bytes),
    "health": Form({}, _facts),
}


# --- framing ----------------------------------------------------------------------------
def frame(body: bytes) -> bytes:
    """``body`` with its length in front. Raises ``WireRefused`` above ``LIMIT``."""
    if len(body) > LIMIT:
        raise WireRefused("size")
    return len(body).to_bytes(HEADER) + body


def body_size(header: bytes) -> int:
    """The length of the body after ``header``. Raises ``WireRefused`` for 0 and above ``LIMIT``."""
    size = int.from_bytes(header)
    if len(header) != HEADER or not 0 < size <= LIMIT:
        raise WireRefused("size")
    return size


# --- requests and replies ---------------------------------------------------------------
def encode_request(operation: str, arguments: Mapping[str, object]) -> bytes:
    """The body of a request. An operation or argument outside ``OPERATIONS`` is our own bug."""
    if set(arguments) != set(OPERATIONS[operation].arguments):
        raise RuntimeError(f"wrong arguments for {operation}")
    return _dump({"operation": operation, "arguments": arguments})


def decode_request(body: bytes) -> tuple[str, dict[str, object]]:
    """Operation and arguments of a request. Raises ``WireRefused``."""
    raw = _load(body, {"operation", "arguments"})
    operation, arguments = _text(raw["operation"], "operation"), raw["arguments"]
    form = OPERATIONS.get(operation)
    if form is None:
        _refuse("operation")
    if not isinstance(arguments, dict) or set(arguments) != set(form.arguments):
        _refuse("arguments")
    return operation, {name: read(arguments[name], name) for name, read in form.arguments.items()}


def encode_result(value: object) -> bytes:
    """The body of a good reply."""
    return _dump({"result": value})


def encode_error(error: ResetError | None) -> bytes:
    """The body of a refusal; None is a request that breaks the format."""
    if error is None:
        return _dump({"error": BAD_REQUEST, "data": {}})
    data = {n: v if isinstance(v, str | int) else str(v) for n, v in error.data.items()}
    return _dump({"error": error.code, "data": data})


def decode_reply(operation: str, body: bytes) -> object:
    """The result of a reply to ``operation``.

    Raises the refusal that the reply tells, if ``ERRORS`` knows it; else ``WireRefused``.
    """
    raw = _load(body, {"result"}, {"error", "data"})
    if "result" in raw:
        return OPERATIONS[operation].result(raw["result"], "result")
    kind, data = ERRORS.get(_text(raw["error"], "error")), raw["data"]
    if kind is None or not isinstance(data, dict):
        _refuse("error")
    raise kind(**{n: v for n, v in data.items() if n in _DATA and isinstance(v, str | int)})


def _dump(message: Mapping[str, object]) -> bytes:
    def value(item: object) -> object:
        if isinstance(item, bytes):
            return base64.b64encode(item).decode()
        if isinstance(item, Mapping):
            return {str(name): value(inner) for name, inner in item.items()}
        if isinstance(item, tuple | list):
            return [value(inner) for inner in item]
        return item

    return json.dumps(value(message), separators=(",", ":"), allow_nan=False).encode()


def _load(body: bytes, *shapes: set[str]) -> dict[str, object]:
    try:
        raw = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        _refuse("json")
    if not isinstance(raw, dict) or set(raw) not in shapes:
        _refuse("shape")
    return raw


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError  # a name twice: readers would differ in what it says
    return found
