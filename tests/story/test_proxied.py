"""The story through nginx and gunicorn, while every page is asked for with forged headers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping

import pytest

from tests.institution.proxied import Proxied
from tests.institution.tokens import Answer
from tests.institution.visitors import Visitor
from tests.story.story import STEPS, Step, Story

INSTITUTION = Proxied
FORGED = {
    "X-Forwarded-Host": "evil.test",
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "http",
    "Forwarded": "for=203.0.113.9;host=evil.test",
}


@pytest.fixture(scope="module", autouse=True)
def forged() -> Iterator[None]:
    """Every request of a visitor carries the forged headers."""
    plain = Visitor.ask

    def ask(
        visitor: Visitor,
        path: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        return plain(visitor, path, form, {**FORGED, **(headers or {})}, body)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Visitor, "ask", ask)
        yield


@pytest.mark.parametrize(("title", "step"), STEPS, ids=[title for title, _ in STEPS])
def test_step(story: Story, title: str, step: Step) -> None:
    """Login, approval by certificate, the helper: all of it through nginx."""
    assert step(story)


def test_mails_and_log_know_only_what_is_true(story: Story) -> None:
    """Addresses in mails are the configured ones (peer failure 21); the log has nginx's word."""
    here = story.institution
    mails = "".join(file.read_text() for file in here.mail_directory.glob("*/*.eml"))
    assert here.certificate_url in mails
    assert "evil.test" not in mails
    with sqlite3.connect(here.root / "service.sqlite") as database:
        rows = database.execute("select raw from audit_entries").fetchall()
    log = "".join(bytes(raw).decode() for (raw,) in rows)
    assert json.dumps({"address": "127.0.0.1"}, separators=(",", ":"))[1:-1] in log
    assert "203.0.113.9" not in log + here.log.read_text()
