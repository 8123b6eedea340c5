"""The predefined questions: enough, distinct, reasoned, kept for ever (S1.41, S1.43)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from reset.core.catalogue import CATALOGUE, LANGUAGE, offered, question_text
from reset.core.common_answers import ANYWHERE, COMMON, forms
from reset.core.normal_form import normalise
from reset.core.policy import Policy
from reset.core.registration import QUESTION_LIMIT, answer_problem

LISTED = 200  # common answers of a question, at least

# rows refer to these ids: none may ever go or mean something else
KEPT = {
    "first-phone": "telephone number",
    "childhood-street": "street",
    "first-flight": "plane or ship",
    "first-employer": "paid you",
    "teacher-nickname": "nickname",
    "lost-thing": "lost as a child",
    "first-record": "record, film or game",
    "neighbour": "neighbours",
    "childhood-hiding": "hide things",
    "first-exam": "exam",
    "childhood-shop": "sweets",
    "childhood-doctor": "doctor",
    "first-journey-alone": "without your family",
    "meeting-place": "met as children",
}


def test_the_ids_of_stored_rows_keep_their_questions() -> None:
    assert CATALOGUE.keys() == KEPT.keys()
    assert all(words in question_text(question) for question, words in KEPT.items())


def test_the_catalogue_is_fit_for_a_profile() -> None:
    texts = [about.text for about in CATALOGUE.values()]
    assert len({normalise(text) for text in texts}) == len(texts)
    assert all(len(text) <= QUESTION_LIMIT and text.endswith("?") for text in texts)
    assert question_text("my own words") == "my own words"
    # twice what is needed: whoever finds one too common or unknown has another
    assert len(offered()) >= 2 * Policy().questions_minimum


@pytest.mark.parametrize("question", CATALOGUE)
def test_every_question_says_why_it_is_there(question: str) -> None:
    about = CATALOGUE[question]
    assert about.guessing
    assert about.recall
    assert set(about.words) == {LANGUAGE}


# --- common answers ----------------------------------------------------------------------
def test_every_offered_question_has_a_long_list() -> None:
    assert set(COMMON) == set(offered())
    assert {question for question, answers in COMMON.items() if len(answers) < LISTED} == set()


@pytest.mark.parametrize("answers", [*COMMON.values(), ANYWHERE], ids=[*COMMON, "anywhere"])
def test_a_list_holds_normal_forms_and_none_twice(answers: tuple[str, ...]) -> None:
    listed = [form for answer in answers for form in forms([answer])]
    assert [form for form, times in Counter(listed).items() if times > 1] == []
    assert [form for form in listed if normalise(form) != form or not form] == []
    assert set(map(normalise, answers)) <= set(listed)
    assert {"schafer", "schaefer"} == forms(["Schäfer"])


@pytest.mark.parametrize("question", COMMON)
def test_each_listed_answer_is_refused_and_for_nothing_else(
    question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another rule refuses anyway would be dead weight in a list."""
    about = CATALOGUE[question]
    for answer in COMMON[question]:
        assert answer_problem(answer.upper(), question, (), Policy()) == "too-common", answer
    monkeypatch.setitem(CATALOGUE, question, replace(about, common=frozenset()))
    for form in about.common:
        assert answer_problem(form, question, (), Policy()) == "", form


@pytest.mark.parametrize("question", ["Whom did I call the captain?", "lost-thing"])
def test_what_is_common_everywhere_is_refused_with_digits_too(question: str) -> None:
    for answer in ANYWHERE:
        for typed in (f"{answer} 1999", f"7{answer}77"):
            assert answer_problem(typed, question, (), Policy()) == "too-common", typed
    assert answer_problem("Teddy 1999", question, (), Policy()) == ""
