"""The identity profile: questions, answers and the recovery addresses."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from reset.core.catalogue import CATALOGUE, offered
from reset.core.profile import Slot
from reset.core.registration import Chosen
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
from reset.web.error_pages import faults
from reset.web.error_texts import NOTICES
from reset.web.forms import again, text
from reset.web.guards import guard
from reset.web.paths import go
from reset.web.site import flows, person, site

blueprint = Blueprint("enrol", __name__)
OWN = "own"  # the select's value for a question of one's own


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


def _most_rows() -> int:
    return len(offered()) + site().settings.policy.own_questions_maximum


def _posted() -> list[Row]:
    """The rows of the form in their order, so that problems name the right fields."""
    numbers = [n for n in range(1, _most_rows() + 1) if f"question-{n}" in request.form]
    return [
        _row(
            text(f"question-{n}").strip(),
            text(f"own-question-{n}").strip(),
            text(f"answer-{n}"),
        )
        for n in range(1, max(numbers, default=0) + 1)
    ]


def _chosen(rows: list[Row]) -> list[Chosen]:
    """What is to be registered; with no answer typed, nothing: only the address changes."""
    typed = any(row.answer for row in rows)
    return [Chosen(row.question, row.answer) for row in rows] if typed else []


def _context(rows: list[Row] | None = None, address: str | None = None) -> dict[str, object]:
    uid = person().uid
    profile = flows().enrol.profile(uid)
    changing = rows is not None
    if rows is None:
        rows = [_row(a.question) for a in profile.answers] if profile else []
    shown = max(len(rows), site().settings.policy.questions_minimum)
    second = (profile.second_pending or profile.second_address) if profile else ""
    if address is None:
        address = (profile.recovery_pending or profile.recovery_address) if profile else ""
    return {
        "profile": profile,
        "channels": flows().enrol.channels(uid),
        "missing": flows().enrol.missing(uid),
        "right_at": flows().rehearse.right_at(uid),
        "rows": rows + [_row("")] * (shown - len(rows)),
        "most_rows": _most_rows(),
        "address": address,
        "second": second,
        "has_second": bool(second),
        "catalogue": {key: CATALOGUE[key].text for key in offered()},
        "changing": changing,
        "fine": frozenset(),
        "all_good": False,
    }


# --- questions and the first address -----------------------------------------------------
@blueprint.get("/profile")
@guard("certificate")
def profile() -> ResponseReturnValue:
    """What is registered, and the form; answers can never be read again."""
    return render_template("profile.html", **_context())


@blueprint.post("/profile")
@guard("certificate")
def register() -> ResponseReturnValue:
    """Register or replace all questions; with no answer typed, change only the address.

    A refused form comes back with its answers, in this one response that no cache keeps: losing
    five answers because one is too short would trap people. They are stored nowhere.
    """
    rows, address = _posted(), text("recovery-address")
    try:
        flows().enrol.register(person(), _chosen(rows), address)
    except (ProfileRefused, Busy, Unavailable, CodeSendsSpent) as refused:
        return again("profile.html", refused, "recovery-address", **_context(rows, address))
    return go("enrol.profile", "profile-saved")


@blueprint.post("/profile/check")
@guard("certificate")
def check() -> ResponseReturnValue:
    """The form once more, with what can be used and what cannot; ``more`` adds a row.

    Nothing is stored, counted or hashed, and nothing is compared with what is registered.
    """
    rows, address = _posted(), text("recovery-address")
    problems = flows().enrol.check(person(), _chosen(rows), address)
    if "more" in request.form:
        extended = [*rows, _row("")][: _most_rows()]
        return render_template("profile.html", **_context(extended, address))
    context = _context(rows, address) | {
        "faults": faults(ProfileRefused(problems=problems), "recovery-address"),
        "fine": _filled(rows, address) - {str(problem["field"]) for problem in problems},
        "notice": NOTICES["checked-some"] if problems else "",
        "all_good": not problems,
    }
    return render_template("profile.html", **context)


def _filled(rows: list[Row], address: str) -> frozenset[str]:
    """The fields in which something stands."""
    fields = {f"answer-{n}" for n, row in enumerate(rows, 1) if row.answer}
    fields |= {f"question-{n}" for n, row in enumerate(rows, 1) if row.question}
    return frozenset(fields | ({"recovery-address"} if address else set()))


@blueprint.post("/profile/delete")
@guard("certificate")
def delete() -> ResponseReturnValue:
    """Delete questions, addresses and app; a second click finds them gone."""
    try:
        flows().enrol.delete(person().uid)
    except NoProfile:
        return go("enrol.profile")
    return go("enrol.profile", "profile-deleted")


# --- confirming an address -----------------------------------------------------------------
def _confirm(slot: Slot, field: str, notice: str) -> ResponseReturnValue:
    try:
        flows().enrol.confirm(person().uid, text(field), slot)
    except (BadInput, CodeDead, CodeWrong) as refused:
        return _profile_again(refused, field)
    return go("enrol.profile", notice)


def _send(slot: Slot, field: str) -> ResponseReturnValue:
    try:
        flows().enrol.send_code(person().uid, slot)
    except (CodeSendsSpent, BadInput) as refused:
        return _profile_again(refused, field)
    return go("enrol.profile", "code-sent")


def _profile_again(refused: ResetError, field: str) -> ResponseReturnValue:
    return again("profile.html", refused, field, **_context())


@blueprint.post("/profile/confirm")
@guard("certificate")
def confirm() -> ResponseReturnValue:
    """Confirm the recovery address with its mailed code."""
    return _confirm("recovery", "code", "address-confirmed")


@blueprint.post("/profile/code")
@guard("certificate")
def send_code() -> ResponseReturnValue:
    """Mail a new code to the address that waits to be confirmed."""
    return _send("recovery", "code")


# --- the second address --------------------------------------------------------------------
@blueprint.post("/profile/second")
@guard("certificate")
def set_second() -> ResponseReturnValue:
    """Set the second recovery address."""
    address = text("second-address")
    try:
        flows().enrol.set_second(person(), address)
    except (ProfileRefused, CodeSendsSpent, NoProfile) as refused:
        context = _context() | {"second": address}
        return again("profile.html", refused, "second-address", **context)
    return go("enrol.profile", "second-saved")


@blueprint.post("/profile/second/confirm")
@guard("certificate")
def confirm_second() -> ResponseReturnValue:
    """Confirm the second address with its mailed code."""
    return _confirm("second", "second-code", "second-confirmed")


@blueprint.post("/profile/second/code")
@guard("certificate")
def send_second_code() -> ResponseReturnValue:
    """Mail a new code to the second address."""
    return _send("second", "second-code")


@blueprint.post("/profile/second/remove")
@guard("certificate")
def remove_second() -> ResponseReturnValue:
    """Remove the second address; a second click finds it gone."""
    try:
        flows().enrol.remove_second(person().uid)
    except NoProfile:
        return go("enrol.profile")
    return go("enrol.profile", "second-removed")
