"""Questions and answers: normal form, registration rules, drawing, binding (S1.41-S1.47, S1.57)."""

from __future__ import annotations

import collections
import random
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reset.core.policy import Policy
from reset.core.profile import (
    ANSWER_LIMIT,
    CATALOGUE,
    QUESTION_LIMIT,
    Chosen,
    Draw,
    StoredAnswer,
    answer_context,
    answer_problem,
    draw,
    normalise,
    question_text,
    registration_problems,
)

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
POLICY = Policy()
ABOUT = ("Ada Ng Lovelace", "alove", "a.lovelace@example.edu", "Ada", "Ng", "Lovelace")
QUESTION = "teacher-nickname"

ASSIGNED = [
    chr(n) for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n)) not in ("Cn", "Cs")
]


# --- normal form -----------------------------------------------------------------------
@pytest.mark.parametrize("around", ["{}", "か{0}a{0}"])
def test_the_normal_form_of_every_assigned_character_is_stable(around: str) -> None:
    for c in ASSIGNED:
        form = normalise(around.format(c))
        assert normalise(form) == form, hex(ord(c))


@given(st.text(st.sampled_from(ASSIGNED), max_size=11))
def test_the_normal_form_of_any_text_is_stable(text: str) -> None:
    form = normalise(text)  # 11 characters: at most 18 times as long afterwards
    assert normalise(form) == form


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_canonically_equal_texts_have_one_form(text: str) -> None:
    forms = {normalise(unicodedata.normalize(n, text)) for n in ("NFC", "NFD", "NFKC", "NFKD")}
    assert len(forms) == 1


@given(st.text(max_size=60))
def test_only_letters_digits_marks_and_plus_are_left(text: str) -> None:
    for c in normalise(text):
        assert unicodedata.category(c)[0] in "LNM" or c == "+"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Main Street", "main street"),
        ("Main Street", "  MAIN-street. "),
        ("O'Brien", "obrien"),
        ("O’Brien", "O'BRIEN"),
        ("Müller", "muller"),
        ("Crème brûlée", "creme brulee"),
        ("Ångström", "angstrom"),
        ("Αθήνα", "ΑΘΗΝΑ"),
        ("Ὀδυσσεύς", "οδυσσευσ"),
        ("Ёлка", "елка"),
        ("Йошкар", "йошкар"),
        ("Straße", "STRASSE"),
        ("STRAẞE", "straße"),
        ("İzmir", "izmir"),
        # compatibility forms (peer failure 6)
        ("\uff2d\uff41\uff49\uff4e\uff11\uff12", "Main12"),  # fullwidth
        ("ﬁsh", "fish"),
        ("①②③", "123"),
        ("\u212b", "a"),  # the sign of the unit
        ("\u2126mega", "ωmega"),
        # invisible characters
        ("al\u200bice", "alice"),
        ("al\u00adice", "alice"),
        ("\u202ealice\u202c", "alice"),
        ("\u2066alice\u2069", "alice"),
        ("\ufeffalice", "alice"),
        ("a\u00a0lice\u3000", "alice"),
        ("alice\0\r\n\t", "alice"),
        # voiced kana, composed and not
        ("が", "か\u3099"),
        ("ｶﾞ", "ガ"),
        ("+49 1234", "+491234"),
    ],
)
def test_what_people_type_differently_is_one_answer(one: str, other: str) -> None:
    """S1.45: case, spaces, punctuation and accents do not matter."""
    assert normalise(one) == normalise(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("か", "が"),  # the voicing mark is the sound
        ("は", "ぱ"),
        ("कि", "क"),  # the vowel signs are the vowels
        ("कि", "की"),
        ("กา", "กี"),
        ("ı", "i"),  # dotless i is another letter
        ("kır", "kir"),
        ("123", "132"),
        ("+491", "491"),
        ("שלום", "שלומ"),
        ("عمر", "عمرو"),
        ("北京", "東京"),
    ],
)
def test_what_is_another_word_stays_another_answer(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


def test_the_length_is_capped_before_anything_else() -> None:
    """U+FDFA becomes 18 characters: a long answer must not become a far longer one."""
    grown = normalise("\ufdfa" * 100_000)
    assert len(grown) <= 18 * ANSWER_LIMIT
    assert grown == normalise("\ufdfa" * ANSWER_LIMIT)
    assert normalise("a" * 100_000) == "a" * ANSWER_LIMIT


def test_the_ligature_is_its_words() -> None:
    assert normalise("\ufdfa") == normalise("صلى الله عليه وسلم")


@pytest.mark.parametrize("text", ["", " ", "\u200b\u200d", "...", "\ud800", "💥", "\0"])
def test_nothing_to_compare_is_an_empty_form(text: str) -> None:
    assert normalise(text) == ""


# --- weak answers ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        ("", "too-short"),
        ("ab", "too-short"),
        (" a - b ", "too-short"),
        ("\u200b\u200b\u200b\u200b", "too-short"),
        ("x" * 201, "too-long"),
        ("aaaa", "pattern"),
        ("AaAa", "pattern"),
        ("1111", "pattern"),
        ("qwert", "pattern"),
        ("TREWQ", "pattern"),
        ("345678", "pattern"),
        ("dcba", "pattern"),
        ("Password", "too-common"),
        ("p-a-s-s-w-o-r-d", "too-common"),
        ("ｌｅｔｍｅｉｎ", "too-common"),
        ("friends", "in-question"),
        ("Nickname", "in-question"),
        ("your friends", "in-question"),
        ("Lovelace", "about-you"),
        ("LOVELACE", "about-you"),
        ("Lövelace", "about-you"),
        ("alove", "about-you"),
        ("ada ng", "about-you"),
        ("example.edu", "about-you"),
        ("emil\ue000", "characters"),
        ("emil\u0378", "characters"),
        ("emil\ud800", "characters"),
    ],
)
def test_a_weak_answer_is_refused_by_its_rule(answer: str, rule: str) -> None:
    """S1.43."""
    assert answer_problem(answer, QUESTION, ABOUT, POLICY) == rule


@pytest.mark.parametrize(
    "answer",
    [
        "Professor Snail",
        "Old Ironsides",
        "der Schreckliche",
        "Blåbärskungen",
        "Ψηλός",
        "Колобок",
        "ライオン先生",
        "حلزون",
        "शेर सिंह",
        "Napoleon+2",
        "482913",
        "Adamantine",  # holds "Ada"
        "King",  # ends in "Ng"
    ],
)
@pytest.mark.parametrize("question", ["teacher-nickname", "childhood-hiding", "first-flight"])
def test_a_good_answer_is_accepted(answer: str, question: str) -> None:
    assert answer_problem(answer, question, ABOUT, POLICY) == ""


@pytest.mark.parametrize("about", [("Li",), ("",), ("-", ".", " "), ("X", "\u200b"), ()])
@pytest.mark.parametrize("answer", ["Limoges", "Caroline", "Tübingen", "Xanten"])
def test_a_short_or_empty_name_forbids_nothing_else(about: tuple[str, ...], answer: str) -> None:
    assert answer_problem(answer, QUESTION, about, POLICY) == ""


@given(st.text(max_size=220), st.sampled_from(sorted(CATALOGUE)))
def test_an_accepted_answer_can_be_compared_later(answer: str, question: str) -> None:
    """S1.44: what registration takes has a stable form of the least length."""
    if not answer_problem(answer, question, ABOUT, POLICY):
        form = normalise(answer)
        assert len(form) >= POLICY.answer_minimum
        assert len(answer) <= ANSWER_LIMIT
        form.encode()


# --- registration ------------------------------------------------------------------------
GOOD = (
    Chosen("first-phone", "482913"),
    Chosen("teacher-nickname", "Professor Snail"),
    Chosen("childhood-hiding", "behind the boiler"),
    Chosen("first-flight", "Reykjavik"),
    Chosen("Which song did my brother never stop humming?", "Yellow Submarine"),
)


def problems(*chosen: Chosen, policy: Policy = POLICY) -> list[tuple[object, object]]:
    found = registration_problems(chosen, ABOUT, policy)
    return [(problem["field"], problem["rule"]) for problem in found]


def test_a_good_registration_has_no_problem() -> None:
    assert problems(*GOOD) == []


@pytest.mark.parametrize(
    ("chosen", "field", "rule"),
    [
        (Chosen("My dog?", "Bismarck"), "question-6", "own-too-short"),
        (Chosen("? ? ? ? ? ? ? ? ? ?", "Bismarck"), "question-6", "own-too-short"),
        (Chosen("Why " + "so " * 50, "Bismarck"), "question-6", "too-long"),
        (Chosen("first-phone", "Bismarck"), "question-6", "question-twice"),
        (
            Chosen(CATALOGUE["first-phone"][0].upper(), "Bismarck"),
            "question-6",
            "question-twice",
        ),
        (
            Chosen("WHICH song did my brother never stop humming", "Bismarck"),
            "question-6",
            "question-twice",
        ),
        (Chosen("What did I call\nmy first bicycle?", "Bismarck"), "question-6", "characters"),
        (Chosen("What did I call\0 my first bicycle?", "Bismarck"), "question-6", "characters"),
        (Chosen("What did I call\ud800 my bicycle?", "Bismarck"), "question-6", "characters"),
        (Chosen("neighbour", ""), "answer-6", "too-short"),
        (Chosen("neighbour", "x" * 300), "answer-6", "too-long"),
        (Chosen("neighbour", "Lovelace"), "answer-6", "about-you"),
        (Chosen("neighbour", "neighbours"), "answer-6", "in-question"),
        (Chosen("neighbour", "qwerty"), "answer-6", "pattern"),
        (Chosen("neighbour", "reykjavík "), "answer-6", "answer-twice"),
    ],
)
def test_each_rule_names_its_field(chosen: Chosen, field: str, rule: str) -> None:
    """S1.43: the page says it beside the field."""
    assert problems(*GOOD, chosen) == [(field, rule)]


def test_a_profile_must_be_large_enough() -> None:
    """S1.60."""
    found = registration_problems(GOOD[:4], ABOUT, POLICY)
    assert found == [{"field": "question-1", "rule": "too-few", "limit": 5}]
    assert problems() == [("question-1", "too-few")]


def test_not_too_many_own_questions() -> None:
    own = [
        Chosen("What was painted on my first suitcase?", "a green parrot"),
        Chosen("Whom did I dance with at the harvest fair?", "Wilhelmina"),
    ]
    assert problems(*GOOD, own[0]) == []
    assert problems(*GOOD, *own) == [("question-7", "too-many-own")]
    none = replace(POLICY, own_questions_maximum=0)
    assert problems(*GOOD, policy=none) == [("question-5", "too-many-own")]


def test_every_problem_is_told_at_once() -> None:
    found = problems(Chosen("first-phone", "x"), Chosen("first-phone", "aaa"))
    assert found == [
        ("answer-1", "too-short"),
        ("question-2", "question-twice"),
        ("answer-2", "pattern"),
        ("question-1", "too-few"),
    ]


@given(
    st.lists(
        st.builds(Chosen, st.sampled_from(sorted(CATALOGUE)) | st.text(), st.text()), max_size=8
    )
)
def test_whatever_is_typed_gets_problems_by_field(chosen: list[Chosen]) -> None:
    for problem in registration_problems(chosen, ABOUT, POLICY):
        name, _, number = str(problem["field"]).partition("-")
        assert name in ("question", "answer")
        assert 1 <= int(number) <= max(1, len(chosen))
        assert problem["rule"]


def test_the_catalogue_is_fit_for_a_profile() -> None:
    texts = [question_text(q) for q in CATALOGUE]
    assert len({normalise(t) for t in texts}) == len(texts) > POLICY.questions_minimum
    assert all(len(t) <= QUESTION_LIMIT and t.endswith("?") for t in texts)
    assert question_text("my own words") == "my own words"


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
