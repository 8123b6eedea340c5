"""reset/core/custodian_wire.py: whatever bytes come, a value or WireRefused."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reset.core import custodian_wire as wire
from reset.errors import EscrowDamaged, ReleaseRefused, ResetError, Unavailable
from tests.custodian.scene import HOLDER

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("AAAA"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
ORDER: dict[str, object] = {
    "operation_id": "o",
    "job_id": "j",
    "epoch": 1,
    "nonce": "n",
    "token_serial": "T1",
    "holder_uid": HOLDER,
    "candidates": ((1, b"\0\xff"),),
    "pending": (2, b""),
    "helper_key": b"k" * 32,
    "statement": "naïve\n".encode(),
    "signature": b"s",
}


@given(st.binary(max_size=300))
def test_any_bytes(raw: bytes) -> None:
    for read in (wire.body_size, wire.decode_request, lambda b: wire.decode_reply("store", b)):
        with pytest.raises(wire.WireRefused):
            read(raw[4:] if read is wire.body_size and len(raw) == 4 else raw)


@given(st.sampled_from(sorted(wire.OPERATIONS)), st.data())
def test_any_arguments(operation: str, data: st.DataObject) -> None:
    names = wire.OPERATIONS[operation].arguments
    arguments = data.draw(st.fixed_dictionaries({name: JSON for name in names}))
    raw = json.dumps({"operation": operation, "arguments": arguments}).encode()
    with contextlib.suppress(wire.WireRefused):
        assert set(wire.decode_request(raw)[1]) == set(names)


@given(st.sampled_from(sorted(wire.OPERATIONS)), JSON, JSON)
def test_any_reply(operation: str, one: object, two: object) -> None:
    for reply in ({"result": one}, {"error": one, "data": two}, one):
        with contextlib.suppress(wire.WireRefused, ResetError):
            wire.decode_reply(operation, json.dumps(reply).encode())


def test_requests_come_back_as_they_were() -> None:
    assert wire.decode_request(wire.encode_request("release", ORDER)) == ("release", ORDER)
    for envelope in (None, b"", b"e"):
        arguments = {"serial": "T1", "version": 3, "envelope": envelope, "holder_uid": "u"}
        arguments["family"] = "etoken"
        assert wire.decode_request(wire.encode_request("store", arguments)) == ("store", arguments)
    with pytest.raises(RuntimeError):
        wire.encode_request("store", {"serial": "T1"})


@pytest.mark.parametrize(
    ("where", "body"),
    [
        ("json", "{"),
        ("json", "[" * 100_000),
        ("json", '{"operation": "hmac", "arguments": {"message": ' + "9" * 5000 + "}}"),
        ("shape", "[]"),
        ("shape", "{}"),
        ("shape", '{"operation": "health", "arguments": {}, "more": 1}'),
        ("json", '{"operation": "health", "operation": "health", "arguments": {}}'),
        ("operation", '{"operation": "__init__", "arguments": {}}'),
        ("operation", '{"operation": 7, "arguments": {}}'),
        ("arguments", '{"operation": "health", "arguments": {"x": 1}}'),
        ("arguments", '{"operation": "hmac", "arguments": {}}'),
        ("message", '{"operation": "hmac", "arguments": {"message": "A"}}'),
        ("message", '{"operation": "hmac", "arguments": {"message": "AA==\\n"}}'),
        ("message", '{"operation": "hmac", "arguments": {"message": "é"}}'),
        ("resolved", '{"operation": "settle", "arguments":'
         ' {"operation_id": "o", "serial": "s", "resolved": 1}}'),
        ("serial", '{"operation": "check", "arguments":'
         ' {"serial": "\\ud800", "version": 1, "sealed": ""}}'),
        ("version", '{"operation": "check", "arguments":'
         ' {"serial": "s", "version": true, "sealed": ""}}'),
        ("version", '{"operation": "check", "arguments":'
         ' {"serial": "s", "version": -1, "sealed": ""}}'),
        ("version", '{"operation": "check", "arguments":'
         ' {"serial": "s", "version": 9223372036854775808, "sealed": ""}}'),
    ],
)  # fmt: skip
def test_requests_that_break_the_format(where: str, body: str) -> None:
    with pytest.raises(wire.WireRefused) as refused:
        wire.decode_request(body.encode())
    assert refused.value.where == where


def test_errors_come_back_with_their_data() -> None:
    for error in (
        ReleaseRefused(rule="signature", why="signer"),
        EscrowDamaged(serial="T1", version=3),
        Unavailable(part="hsm", why="device-gone"),
    ):
        with pytest.raises(type(error)) as told:
            wire.decode_reply("release", wire.encode_error(error))
        assert told.value.data == error.data


@pytest.mark.parametrize("error", ["bad-request", "settings-refused", "__class__", ""])
def test_other_errors_are_not_rebuilt(error: str) -> None:
    with pytest.raises(wire.WireRefused):
        wire.decode_reply("hmac", json.dumps({"error": error, "data": {"self": 1}}).encode())


def test_data_that_no_error_has_is_left_out() -> None:
    reply = {"error": "release-refused", "data": {"self": 1, "rule": "epoch", "why": ["x"]}}
    with pytest.raises(ReleaseRefused) as told:
        wire.decode_reply("hmac", json.dumps(reply).encode())
    assert told.value.data == {"rule": "epoch"}


def test_sizes() -> None:
    assert wire.body_size(wire.frame(b"x" * wire.LIMIT)[:4]) == wire.LIMIT
    with pytest.raises(wire.WireRefused):
        wire.frame(b"x" * (wire.LIMIT + 1))
    for header in (bytes(4), (wire.LIMIT + 1).to_bytes(4), b"\1", b""):
        with pytest.raises(wire.WireRefused):
            wire.body_size(header)
