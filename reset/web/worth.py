"""What the holder's proofs are worth, in plain words: what is done, what is missing, and why.

The sentences follow the tables of ``core.assurance``: one part a kind, in the order of the gate;
what a login shows that is two kinds by itself is one part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reset.core.assurance import METHODS, TWO
from reset.core.policy import CODE_BOXES, Policy
from reset.flows.recover import Progress

THINGS = {
    "password": "your password",
    "sso": "your single sign-on",
    "answers": "your answers",
    "code-recovery": "the code to your recovery address",
    "code-app": "the code of your authenticator app",
    "code-mailbox": "the code to your mailbox",
    "approval": "the signature of another person",
}
HEADINGS = {
    "know": "What you know",
    "have": "What you have",
    "two": "What you know and have",
    "vouch": "Who vouches for you",
}
# why a thing counts; for several things of one kind, why they do not add
_WHY = {
    "code-recovery": "{things} shows that you also have that mailbox. {login} does not open it, so "
    "this counts as a second kind.",
    "code-app": "{things} shows that you also have that phone, so this counts as a second kind. A "
    "code to a recovery address counts in its place, but not beside it.",
    "approval": "Nobody gets a new PIN on their own word alone: another person signs that it is "
    "really you who asks.",
}
_TOGETHER = "{things} are {all} things that you know, so together they count once."
_SAME_KEY = " {login} opens that mailbox, too: the code is no kind of its own."
_TWICE = (
    "{login} showed two kinds by itself, so it counts twice. {things} are of the same kinds: we "
    "ask for them all the same, and they count no more."
)
_AGAIN = {
    "now": "It counts for a while only. Please show again: {}.",
    "wait": "It counts for a while only. Do nothing now; after the approval we ask again for {}.",
}
_State = Literal["done", "begun", "missing", "needed again"]


@dataclass(frozen=True)
class Part:
    """One kind of proof: what it is and why it counts; ``todo``: what of it is to be done."""

    heading: str
    why: str
    standing: _State
    todo: str


def explained(here: Progress, policy: Policy) -> list[Part]:
    """One part for each kind that a reset needs."""
    kinds: dict[str, dict[str, str]] = {}  # kind → requirement → method
    # a password alone does not tell who has an app
    app = here.channels.app and "answers" not in here.worth.missing
    code = "code-app" if app else CODE_BOXES[policy.code_box][1]
    for need in policy.release.requirements:
        shown = (m for m in (code, here.login) if m in need.methods)
        method = next(shown, need.methods[0])
        kind = METHODS[method].kind
        both = kind in TWO and policy.logins[here.login] == len(TWO)
        kinds.setdefault("two" if both else kind, {})[need.name] = method
    return [_part(kind, needs, here) for kind, needs in kinds.items()]


def _part(kind: str, needs: dict[str, str], here: Progress) -> Part:
    worth = here.worth
    again = [m for name, m in needs.items() if name in worth.again]
    new = [m for name, m in needs.items() if name in {*worth.missing} - {*worth.again}]
    todo = []
    if again:
        todo.append(_AGAIN["wait" if here.step == "wait" else "now"].format(_listed(again)))
    standing: _State = "missing" if new else "done"
    if new and len(new) < len(needs):
        standing = "begun"
        todo.append(f"Still to come: {_listed(new)}.")
    if again:
        standing = "needed again"
    why = _why(kind, [*needs.values()], here.login)
    return Part(HEADINGS[kind], why, standing, " ".join(todo))


def _why(kind: str, methods: list[str], method_of_login: str) -> str:
    things, login = _begun(methods), _begun([method_of_login])
    if kind == "two":
        rest = _begun([method for method in methods if method != method_of_login])
        return _TWICE.format(things=rest, login=login)
    if len(methods) == 1:
        return _WHY[methods[0]].format(things=things, login=login)
    together = _TOGETHER.format(things=things, all="both" if len(methods) == 2 else "all")
    return together + (_SAME_KEY.format(login=login) if "code-mailbox" in methods else "")


def _begun(methods: list[str]) -> str:
    """The things as a sentence begins with them."""
    things = _listed(methods)
    return things[0].upper() + things[1:]


def _listed(methods: list[str]) -> str:
    *first, last = (THINGS[method] for method in methods)
    return f"{', '.join(first)} and {last}" if first else last
