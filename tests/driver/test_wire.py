"""Messages survive the trip and nothing else gets in; the PIN rules are S1.12-S1.15."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkcs11_driver import library, resetting, wire
from pkcs11_driver.wire import PinRules, WireError, broken_pin_rules, from_json, to_json

text = st.text(max_size=40)
binary = st.binary(max_size=60)
proofs = st.builds(wire.Proof, binary, binary, text, st.booleans())
rules = st.builds(PinRules, st.integers(), st.integers(), st.integers(), text)
states = st.sampled_from(typing.get_args(wire.PinState))
seen = st.builds(wire.TokenSeen, text, text, states, states)
steps = st.lists(st.sampled_from(typing.get_args(wire.Step)), max_size=5).map(tuple)
kinds = st.sampled_from(typing.get_args(wire.Kind))
outcomes = st.sampled_from(typing.get_args(wire.Outcome))
messages = st.one_of(
    st.builds(wire.Claim, text, st.binary(min_size=32, max_size=32), text),
    st.builds(wire.Claimed, text, text, kinds, text, rules, binary, text),
    st.builds(wire.Release, text, seen),
    st.builds(wire.Released, st.integers(), text, binary, st.integers()),
    st.builds(wire.Order, st.lists(text, max_size=3).map(tuple), text),
    st.builds(wire.Report, st.integers(), text, outcomes, steps, proofs),
    st.builds(wire.JobState, text, text),
)


@given(messages)
def test_round_trip(message: object) -> None:
    assert from_json(type(message), json.loads(json.dumps(to_json(message)))) == message


@given(messages, st.data())
def test_a_missing_or_unknown_field_is_refused(message: object, data: st.DataObject) -> None:
    raw = to_json(message)
    with pytest.raises(WireError, match="is unknown"):
        from_json(type(message), {**raw, "more": 1})
    # a field that came later has a default and may be missing
    fields = dataclasses.fields(message)  # type: ignore[arg-type]
    needed = [f.name for f in fields if f.default is dataclasses.MISSING]
    name = data.draw(st.sampled_from(needed))
    with pytest.raises(WireError) as caught:
        from_json(type(message), {k: v for k, v in raw.items() if k != name})
    assert (caught.value.field, caught.value.rule) == (f"message.{name}", "is missing")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


@given(json_values, st.sampled_from([wire.Claim, wire.Released, wire.Report, wire.Order]))
def test_anything_else_is_a_wire_error(value: object, kind: type) -> None:
    with pytest.raises(WireError):
        from_json(kind, value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epoch", True),
        ("epoch", 1.0),
        ("epoch", "1"),
        ("sealed", "a"),
        ("sealed", "YQ==\n"),
        ("sealed", "YQ=="[:-1]),
        ("sealed", 1),
        ("style", None),
        ("style", "x" * 513),
        ("sealed", "YWJj" * 25_001),
    ],
)
def test_wrong_types(field: str, value: object) -> None:
    raw: dict[str, Any] = to_json(wire.Released(1, "so_init_pin", b"sealed", 60))
    with pytest.raises(WireError) as caught:
        from_json(wire.Released, {**raw, field: value})
    assert caught.value.field == f"message.{field}"


@pytest.mark.parametrize("value", ["finished", 1, None, ["done"]])
def test_an_outcome_is_one_of_the_words(value: object) -> None:
    raw = to_json(wire.Report(1, "n", "done", (), wire.Proof()))
    with pytest.raises(WireError):
        from_json(wire.Report, {**raw, "outcome": value})


@pytest.mark.parametrize("value", ["so-login ", "SO-LOGIN", "", "x" * 600, "a <b>", 1, None])
def test_a_step_is_one_of_the_words(value: object) -> None:
    """What a helper tells is kept and shown to the office: no text of its own gets there."""
    raw = to_json(wire.Report(1, "n", "done", ("so-login",), wire.Proof()))
    with pytest.raises(WireError) as caught:
        from_json(wire.Report, {**raw, "steps": ["so-login", value]})
    assert caught.value.field.startswith("message.steps")


@pytest.mark.parametrize("field", ["user_pin", "so_pin"])
@pytest.mark.parametrize("value", ["", "OK", "blocked", "x" * 600, None, ["ok"]])
def test_a_pin_state_is_one_of_the_words(field: str, value: object) -> None:
    raw: dict[str, Any] = to_json(wire.Release("n", wire.TokenSeen("S", "L", "ok", "locked")))
    with pytest.raises(WireError) as caught:
        from_json(wire.Release, {**raw, "token": {**raw["token"], field: value}})
    assert caught.value.field == f"message.token.{field}"


def test_the_words_are_those_of_the_driver() -> None:
    """The helper hands them on unchecked; one that the service does not know would be lost."""
    made = set(re.findall(r"_step\(\"([^\"]+)\"\)", inspect.getsource(resetting)))
    assert set(typing.get_args(wire.Step)) == made | {"statement-signed"}
    told = {name for flags in library._STATES.values() for _, name in flags}
    assert set(typing.get_args(wire.PinState)) == told | {"ok", "not-initialised"}


def test_the_longest_text() -> None:
    state = wire.JobState("x" * 512, "done")
    assert from_json(wire.JobState, to_json(state)) == state
    with pytest.raises(WireError, match="text of at most 512 characters"):
        from_json(wire.JobState, to_json(wire.JobState("x" * 513, "done")))
    with pytest.raises(WireError, match=r"candidates\[1\]: must be text of at most 512"):
        from_json(wire.Order, to_json(wire.Order(("1", "x" * 513), "2")))


BASE64_KEY = "base64 (RFC 4648 section 4) of 32 bytes"


@pytest.mark.parametrize(
    ("message", "field", "value", "need"),
    [
        (wire.Claim("c", bytes(32), "1"), "code", 7, "text of at most 512 characters"),
        (wire.Claim("c", bytes(32), "1"), "public_key", "!", BASE64_KEY),
        (wire.Report(1, "n", "done", (), wire.Proof()), "epoch", True, "a whole number"),
        (wire.Report(1, "n", "done", (), wire.Proof()), "steps", "x", "a list of at most 64"),
        (wire.Report(1, "n", "done", (), wire.Proof()), "proof", [], "an object"),
        (wire.Report(1, "n", "done", (), wire.Proof()), "outcome", "no",
         f"one of {', '.join(typing.get_args(wire.Outcome))}"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_the_field_must_be(
    message: object, field: str, value: object, need: str
) -> None:
    with pytest.raises(WireError) as caught:
        from_json(type(message), {**to_json(message), field: value})
    assert (caught.value.field, caught.value.rule) == (f"message.{field}", f"must be {need}")


@given(st.binary(max_size=70).filter(lambda key: len(key) != 32))
def test_a_key_has_32_bytes(key: bytes) -> None:
    with pytest.raises(WireError, match="of 32 bytes"):
        from_json(wire.Claim, to_json(wire.Claim("23456789", key, "1")))


# --- the bytes that prove a reset ---------------------------------------------------------
def hexes(size: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=size, max_size=size)


parts = st.tuples(hexes(32), st.text("abc123-_.+=/~", min_size=1, max_size=40), hexes(64))
PROOF = wire.proof_challenge("0a" * 16, "job.1", "0b" * 32)


def test_the_exact_bytes_of_a_challenge() -> None:
    lines = ("token-reset proof 1", "request " + "0a" * 16, "job job.1", "nonce " + "0b" * 32, "")
    assert "\n".join(lines).encode() == PROOF
    assert wire.is_proof_challenge(PROOF, "job.1")


@given(parts, parts)
def test_each_proof_has_its_own_challenge(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assert (wire.proof_challenge(*one) == wire.proof_challenge(*other)) == (one == other)
    assert wire.is_proof_challenge(wire.proof_challenge(*one), one[1])
    assert wire.is_proof_challenge(wire.proof_challenge(*one), other[1]) == (one[1] == other[1])


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        PROOF[:-1],
        PROOF + b"\n",
        PROOF + PROOF,
        b"\n" + PROOF,
        b"\x31\x45" + PROOF,
        PROOF.replace(b"\n", b"\r\n"),
        PROOF.replace(b"job.1", b"job-1"),
        PROOF.replace(b"job.1", b"jobx1"),
        PROOF.replace(b"proof 1", b"proof 2"),
        PROOF.replace(b"proof", b"approval"),
        PROOF.replace(b"request", b"operation"),
        PROOF.replace(b"0a", b"0A"),
        PROOF.replace(b"0a" * 16, b"0a" * 15),
        PROOF.replace(b"0b" * 32, b"0b" * 33),
        PROOF.replace(b"0b" * 32, b"\xd9\xa0" * 32),
    ],
)
def test_anything_else_is_no_challenge(challenge: bytes) -> None:
    assert not wire.is_proof_challenge(challenge, "job.1")


@given(st.integers(0, len(PROOF) - 1), st.integers(1, 255))
def test_a_changed_byte_is_another_challenge_or_none(position: int, change: int) -> None:
    """Only the hexadecimal digits of request and nonce may differ."""
    raw = bytearray(PROOF)
    raw[position] ^= change
    in_digits = any(PROOF.index(d) <= position < PROOF.index(d) + len(d) for d in DIGITS)
    still = in_digits and raw[position] in b"0123456789abcdef"
    assert wire.is_proof_challenge(bytes(raw), "job.1") == still


DIGITS = (b"0a" * 16, b"0b" * 32)


def test_secrets_are_in_no_repr() -> None:
    order = wire.Order(("the-candidate",), "the-next-one")
    released = wire.Released(1, "s", b"the-sealed", 1)
    claimed = wire.Claimed("j", "the-secret", "reset", "s", PinRules(), b"", "")
    claim = wire.Claim("THE-CODE", b"", "")
    assert "the-" not in repr((order, released, claimed, claim)).lower()


@pytest.mark.parametrize(
    ("pin", "broken"),
    [
        ("Abcdef12", ()),
        ("abcdef1!", ()),
        ("ABCDEF1 ", ()),
        ("Abcde12", ("too-short",)),
        ("Ab1" * 22, ("too-long",)),
        ("Ab1" + "ä" * 31, ("too-long",)),  # 34 characters, 65 bytes: tokens count bytes
        ("Ab1" + "ä" * 30, ()),
        ("abcdef12", ("classes",)),
        ("abcdefgh", ("classes",)),
        ("äöüÄÖÜ12", ("classes",)),
        ("Äöü12345", ("classes",)),
        ("Abcdef1}", ("forbidden",)),
        ("Abcdef1]", ("forbidden",)),
        ("Abcdef1=", ("forbidden",)),
        ("Abcdef1)", ()),
        ("Abcdef1\t", ("unprintable",)),
        ("Abcdef1\ud800", ("unprintable",)),
        ("", ("too-short", "classes")),
    ],
)
def test_s1_12_to_s1_15_pin_rules(pin: str, broken: tuple[str, ...]) -> None:
    assert broken_pin_rules(pin, PinRules()) == broken


def test_codes_are_read_as_people_type_them() -> None:
    assert wire.tidy_code(" abcd-efgh ") == "ABCDEFGH"
    assert wire.tidy_code("abcd\u2013efgh") == "ABCDEFGH"
    assert wire.is_code("ABCDEFGH")
    assert wire.show_code("ABCDEFGH") == "ABCD-EFGH"
    for bad in ("ABCDEFG", "ABCDEFGHJ", "ABCDEFG0", "ABCDEFGI", "abcdefgh"):
        assert not wire.is_code(bad)


@given(text, binary)
def test_words_belong_to_job_and_key(job: str, key: bytes) -> None:
    words = wire.confirmation_words(job, key)
    assert len(words.split()) == 3
    assert words == wire.confirmation_words(job, key)


def test_other_jobs_and_keys_have_other_words() -> None:
    words = {wire.confirmation_words(f"job{n}", bytes([n]) * 32) for n in range(200)}
    assert len(words) > 195


@given(
    st.tuples(text, st.integers(0, 9), text, text), st.tuples(text, st.integers(0, 9), text, text)
)
def test_an_order_context_is_of_one_order(
    one: tuple[str, int, str, str], two: tuple[str, int, str, str]
) -> None:
    assert (wire.order_context(*one) == wire.order_context(*two)) == (one == two)
