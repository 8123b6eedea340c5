"""The story with people in LDAP: the sites, the worker and the commands ask a real server."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.institution.authority import Authority
from tests.institution.site import Institution, Someone, staff
from tests.institution.slapd import GROUPS, PEOPLE, SERVICE, Entry, Slapd, group
from tests.institution.visitors import TokenVisitor, Visitor, words_of
from tests.story import story as told
from tests.story.story import Story

STAFF = staff()


def _entry(p: Someone) -> Entry:
    return Entry(p.uid, p.pid, p.name, p.mail, p.password, p.supervisor, p.representative)


def _settings(slapd: Slapd, root: Path, authority: Authority) -> str:
    password = root / "directory-password"
    password.touch(mode=0o600)
    password.write_text(slapd.password)
    return (
        f'kind = "ldap"\npreset = "openldap"\nservers = ["{slapd.tls}"]\nsecurity = "tls"\n'
        f'ca_file = "{authority.anchors_pem}"\n'
        f'user = "{SERVICE[PEOPLE]}"\npassword_file = "{password}"\nbase = "{PEOPLE}"\n'
        f'[directory.roles]\noffice = "cn=office,{GROUPS[PEOPLE]}"\n'
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Of the directory alone."""
    return Authority.create(tmp_path_factory.mktemp("ca"), name="Directory")


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Slapd]:
    """A running directory with the people of the story."""
    certificate = authority.issue_server(("127.0.0.1",))
    entries = [_entry(p).ldif(PEOPLE) for p in STAFF.values()]
    with Slapd(tmp_path_factory.mktemp("slapd"), certificate, authority.anchors_pem) as made:
        made.fill(*entries, group("office", [STAFF["operator"].uid], PEOPLE))
        made.start()
        yield made


@pytest.fixture(scope="module")
def story(
    slapd: Slapd, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    """A running institution without a person of its own."""
    root = tmp_path_factory.mktemp("institution")
    settings = _settings(slapd, root, authority)
    institution = Institution.build(root, people=STAFF, directory=settings)
    try:
        institution.start()
        yield Story(institution)
    finally:
        institution.stop()


def test_the_commands(story: Story) -> None:
    """``doctor`` looks at the directory; people cannot be imported into two places."""
    here = story.institution
    assert "directory 127.0.0.1:" in (said := here.command("doctor"))
    assert "ok, 3 of" in said
    refused = here.try_command("people", "import", str(here.root / "people.csv"))
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "directory that the settings name" in refused.stderr
    with closing(sqlite3.connect(here.root / "service.sqlite")) as db:
        assert db.execute("select count(*) from people").fetchone() == (0,)


def test_a_login_by_password(story: Story) -> None:
    """Wrong, unknown and right, on the site itself; no name is looked up for the visitor."""
    visitor, holder = Visitor(story.institution), STAFF["holder"]
    pages = set()
    for pid in (holder.pid, "nobody"):
        page = visitor.send("/login", "/login", pid=pid, password="wrong")
        assert page.status == 401
        pages.add(words_of(page.text))
    assert len(pages) == 1
    assert visitor.send("/login", "/login", pid="*", password=holder.password).status == 401
    assert visitor.send("/login", "/login", pid=holder.pid, password="").status == 400
    page = visitor.log_in("holder")
    assert page.status == 200
    assert holder.name in page.text


def test_from_registration_to_the_approval(story: Story) -> None:
    """Supervisor and mail addresses come from the directory."""
    told.register(story)
    told.ask(story)
    told.approve(story)


def test_roles_and_people_end_at_once(story: Story, slapd: Slapd) -> None:
    """The group no longer names the operator; the holder is gone, and so is the session."""
    operator = TokenVisitor(story.institution, "operator")
    assert operator.get("/office/").status == 200
    slapd.set(f"cn=office,{GROUPS[PEOPLE]}", "member", SERVICE[PEOPLE])
    assert operator.get("/office/").status == 403
    visitor = Visitor(story.institution)
    visitor.log_in("holder")
    assert visitor.ask(story.page).status == 200
    slapd.remove(_entry(STAFF["holder"]).dn(PEOPLE))
    answer = visitor.ask(story.page)
    assert answer.status in (302, 303)
    assert "/login" in (answer.header("location") or "")


def test_a_uid_of_somebody_else(story: Story, slapd: Slapd) -> None:
    """S5.7: a new person with the old UID neither logs in nor sees what the old one left, until
    an operator says that the entry was made anew."""
    here = story.institution
    slapd.add(_entry(STAFF["holder"]).ldif(PEOPLE))
    assert Visitor(here).log_in("holder").status == 401
    assert TokenVisitor(here, "holder").get("/profile").status == 403
    here.command("people", "rebind", STAFF["holder"].uid)
    assert Visitor(here).log_in("holder").status == 200
    assert here.try_command("people", "rebind", "nobody").returncode == 1


def test_without_the_directory_nothing_is_decided(story: Story, slapd: Slapd) -> None:
    """503, not a logout and not a wrong password; ``doctor`` names the server."""
    visitor = Visitor(story.institution)
    visitor.log_in("holder")
    slapd.stop()
    assert visitor.ask("/").status == 503
    assert Visitor(story.institution).log_in("holder").status == 503
    refused = story.institution.try_command("doctor")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert f"{slapd.tls}: Connection refused" in refused.stderr
