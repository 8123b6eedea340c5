"""The holder's way in a real browser against the running service, without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from reset.core.catalogue import CATALOGUE
from tests.institution.site import code_in
from tests.story import story as told
from tests.story.story import Story

SWITCHES = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=SWITCHES)
        yield started
        started.close()


def test_from_the_login_to_the_waiting_page(story: Story, browser: Browser) -> None:
    """Login, request, questions, code: by keyboard alone, nothing blocked, nobody else asked."""
    told.register(story)
    here, holder = story.institution, story.institution.people["holder"]
    context = browser.new_context(
        ignore_https_errors=True, java_script_enabled=False, viewport={"width": 390, "height": 844}
    )
    page = context.new_page()
    asked: list[str] = []
    trouble: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    page.on("console", lambda message: trouble.append(message.text))
    page.goto(here.public_url)
    page.get_by_role("link", name="Log in").first.press("Enter")
    page.get_by_label("Login name").fill(holder.pid)
    page.get_by_label("Password").fill(holder.password)
    page.get_by_label("Password").press("Enter")
    page.get_by_role("button", name="Begin the reset").press("Enter")
    _answer(story, page)
    page.get_by_role("button", name="code").first.press("Enter")
    code = code_in(here.wait_for_mail(holder.recovery, "Your code for resetting"))
    page.locator("[name=code]").fill(code)
    page.locator("[name=code]").press("Enter")
    expect(page.locator("main")).to_contain_text(here.people["supervisor"].name)
    page.go_back()
    page.go_forward()
    expect(page.locator("main")).to_contain_text(here.people["supervisor"].name)
    assert all(url.startswith(here.public_url) for url in asked), asked
    assert not trouble
    context.close()


def _answer(story: Story, page: Page) -> None:
    way, last = page.locator("a[href$='/questions']").first, page.locator("[name=answer-3]")
    way.or_(last).first.wait_for()  # the page before is still there for a moment
    if not last.count():
        way.press("Enter")
        last.wait_for()
    text = page.inner_text("main")
    drawn = sorted(
        (text.index(CATALOGUE[q].text), q) for q in story.answers if CATALOGUE[q].text in text
    )
    for number, (_, question) in enumerate(drawn, 1):
        page.locator(f"[name=answer-{number}]").fill(story.answers[question])
    page.locator("[name=answer-3]").press("Enter")
