"""Every page in every state: labels, form tokens, one heading, no script, no way across."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from reset.core.requests import State
from tests.web.scenes import every_page
from tests.web.world import CERTIFICATE, ROOT, World, make_world

VOID = frozenset("meta link img input br hr".split())


class Page(HTMLParser):
    """Collects what the rules are about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.forms: list[list[dict[str, str | None]]] = []
        self.wrapped: set[int] = set()
        self.feed(text)
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert len(found) == len(attrs), (tag, attrs)
        if tag == "input" and "label" in self.open:
            self.wrapped.add(len(self.tags))
        self.tags.append((tag, found))
        if tag == "form":
            self.forms.append([found])
        elif "form" in self.open:
            self.forms[-1].append({"tag": tag, **found})
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag, tag

    def all(self, *names: str) -> list[dict[str, str | None]]:
        """The attributes of all such tags."""
        return [attrs for tag, attrs in self.tags if tag in names]


@pytest.fixture(scope="module")
def pages(database_template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return every_page(make_world(database_template, tmp_path_factory.mktemp("pages")))


def test_every_page_keeps_the_rules_of_form_and_language(pages: dict[str, str]) -> None:
    assert len(pages) > 35
    for name, text in pages.items():
        page = Page(text)
        assert len(page.all("h1")) == 1, name
        assert page.all("html")[0]["lang"] == "en", name
        assert len(page.all("main")) == 1, name
        assert page.all("a")[0]["href"] == "#main", name
        ids = [a["id"] for _, a in page.tags if "id" in a]
        assert len(ids) == len(set(ids)), name
        assert "Registration office" in text, name
        assert "Help desk" in text, name
        _labelled(name, page)
        _tokens(name, page)
        for _, attrs in page.tags:
            for told in (attrs.get("aria-describedby") or "").split():
                assert told in ids, (name, told)
            if (attrs.get("href") or "").startswith("#"):
                assert str(attrs["href"])[1:] in ids, (name, attrs)


def _labelled(name: str, page: Page) -> None:
    labels = {a.get("for") for a in page.all("label")}
    for index, (tag, attrs) in enumerate(page.tags):
        if tag in ("input", "select", "textarea") and attrs.get("type") != "hidden":
            assert attrs.get("id") in labels or index in page.wrapped, (name, attrs)


def _tokens(name: str, page: Page) -> None:
    for form, *fields in page.forms:
        tokens = [f for f in fields if f.get("name") == "csrf_token"]
        if form.get("method") == "post":
            assert len(tokens) == 1, (name, form)
            assert tokens[0]["value"], (name, form)
        else:
            assert form["method"] == "get", (name, form)
            assert not tokens, (name, form)


def test_no_page_holds_script_or_inline_style(pages: dict[str, str]) -> None:
    for name, text in pages.items():
        for tag, attrs in Page(text).tags:
            assert tag not in ("script", "style", "iframe", "object", "base"), name
            assert "style" not in attrs, (name, attrs)
            assert not [a for a in attrs if a.startswith("on")], (name, attrs)


def test_nothing_leads_to_the_other_site(pages: dict[str, str]) -> None:
    for name, text in pages.items():
        for tag, attrs in Page(text).tags:
            for value in (attrs.get(n) for n in ("href", "src", "action", "content", "formaction")):
                # the one link that leaves the browser; it names the public site
                if value and tag != "meta" and not value.startswith("token-reset://pair?"):
                    assert value.startswith(("/", "#")), (name, value)
                    assert not value.startswith("//"), (name, value)
                assert CERTIFICATE not in (value or ""), (name, value)


def test_what_depends_on_time_and_family_is_said(pages: dict[str, str]) -> None:
    """After the approval a fresh code; a card with three tries has a budget of one."""
    assert "confirm with a fresh code" in pages["request fresh-code"]
    assert "spent: 1 of 1." in pages["office_person open"]


def test_a_time_is_never_broken_into_lines(pages: dict[str, str]) -> None:
    found = 0
    for name, text in pages.items():
        found += (whole := text.count("<time "))
        bare = re.sub(r"=\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", text)  # facts of audit entries
        assert len(re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d ", bare)) == whole, name
    assert found > 30


def test_every_template_is_seen(pages: dict[str, str]) -> None:
    whole = {p.name for p in (ROOT / "templates").glob("[a-z]*.html")} - {"base.html"}
    assert whole == {name.split()[0] + ".html" for name in pages}


def test_every_state_of_a_request_has_its_page(world: World) -> None:
    world.enrol()
    visitor = world.logged_in()
    path = world.open_request(visitor)
    request_id = path.split("/")[2]
    for state in State.__args__:  # type: ignore[attr-defined]
        with world.parts.store.write() as uow:
            request = uow.requests.get(request_id)
            assert request
            moved = replace(request, state=state, ended_because="time", asked_at=world.watch.at)
            uow.requests.save(moved, expected=request.state)
        page = visitor.get(path)
        assert page.status_code == 200, state
        Page(page.text)
