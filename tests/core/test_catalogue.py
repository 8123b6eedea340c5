"""The predefined questions: enough, distinct, reasoned, kept for ever (S1.41, S1.43)."""

from __future__ import annotations

import pytest

from reset.core.catalogue import CATALOGUE, LANGUAGE, offered, question_text
from reset.core.normal_form import normalise
from reset.core.policy import Policy
from reset.core.registration import QUESTION_LIMIT, answer_problem

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


@pytest.mark.parametrize("question", [q for q, about in CATALOGUE.items() if about.common])
def test_common_answers_are_in_normal_form_and_refused(question: str) -> None:
    for form in CATALOGUE[question].common:
        assert normalise(form) == form != ""
        assert answer_problem(form, question, (), Policy()) in (
            "too-common",
            "too-short",
            "pattern",
        )
