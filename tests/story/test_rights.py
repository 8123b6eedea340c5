"""The story on PostgreSQL as docs/deployment.md sets it up: one role owns and migrates, one serves.

The serving role has the rights of deploy/postgres-roles.sql and no other, from the first import on.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url, text

from reset.db import migrate
from reset.db.engine import make_engine
from tests.db.conftest import new_database, postgres_server
from tests.institution.postgres import binaries
from tests.institution.site import Institution, code_in
from tests.institution.visitors import TokenVisitor, Visitor, words_of
from tests.story import story as told
from tests.story.story import Story
from tests.web.scenes import phone_of

__all__ = ["new_database", "postgres_server"]

SCRIPT = Path(__file__).parents[2] / "deploy" / "postgres-roles.sql"
OWNER, SERVING = "token_reset_owner", "token_reset"


def _as(url: URL, role: str) -> str:
    return url.set(username=role, password=role).render_as_string(hide_password=False)


def _run_script(url: URL) -> None:
    """The line of the script's head, as the owner."""
    subprocess.run(
        [binaries() / "psql", "--set", "ON_ERROR_STOP=1", "--dbname", url.database or "",
         "--host", url.host or "", "--port", str(url.port), "--file", SCRIPT],
        env={**os.environ, "PGUSER": OWNER, "PGPASSWORD": OWNER}, check=True, capture_output=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def story(
    new_database: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    """A running institution whose every process has the serving role."""
    url = make_url(new_database("rights of the story"))
    engine = make_engine(url.render_as_string(hide_password=False))
    with engine.begin() as connection:
        for role in (OWNER, SERVING):
            connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD '{role}'"))
        connection.execute(text(f'ALTER DATABASE "{url.database}" OWNER TO {OWNER}'))
    engine.dispose()
    migrate.upgrade(_as(url, OWNER))
    _run_script(url)
    _run_script(url)  # after every upgrade
    institution = Institution.build(
        tmp_path_factory.mktemp("institution"),
        database=_as(url, SERVING),
        policy="code_sends_per_hour = 10",
    )
    try:
        institution.start()
        yield Story(institution)
    finally:
        institution.stop()


def test_a_reset_and_the_log(story: Story) -> None:
    """From the registration to the proven end, with mails, checkpoint and operator commands."""
    here = story.institution
    for step in (told.register, told.block, told.ask, told.approve, told.set_new_pin):
        step(story)
    told.mails_went_out(story)
    here.command("audit", "checkpoint")
    assert "the chain is whole" in here.command("audit", "verify")
    assert "open, none missing" in here.command("escrow", "check")
    here.command("escrow", "rewrap")
    assert "a reset is worth: level 3 of 4" in here.command("doctor")
    here.command("people", "without-profile")


def test_the_profile_in_every_way(story: Story) -> None:
    """A rehearsal, a second address, an app, and all of it deleted."""
    here, second = story.institution, "second@elsewhere.example"
    browser = TokenVisitor(here, "holder", story.new_pin)
    where = "/profile/rehearsal"
    page = browser.send(where, where, **told.right_answers(story, browser.get(where).text, asked=5))
    assert "Your answers were right last on" in words_of(page.text), words_of(page.text)
    page = browser.send("/profile", "/profile/second", second_address=second)
    assert page.status == 200, words_of(page.text)
    code = code_in(here.wait_for_mail(second, "confirm your second"))
    browser.send("/profile", "/profile/second/confirm", second_code=code)
    phone = phone_of(browser.send("/profile", "/profile/app").text)
    code = phone.code(datetime.now(UTC))
    page = browser.send("/profile/app", "/profile/app/confirm", app_code=code)
    assert "Authenticator app registered" in words_of(page.text), words_of(page.text)
    browser.send("/profile/app", "/profile/app/remove")
    browser.send("/profile", "/profile/second/remove")
    page = browser.send("/profile", "/profile/delete")
    assert "Register your questions" in page.text, words_of(page.text)


def test_the_office_and_the_sessions(story: Story) -> None:
    """A look at a person, the end of all their sessions; a delegation granted and ended."""
    here, holder = story.institution, story.institution.people["holder"]
    visitor = Visitor(here)
    visitor.log_in("holder")
    olga = TokenVisitor(here, "operator")
    olga.send("/office/", "/office/look", uid=holder.uid)
    page = olga.send("/office/person", "/office/person/end-sessions", uid=holder.uid)
    assert page.status == 200, words_of(page.text)
    assert "Log in" in words_of(visitor.get("/").text)
    sven = TokenVisitor(here, "supervisor")
    days = {"starts": "2099-01-15", "ends": "2099-01-31"}
    page = sven.send("/delegations", "/delegations", delegate=here.people["operator"].uid, **days)
    found = re.search(r"/delegations/[0-9a-f]+/revoke", page.text)
    assert found, words_of(page.text)
    assert "ended" in words_of(sven.send("/delegations", found[0]).text)
