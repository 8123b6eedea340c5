"""Messages survive the trip and nothing else gets in; the PIN rules are S1.12-S1.15."""

from __future__ import annotations

import json
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkcs11_driver import wire
from pkcs11_driver.wire import PinRules, WireError, broken_pin_rules, from_json, to_json

text = st.text(max_size=40)
binary = st.binary(max_size=60)
proofs = st.builds(wire.Proof, binary, binary, text, st.booleans())
rules = st.builds(PinRules, st.integers(), st.integers(), st.integers(), text)
seen = st.builds(wire.TokenSeen, text, text, text, text)
kinds = st.sampled_from(typing.get_args(wire.Kind))
outcomes = st.sampled_from(typing.get_args(wire.Outcome))
messages = st.one_of(
    st.builds(wire.Claim, text, binary, text),
    st.builds(wire.Claimed, text, text, kinds, text, rules, binary, text),
    st.builds(wire.Release, text, seen),
    st.builds(wire.Released, st.integers(), text, binary, st.integers()),
    st.builds(wire.Order, st.lists(text, max_size=3).map(tuple), text),
    st.builds(
        wire.Report, st.integers(), text, outcomes, st.lists(text, max_size=5).map(tuple), proofs
    ),
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
    name = data.draw(st.sampled_from(sorted(raw)))
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
        ("style", "x" * 100_001),
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
