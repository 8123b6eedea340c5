"""The window as a browser starts it: by a link."""

from __future__ import annotations

from pathlib import Path

from pkcs11_driver.helper import link
from tests.driver.conftest import Holder
from tests.driver.program import Office
from tests.driver.service import serve
from tests.window.conftest import Open


def test_the_server_is_confirmed_before_anything_is_sent(
    window: Open, holder: Holder, tmp_path: Path
) -> None:
    with serve(tmp_path, Office(holder.made.serial)) as service:
        address = link.make("ABCD-EFGH", service.url)
        at = ("--ca", str(service.ca), "--module", holder.at[0], "--", address)
        with window(*at) as hand:
            hand.look("Is this your institution's service?")
            hand.look(service.url.removeprefix("https://"))
            hand.picture("0-link")
            hand.press("Return")
            hand.look("Is this your institution's service?")
            assert service.asked == []
            hand.press("Alt-y")
            hand.look("Compare these three words")


def test_a_foreign_link_is_refused_where_it_can_be_seen(window: Open) -> None:
    address = link.make("ABCD-EFGH", "https://evil.example.net")
    with window("--server", "https://reset.example.org", "--", address) as hand:
        hand.look("This link leads to https://evil.example.net")
