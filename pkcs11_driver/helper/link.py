"""The link ``token-reset://pair?code=…&server=…`` on the page, as a browser hands it over.

Any page and any program can make such a link, so it is worth little: it names a code that works
once and for minutes, and a server that the person confirms, or that this helper was registered
for. Rules:

1. Exactly this form: scheme, ``pair``, the two names once each, nothing else, ASCII, short.
2. The server is ``https://`` with a name or address and perhaps a port; no path, no user.
3. A name with other letters than a-z arrives in its ASCII form (xn--…) and is shown so.
"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass, field

from pkcs11_driver import wire
from pkcs11_driver.helper.dialogue import Refused
from pkcs11_driver.helper.language import say

SCHEME = "token-reset"
_LIMIT = 512
_FORM = re.compile(rf"{SCHEME}://pair/?\?([A-Za-z0-9._~%&=:/-]+)")
_SERVER = re.compile(
    r"https://([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*)(:[1-9][0-9]{0,4})?/?"
)


@dataclass(frozen=True)
class Link:
    """A pairing code, tidied, and the service that showed it."""

    code: str = field(repr=False)
    server: str


def make(code: str, server: str) -> str:
    """The link for a code at a service."""
    query = urllib.parse.urlencode({"code": code, "server": server})
    return f"{SCHEME}://pair?{query}"


def is_link(text: str) -> bool:
    """Whether an argument is meant as a link."""
    return text[: len(SCHEME) + 1].lower() == f"{SCHEME}:"


def parse(text: str, registered: str = "") -> Link:
    """Read a link. ``registered``: the only service that this helper works with, empty for any.

    Raises ``Refused``.
    """
    form = _FORM.fullmatch(text) if len(text) <= _LIMIT else None
    values = _values(form[1]) if form else {}
    code, server = wire.tidy_code(values.get("code", "")), values.get("server", "")
    if not wire.is_code(code) or not _SERVER.fullmatch(server):
        raise Refused(say("This link is not of the service. Nothing was done."))
    server = server.rstrip("/")
    if registered and server != registered.rstrip("/"):
        raise Refused(
            say(
                "This link leads to {server}, but this helper works with {registered} only. "
                "Nothing was done.",
                server=server,
                registered=registered,
            )
        )
    return Link(code, server)


def _values(query: str) -> dict[str, str]:
    try:
        pairs = urllib.parse.parse_qsl(
            query, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=2
        )
    except ValueError:
        return {}
    found = dict(pairs)
    return found if len(pairs) == 2 and set(found) == {"code", "server"} else {}
