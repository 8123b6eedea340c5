"""Signing an approval in the window, in English and in German."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pkcs11_driver.helper.window import look
from reset.core.approvals import ACTION, DECISION, FORMAT, NOBODY, Statement, render
from tests.driver.conftest import USER_PIN, Holder
from tests.driver.program import Office
from tests.institution.tokens import tries_left, wrong_logins
from tests.window.conftest import Hand, Open
from tests.window.test_reset import opened

STATEMENT = render(
    Statement(
        FORMAT, ACTION,
        request="5b0d1c2f6a7e4d0c9b8a7f6e5d4c3b2a",
        token_serial="1234567890ABCDEF",
        holder_uid="u1001",
        holder_name="Anna Weber",
        approver_uid="u2002",
        approver_name="Bernd Kraus",
        acting_for=NOBODY,
        reason="The token is blocked after a typing mistake; I rang you at ten.",
        requested_at=datetime(2031, 5, 4, 9, 12, tzinfo=UTC),
        valid_until=datetime(2031, 5, 7, 9, 12, tzinfo=UTC),
        nonce="4f1d9c7be2a84f0d",
        service="https://reset.example.org",
        decision=DECISION,
    )
)  # fmt: skip


def office(holder: Holder) -> Office:
    return Office(holder.made.serial, "approve", STATEMENT, next="wait")


def to_the_statement(hand: Hand, words: str = "Compare", statement: str = "Read what") -> None:
    hand.look(words)
    hand.press("Tab", "Tab", "Return")
    hand.look(statement)


def test_the_statement_is_shown_and_signed(window: Open, holder: Holder, tmp_path: Path) -> None:
    asked = office(holder)
    with opened(window, holder, asked, tmp_path, "ABCD-EFGH") as hand:
        to_the_statement(hand)
        texts = hand.look()["texts"]
        assert "Anna Weber" in texts
        hand.picture("a1-statement")
        hand.press("Return")
        hand.look("Read what")
        hand.press("Alt-g")
        hand.look("The PIN of your token")
        hand.type(USER_PIN)
        hand.picture("a2-pin")
        hand.press("Return")
        hand.look("Signed")
        hand.picture("a3-signed")
        assert USER_PIN not in "".join(hand.do("everything"))
        hand.press("Return")
        assert hand.ended() == 0
    assert [report.outcome for report in asked.reports] == ["signed"]


def test_a_wrong_pin_is_told_and_asked_for_again(
    window: Open, holder: Holder, tmp_path: Path
) -> None:
    asked = office(holder)
    with opened(window, holder, asked, tmp_path, "ABCD-EFGH") as hand:
        to_the_statement(hand)
        hand.press("Alt-g")
        hand.look("The PIN of your token")
        hand.press("Return")
        hand.look("Type the PIN, or stop.")
        hand.type("wrong-one")
        hand.press("Return")
        hand.look("the PIN is wrong")
        hand.look("does not say how many tries are left")
        hand.picture("a4-wrong-pin")
        hand.press("Escape")
        hand.look("Nothing was signed.")
    assert (asked.reports, tries_left(holder.made)) == ([], (9, 15))


@pytest.mark.parametrize(
    ("language", "pages", "keys", "words", "picture"),
    [
        (
            "C.UTF-8",
            ("Compare these three words", "Read what", "The PIN of your token"),
            ("Alt-y", "Alt-g"),
            "one try is left before it blocks",
            "a5-one-try",
        ),
        (
            "de_AT.UTF-8",
            ("Vergleichen Sie diese drei Wörter", "Lesen Sie, was", "Die PIN Ihres Tokens"),
            ("Alt-j", "Alt-w"),
            "vor der Sperre noch ein Versuch",
            "d2-one-try",
        ),
    ],
)
def test_a_wrong_pin_that_leaves_one_try_ends_it_with_the_reason(
    window: Open,
    holder: Holder,
    tmp_path: Path,
    language: str,
    pages: tuple[str, str, str],
    keys: tuple[str, str],
    words: str,
    picture: str,
) -> None:
    wrong_logins(holder.made, 8)
    asked = office(holder)
    with opened(window, holder, asked, tmp_path, "ABCD-EFGH", LANG=language) as hand:
        for page, key in zip(pages, keys, strict=False):
            hand.look(page)
            hand.press(key)
        hand.look(pages[2])
        hand.type("wrong-one")
        hand.press("Return")
        hand.look(words)
        hand.picture(picture)
    assert (asked.reports, tries_left(holder.made)) == ([], (1, 15))


def test_the_approvers_own_token_is_asked_for(window: Open, holder: Holder, tmp_path: Path) -> None:
    """Another one is plugged in, the holder's for one: it signs nothing."""
    asked = Office("OTHER-SERIAL", "approve", STATEMENT)
    with opened(window, holder, asked, tmp_path, "ABCD-EFGH") as hand:
        to_the_statement(hand)
        hand.press("Alt-g")
        seen = hand.look("Plug in the token")
        assert "OTHER-SERIAL" in seen["texts"]
        hand.picture("a6-plug-in")
        hand.press("Escape")
        hand.look("Please start again")
    assert (asked.reports, tries_left(holder.made)) == ([], (10, 15))


def test_not_signing_signs_nothing(window: Open, holder: Holder, tmp_path: Path) -> None:
    asked = office(holder)
    with opened(window, holder, asked, tmp_path, "ABCD-EFGH") as hand:
        to_the_statement(hand)
        hand.press("Alt-n")
        hand.look("Nothing was signed.")
    assert asked.reports == []


def test_the_other_language(window: Open, holder: Holder, tmp_path: Path) -> None:
    with opened(window, holder, office(holder), tmp_path, LANG="de_AT.UTF-8") as hand:
        hand.look("Geben Sie den Code von der Seite ein")
        hand.picture("d1-code")
        hand.click("English")
        hand.look("Type the code from the page")
        hand.click("Deutsch")
        hand.type("ABCDEFGH")
        hand.press("Return")
        hand.look("Vergleichen Sie diese drei Wörter")
        hand.press("Alt-j")
        hand.look("Lesen Sie, was Sie unterschreiben sollen")


def test_large_text_on_a_small_screen_keeps_its_buttons(
    window: Open, holder: Holder, tmp_path: Path
) -> None:
    with opened(window, holder, office(holder), tmp_path, "ABCD-EFGH") as hand:
        to_the_statement(hand)
        for _ in range(4):
            hand.press("Control-plus")
        hand.do("shape", width=800, height=560)
        hand.look("Go on to sign")
        hand.picture("l1-large")
        hand.press("Control-0")
        hand.press("Alt-g")
        hand.look("The PIN of your token")


def test_every_text_stands_out_from_its_ground() -> None:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for pair in look.PAIRS:
        darker, lighter = sorted(map(light, pair))
        assert (lighter + 0.05) / (darker + 0.05) >= 7, pair
