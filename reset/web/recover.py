"""The holder's way to a new PIN, one page per step."""

from __future__ import annotations

from itertools import count, takewhile

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from reset.core.catalogue import question_text
from reset.core.profile import SLOTS
from reset.errors import (
    AnswersWrong,
    BadInput,
    Busy,
    CodeDead,
    CodeSendsSpent,
    CodeWrong,
    ProofsMissing,
    StateConflict,
    TokenChoiceNeeded,
)
from reset.flows.recover import Progress
from reset.web import error_pages
from reset.web.forms import again, seen, text
from reset.web.guards import guard
from reset.web.paths import go
from reset.web.sessions import login_proof, renew
from reset.web.site import flows, person, site
from reset.web.steps import steps
from reset.web.worth import explained

blueprint = Blueprint("recover", __name__)
REFRESH = 10  # seconds


@blueprint.errorhandler(StateConflict)
def moved_on(error: StateConflict) -> ResponseReturnValue:
    """A second click, or the back button: show where the request stands instead of an error.

    Who only looks, as a page does that reloads itself, did no step twice: no notice then.
    """
    request_id = (request.view_args or {}).get("request_id")
    if request_id is None or error_pages.wants_problem():
        return error_pages.refused(error)
    known = ("profile-changed",)
    notice = "moved-on" if request.method == "POST" else ""
    if error.data.get("event") in known:
        notice = str(error.data["event"])
    return go("recover.show", notice, request_id=request_id)


@blueprint.post("/reset")
@guard("login")
def start() -> ResponseReturnValue:
    """Open a request for a token, or go on with the open one."""
    serial, reason = text("token").strip(), text("reason")
    try:
        opened = flows().recover.open(person(), login_proof(), serial or None, reason)
    except TokenChoiceNeeded as refused:
        overview = flows().recover.overview(person().uid)
        return again("overview.html", refused, "token", overview=overview, reason=reason)
    return go("recover.show", request_id=opened.id)


def _progress(request_id: str) -> Progress:
    return flows().recover.progress(person().uid, request_id, login_proof())


def _context(here: Progress) -> dict[str, object]:
    return {"here": here, "steps": steps(here, site().settings.policy)}


@blueprint.get("/reset/<random:request_id>")
@guard("login")
def show(request_id: str) -> ResponseReturnValue:
    """Where the request stands and what comes next."""
    here = _progress(request_id)
    refresh = REFRESH if here.step == "wait" else 0
    over = here.step in ("done", "ended", "office")
    worth = [] if over else explained(here, site().settings.policy)
    return render_template("request.html", **_context(here), worth=worth, refresh=refresh)


@blueprint.get("/reset/<random:request_id>/questions")
@guard("login")
def questions(request_id: str) -> ResponseReturnValue:
    """The drawn questions, when they are the next step."""
    here = _progress(request_id)
    if here.step != "questions":
        return go("recover.show", request_id=request_id)
    return _questions_page(here, None)


def _questions_page(here: Progress, error: AnswersWrong | BadInput | Busy | None) -> (
    ResponseReturnValue
):  # fmt: skip
    texts = [question_text(q) for q in here.request.questions]
    if error is None:
        return render_template("questions.html", **_context(here), questions=texts)
    return again("questions.html", error, "answer-1", **_context(here), questions=texts)


@blueprint.post("/reset/<random:request_id>/questions")
@guard("login")
def answer(request_id: str) -> ResponseReturnValue:
    """The answers ``answer-1``… in the order of the drawn set; one verdict for all."""
    names = takewhile(lambda name: name in request.form, (f"answer-{n}" for n in count(1)))
    answers = [text(name) for name in names]
    try:
        flows().recover.answer(person().uid, request_id, answers, login_proof(), seen())
    except (AnswersWrong, BadInput, Busy) as refused:
        if refused.data.get("rounds_left") == 0:
            raise
        return _questions_page(_progress(request_id), refused)
    renew()
    return go("recover.show", "answers-right", request_id=request_id)


@blueprint.get("/reset/<random:request_id>/code")
@guard("login")
def code(request_id: str) -> ResponseReturnValue:
    """Where a code is typed, when it is the next step."""
    here = _progress(request_id)
    if here.step != "code":
        return go("recover.show", request_id=request_id)
    return render_template("code.html", **_context(here))


@blueprint.post("/reset/<random:request_id>/code/send")
@guard("login")
def send_code(request_id: str) -> ResponseReturnValue:
    """Mail a code to the recovery address that the holder chose, else to the first one."""
    slot = text("channel")
    if slot not in ("", *SLOTS):
        raise BadInput(field="channel", rule="channel")
    chosen = next((known for known in SLOTS if known == slot), None)
    try:
        flows().recover.send_code(person().uid, request_id, login_proof(), chosen)
    except CodeSendsSpent as refused:
        return again("code.html", refused, "code", **_context(_progress(request_id)))
    return go("recover.code", "code-sent", request_id=request_id)


@blueprint.post("/reset/<random:request_id>/code")
@guard("login")
def enter_code(request_id: str) -> ResponseReturnValue:
    """Check the mailed code, or that of the authenticator app (field ``app-code``)."""
    field = "app-code" if "app-code" in request.form else "code"
    flow = flows().recover
    enter = flow.enter_app_code if field == "app-code" else flow.enter_code
    try:
        enter(person().uid, request_id, text(field), login_proof(), seen())
    except (BadInput, CodeWrong, CodeDead) as refused:
        if refused.data.get("why") == "tries":
            raise  # the request has ended with the last try
        return again("code.html", refused, field, **_context(_progress(request_id)))
    renew()
    return go("recover.show", "code-right", request_id=request_id)


@blueprint.get("/reset/<random:request_id>/helper")
@guard("login")
def helper(request_id: str) -> ResponseReturnValue:
    """The pairing code, and once a helper has it, the words that both show."""
    try:
        pairing = flows().pair.for_reset(person().uid, request_id, login_proof())
    except ProofsMissing:
        if error_pages.wants_problem():
            raise
        return go("recover.show", "step-needed", request_id=request_id)
    here = _progress(request_id)
    return render_template("helper.html", **_context(here), pairing=pairing, refresh=REFRESH)


@blueprint.post("/reset/<random:request_id>/helper")
@guard("login")
def new_code(request_id: str) -> ResponseReturnValue:
    """A new pairing code, after a helper was closed."""
    flows().pair.again(person().uid, request_id, "reset")
    return go("recover.helper", request_id=request_id)


@blueprint.post("/reset/<random:request_id>/cancel")
@guard("login")
def cancel(request_id: str) -> ResponseReturnValue:
    """End the request; possible until the helper has begun."""
    flows().recover.cancel(person().uid, request_id)
    return go("recover.show", "cancelled", request_id=request_id)
