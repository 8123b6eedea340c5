"""Questions, normalising answers, enrolment rules, drawing a set.

Rules (S1.41-S1.47, S1.57-S1.61):

1. A profile holds more questions than one draw asks, predefined or own, no question twice.
2. An answer is compared in its normal form; the version of the form is stored with it.
3. Weak answers are refused at registration with the rule that they break.
4. A drawn set stays until it is answered; two consecutive sets are never the same.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from reset.core.policy import Policy

NORM_VERSION = 1
ANSWER_LIMIT = 200  # code points, before any normalising
QUESTION_LIMIT = 150

# Chosen for recall over years and for a wide spread of answers; the note says why.
CATALOGUE: Mapping[str, tuple[str, str]] = {
    "first-phone": (
        "What were the last six digits of the first telephone number you remember?",
        "long memory, large space; not in public records",
    ),
    "childhood-street": (
        "What was the name of the street of your best childhood friend?",
        "about another person's home, rarely published",
    ),
    "first-flight": (
        "Where did your first journey by plane or ship take you?",
        "an event of one's own, wide spread of places",
    ),
    "first-employer": (
        "What was the family name of the first person who paid you for work?",
        "wide spread of names, seldom online",
    ),
    "teacher-nickname": (
        "What nickname did you and your friends give a teacher?",
        "free text that only a small circle knows",
    ),
    "lost-thing": (
        "What thing that you lost as a child did you miss most?",
        "free text, personal memory",
    ),
    "first-record": (
        "What was the first record, film or game that you bought with your own money?",
        "wide spread, bound to an event",
    ),
    "neighbour": (
        "What was the family name of the neighbours in your first home?",
        "not the holder's own data",
    ),
    "childhood-hiding": (
        "Where did you hide things as a child?",
        "free text, never published",
    ),
    "first-exam": (
        "Which subject of your first great exam did you fear most, and who examined it?",
        "two parts make guessing dear",
    ),
}

_TOO_COMMON = frozenset(
    "123456 12345 1234567 12345678 password passwort qwerty qwertz asdf asdfgh secret geheim "
    "none nothing unknown idontknow dontknow test testing answer blue red green black pizza "
    "london paris newyork berlin smith mueller jones dog cat abc abcdef letmein football".split()
)
_RUNS = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm",
         "qwertzuiop", "yxcvbnm")  # fmt: skip


@dataclass(frozen=True)
class StoredAnswer:
    """One answer as stored: nothing here opens it without the HMAC key in the HSM.

    ``question``: catalogue id, or the own question's text with ``own`` set; ``version`` counts
    changes; ``parameters``: name of the argon2id setting; ``record``: HMAC over binding and tag.
    """

    question: str
    own: bool
    version: int
    norm_version: int
    parameters: str
    salt: bytes
    record: bytes


@dataclass(frozen=True)
class Profile:
    """The identity profile of one person.

    ``recovery_address`` is confirmed or empty; ``recovery_pending`` waits for its mailed code and
    replaces the other only then, so that a typing slip loses nothing.
    """

    uid: str
    answers: tuple[StoredAnswer, ...]
    recovery_address: str
    recovery_pending: str
    changed_at: datetime


@dataclass(frozen=True)
class Draw:
    """The set of questions pinned to a person; a later draw differs from it."""

    uid: str
    questions: tuple[str, ...]
    answered_at: datetime | None


@dataclass(frozen=True)
class Chosen:
    """One question and answer as typed at registration."""

    question: str
    answer: str = field(repr=False)


def question_text(question: str) -> str:
    """The words of a question: of the catalogue, or own."""
    return CATALOGUE[question][0] if question in CATALOGUE else question


def normalise(answer: str) -> str:
    """The normal form of an answer, version 1; idempotent.

    NFKD, case folding, then only letters, digits, marks and ``+`` are kept; combining marks over
    Latin, Greek and Cyrillic letters are dropped, so that accents do not matter there.
    """
    text = unicodedata.normalize("NFKD", answer[:ANSWER_LIMIT])
    text = unicodedata.normalize("NFKD", text.casefold()).casefold()
    kept: list[str] = []
    base = ""
    for c in unicodedata.normalize("NFKD", text):
        category = unicodedata.category(c)
        if category.startswith("M"):
            if not base.startswith(("LATIN", "GREEK", "CYRILLIC")):
                kept.append(c)
        elif category[0] in "LN" or c == "+":
            base = unicodedata.name(c, "")
            kept.append(c)
    return unicodedata.normalize("NFKC", "".join(kept))


def answer_problem(answer: str, question: str, about: Iterable[str], policy: Policy) -> str:
    """The rule that an answer breaks, or nothing. ``about``: name, login, mail of the person."""
    if len(answer) > ANSWER_LIMIT:
        return "too-long"
    form = normalise(answer)
    if any(unicodedata.category(c) in ("Cn", "Co", "Cs") for c in answer):
        return "characters"
    if len(form) < policy.answer_minimum:
        return "too-short"
    if len(set(form)) == 1 or any(form in run or form in run[::-1] for run in _RUNS):
        return "pattern"
    if form in _TOO_COMMON:
        return "too-common"
    if _in_question(form, question_text(question)):
        return "in-question"
    if any(form in normalise(word) or normalise(word) == form for word in about if word):
        return "about-you"
    return ""


def _in_question(form: str, text: str) -> bool:
    """Whole words of the question, or a long part of it: a short name inside one is no hint."""
    words = {normalise(word) for word in text.split()}
    return form in words or (len(form) > 5 and form in normalise(text))


def registration_problems(
    chosen: Sequence[Chosen], about: Sequence[str], policy: Policy
) -> list[dict[str, object]]:
    """Every rule that a registration breaks: ``{field, rule, limit?}``, empty when it is good.

    ``field`` is the form's field name, so that the page can say it beside the field (S1.43).
    """
    problems: list[dict[str, object]] = []
    seen_questions: dict[str, int] = {}
    seen_answers: dict[str, int] = {}
    own = 0
    for number, item in enumerate(chosen, 1):
        text = normalise(question_text(item.question))
        own += item.question not in CATALOGUE
        rule = ""
        if item.question not in CATALOGUE and len(text) < 10:
            rule = "own-too-short"
        elif len(item.question) > QUESTION_LIMIT:
            rule = "too-long"
        elif any(unicodedata.category(c) in ("Cc", "Cs") for c in item.question):
            rule = "characters"
        elif text in seen_questions:
            rule = "question-twice"
        elif item.question not in CATALOGUE and own > policy.own_questions_maximum:
            rule = "too-many-own"
        if rule:
            problems.append({"field": f"question-{number}", "rule": rule})
        seen_questions[text] = number
        rule = answer_problem(item.answer, item.question, about, policy)
        form = normalise(item.answer)
        if not rule and form in seen_answers:
            rule = "answer-twice"
        if rule:
            problems.append({"field": f"answer-{number}", "rule": rule})
        seen_answers[form] = number
    if len(chosen) < policy.questions_minimum:
        problems.append(
            {"field": "question-1", "rule": "too-few", "limit": policy.questions_minimum}
        )
    return problems


def draw(
    questions: Sequence[str],
    last: Draw | None,
    count: int,
    below: Callable[[int], int],
) -> tuple[str, ...]:
    """A random set of ``count`` questions; a pending draw is given again (S1.61).

    ``below(n)`` returns a random integer in 0…n-1. Every set but the last one is equally likely
    (S1.59), in any order.
    """
    if last and last.answered_at is None and set(last.questions) <= set(questions):
        return last.questions
    if count >= len(questions):
        raise RuntimeError("a profile must be larger than a draw")
    before = set(last.questions) if last else set()
    sets = [s for s in itertools.combinations(questions, count) if set(s) != before]
    rest = list(sets[below(len(sets))])
    return tuple(rest.pop(below(len(rest))) for _ in range(count))


def answer_context(uid: str, answer: StoredAnswer, tag: bytes) -> bytes:
    """The bytes whose HMAC is the record: each part length-prefixed, so rows cannot be swapped."""
    parts = (
        uid.encode(),
        answer.question.encode(),
        str(answer.version).encode(),
        str(answer.norm_version).encode(),
        answer.salt,
        answer.parameters.encode(),
        tag,
    )
    return b"ans-v1" + b"".join(len(p).to_bytes(4) + p for p in parts)
