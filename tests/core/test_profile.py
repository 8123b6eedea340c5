"""Drawing a set, what a record binds, and masked addresses (S1.44, S1.57-S1.61)."""

from __future__ import annotations

import collections
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reset.core.profile import Draw, Profile, StoredAnswer, answer_context, draw, masked

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


# --- drawing -----------------------------------------------------------------------------
QUESTIONS = tuple("abcdefg")


@st.composite
def situations(pick: st.DrawFn) -> tuple[tuple[str, ...], int, Callable[[int], int]]:
    count = pick(st.integers(1, 6))
    known = pick(st.permutations(QUESTIONS))[: pick(st.integers(count + 1, 7))]
    constant = pick(st.none() | st.integers(0, 10**6))
    numbers = random.Random(pick(st.integers(0, 2**32)))

    def below(limit: int) -> int:
        return numbers.randrange(limit) if constant is None else constant % limit

    return tuple(known), count, below


@given(situations(), st.integers(1, 8))
def test_two_draws_running_are_never_the_same_set(
    situation: tuple[tuple[str, ...], int, Callable[[int], int]], rounds: int
) -> None:
    """S1.59, however the numbers fall, also when they are all the same."""
    known, count, below = situation
    last: Draw | None = None
    for _ in range(rounds):
        drawn = draw(known, last, count, below)
        assert len(set(drawn)) == count == len(drawn)
        assert set(drawn) <= set(known)
        if last:
            assert set(drawn) != set(last.questions)
        last = Draw("u", drawn, NOW)


@given(situations())
def test_a_set_stays_until_it_is_answered(
    situation: tuple[tuple[str, ...], int, Callable[[int], int]],
) -> None:
    """S1.61: no reload and no new login draws again."""
    known, count, below = situation
    first = draw(known, None, count, below)
    pending = Draw("u", first, None)
    assert draw(known, pending, count, below) == first
    assert draw(known[::-1], pending, count, below) == first


@given(situations())
def test_a_pending_set_with_a_question_that_is_gone_is_drawn_again(
    situation: tuple[tuple[str, ...], int, Callable[[int], int]],
) -> None:
    known, count, below = situation
    drawn = draw(known, Draw("u", ("gone", *known[1:count]), None), count, below)
    assert set(drawn) <= set(known)


@pytest.mark.parametrize("count", [3, 4, 9])
def test_a_profile_is_larger_than_a_draw(count: int) -> None:
    """S1.60; registration ensures it, so here it is our own bug."""
    with pytest.raises(RuntimeError):
        draw(("a", "b", "c"), None, count, lambda n: 0)


def test_every_set_is_drawn_about_as_often() -> None:
    """S1.57: 10 sets of 3 out of 5, and every order."""
    numbers = random.Random(20)
    seen = collections.Counter(draw("abcde", None, 3, numbers.randrange) for _ in range(12_000))
    sets: collections.Counter[frozenset[str]] = collections.Counter()
    for drawn, times in seen.items():
        sets[frozenset(drawn)] += times
    assert len(seen) == 60
    assert len(sets) == 10
    assert all(1_000 < times < 1_400 for times in sets.values())
    assert all(120 < times < 280 for times in seen.values())


def test_after_an_answered_set_all_others_are_equally_likely() -> None:
    numbers = random.Random(21)
    last = Draw("u", ("a", "b", "c"), NOW)
    sets = collections.Counter(
        frozenset(draw("abcde", last, 3, numbers.randrange)) for _ in range(9_000)
    )
    assert len(sets) == 9
    assert all(850 < times < 1_150 for times in sets.values())


# --- what the record binds -----------------------------------------------------------------
STORED = StoredAnswer("first-phone", False, 1, 1, "t2m19p1", b"salt" * 4, b"")
stored = st.builds(
    StoredAnswer,
    question=st.text(max_size=12),
    own=st.booleans(),
    version=st.integers(1, 300),
    norm_version=st.integers(1, 300),
    parameters=st.text(max_size=8),
    salt=st.binary(max_size=8),
    record=st.just(b""),
)
inputs = st.tuples(st.text(max_size=8), stored, st.binary(max_size=8))


def bound(uid: str, answer: StoredAnswer, tag: bytes) -> tuple[object, ...]:
    return (
        *(uid, answer.question, answer.version, answer.norm_version),
        *(answer.salt, answer.parameters, tag),
    )


@given(inputs, inputs)
def test_different_inputs_never_share_a_context(
    one: tuple[str, StoredAnswer, bytes], other: tuple[str, StoredAnswer, bytes]
) -> None:
    assert (answer_context(*one) == answer_context(*other)) == (bound(*one) == bound(*other))


@pytest.mark.parametrize(
    ("uid", "answer", "tag"),
    [
        ("u2", STORED, b"tag"),
        ("u1", replace(STORED, question="neighbour"), b"tag"),
        ("u1", replace(STORED, version=2), b"tag"),
        ("u1", replace(STORED, norm_version=2), b"tag"),
        ("u1", replace(STORED, salt=b"other" * 3), b"tag"),
        ("u1", replace(STORED, parameters="t1m8p1"), b"tag"),
        ("u1", STORED, b"gat"),
        ("u1f", replace(STORED, question="irst-phone"), b"tag"),
    ],
)
def test_no_row_can_be_swapped_for_another(uid: str, answer: StoredAnswer, tag: bytes) -> None:
    assert answer_context(uid, answer, tag) != answer_context("u1", STORED, b"tag")


@pytest.mark.parametrize("length", [72, 128, 5_000])
def test_nothing_is_cut_off_at_the_front(length: int) -> None:
    """Peer failure 39: long equal beginnings must not swallow what follows."""
    uid, question = "u" * length, "q" * length
    long = replace(STORED, question=question)
    contexts = {
        answer_context(uid, long, b"a" * 32),
        answer_context(uid, long, b"b" * 32),
        answer_context(uid + "1", long, b"a" * 32),
        answer_context(uid, replace(long, question=question + "1"), b"a" * 32),
        answer_context(uid, replace(long, salt=b"salt" * 40), b"a" * 32),
        answer_context(uid, replace(long, salt=b"salt" * 40 + b"1"), b"a" * 32),
    }
    assert len(contexts) == 6


# --- masked addresses ----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("alice@elsewhere.example.org", "a…@e….org"),
        ("b@x.de", "b…@x….de"),
        ("Zoë.Long+tag@mail.example", "Z…@m….example"),
    ],
)
def test_a_masked_address_is_known_to_its_owner_only(address: str, shown: str) -> None:
    assert masked(address) == shown


@given(st.from_regex(r"[a-z0-9.]{1,64}@([a-z0-9]{1,20}\\.){1,3}[a-z]{2,6}", fullmatch=True))
def test_a_mask_tells_two_letters_and_the_ending_and_no_length(address: str) -> None:
    local, _, domain = address.partition("@")
    end = domain.rpartition(".")[2]
    assert masked(address) == f"{local[0]}…@{domain[0]}….{end}"


# --- addresses -------------------------------------------------------------------------------
def test_a_slot_changes_its_own_addresses_only() -> None:
    before = Profile("u", (STORED,), "a@b", "c@d", NOW, "e@f", "g@h", NOW)
    later = NOW.replace(year=2027)
    first = before.with_address("recovery", "x@y", "", later)
    assert (first.confirmed("recovery"), first.pending("recovery")) == ("x@y", "")
    assert (first.confirmed("second"), first.pending("second")) == ("e@f", "g@h")
    second = before.with_address("second", "x@y", "", later)
    assert (second.confirmed("second"), second.pending("second")) == ("x@y", "")
    assert (second.confirmed("recovery"), second.pending("recovery")) == ("a@b", "c@d")
    assert first.changed_at == second.changed_at == later
    assert first.answers_at == NOW
