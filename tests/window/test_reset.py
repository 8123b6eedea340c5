"""The reset in the window, with a real token, key by key."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pkcs11_driver import wire
from tests.driver.conftest import NEW_PIN, SECRETS, USER_PIN, Holder
from tests.driver.program import Office
from tests.driver.service import problem, serve
from tests.institution.tokens import arm_fault, pkcs11_tool_login
from tests.window.conftest import Hand, Open


@contextlib.contextmanager
def opened(
    window: Open, holder: Holder, office: Office, tmp_path: Path, *more: str, **environment: str
) -> Iterator[Hand]:
    with serve(tmp_path, office) as service:
        at = ("--server", service.url, "--ca", str(service.ca), "--module", holder.at[0])
        with window(*at, *more, **environment) as hand:
            yield hand
    bodies = json.dumps([asked.body for asked in service.asked])
    assert not [secret for secret in SECRETS if secret in bodies]


def to_the_pin(hand: Hand, code: str = "abcd-efgh") -> None:
    hand.look("Type the code")
    hand.type(code)
    hand.press("Return")
    hand.look("Compare these three words")
    hand.press("Alt-y")
    hand.look("Choose the new PIN")


def choose(hand: Hand, pin: str = NEW_PIN) -> None:
    hand.type(pin)
    hand.press("Return")
    hand.type(pin)
    hand.press("Return")


def test_the_whole_job_with_keys_alone(window: Open, blocked: Holder, tmp_path: Path) -> None:
    office = Office(blocked.made.serial)
    arm_fault(blocked.made, "before SetPIN 1 delay 5000")
    with opened(window, blocked, office, tmp_path) as hand:
        seen = hand.look("Type the code")
        assert seen["focus"] == "Code"
        hand.picture("1-code")
        hand.type("abcd-efgh")
        hand.press("Return")
        hand.look("Compare these three words")
        hand.look(wire.confirmation_words("job", office.key))
        hand.picture("2-words")
        hand.press("Return")
        hand.look("Compare these three words")
        hand.press("Alt-y")
        seen = hand.look("Choose the new PIN")
        assert f"The token of Holder\nHolder, number {blocked.made.serial}" in seen["texts"]
        choose(hand)
        hand.look("✓  Your key signs again.")
        hand.picture("4-change")
        hand.look("Your token works again")
        hand.picture("5-done")
        held = "".join(hand.do("everything"))
        assert not [secret for secret in SECRETS if secret in held]
        hand.press("Return")
        assert hand.ended() == 0
    assert [report.outcome for report in office.reports] == ["done"]
    assert pkcs11_tool_login(blocked.made, None, NEW_PIN) == "ok"


def test_a_card_that_takes_one_length_only(window: Open, holder: Holder, tmp_path: Path) -> None:
    """As a YubiKey under the policy: the rule is one number, a ninth byte is one too many."""
    office = Office(holder.made.serial, rules=wire.PinRules(8, 8))
    with opened(window, holder, office, tmp_path) as hand:
        to_the_pin(hand)
        hand.type("abcDEF12")
        assert "✓  exactly 8 characters" in hand.look()["texts"]
        hand.type("3")
        assert "○  exactly 8 characters" in hand.look()["texts"]


def test_rules_are_ticked_off_as_one_types(window: Open, holder: Holder, tmp_path: Path) -> None:
    def ticked() -> list[str]:
        return [text[3:] for text in hand.look()["texts"] if text.startswith("✓")]

    with opened(window, holder, Office(holder.made.serial), tmp_path) as hand:
        to_the_pin(hand)
        assert ticked() == []
        hand.type("abc")
        assert ticked() == ["none of }  ]  ="]
        hand.type("DEF12")
        hand.picture("3-pin")
        assert [text.split()[0] for text in ticked()] == ["8", "at", "none"]
        hand.press("Return")
        assert hand.look()["focus"] == "The new PIN once more"
        hand.type("abcDEF1")
        hand.press("Return")
        hand.look("The two were not the same.")
        hand.type("2")
        assert len(ticked()) == 4
        hand.press("Shift-Tab")
        assert hand.look()["focus"] == "New PIN"
        hand.type("=")
        assert "the same in both fields" not in ticked()
        hand.press("Escape")
        hand.look("Nothing was changed.")
    assert pkcs11_tool_login(holder.made, None, USER_PIN) == "ok"


def test_other_words_on_the_page_end_it(window: Open, holder: Holder, tmp_path: Path) -> None:
    office = Office(holder.made.serial)
    with opened(window, holder, office, tmp_path, "ABCD-EFGH") as hand:
        hand.look("Compare these three words")
        hand.press("Escape")
        seen = hand.look("The page showed other words.")
        assert "Tell the help desk" in seen["texts"]
        assert "Start again with a new code" not in seen["texts"]
        hand.picture("11-other-words")
        assert office.nonces == []


def test_the_token_is_plugged_in_while_the_window_waits(
    window: Open, holder: Holder, tmp_path: Path
) -> None:
    office = Office("OTHER-SERIAL")
    with opened(window, holder, office, tmp_path, "ABCD-EFGH") as hand:
        hand.look("Compare these three words")
        hand.press("Tab", "Tab", "Return")
        seen = hand.look("Plug in the token")
        assert "OTHER-SERIAL" in seen["texts"]
        assert any(holder.made.serial in text for text in seen["texts"])
        hand.picture("6-plug-in")
        hand.click("Look again")
        hand.look("Plug in the token")
        hand.press("Escape")
        hand.look("Please start again")
        hand.look("Nothing was changed.")
    assert office.nonces == []


@pytest.mark.parametrize("how", ["window", "signal"])
def test_closing_during_the_change_is_refused_with_a_sentence(
    window: Open, blocked: Holder, tmp_path: Path, how: str
) -> None:
    arm_fault(blocked.made, "before SetPIN 1 delay 5000")
    office = Office(blocked.made.serial)
    with opened(window, blocked, office, tmp_path) as hand:
        to_the_pin(hand)
        choose(hand)
        hand.look("✓  Your key signs again.")
        if how == "window":
            hand.do("close")
        else:
            hand.program.send_signal(signal.SIGTERM)
        hand.look("Not now: the token is being changed")
        hand.picture("7-not-now")
        hand.look("Your token works again")
    assert office.reports[0].outcome == "done"


def test_the_window_stays_alive_while_the_token_is_slow(
    window: Open, blocked: Holder, tmp_path: Path
) -> None:
    arm_fault(blocked.made, "before SetPIN 1 delay 5000")
    with opened(window, blocked, Office(blocked.made.serial), tmp_path) as hand:
        to_the_pin(hand)
        choose(hand)
        hand.look("✓  Your key signs again.")
        looks, end = 0, time.monotonic() + 60
        over = ("✓  The administrator PIN is changed.", "Your token works again")
        while not any(words in text for text in hand.do("look")["texts"] for words in over):
            looks += 1  # answered while the token waits
            assert time.monotonic() < end
        assert looks >= 10, "of some hundred"
        hand.look("Your token works again")


def test_closing_before_the_change_changes_nothing(
    window: Open, holder: Holder, tmp_path: Path
) -> None:
    office = Office(holder.made.serial)
    with opened(window, holder, office, tmp_path) as hand:
        to_the_pin(hand)
        hand.type("abc")
        hand.do("close")
        assert hand.ended() == 1
    assert office.nonces == []


def test_a_report_that_is_not_answered_is_closed_on_the_second_try(
    window: Open, blocked: Holder, tmp_path: Path
) -> None:
    office = Office(blocked.made.serial, lost_reports=1000)
    with opened(window, blocked, office, tmp_path) as hand:
        to_the_pin(hand)
        choose(hand)
        hand.look("✓  The token takes the new administrator PIN.")
        hand.do("close")
        hand.look("The service has not answered yet.")
        hand.picture("12-not-answered")
        hand.do("close")
        assert hand.ended() == 1


def test_a_service_that_goes_on_by_itself_asks_for_nothing_more(
    window: Open, blocked: Holder, tmp_path: Path
) -> None:
    """The report was taken, but the request is not at its end yet."""
    office = Office(blocked.made.serial, next="wait")
    with opened(window, blocked, office, tmp_path) as hand:
        to_the_pin(hand)
        choose(hand)
        seen = hand.look("The service goes on by itself")
        assert any("the page shows how far it is" in text for text in seen["texts"])
        hand.picture("13-wait")
        assert "Close" in seen["texts"]
        assert "Start again with a new code" not in seen["texts"]
        hand.press("Return")
        assert hand.ended() == 1
    assert [report.outcome for report in office.reports] == ["done"]


@dataclass
class SlowOffice(Office):
    """A service that takes its time with the code, until ``go_on``."""

    go_on: threading.Event = field(default_factory=threading.Event)

    def claim(self, body: object) -> object:
        assert self.go_on.wait(60)
        return super().claim(body)


def test_while_the_service_is_asked_the_window_says_so(
    window: Open, holder: Holder, tmp_path: Path
) -> None:
    office = SlowOffice(holder.made.serial)
    with opened(window, holder, office, tmp_path) as hand:
        hand.look("Type the code")
        hand.type("abcd-efgh")
        hand.press("Return")
        seen = hand.look("Asking the service …")
        assert seen["fields"] == [], "nothing can be typed meanwhile"
        hand.picture("10-asking")
        office.go_on.set()
        hand.look("Compare these three words")


def test_a_refusal_says_what_to_do_and_offers_another_code(
    window: Open, holder: Holder, tmp_path: Path
) -> None:
    refusal = problem(403, "approval-missing", "Your supervisor has not signed yet.")
    office = Office(holder.made.serial, refusals=[refusal])
    with opened(window, holder, office, tmp_path) as hand:
        to_the_pin(hand)
        choose(hand)
        hand.look("Your supervisor has not signed yet.")
        hand.look("This did not work")
        hand.picture("8-refused")
        hand.press("Return")
        to_the_pin(hand)
        choose(hand)
        hand.look("Your token works again")


def test_the_office_is_named_where_only_it_can_help(
    window: Open, holder: Holder, tmp_path: Path
) -> None:
    order = wire.Order(("Not-the-PIN-1",), "Next-PIN-22")
    office = Office(holder.made.serial, order=order, next="office")
    with opened(window, holder, office, tmp_path) as hand:
        to_the_pin(hand)
        choose(hand)
        seen = hand.look("The registration office has to help")
        hand.picture("9-office")
        assert "Close" in seen["texts"]
        assert "Start again with a new code" not in seen["texts"]


def test_a_wrong_code_stays_on_the_page(window: Open, holder: Holder, tmp_path: Path) -> None:
    with opened(window, holder, Office("x"), tmp_path) as hand:
        hand.look("Type the code")
        hand.type("abc")
        hand.press("Return")
        hand.look("A code has 8 letters and digits")


def test_without_an_address_it_is_asked_for(window: Open, holder: Holder, tmp_path: Path) -> None:
    with (
        serve(tmp_path, Office(holder.made.serial)) as service,
        window("--ca", str(service.ca), "--module", holder.at[0]) as hand,
    ):
        hand.look("Address of the service")
        hand.type("ABCDEFGH")
        hand.press("Return")
        hand.look("must be like https://host")
        hand.press("Alt-a")
        hand.type(service.url.removeprefix("https://"))
        hand.press("Return")
        hand.look("Compare these three words")
