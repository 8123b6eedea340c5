"""Where a person may be led: local paths from a closed list, nothing else (no open redirect)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from flask import redirect, request, url_for
from werkzeug.routing import BaseConverter
from werkzeug.wrappers import Response

_NEXT = re.compile(r"/|/reset/[0-9a-f]{32}(/(questions|code|helper))?")


class RandomId(BaseConverter):
    """The random id of a row, as the flows make them."""

    regex = "[0-9a-f]{32}"


def safe_next(path: str) -> str:
    """``path`` if it is on the list, else the start page."""
    return path if _NEXT.fullmatch(path) else "/"


def login_path(*, ended: bool) -> str:
    """The login page that leads back here; after a form, back to the request it was about."""
    here = request.path
    request_id = (request.view_args or {}).get("request_id")
    if request.method == "POST":
        here = f"/reset/{request_id}" if request_id else "/"
    query = {"next": safe_next(here)} if safe_next(here) != "/" else {}
    if ended:
        query["notice"] = "session-ended"
    return "/login" + (f"?{urlencode(query)}" if query else "")


def go(endpoint: str, notice: str = "", **values: Any) -> Response:  # noqa: ANN401
    """Redirect after a form, so that reload and back are safe; ``notice`` names a fixed text."""
    if notice:
        values["notice"] = notice
    return redirect(url_for(endpoint, **values), 303)
