"""Which questions and answers a registration takes (S1.41-S1.43, S1.52, S1.60)."""

from __future__ import annotations

import string
import tracemalloc
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reset.core.catalogue import CATALOGUE, offered
from reset.core.common_answers import ANYWHERE, forms
from reset.core.normal_form import ANSWER_LIMIT, normalise
from reset.core.policy import Policy
from reset.core.registration import Chosen, answer_problem, registration_problems

POLICY = Policy()
ABOUT = ("Ada Ng Lovelace", "alove", "a.lovelace@example.edu")
INSTITUTION = "Technical University of Example"
QUESTION = "teacher-nickname"


# --- weak answers ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        ("", "empty"),
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
        ("abc123", "pattern"),
        ("qweasdzxc", "pattern"),
        ("1q2w3e4r", "pattern"),
        ("azerty", "pattern"),
        ("❤❤❤❤", "too-short"),
        ("王", "too-short"),
        ("password2", "too-common"),
        ("2012 London", "too-common"),
        ("boss", "too-common"),  # of this question
        ("University", "institution"),
        ("technical university", "institution"),
        ("Technical University of Example", "institution"),
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
    assert answer_problem(answer, QUESTION, ABOUT, POLICY, INSTITUTION) == rule


def test_a_text_of_many_words_is_compared_in_little_memory() -> None:
    """All rows of n words together would be n³ letters: one form could end the process."""
    tracemalloc.start()
    try:
        many = " ".join(f"w{n}" for n in range(300))
        answer_problem("Professor Snail", many, [many], POLICY)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000, peak


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
        "Lace",  # inside "Lovelace"
        "Dodo",
        "Bora Bora",
        "山田",  # two characters, as much as a word
        "Techn",  # inside "Technical"
        "1Q84 by night",
    ],
)
@pytest.mark.parametrize("question", ["teacher-nickname", "childhood-hiding", "first-flight"])
def test_a_good_answer_is_accepted(answer: str, question: str) -> None:
    assert answer_problem(answer, question, ABOUT, POLICY, INSTITUTION) == ""


@pytest.mark.parametrize(
    ("question", "answer", "other"),
    [
        ("first-flight", "Paris", "Carcassonne"),
        ("first-flight", "new  york", "Newfoundland"),
        ("neighbour", "Müller", "Müllenhoff"),
        ("neighbour", "田中", "田村"),
        ("neighbour", "Schaefer", "Schafheitlin"),
        ("first-phone", "12-12-12", "12-12-13"),
        ("childhood-street", "Hauptstraße", "Hauptstraße Fulda"),
        ("teacher-nickname", "Die Hexe", "Hexe Kniesebein"),
        ("childhood-hiding", "Under my bed!", "under the cellar stairs"),
        ("lost-thing", "Teddy", "Teddy Archibald"),
        ("first-record", "THRILLER", "Graceland"),
    ],
)
def test_what_many_answer_is_refused_where_they_do(question: str, answer: str, other: str) -> None:
    """Bonneau 2015: the first guesses take a fifth of all; anything rarer may be used."""
    assert answer_problem(answer, question, (), POLICY) == "too-common"
    assert answer_problem(other, question, (), POLICY) == ""


@st.composite
def typed(draw: st.DrawFn, listed: str) -> str:
    """A listed answer as somebody may type it."""
    case = draw(st.sampled_from([str, str.upper, str.title, str.swapcase]))
    zero = ord(draw(st.sampled_from("0٠०０")))
    text = ""
    for c in case(listed):
        text += chr(zero + int(c)) if c in string.digits else c
        if unicodedata.name(c).startswith("LATIN"):
            text += draw(st.sampled_from(["", "\u0301", "\u0308"]))
        text += draw(st.sampled_from(["", " ", "-", ".", "\u00ad"]))
    return text


@given(st.data(), st.sampled_from(offered()))
def test_a_common_answer_is_refused_however_it_is_typed(data: st.DataObject, question: str) -> None:
    """S1.43: capitals, blanks, accents and the digits of another keyboard change nothing."""
    listed = data.draw(st.sampled_from(sorted(CATALOGUE[question].common)))
    answer = data.draw(typed(listed))
    assert ("answer-1", "too-common") in problems(Chosen(question, answer))


@given(st.data(), st.sampled_from(offered()))
def test_only_a_whole_answer_is_common(data: st.DataObject, question: str) -> None:
    """More than a listed one, less, or any other text is not refused for likeness."""
    common, anywhere = CATALOGUE[question].common, forms(ANYWHERE)
    listed = data.draw(st.sampled_from(sorted(common | anywhere)))
    letters = st.text(string.ascii_letters + " ", max_size=5)
    answer = data.draw(
        st.builds(lambda before, after: before + listed + after, letters, letters)
        | st.sampled_from([listed[:-1], listed[1:]])
        | st.text()
    )
    form = normalise(answer)
    assume(form not in common | anywhere and form.strip(string.digits) not in anywhere)
    assert answer_problem(answer, question, (), POLICY) != "too-common"


@pytest.mark.parametrize("about", [("Li",), ("",), ("-", ".", " "), ("X", "\u200b"), ()])
@pytest.mark.parametrize("answer", ["Limoges", "Caroline", "Tübingen", "Xanten"])
def test_a_short_or_empty_name_forbids_nothing_else(about: tuple[str, ...], answer: str) -> None:
    assert answer_problem(answer, QUESTION, about, POLICY) == ""


@given(st.text(max_size=220), st.sampled_from(sorted(CATALOGUE)))
def test_an_accepted_answer_can_be_compared_later(answer: str, question: str) -> None:
    """S1.44: what registration takes has a stable form of the least length."""
    if not answer_problem(answer, question, ABOUT, POLICY):
        form = normalise(answer)
        wide = [c for c in form if unicodedata.east_asian_width(c) in "WF"]
        assert len(form) + len(wide) >= POLICY.answer_minimum
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
            Chosen(CATALOGUE["first-phone"].text.upper(), "Bismarck"),
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
        (Chosen("neighbour", ""), "answer-6", "empty"),
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


def test_rows_that_are_wholly_empty_do_not_count() -> None:
    """S1.52: a form with room for more is no problem."""
    empty = Chosen("", "")
    assert problems(*GOOD, empty) == []
    assert problems(GOOD[0], empty, *GOOD[1:]) == []
    assert problems(GOOD[0], GOOD[1], empty, GOOD[3], GOOD[4]) == [("question-3", "empty-row")]
    assert problems(*[empty] * 5) == [(f"question-{n}", "empty-row") for n in range(1, 6)]


def test_a_row_that_is_half_empty_says_which_half() -> None:
    assert problems(*GOOD, Chosen("", "Bismarck")) == [("question-6", "no-question")]
    assert problems(*GOOD, Chosen("neighbour", "")) == [("answer-6", "empty")]


def test_so_many_questions_must_be_from_the_list() -> None:
    own = [
        Chosen("What was painted on my first suitcase?", "a green parrot"),
        Chosen("Whom did I dance with at the harvest fair?", "Wilhelmina"),
    ]
    many = replace(POLICY, own_questions_maximum=5)
    assert problems(*GOOD[2:], *own, policy=many) == [("question-3", "too-few-predefined")]
    assert problems(*GOOD[1:], *own, policy=many) == []
    none = replace(many, predefined_minimum=0)
    assert problems(*GOOD[2:], *own, policy=none) == []


def test_a_question_that_is_no_longer_offered_is_not_taken() -> None:
    retired = next(question for question in CATALOGUE if question not in offered())
    assert problems(*GOOD, Chosen(retired, "Bismarck")) == [("question-6", "retired")]


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
