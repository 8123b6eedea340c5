"""The approve job of the helper, and its commands beside the jobs."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms

from tests.driver.conftest import (
    USER_PIN,
    Holder,
    verify,
)
from tests.driver.program import Office, helper, job
from tests.institution import tokens
from tests.institution.tokens import tries_left

STATEMENT = "token-reset approval 1\nholder: someone \x1b[8m hidden \u202e reversed\n".encode()


class TestApprove:
    def office(self, holder: Holder, **changed: Any) -> Office:
        usual = {"kind": "approve", "challenge": STATEMENT, "next": "wait"}
        return Office(holder.made.serial, **{**usual, **changed})

    def test_the_statement_is_shown_and_signed(self, holder: Holder, tmp_path: Path) -> None:
        office = self.office(holder)
        ran = job(holder, office, tmp_path, "yes", USER_PIN)
        assert (ran.code, ran.err) == (0, "")
        assert "holder: someone \\x1b[8m hidden \\u202e reversed" in ran.out
        (report,) = office.reports
        assert (report.outcome, report.epoch) == ("signed", 0)
        signed = cms.ContentInfo.load(report.proof.signature)["content"]
        (signer,) = signed["signer_infos"]
        attributes = signer["signed_attrs"].untag().dump()
        verify(holder.certificate, signer["signature"].native, attributes)
        assert report.proof.certificate == holder.certificate
        assert USER_PIN not in ran.out + ran.bodies

    def test_anything_but_yes_signs_nothing(self, holder: Holder, tmp_path: Path) -> None:
        office = self.office(holder)
        ran = job(holder, office, tmp_path, "y", USER_PIN)
        assert (ran.code, office.reports) == (1, [])
        assert "Nothing was signed" in ran.reason

    def test_a_wrong_pin_is_told_and_asked_for(self, holder: Holder, tmp_path: Path) -> None:
        office = self.office(holder)
        ran = job(holder, office, tmp_path, "yes", "wrong-one", USER_PIN)
        assert ran.code == 0
        assert "the PIN is wrong" in ran.out
        assert "does not say how many tries are left" in ran.out

    def test_earlier_wrong_pins_are_told(self, holder: Holder, tmp_path: Path) -> None:
        tokens.wrong_logins(holder.made, 1)
        ran = job(holder, self.office(holder), tmp_path, "yes", USER_PIN)
        assert ran.code == 0
        assert "wrong PINs have been tried" in ran.out

    def test_a_wrong_pin_that_leaves_one_try(self, holder: Holder, tmp_path: Path) -> None:
        """The state is asked for anew after the wrong PIN, and the last try is not spent."""
        tokens.wrong_logins(holder.made, 8)
        ran = job(holder, self.office(holder), tmp_path, "yes", "wrong-one", USER_PIN)
        assert ran.code == 1
        assert "the PIN is wrong" in ran.reason
        assert "one try is left before it blocks" in ran.reason
        assert tries_left(holder.made) == (1, 15)

    def test_an_empty_answer_stops(self, holder: Holder, tmp_path: Path) -> None:
        ran = job(holder, self.office(holder), tmp_path, "yes", "wrong-one", "")
        assert "Nothing was signed" in ran.reason
        assert tries_left(holder.made) == (9, 15)

    def test_the_last_try_is_not_asked_for(self, holder: Holder, tmp_path: Path) -> None:
        tokens.wrong_logins(holder.made, 9)
        ran = job(holder, self.office(holder), tmp_path, "yes", USER_PIN)
        assert ran.code == 1
        assert "one try is left before it blocks" in ran.reason
        assert tries_left(holder.made) == (1, 15)

    def test_that_a_pin_is_blocked_is_for_the_token_to_say(
        self, holder: Holder, tmp_path: Path
    ) -> None:
        tokens.wrong_logins(holder.made, 10)
        ran = job(holder, self.office(holder), tmp_path, "yes", USER_PIN)
        assert ran.code == 1
        assert "The token says that its PIN is blocked." in ran.out
        assert "The token's PIN is blocked. Ask the service for a reset." in ran.reason

    def test_the_only_token_when_none_is_named(self, holder: Holder, tmp_path: Path) -> None:
        office = self.office(holder)
        office.serial = ""
        assert job(holder, office, tmp_path, "yes", USER_PIN).code == 0


class TestOtherCommands:
    def test_list(self, holder: Holder) -> None:
        ran = helper("list", "--module", holder.at[0])
        assert ran.code == 0
        assert holder.made.serial in ran.out
        assert "PIN: ok, administrator PIN: ok" in ran.out

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [(1, "PIN: wrong tries counted,"), (9, "PIN: one try left,"), (10, "PIN: blocked,")],
    )
    def test_list_tells_what_the_flags_tell(self, holder: Holder, wrong: int, words: str) -> None:
        tokens.wrong_logins(holder.made, wrong)
        assert words in helper("list", "--module", holder.at[0]).out

    def test_list_in_german(self, holder: Holder) -> None:
        tokens.wrong_logins(holder.made, 9)
        ran = helper("list", "--language", "de", "--module", holder.at[0])
        assert "PIN: noch ein Versuch, Administrator-PIN: in Ordnung" in ran.out

    def test_list_as_json(self, holder: Holder) -> None:
        (token,) = json.loads(helper("list", "--json", "--module", holder.at[0]).out)
        assert (token["serial"], token["user_pin"]) == (holder.made.serial, "ok")
        assert base64.b64decode(token["certificates"][0]["der"]) == holder.certificate

    def test_doctor(self, holder: Holder, tmp_path: Path) -> None:
        missing = str(tmp_path / "missing.so")
        ran = helper("doctor", "--module", holder.at[0], "--module", missing)
        assert ran.code == 0
        assert "works, 1 token" in ran.out
        assert f"The driver {missing} cannot be loaded (there is no such file)." in ran.out
        assert "can be reset (so_init_pin), family etoken" in ran.out
        assert helper("doctor", "--module", missing).code == 1

    def test_doctor_in_german(self, holder: Holder, tmp_path: Path) -> None:
        missing = str(tmp_path / "missing.so")
        ran = helper("doctor", "--language", "de", "--module", holder.at[0], "--module", missing)
        assert f"{holder.at[0]}: arbeitet, 1 Token" in ran.out
        assert f"Der Treiber {missing}" in ran.out

    @pytest.mark.parametrize(
        "arguments",
        [
            ("ABCDEFGH",),
            ("ABCDEFGH", "--server", "http://127.0.0.1:1"),
            ("ABC", "--server", "https://127.0.0.1:1"),
            ("ABCDEFGH", "--server", "https://127.0.0.1:1", "--pin", "1"),
        ],
    )
    def test_usage(self, arguments: tuple[str, ...]) -> None:
        assert helper(*arguments).code == 2

    def test_a_service_that_is_not_there(self, tmp_path: Path) -> None:
        ran = helper("ABCDEFGH", "--server", "https://127.0.0.1:9", "--module", "none.so")
        assert ran.code == 1
        assert "does not answer" in ran.reason
