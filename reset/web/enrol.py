"""The identity profile: questions, answers and the recovery address."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from reset.core.profile import CATALOGUE, Chosen
from reset.errors import (
    BadInput,
    Busy,
    CodeDead,
    CodeSendsSpent,
    CodeWrong,
    NoProfile,
    ProfileRefused,
    ResetError,
    Unavailable,
)
from reset.web.forms import again, text
from reset.web.guards import guard
from reset.web.paths import go
from reset.web.site import flows, person, site

blueprint = Blueprint("enrol", __name__)
OWN = "own"  # the select's value for a question of one's own
_MOST_ROWS = 20


@dataclass(frozen=True)
class Row:
    """One question of the form. ``choice``: catalogue id, ``own`` or empty."""

    choice: str
    own: str
    answer: str

    @property
    def question(self) -> str:
        """What is registered: a catalogue id or the own question's text."""
        return self.own if self.choice == OWN else self.choice


def _row(question: str, own: str = "", answer: str = "") -> Row:
    if question and question != OWN and question not in CATALOGUE:
        return Row(OWN, question, answer)
    return Row(question, own, answer)


def _posted() -> list[Row]:
    """The rows of the form in their order, so that problems name the right fields."""
    numbers = [n for n in range(1, _MOST_ROWS + 1) if f"question-{n}" in request.form]
    return [
        _row(
            text(f"question-{n}").strip(),
            text(f"own-question-{n}").strip(),
            text(f"answer-{n}"),
        )
        for n in range(1, max(numbers, default=0) + 1)
    ]


def _context(rows: list[Row] | None = None, address: str | None = None) -> dict[str, object]:
    profile = flows().enrol.profile(person().uid)
    if rows is None:
        rows = [_row(a.question) for a in profile.answers] if profile else []
    shown = max(len(rows), site().settings.policy.questions_minimum)
    if address is None:
        address = (profile.recovery_pending or profile.recovery_address) if profile else ""
    return {
        "profile": profile,
        "rows": rows + [_row("")] * (shown - len(rows)),
        "address": address,
        "catalogue": {key: words for key, (words, _) in CATALOGUE.items()},
    }


@blueprint.get("/profile")
@guard("certificate")
def profile() -> ResponseReturnValue:
    """The form, and what is registered; answers can never be read again."""
    return render_template("profile.html", **_context())


@blueprint.post("/profile")
@guard("certificate")
def register() -> ResponseReturnValue:
    """Register or replace all questions; with no answer typed, change only the address.

    A refused form comes back with its answers, in this one response that no cache keeps: losing
    five answers because one is too short would trap people. They are stored nowhere.
    """
    rows, address = _posted(), text("recovery-address")
    typed = any(row.answer for row in rows)
    chosen = [Chosen(row.question, row.answer) for row in rows] if typed else []
    try:
        flows().enrol.register(person(), chosen, address)
    except (ProfileRefused, Busy, Unavailable, CodeSendsSpent) as refused:
        return again("profile.html", refused, "recovery-address", **_context(rows, address))
    return go("enrol.profile", "profile-saved")


def _code_again(refused: ResetError) -> ResponseReturnValue:
    return again("profile.html", refused, "code", **_context())


@blueprint.post("/profile/confirm")
@guard("certificate")
def confirm() -> ResponseReturnValue:
    """Confirm the recovery address with its mailed code."""
    try:
        flows().enrol.confirm(person().uid, text("code"))
    except (BadInput, CodeDead, CodeWrong) as refused:
        return _code_again(refused)
    return go("enrol.profile", "address-confirmed")


@blueprint.post("/profile/code")
@guard("certificate")
def send_code() -> ResponseReturnValue:
    """Mail a new code to the address that waits to be confirmed."""
    try:
        flows().enrol.send_code(person().uid)
    except (CodeSendsSpent, NoProfile) as refused:
        return _code_again(refused)
    return go("enrol.profile", "code-sent")


@blueprint.post("/profile/delete")
@guard("certificate")
def delete() -> ResponseReturnValue:
    """Delete questions and address; a second click finds them gone."""
    try:
        flows().enrol.delete(person().uid)
    except NoProfile:
        return go("enrol.profile")
    return go("enrol.profile", "profile-deleted")
