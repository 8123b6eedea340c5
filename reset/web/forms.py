"""Reading form fields strictly, and showing a form again with what is wrong in it."""

from __future__ import annotations

from typing import Any

from flask import Response, make_response, render_template, request

from reset.errors import BadInput, ResetError
from reset.web.error_pages import faults, wants_problem, words_for

FORM_LIMIT = 72 * 1024  # a signature of 64 KiB and the form around it
HELPER_LIMIT = 128 * 1024
FIELD_LIMIT = 4096  # characters; normal forms of longer texts take seconds
_LISTS = frozenset({"ids"})  # check boxes: the only fields that may occur more than once


def check() -> None:
    """Before every request: bound body and fields; each is there once and holds plain text.

    Raises ``BadInput`` (peer failures 18 and 34, parameter pollution).
    """
    if request.path.startswith("/helper/"):
        request.max_content_length = HELPER_LIMIT
        return
    request.max_content_length = FORM_LIMIT
    for source in (request.args, request.form):
        for name, values in source.lists():
            if len(values) > 1 and name not in _LISTS:
                raise BadInput(field=name[:60], rule="twice")
            if any(len(value) > FIELD_LIMIT for value in (name, *values)):
                raise BadInput(field=name[:60], rule="too-long")
            if any("\0" in value for value in (name, *values)):
                raise BadInput(field=name[:60], rule="characters")
    for name, files in request.files.lists():
        if len(files) > 1:
            raise BadInput(field=name[:60], rule="twice")


def text(name: str) -> str:
    """A field of the form; an absent one is empty."""
    return request.form.get(name, "")


def seen() -> int | None:
    """The count of spent tries that the form showed, when it says one."""
    value = request.form.get("seen", "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 4 else None


def again(template: str, error: ResetError, field: str, **context: Any) -> Response:  # noqa: ANN401
    """The same form once more, with the problems on top and beside their fields.

    A client that asked for JSON gets the problem document instead.
    """
    if wants_problem():
        raise error
    words = words_for(error.code, error.data)
    page = render_template(template, faults=faults(error, field), **context)
    response = make_response(page, words.status)
    wait = error.data.get("retry_after", words.retry_after)
    if isinstance(wait, int) and wait:
        response.headers["Retry-After"] = str(wait)
    return response
