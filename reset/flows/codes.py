"""Sending and checking mailed codes: spend, compare, consume (peer failures 1, 3, 7, 8, 15)."""

from __future__ import annotations

import hmac
from datetime import timedelta

from reset.core.codes import (
    MailCode,
    Purpose,
    check_alive,
    mail_context,
    mail_digits,
    tidy_digits,
)
from reset.errors import CodeDead, CodeSendsSpent, CodeWrong, StateConflict
from reset.flows.mails import post
from reset.flows.parts import Parts
from reset.ports import UnitOfWork

HOUR = timedelta(hours=1)


def tries_key(purpose: Purpose, about: str) -> str:
    """The counter that all codes of one purpose and subject share (resending restores none)."""
    return f"code:{purpose}:{about}"


def send(
    parts: Parts, uow: UnitOfWork, uid: str, purpose: Purpose, about: str, *,
    box: str, method: str,
) -> None:  # fmt: skip
    """Make a new code and put its mail into the outbox; older codes of the purpose are dead.

    Raises ``CodeSendsSpent``.
    """
    now = parts.clock.now()
    uow.profiles.get(uid)  # locks the person's row: two sends cannot pass the limit together
    sent = sorted(uow.codes.sent_since(uid, now - HOUR))
    limit = parts.policy.code_sends_per_hour
    if len(sent) >= limit:
        wait = sent[-limit] + HOUR - now
        raise CodeSendsSpent(retry_after=max(1, int(wait.total_seconds())))
    code = MailCode(parts.new_id(), uid, purpose, about, method, now)
    uow.codes.add(code)
    post(parts, uow, uid, f"{purpose}-code", boxes=(box,), code_id=code.id)
    uow.audit.append("code-sent", uid, {"purpose": purpose, "about": about, "box": box})


def derive(parts: Parts, code: MailCode) -> str:
    """The digits of a code. Raises ``Unavailable`` without the custodian."""
    return mail_digits(parts.custodian.hmac(mail_context(code)), parts.policy.code_digits)


def reserve(uow: UnitOfWork, key: str, limit: int, seen: int | None) -> int | None:
    """Spend a try, but not twice for one form: ``seen`` is the count that the form showed."""
    return uow.tries.reserve(key, limit if seen is None else min(limit, max(0, seen) + 1))


def verify(
    parts: Parts, uid: str, purpose: Purpose, about: str, typed: str, seen: int | None = None,
    *, field: str = "code",
) -> MailCode:  # fmt: skip
    """The code that ``typed`` matches; it is not yet consumed.

    A try is committed before the comparison. ``seen``: the tries that the form showed; a second
    click on it is not counted. Raises ``BadInput``, ``CodeDead``, ``CodeWrong``,
    ``StateConflict`` for the second click.
    """
    digits = tidy_digits(typed, parts.policy.code_digits, field)
    with parts.store.read() as uow:
        code = uow.codes.newest(purpose, about)
    code = check_alive(code, parts.clock.now(), parts.policy.code_age)
    if code.uid != uid:
        raise CodeDead(why="none")
    right = derive(parts, code)
    left = spend(parts, tries_key(purpose, about), seen)
    if not hmac.compare_digest(digits.encode(), right.encode()):
        with parts.store.write() as uow:
            uow.audit.append("code-wrong", uid, {"purpose": purpose, "about": about})
        raise CodeWrong(tries_left=left)
    return code


def spend(parts: Parts, key: str, seen: int | None) -> int:
    """Commit one try before a code is compared: how many are left after it.

    Raises ``CodeDead`` when all are spent, ``StateConflict`` for a second click.
    """
    limit = parts.policy.code_tries
    with parts.store.write() as uow:
        spent = reserve(uow, key, limit, seen)
        over = uow.tries.spent(key) >= limit
    if spent is None and not over:
        raise StateConflict(state="code", event="second-click")
    if spent is None:
        raise CodeDead(why="tries")
    return limit - spent


def consume(parts: Parts, uow: UnitOfWork, code: MailCode) -> None:
    """Use up a verified code in the transaction of what it allows. Raises ``CodeDead``."""
    newest = uow.codes.newest(code.purpose, code.about)
    if newest is None or newest.id != code.id:
        raise CodeDead(why="none")
    if not uow.codes.use(code.id, parts.clock.now()):
        raise CodeDead(why="used")
    uow.tries.clear(tries_key(code.purpose, code.about))
    uow.audit.append("code-right", code.uid, {"purpose": code.purpose, "about": code.about})
