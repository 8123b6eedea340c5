"""From an error to its page or its problem document (RFC 9457), in one place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from flask import Flask, Response, jsonify, make_response, redirect, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from reset.errors import (
    BadInput,
    CodeDead,
    CodeWrong,
    LoginNeeded,
    ProfileRefused,
    ResetError,
    SignatureRefused,
    TokenChoiceNeeded,
)
from reset.web import journal
from reset.web.durations import span
from reset.web.error_texts import LABELS, RULES, WORDS, Words
from reset.web.paths import login_path

_HTTP = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-type",
}
_VARIANTS = ("reason", "rule", "why", "missing", "rounds_left", "channel")
_OF_ONE_FIELD = (CodeDead, CodeWrong, SignatureRefused, TokenChoiceNeeded)
_NUMBERED = re.compile(r"(question|answer)-(\d{1,2})")


@dataclass(frozen=True)
class Fault:
    """One problem of a form: the field's name, its label, and what it needs.

    Without a label it is about the whole form, and ``field`` is where one goes on.
    """

    field: str
    label: str
    message: str


class _Facts(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "–"


def install(app: Flask) -> None:
    """Register the handlers on ``app``."""
    app.register_error_handler(ResetError, refused)
    app.register_error_handler(CSRFError, _page_too_old)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unforeseen)


def words_for(code: str, data: Mapping[str, object]) -> Words:
    """The words of an error, with its data filled in."""
    words = WORDS.get(code, WORDS["refused"])
    for name in _VARIANTS:
        words = WORDS.get(f"{code}:{data.get(name)}", words)
    facts = _Facts(data)
    wait = data.get("retry_after", words.retry_after)
    facts["wait"] = span(wait) if isinstance(wait, int) else "a moment"
    happened, then = words.happened.format_map(facts), words.then.format_map(facts)
    return replace(words, happened=happened, then=then)


def wants_problem() -> bool:
    """Whether the client asks for JSON rather than for a page; the helper always does."""
    if request.path.startswith("/helper/"):
        return True
    kinds = ["text/html", "application/problem+json", "application/json"]
    return request.accept_mimetypes.best_match(kinds, "text/html") != "text/html"


def faults(error: ResetError, field: str) -> list[Fault]:
    """The problems that a form shows; ``field`` is where an error about the whole form belongs."""
    if isinstance(error, ProfileRefused | BadInput):
        return [_fault(problem, field) for problem in _problems(error.data)]
    about_field = isinstance(error, _OF_ONE_FIELD)
    detail = words_for(error.code, error.data).detail
    return [Fault(field, label(field) if about_field else "", detail)]


def _problems(data: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Every problem of a form; a single one of a ``BadInput`` is the data itself."""
    problems = data.get("problems")
    return problems if isinstance(problems, list) and problems else [data]


def _fault(problem: Mapping[str, object], field: str) -> Fault:
    name = str(problem.get("field", field))[:60]
    text = RULES.get(str(problem.get("rule")), "This is not right.")
    return Fault(name, label(name), text.format_map(_Facts(problem)))


def label(field: str) -> str:
    """How pages call a field."""
    numbered = _NUMBERED.fullmatch(field)
    if numbered:
        return f"{LABELS[numbered[1]]} {numbered[2]}"
    return LABELS.get(field, field)


def answer(code: str, data: Mapping[str, object]) -> Response:
    """The page or the problem document of a refusal."""
    words = words_for(code, data)
    if words.retry_after:
        data = {"retry_after": words.retry_after, **data}
    if wants_problem():
        response = _problem(code, words, data)
    else:
        page = render_template("error.html", words=words, code=code, number=journal.number())
        response = make_response(page, words.status)
    if isinstance(data.get("retry_after"), int):
        response.headers["Retry-After"] = str(data["retry_after"])
    return response


def _problem(code: str, words: Words, data: Mapping[str, object]) -> Response:
    plain = (str, int, float, bool, list, type(None))
    members = {k: v for k, v in data.items() if isinstance(v, plain)}
    detail = words.detail
    if code == BadInput.code:
        found = [_fault(problem, "") for problem in _problems(data)]
        detail = " ".join(f"{fault.label}: {fault.message}" for fault in found)
    body = {**members, "type": code, "title": words.title, "status": words.status}
    response = jsonify({**body, "detail": detail})
    response.status_code = words.status
    response.content_type = "application/problem+json"
    return response


def refused(error: ResetError) -> AnyResponse:
    """A refusal of a flow. Whoever has to log in is led to the login page."""
    if isinstance(error, LoginNeeded) and not wants_problem():
        return redirect(login_path(ended=request.method == "POST"), 303)
    return answer(error.code, error.data)


def _page_too_old(error: CSRFError) -> Response:
    return answer("page-too-old", {})


def _http(error: HTTPException) -> AnyResponse:
    if error.code is not None and error.code < 400:
        return error.get_response()  # the router's own redirect
    response = answer(_HTTP.get(error.code or 500, "bad-request"), {})
    if error.code == 405:
        response.headers["Allow"] = error.get_response().headers.get("Allow", "")
    return response


def _unforeseen(error: Exception) -> Response:
    journal.failure(error)
    return answer("internal", {"reference": journal.number()})
