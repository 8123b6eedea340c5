"""Which tokens a module shows and in what state, and which key of a token signs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pkcs11_driver import operations
from pkcs11_driver.errors import TokenAmbiguous
from pkcs11_driver.helper import modules
from pkcs11_driver.helper.dialogue import Terminal
from pkcs11_driver.operations import Receipt, TokenStatus
from tests.driver import children
from tests.driver.conftest import (
    OTHER_SO_PIN,
    SO_PIN,
    USER_PIN,
    Holder,
    equip,
    issue,
    order,
    verify,
)
from tests.driver.program import Office, helper, job
from tests.institution import tokens
from tests.institution.tokens import MadeToken, pkcs11_tool_login, tries_left

CHALLENGE = b"challenge of the service"


def with_serial(made: MadeToken, serial: str) -> None:
    """Another serial in SoftHSM's file of the token."""
    (stored,) = (made.directory / "store").glob("*/token.object")
    raw = stored.read_bytes()
    assert raw.count(made.serial.encode()) == 1
    stored.write_bytes(raw.replace(made.serial.encode(), serial.ljust(len(made.serial)).encode()))


def reset(holder: Holder, **changed: object) -> Receipt:
    receipt: Receipt = children.value(operations.reset_user_pin, *holder.at, **order(**changed))
    return receipt


class TestWhichKey:
    def test_by_its_identifier(self, holder: Holder) -> None:
        second = issue(tokens.make_key(holder.made, kind="p256", key_id=b"\x02"))
        tokens.store_certificate(holder.made, second, b"\x02")
        receipt = reset(holder, key_id=b"\x02")
        assert receipt.certificate == second
        verify(second, receipt.signature, CHALLENGE)

    def test_the_only_one_with_a_certificate(self, holder: Holder) -> None:
        tokens.make_key(holder.made, kind="p256", key_id=b"\x02")
        verify(holder.certificate, reset(holder).signature, CHALLENGE)

    def test_two_with_certificates_are_not_guessed_between(self, holder: Holder) -> None:
        second = issue(tokens.make_key(holder.made, kind="p256", key_id=b"\x02"))
        tokens.store_certificate(holder.made, second, b"\x02")
        error = children.error(operations.sign, *holder.at, user_pin=USER_PIN, data=b"x")
        assert (error.code, sorted(error.data["found"])) == ("key-not-found", ["01", "02"])

    def test_an_unknown_identifier(self, holder: Holder) -> None:
        error = children.error(
            operations.sign, *holder.at, user_pin=USER_PIN, data=b"x", key_id=b"\x09"
        )
        assert error.code == "key-not-found"

    def test_a_key_without_a_certificate(self, made: MadeToken) -> None:
        tokens.make_key(made, kind="p256")
        at = (str(made.module), made.serial)
        error = children.error(operations.sign, *at, user_pin=USER_PIN, data=b"x")
        assert error.code == "certificate-not-found"
        named = children.value(operations.sign, *at, user_pin=USER_PIN, data=b"x", key_id=b"\x01")
        assert named.certificate == b""

    def test_a_wrong_pin_is_tried_once(self, holder: Holder) -> None:
        error = children.error(operations.sign, *holder.at, user_pin="wrong-one", data=b"x")
        assert (error.code, error.data["which"]) == ("pin-incorrect", "user")
        assert tries_left(holder.made) == (9, 15)

    def test_while_somebody_else_is_logged_in(self, holder: Holder, tmp_path: Path) -> None:
        """Peer failure 33: an empty PIN is refused before the token is asked, a wrong one by it."""
        done = tmp_path / "done"
        other = tokens.start_acting(
            holder.made, ("login", "user", USER_PIN), ("wait_for", str(done))
        )
        try:
            for pin, code, left in (("", "pin-refused", 10), ("wrong-one", "pin-incorrect", 9)):
                error = children.error(operations.sign, *holder.at, user_pin=pin, data=b"x")
                assert error.code == code
                assert tries_left(holder.made)[0] == left
        finally:
            done.touch()
        assert tokens.finish_acting(other) == ["CKR_OK", "there"]


class TestListing:
    def test_two_tokens_in_one_module(self, holder: Holder) -> None:
        second = tokens.add_second_token(
            holder.made, label="Second", user_pin=USER_PIN, so_pin=OTHER_SO_PIN
        )
        tokens.wrong_logins(second, 10)
        listed = children.value(operations.list_tokens, str(holder.made.module))
        seen = {token.serial: token for token in listed}
        assert set(seen) == {holder.made.serial, second.serial}, "no empty slot is a token"
        first = seen[holder.made.serial]
        assert (first.label, first.user_pin, first.so_pin) == ("Holder", "ok", "ok")
        assert first.certificates == ((b"\x01", holder.certificate),)
        assert seen[second.serial].user_pin == "locked"
        assert operations.outcome(reset(holder)) == "done"
        assert pkcs11_tool_login(second, None, OTHER_SO_PIN, so=True) == "ok"

    def test_the_flags_count_down(self, made: MadeToken) -> None:
        states = []
        for tries in (1, 8, 1):
            tokens.wrong_logins(made, tries)
            tokens.wrong_logins(made, tries, "so")
            (token,) = children.value(operations.list_tokens, str(made.module))
            states.append((token.user_pin, token.so_pin))
        assert states == [
            ("count-low", "count-low"),
            ("final-try", "count-low"),
            ("locked", "count-low"),
        ]

    def test_a_token_without_a_serial_is_shown_and_never_taken(
        self, holder: Holder, tmp_path: Path
    ) -> None:
        """Even where it is the only one: nothing would tell it from the next one plugged in."""
        with_serial(holder.made, "")
        (token,) = children.value(operations.list_tokens, holder.at[0])
        assert (token.serial, token.label) == ("", "Holder")
        assert "(no serial number)" in helper("list", "--module", holder.at[0]).out
        assert "cannot be told from another" in helper("doctor", "--module", holder.at[0]).out
        error = children.error(operations.reset_user_pin, holder.at[0], "", **order())
        assert (error.code, operations.outcome(error)) == ("token-not-found", "untouched")
        error = children.error(operations.sign, holder.at[0], "", user_pin=USER_PIN, data=b"x")
        assert error.code == "token-not-found"
        office = Office("", "approve", b"statement", next="wait")
        assert job(holder, office, tmp_path, "yes", USER_PIN).code == 1
        assert office.reports == []

    def test_one_token_in_two_modules_is_one(self, holder: Holder, tmp_path: Path) -> None:
        again = tmp_path / "same.so"
        again.symlink_to(holder.made.module)
        asked = [str(again), holder.at[0]]
        assert modules.expected(asked, holder.made.serial, Terminal()).module == str(again)

    def test_two_tokens_of_two_modules_with_one_serial(
        self, holder: Holder, tmp_path: Path
    ) -> None:
        """Serials are the maker's: another maker may count the same."""
        other = equip(
            tokens.make_token(tmp_path / "other", label="Other", user_pin=USER_PIN, so_pin=SO_PIN)
        )
        with_serial(other.made, holder.made.serial)
        asked = [other.at[0], holder.at[0]]
        with pytest.raises(TokenAmbiguous) as refused:
            modules.expected(asked, holder.made.serial, Terminal())
        assert len(refused.value.data["slots"]) == 2  # type: ignore[arg-type]

    def test_the_style_of_the_family(self, made: MadeToken) -> None:
        style = children.value(operations.detect_style, str(made.module), made.serial)
        assert style == "so_init_pin"
        error = children.error(operations.detect_style, str(made.module), "other")
        assert error.code == "token-not-found"


def test_a_token_is_one_line_whatever_it_calls_itself() -> None:
    """In the list, in doctor and before a PIN is asked for: a label is the token's own word."""
    label = "\x1b[31mmine\nok  another token\u202e\r"
    strange = TokenStatus(label, label, label, label, "", 0, "ok", "ok", ())
    line = modules.describe(strange)
    assert line.isprintable()
    assert "another token" in line
