"""The log that nobody can rewrite unnoticed (promise 5): entry bytes and chain.

What somebody does to the log afterwards is found (T38).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reset.core.audit import EVENTS, ZERO, Entry, entry_bytes, link, verify
from reset.errors import AuditBroken

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
SIZE = 9
Log = tuple[list[Entry], tuple[int, bytes]]


def chained(raws: list[bytes]) -> Log:
    entries: list[Entry] = []
    before = ZERO
    for number, raw in enumerate(raws, 1):
        before = link(before, number, raw)
        entries.append(Entry(number, raw, before))
    return entries, (len(entries), before)


def a_log(size: int = SIZE) -> Log:
    return chained([entry_bytes("login", NOW, f"u{n}", {"n": n}) for n in range(size)])


def broken(entries: list[Entry], head: tuple[int, bytes]) -> tuple[object, object]:
    with pytest.raises(AuditBroken) as caught:
        verify(entries, head)
    return caught.value.data["entry"], caught.value.data["why"]


def numbered(entries: list[Entry]) -> list[Entry]:
    return [replace(entry, number=n) for n, entry in enumerate(entries, 1)]


positions = st.integers(0, SIZE - 1)


# --- chain -------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [0, 1, 2, 50])
def test_an_untouched_log_is_whole(size: int) -> None:
    entries, head = a_log(size)
    assert verify(entries, head) == size
    assert verify(iter(entries), head) == size


def test_the_chain_hash_is_the_documented_one() -> None:
    """An auditor can recompute it with any tool."""
    before, raw = bytes(range(32)), b'{"event":"login"}'
    wanted = hashlib.sha256(b"\0" + before + bytes(7) + b"\x05" + raw).digest()
    assert link(before, 5, raw) == wanted
    assert bytes(32) == ZERO


@given(positions, st.binary(max_size=40))
def test_an_edited_entry_is_found(position: int, raw: bytes) -> None:
    entries, head = a_log()
    entries[position] = replace(entries[position], raw=raw)
    assert broken(entries, head) == (position + 1, "changed")


@given(positions, st.integers(0, 31), st.integers(1, 255))
def test_an_edited_hash_is_found(position: int, place: int, change: int) -> None:
    entries, head = a_log()
    chain = bytearray(entries[position].chain)
    chain[place] ^= change
    entries[position] = replace(entries[position], chain=bytes(chain))
    assert broken(entries, head) == (position + 1, "changed")


@given(positions)
def test_a_deleted_entry_is_found(position: int) -> None:
    """Also the first and the last one; also when the rest is numbered anew."""
    entries, head = a_log()
    del entries[position]
    last = position == SIZE - 1
    assert broken(entries, head) == ((SIZE - 1, "head") if last else (position + 1, "missing"))
    where = SIZE - 1 if last else position + 1
    assert broken(numbered(entries), head)[0] == where


@given(st.integers(0, SIZE), st.booleans())
def test_an_inserted_entry_is_found(position: int, renumber: bool) -> None:
    entries, head = a_log()
    raw = entry_bytes("approved", NOW, "u0", {})
    before = entries[position - 1].chain if position else ZERO
    entries.insert(position, Entry(position + 1, raw, link(before, position + 1, raw)))
    broken(numbered(entries) if renumber else entries, head)


@given(positions, positions, st.booleans())
def test_swapped_entries_are_found(one: int, other: int, renumber: bool) -> None:
    entries, head = a_log()
    entries[one], entries[other] = entries[other], entries[one]
    if one == other:
        assert verify(entries, head) == SIZE
    else:
        assert broken(numbered(entries) if renumber else entries, head)[0] == min(one, other) + 1


@given(positions)
def test_a_cut_off_end_is_found(length: int) -> None:
    entries, head = a_log()
    assert broken(entries[:length], head) == (length, "head")


@given(positions)
def test_a_head_of_another_log_is_found(position: int) -> None:
    entries, (size, chain) = a_log()
    assert broken(entries, (size + 1, chain)) == (SIZE, "head")
    assert broken(entries, (position, entries[position].chain))[1] == "head"
    assert broken(entries, (size, bytes(32))) == (SIZE, "head")


@given(positions)
def test_a_log_rewritten_from_some_entry_on_has_another_head(position: int) -> None:
    """A checkpoint that was carried away tells the two apart."""
    entries, head = a_log()
    raws = [e.raw for e in entries]
    raws[position] = raws[position].replace(b'"login"', b'"logout"')
    forged, forged_head = chained(raws)
    assert verify(forged, forged_head) == SIZE
    assert forged_head != head
    assert broken(forged, head) == (SIZE, "head")


def test_the_same_bytes_at_two_places_have_two_hashes() -> None:
    entries, _ = chained([b"x", b"x", b"x"])
    assert len({e.chain for e in entries}) == 3


# --- entries -----------------------------------------------------------------------------
values = st.recursive(
    st.text() | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


def same(value: object) -> object:
    """Text as its UTF-16 units: that is what JSON escapes can say."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass")
    if isinstance(value, dict):
        return {same(name): same(inner) for name, inner in value.items()}
    return [same(inner) for inner in value] if isinstance(value, list) else value


@given(st.sampled_from(sorted(EVENTS)), st.text(), st.dictionaries(st.text(), values, max_size=5))
def test_no_value_forges_a_field(event: str, actor: str, facts: dict[str, object]) -> None:
    raw = entry_bytes(event, NOW, actor, facts)
    assert all(0x20 <= byte < 0x7F for byte in raw)  # one line, whatever is inside
    read = json.loads(raw)
    assert set(read) == {"actor", "at", "event", "facts"}
    assert read["event"] == event
    assert same(read["actor"]) == same(actor)
    assert same(read["facts"]) == same(facts)


@pytest.mark.parametrize(
    "text",
    [
        'x","event":"approved',
        "user=x,r=admin",
        "a\nb",
        "a\r\n\r\nb",
        "a\0b",
        "\ud800",
        "\udfff\ud800",
        "\u2028",
        "\\",
        "\\u0022",
        "{}[]",
        "x" * 1_000_000,
    ],
)
def test_nasty_values_stay_values(text: str) -> None:
    raw = entry_bytes("login-refused", NOW, text, {"reason": text, text: 1})
    read = json.loads(raw)
    assert (read["actor"], read["event"]) == (text, "login-refused")
    assert read["facts"] == {"reason": text, text: 1}
    assert b"\n" not in raw


def test_the_exact_bytes_of_an_entry() -> None:
    east = (NOW + timedelta(microseconds=123_456)).astimezone(timezone(timedelta(hours=2)))
    assert entry_bytes("login", east, "u1", {"b": 1, "a": "é"}) == (
        b'{"actor":"u1","at":"2026-03-04T12:00:00.123+00:00","event":"login",'
        b'"facts":{"a":"\\u00e9","b":1}}'
    )


def test_the_order_of_facts_does_not_matter() -> None:
    one = entry_bytes("login", NOW, "u1", {"a": 1, "b": 2})
    assert one == entry_bytes("login", NOW, "u1", {"b": 2, "a": 1})


@pytest.mark.parametrize("event", ["", "Login", "login ", "logged-in", "approved\n"])
def test_an_unknown_event_is_our_own_bug(event: str) -> None:
    with pytest.raises(RuntimeError):
        entry_bytes(event, NOW, "u1", {})


def test_nothing_but_plain_values_gets_into_an_entry() -> None:
    """Bytes would be a PIN or a key."""
    with pytest.raises(TypeError):
        entry_bytes("login", NOW, "u1", {"secret": b"1234"})
