"""The predefined questions, each with the reasons for it (S1.41, S1.43).

Rules:

1. An id stands for one question for ever, because rows refer to it. A question that is no longer
   offered stays here with ``offered`` false, so that old profiles can still be asked.
2. A question asks for one thing, with one way to write it, that happened long ago: people forget
   favourites within months and change them.
3. It does not ask for what registers, genealogies or profiles on the web tell: birth, family,
   school, pets.
4. ``common``: the answers that a guesser tries first, refused at registration; they are listed in
   ``common_answers``. ``guessing`` and ``recall``: what is known of the question, or that nobody
   has measured it.
5. A language is a column: another key in ``words`` of every question.

Sources: Bonneau, Bursztein, Caron, Jackson, Williamson, "Secrets, Lies, and Account Recovery",
WWW 2015 (measured at Google); Just, Aspinall, SOUPS 2009; Rabkin, SOUPS 2008.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reset.core.common_answers import COMMON, forms

LANGUAGE = "en"


@dataclass(frozen=True)
class Question:
    """One predefined question; ``words`` by language, ``common`` in normal form."""

    words: Mapping[str, str]
    guessing: str
    recall: str
    common: frozenset[str] = frozenset()
    offered: bool = True

    @property
    def text(self) -> str:
        """The words in the language of the pages."""
        return self.words[LANGUAGE]


CATALOGUE: Mapping[str, Question] = {
    "first-phone": Question(
        {"en": "What were the last six digits of the first telephone number you remember?"},
        "a million values, in no public register; what people make up is refused",
        "55 % still knew their first number (Bonneau 2015)",
        forms(COMMON["first-phone"]),
    ),
    "childhood-street": Question(
        {"en": "What was the name of the street of your best childhood friend?"},
        "another person's home; not in the holder's own records",
        "not measured; a place, and places are remembered best (city of birth: 79 %)",
        forms(COMMON["childhood-street"]),
    ),
    "first-flight": Question(
        {"en": "Where did your first journey by plane or ship take you?"},
        "few places are many people's answer; the commonest are refused",
        "not measured; a single event and a place",
        forms(COMMON["first-flight"]),
    ),
    "first-employer": Question(
        {"en": "What was the family name of the first person who paid you for work?"},
        "as family names are spread; the commonest are refused; seldom on the web",
        "not measured; a single event",
        forms(COMMON["first-employer"]),
    ),
    "teacher-nickname": Question(
        {"en": "What nickname did you and your friends give a teacher?"},
        "free text of a small circle; the teacher's name itself falls to 10 guesses for 24 % "
        "(Arabic, Bonneau 2015)",
        "not measured; used daily for years",
        forms(COMMON["teacher-nickname"]),
    ),
    "lost-thing": Question(
        {"en": "What thing that you lost as a child did you miss most?"},
        "toys that all have are refused; with a name or a colour it is wide",
        "not measured; one strong memory",
        forms(COMMON["lost-thing"]),
    ),
    "first-record": Question(
        {"en": "What was the first record, film or game that you bought with your own money?"},
        "bestsellers are refused; the rest is wide, but may be told on the web",
        "not measured; a single event",
        forms(COMMON["first-record"]),
    ),
    "neighbour": Question(
        {"en": "What was the family name of the neighbours in your first home?"},
        "as family names are spread; the commonest are refused; old directories may tell it",
        "not measured; heard daily for years",
        forms(COMMON["neighbour"]),
    ),
    "childhood-hiding": Question(
        {"en": "Where did you hide things as a child?"},
        "the places that all children use are refused; never published",
        "not measured; done often",
        forms(COMMON["childhood-hiding"]),
    ),
    "childhood-shop": Question(
        {"en": "What was the name of the shop where you bought sweets as a child?"},
        "local knowledge; chains are refused",
        "not measured; visited often, a name and a place",
        forms(COMMON["childhood-shop"]),
    ),
    "childhood-doctor": Question(
        {"en": "What was the family name of the doctor who looked after you as a child?"},
        "as family names are spread; the commonest are refused; in no public record of the holder",
        "not measured; heard over years",
        forms(COMMON["childhood-doctor"]),
    ),
    "first-journey-alone": Question(
        {"en": "Where did your first journey without your family take you?"},
        "few places are many people's answer; the commonest are refused",
        "not measured; a single event and a place",
        forms(COMMON["first-journey-alone"]),
    ),
    "meeting-place": Question(
        {"en": "What did you and your friends call the place where you met as children?"},
        "free text of a small circle, never published",
        "not measured; used often",
        forms(COMMON["meeting-place"]),
    ),
    "first-exam": Question(
        {"en": "Which subject of your first great exam did you fear most, and who examined it?"},
        "few subjects; the name makes it wider",
        "two things in one answer: people write them in another order later",
        offered=False,
    ),
}


def offered() -> list[str]:
    """The ids of the questions that a new profile may choose."""
    return [question for question, about in CATALOGUE.items() if about.offered]


def question_text(question: str) -> str:
    """The words of a question: of the catalogue, or own."""
    return CATALOGUE[question].text if question in CATALOGUE else question
