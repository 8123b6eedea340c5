"""The rehearsal: does the holder still know the answers?"""

from __future__ import annotations

from itertools import count, takewhile

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from reset.core.catalogue import question_text
from reset.errors import BadInput, Busy, RehearsalsSpent, RehearsalWrong, StateConflict
from reset.web.forms import again, text
from reset.web.guards import guard
from reset.web.paths import go
from reset.web.site import flows, person

blueprint = Blueprint("rehearse", __name__)


def _context() -> dict[str, object]:
    uid = person().uid
    return {
        "questions": [question_text(q) for q in flows().rehearse.questions(uid)],
        "right_at": flows().rehearse.right_at(uid),
    }


@blueprint.get("/profile/rehearsal")
@guard("certificate")
def show() -> ResponseReturnValue:
    """All registered questions."""
    return render_template("rehearsal.html", **_context())


@blueprint.post("/profile/rehearsal")
@guard("certificate")
def answer() -> ResponseReturnValue:
    """The answers ``answer-1``… in the order of the page; one verdict for all."""
    names = takewhile(lambda name: name in request.form, (f"answer-{n}" for n in count(1)))
    try:
        flows().rehearse.answer(person().uid, [text(name) for name in names])
    except (RehearsalWrong, RehearsalsSpent, BadInput, Busy) as refused:
        return again("rehearsal.html", refused, "answer-1", **_context())
    except StateConflict:
        return go("rehearse.show", "profile-changed")
    return go("enrol.profile", "rehearsal-right")
