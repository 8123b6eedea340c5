"""Answers: made into records, compared, and renewed when they were right (S1.44, S1.45, S1.62).

Rules (T4):

1. A record is an HMAC with the key in the HSM over person, question, version, form, salt,
   parameters and the argon2id tag.
2. Setting and normal form come from allow-lists; a row that names another one is never computed.
3. Every answer of a set is hashed and compared; one verdict for the set.
4. Right answers under an older setting or form get a new record, put only in place of the very row
   that was verified. An outage meanwhile costs nothing: the next success renews them.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import replace

from reset.core.catalogue import CATALOGUE
from reset.core.normal_form import ANSWER_LIMIT, NORM_VERSION, NORMAL_FORMS, normalise
from reset.core.profile import Profile, StoredAnswer, answer_context
from reset.core.registration import Chosen
from reset.errors import BadInput, Busy, Unavailable
from reset.flows.parts import Parts
from reset.ports import UnitOfWork

Renewed = Mapping[StoredAnswer, StoredAnswer]


def record(parts: Parts, uid: str, item: Chosen, version: int) -> StoredAnswer:
    """The record of an answer under the newest setting and form.

    ``version``: counts the changes of the person's answers. Raises ``Busy``, ``Unavailable``.
    """
    salt, parameters = parts.random.token(16), parts.hasher.parameters
    own = item.question not in CATALOGUE
    bare = StoredAnswer(item.question, own, version, NORM_VERSION, parameters, salt, b"")
    return replace(bare, record=_made(parts, uid, bare, item.answer))


def check_typed(answers: Sequence[str], count: int) -> None:
    """Whether every field holds something to compare; nothing is counted for one that does not.

    What it names has nothing to do with what is registered. Raises ``BadInput`` with every such
    field.
    """
    problems: list[dict[str, object]] = [
        {"field": f"answer-{number}", "rule": "answer" if text else "empty"}
        for number, text in enumerate(answers, 1)
        if len(text) > ANSWER_LIMIT or not normalise(text)
    ]
    if problems:
        raise BadInput.of(problems)
    if len(answers) != count:
        raise BadInput(field="answer-1", rule="count", limit=count)


def all_match(
    parts: Parts, uid: str, stored: Sequence[StoredAnswer], answers: Sequence[str]
) -> bool:
    """One verdict for the set. Raises ``Busy``, ``Unavailable``."""
    verdicts = [
        hmac.compare_digest(_made(parts, uid, known, text), known.record)
        for known, text in zip(stored, answers, strict=True)
    ]
    return all(verdicts)


def renewed(
    parts: Parts, uid: str, stored: Sequence[StoredAnswer], answers: Sequence[str]
) -> Renewed:
    """New records for right ``answers`` whose rows are not of the newest setting and form."""
    newest = (NORM_VERSION, parts.hasher.parameters)
    old = [pair for pair in zip(stored, answers, strict=True) if _setting(pair[0]) != newest]
    try:
        return {
            known: record(parts, uid, Chosen(known.question, text), known.version)
            for known, text in old
        }
    except (Busy, Unavailable):
        return {}


def put_renewed(uow: UnitOfWork, profile: Profile, made: Renewed) -> None:
    """Store them in the transaction that read ``profile``; a row that changed meanwhile stays."""
    answers = tuple(made.get(known, known) for known in profile.answers)
    if answers != profile.answers:
        uow.profiles.put(replace(profile, answers=answers))


def _setting(answer: StoredAnswer) -> tuple[int, str]:
    return answer.norm_version, answer.parameters


def _made(parts: Parts, uid: str, known: StoredAnswer, text: str) -> bytes:
    if known.norm_version not in NORMAL_FORMS:
        raise Unavailable(part="answer-form")
    form = normalise(text, known.norm_version)
    tag = parts.hasher.tag(form, known.salt, known.parameters)
    return parts.custodian.hmac(answer_context(uid, known, tag))
