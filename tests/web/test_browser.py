"""The pages in Chromium over the real TLS listeners: keyboard only, and on a small screen."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from reset.web import listeners
from tests.institution.authority import Authority
from tests.institution.ports import free_port
from tests.web.scenes import every_page
from tests.web.world import PASSWORD, ROOT, World, make_world

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def served(database_template: Path, tmp_path: Path) -> Iterator[World]:
    """The public site on a real listener; its address is the settings' own."""
    port = free_port()
    world = make_world(database_template, tmp_path, f"https://localhost:{port}")
    certificate, key = Authority.create(tmp_path / "ca").issue_server()
    context = listeners.public_context(certificate, key)
    server = listeners.listen(world.public, "127.0.0.1", port, context)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield world
    server.shutdown()
    thread.join()


def _page(chromium: Browser, world: World) -> Page:
    context = chromium.new_context(ignore_https_errors=True, base_url=world.settings.public_url)
    return context.new_page()


def _tab_to(page: Page, words: str) -> None:
    """Press Tab until the focus is on something with these words, and it is seen."""
    for _ in range(30):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "() => { const e = document.activeElement; const s = getComputedStyle(e);"
            " const l = e.labels && e.labels.length ? e.labels[0].textContent : '';"
            " return [(e.textContent || '') + l, s.outlineStyle]; }"
        )
        if words in found[0]:
            assert found[1] != "none", words
            return
    raise AssertionError(f"no way to {words} by keyboard")


def test_the_way_into_the_service_by_keyboard_alone(chromium: Browser, served: World) -> None:
    served.enrol()
    page = _page(chromium, served)
    page.goto("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    _tab_to(page, "Log in and begin")
    page.keyboard.press("Enter")
    page.wait_for_url("**/login")
    _tab_to(page, "Login name")
    page.keyboard.type("alice")
    _tab_to(page, "Password")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Your tokens and requests")
    _tab_to(page, "What happened?")
    page.keyboard.type("typed it wrong on a journey")
    page.keyboard.press("Enter")
    page.wait_for_url("**/reset/*")
    assert page.inner_text("[aria-current=step]").startswith("Answer your questions")
    page.go_back()
    page.reload()
    assert "Your reset of token" in page.inner_text("main")
    _tab_to(page, "Log out")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=You are logged out")
    assert not page.context.cookies()


def test_a_refused_login_tells_it_at_the_top(chromium: Browser, served: World) -> None:
    page = _page(chromium, served)
    page.goto("/login")
    page.fill("#pid", "alice")
    page.fill("#password", "wrong")
    page.click("main button")
    assert "not right" in page.inner_text("[role=alert]")
    assert page.title().startswith("Problem: ")
    assert (page.input_value("#pid"), page.input_value("#password")) == ("alice", "")


def test_the_browser_finds_nothing_to_complain_about(chromium: Browser, served: World) -> None:
    page = _page(chromium, served)
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("requestfailed", lambda request: told.append(f"{request.url} {request.failure}"))
    for path in ("/", "/login"):
        page.goto(path, wait_until="networkidle")
    assert told == []
    assert page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") == "736px"


def test_no_page_is_wider_than_a_small_phone(
    chromium: Browser, database_template: Path, tmp_path: Path
) -> None:
    page = chromium.new_page(viewport={"width": 320, "height": 640})
    sheet = f"<style>{(ROOT / 'static' / 'style.css').read_text()}</style>"
    for name, text in every_page(make_world(database_template, tmp_path)).items():
        bare = re.sub(r"<(meta http-equiv|link|img)[^>]*>", "", text)
        page.set_content(bare.replace("</head>", f"{sheet}</head>"), wait_until="commit")
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, name
        small = page.evaluate(
            "[...document.querySelectorAll('button, .button, summary, select, input')]"
            ".filter(e => e.offsetHeight > 0 && e.type != 'checkbox' && e.type != 'radio')"
            ".filter(e => e.offsetHeight < 40).map(e => e.outerHTML)"
        )
        assert small == [], name
    page.close()


def test_the_picture_of_an_app_is_drawn_under_the_policy(
    chromium: Browser, database_template: Path, tmp_path: Path
) -> None:
    """Inline, dark on light in every colour scheme, with no exception from the CSP."""
    world = make_world(database_template, tmp_path)
    world.enrol()
    shown = world.holder_of("alice").send("/profile/app", "/profile/app")
    policy = shown.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    sheet = (ROOT / "static" / "style.css").read_text()
    context = chromium.new_context(color_scheme="dark")
    page, told = context.new_page(), list[str]()
    page.on("console", lambda message: told.append(message.text))
    page.route(
        "https://tokens.test/**",
        lambda route: route.fulfill(
            body=sheet if route.request.url.endswith(".css") else shown.text,
            content_type="text/css" if route.request.url.endswith(".css") else "text/html",
            headers={"Content-Security-Policy": policy},
        ),
    )
    page.goto("https://tokens.test/profile/app")
    assert told == []
    box = page.locator("svg").bounding_box()
    assert box
    assert box["width"] == box["height"] > 200
    paints = page.locator("svg path").evaluate_all(
        "paths => paths.map(p => [getComputedStyle(p).fill, getComputedStyle(p).stroke])"
    )
    assert paints[0][0] == "rgb(255, 255, 255)"
    assert paints[1][1] == "rgb(0, 0, 0)"
    context.close()
