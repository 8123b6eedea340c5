"""What a registration must keep: which questions, how many, and no answer that is easily guessed.

Rules (S1.41-S1.43, S1.52, S1.60):

1. A profile holds more questions than one draw asks, so many of them predefined and at most so
   many own ones, none twice, as the policy says. Rows that are wholly empty do not count.
2. An answer is refused with the rule that it breaks, and never without another way: every
   question may be swapped for another one.
3. Every problem is told at once, each at its field (S1.43).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from reset.core.catalogue import CATALOGUE, question_text
from reset.core.common_answers import ANYWHERE, forms
from reset.core.normal_form import ANSWER_LIMIT, normalise
from reset.core.policy import Policy

QUESTION_LIMIT = 150
OWN_MINIMUM = 10  # letters and digits of an own question

_UNUSABLE = ("Cn", "Co", "Cs")  # a later Unicode version may fold an unassigned one differently
_RUNS = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm",
         "qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn",
         "1qaz2wsx3edc4rfv", "1q2w3e4r5t6z")  # fmt: skip
_RUN_MINIMUM = 3
_LONG = 6  # an answer of so many letters is a hint also inside a word
_DIGITS = "0123456789"
_ANYWHERE = forms(ANYWHERE)


@dataclass(frozen=True)
class Chosen:
    """One question and answer as typed at registration; ``question``: catalogue id or own text."""

    question: str
    answer: str = field(repr=False)

    @property
    def empty(self) -> bool:
        """Whether nothing was typed in this row."""
        return not self.question and not self.answer


def answer_problem(
    answer: str, question: str, about: Iterable[str], policy: Policy, institution: str = ""
) -> str:
    """The rule that an answer breaks, or nothing.

    ``about``: name, login and addresses of the person; ``institution``: its name.
    """
    if not answer:
        return "empty"
    if len(answer) > ANSWER_LIMIT:
        return "too-long"
    if any(unicodedata.category(c) in _UNUSABLE for c in answer):
        return "characters"
    form = normalise(answer)
    common = CATALOGUE[question].common if question in CATALOGUE else frozenset()
    rules = (
        ("too-short", _weight(form) < policy.answer_minimum),
        ("pattern", len(set(form)) == 1 or _only_runs(form)),
        ("too-common", form in common or {form, form.strip(_DIGITS)} & _ANYWHERE),
        ("in-question", _tells(question_text(question), form)),
        ("about-you", any(_tells(text, form) for text in about)),
        ("institution", _tells(institution, form)),
    )
    return next((rule for rule, broken in rules if broken), "")


def registration_problems(
    chosen: Sequence[Chosen], about: Sequence[str], policy: Policy, institution: str = ""
) -> list[dict[str, object]]:
    """Every rule that a registration breaks: ``{field, rule, limit?}``, empty when it is good.

    ``field`` is the form's field name, so that the page can say it beside the field.
    """
    problems: list[dict[str, object]] = []
    questions: set[str] = set()
    answers: set[str] = set()
    for number, item in enumerate(chosen, 1):
        if item.empty:
            continue
        text = normalise(question_text(item.question))
        rule = "question-twice" if text in questions else _question_problem(item.question)
        if rule:
            problems.append({"field": f"question-{number}", "rule": rule})
        questions.add(text)
        rule = answer_problem(item.answer, item.question, about, policy, institution)
        form = normalise(item.answer)
        if not rule and form in answers:
            rule = "answer-twice"
        if rule:
            problems.append({"field": f"answer-{number}", "rule": rule})
        answers.add(form)
    return problems + _count_problems(chosen, policy)


def _question_problem(question: str) -> str:
    if question in CATALOGUE:
        return "" if CATALOGUE[question].offered else "retired"
    rules = (
        ("no-question", not question),
        ("too-long", len(question) > QUESTION_LIMIT),
        ("characters", any(unicodedata.category(c) in ("Cc", *_UNUSABLE) for c in question)),
        ("own-too-short", _weight(normalise(question)) < OWN_MINIMUM),
    )
    return next((rule for rule, broken in rules if broken), "")


def _count_problems(chosen: Sequence[Chosen], policy: Policy) -> list[dict[str, object]]:
    """How many questions there are, and of which sort."""
    problems: list[dict[str, object]] = []
    filled = [number for number, item in enumerate(chosen, 1) if not item.empty]
    own = [n for n in filled if chosen[n - 1].question not in ("", *CATALOGUE)]
    limit = policy.own_questions_maximum
    if len(filled) < policy.questions_minimum:
        rows = range(1, min(len(chosen), policy.questions_minimum) + 1)
        problems += [
            {"field": f"question-{n}", "rule": "empty-row", "limit": policy.questions_minimum}
            for n in rows
            if n not in filled
        ]
        if len(chosen) < policy.questions_minimum:
            problems.append(
                {"field": "question-1", "rule": "too-few", "limit": policy.questions_minimum}
            )
    elif len(own) <= limit and len(filled) - len(own) < policy.predefined_minimum:
        problems.append(
            {
                "field": f"question-{own[0]}",
                "rule": "too-few-predefined",
                "limit": policy.predefined_minimum,
            }
        )
    problems += [
        {"field": f"question-{n}", "rule": "too-many-own", "limit": limit} for n in own[limit:]
    ]
    return problems


def _weight(form: str) -> int:
    """The length of an answer, where a syllable or an idea in one character counts as two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in form)


def _is_run(part: str) -> bool:
    return any(part in run or part in run[::-1] for run in _RUNS)


def _only_runs(form: str) -> bool:
    """Whether an answer is runs of the alphabet or the keyboard alone: ``qwertz``, ``abc123``."""
    ends = {0}
    for start in range(len(form)):
        if start not in ends:
            continue
        for end in range(start + _RUN_MINIMUM, len(form) + 1):
            if not _is_run(form[start:end]):
                break
            ends.add(end)
    return len(form) in ends


def _tells(text: str, form: str) -> bool:
    """Whether ``text`` says the answer: as words of it in a row, or as a long part of it."""
    words = [normalise(word) for word in _words(text)]
    joined, edges = "".join(words), {0, *accumulate(map(len, words))}
    in_a_row = any(joined.startswith(form, at) and at + len(form) in edges for at in edges)
    return in_a_row or (len(form) >= _LONG and form in normalise(text))


def _words(text: str) -> list[str]:
    return "".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in text).split()
