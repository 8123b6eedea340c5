"""Resets on real SoftHSM tokens that count and block as the institution's tokens do (S1.18-S1.28).

Every call into a module runs in a process of its own.
"""

from __future__ import annotations

from typing import Any

import pytest

from pkcs11_driver import errors, operations
from pkcs11_driver.operations import Receipt
from tests.driver import children
from tests.driver.conftest import (
    NEW_PIN,
    NEXT_SO_PIN,
    OTHER_SO_PIN,
    SO_PIN,
    USER_PIN,
    Holder,
    equip,
    order,
    verify,
)
from tests.institution import tokens
from tests.institution.tokens import MadeToken, act, arm_fault, pkcs11_tool_login, tries_left

CHALLENGE = b"challenge of the service"
WHOLE = (
    "so-login",
    "user-pin-set",
    "user-login",
    "challenge-signed",
    "so-pin-set",
    "so-pin-proven",
    "done",
)


def reset(holder: Holder, **changed: object) -> Receipt:
    receipt: Receipt = children.value(operations.reset_user_pin, *holder.at, **order(**changed))
    return receipt


def refused(holder: Holder, **changed: object) -> Any:
    return children.error(operations.reset_user_pin, *holder.at, **order(**changed))


def so_pin_is(made: MadeToken, pin: str) -> None:
    assert pkcs11_tool_login(made, None, pin, so=True) == "ok"


def user_pin_is(made: MadeToken, pin: str) -> None:
    assert pkcs11_tool_login(made, None, pin) == "ok"


def nothing_changed(holder: Holder) -> None:
    user_pin_is(holder.made, USER_PIN)
    so_pin_is(holder.made, SO_PIN)


def step_and_remember(*args: object, **kwargs: Any) -> tuple[Receipt, list[str]]:
    told: list[str] = []
    receipt = operations.reset_user_pin(*args, progress=told.append, **kwargs)  # type: ignore[arg-type]
    return receipt, told


def with_broken_display(*args: object, **kwargs: Any) -> Receipt:
    def broken(_: str) -> None:
        raise OSError("the window is gone")

    return operations.reset_user_pin(*args, progress=broken, **kwargs)  # type: ignore[arg-type]


class TestReset:
    def test_s1_23_a_blocked_token_works_again_under_the_new_pin(self, blocked: Holder) -> None:
        receipt = reset(blocked)
        assert receipt == Receipt(WHOLE, "next", True, receipt.signature, blocked.certificate, None)
        assert operations.outcome(receipt) == "done"
        verify(blocked.certificate, receipt.signature, CHALLENGE)
        user_pin_is(blocked.made, NEW_PIN)
        so_pin_is(blocked.made, NEXT_SO_PIN)
        assert tries_left(blocked.made) == (10, 15)
        assert pkcs11_tool_login(blocked.made, None, USER_PIN) == "CKR_PIN_INCORRECT"
        assert pkcs11_tool_login(blocked.made, None, SO_PIN, so=True) == "CKR_PIN_INCORRECT"

    def test_an_rsa_key_proves_it_too(self, made: MadeToken) -> None:
        holder = equip(made, "rsa2048")
        receipt = reset(holder)
        assert operations.outcome(receipt) == "done"
        verify(holder.certificate, receipt.signature, CHALLENGE)

    def test_progress_is_told_each_step(self, blocked: Holder) -> None:
        receipt, told = children.value(step_and_remember, *blocked.at, **order())
        assert receipt.steps == tuple(told) == WHOLE

    def test_a_broken_display_does_not_stop_it(self, blocked: Holder) -> None:
        receipt = children.value(with_broken_display, *blocked.at, **order())
        assert operations.outcome(receipt) == "done"

    def test_resumed_where_the_so_pin_was_already_changed(self, blocked: Holder) -> None:
        reset(blocked)
        tokens.wrong_logins(blocked.made, 10)
        receipt = reset(blocked, candidates=(NEXT_SO_PIN, SO_PIN), new_user_pin="Third-PIN-3")
        assert operations.outcome(receipt) == "done"
        assert "so-pin-set" not in receipt.steps
        assert "so-pin-incorrect" not in receipt.steps
        user_pin_is(blocked.made, "Third-PIN-3")
        so_pin_is(blocked.made, NEXT_SO_PIN)

    def test_s1_25_the_second_candidate_works_and_refills_the_counter(
        self, blocked: Holder
    ) -> None:
        tokens.wrong_logins(blocked.made, 3, "so")
        receipt = reset(blocked, candidates=(NEXT_SO_PIN, SO_PIN))
        assert receipt.steps == ("so-pin-incorrect", *WHOLE)
        assert operations.outcome(receipt) == "done"
        assert tries_left(blocked.made) == (10, 15)
        so_pin_is(blocked.made, NEXT_SO_PIN)


class TestRefusedBeforeAnyChange:
    def test_both_candidates_wrong_spend_two_tries(self, holder: Holder) -> None:
        error = refused(holder, candidates=(OTHER_SO_PIN, NEXT_SO_PIN))
        assert (error.code, error.data) == ("pin-incorrect", {"which": "so", "candidate": 1})
        assert operations.outcome(error) == "so-pin-refused"
        assert tries_left(holder.made) == (10, 13)
        nothing_changed(holder)

    @pytest.mark.parametrize("candidates", [(), ("a", "b", "c"), (SO_PIN, SO_PIN)])
    def test_s1_28_never_more_than_two_different_candidates(
        self, candidates: tuple[str, ...]
    ) -> None:
        with pytest.raises(ValueError, match="different candidates"):
            operations.reset_user_pin("none", "none", **order(candidates=candidates))  # type: ignore[arg-type]

    def test_a_locked_so_pin_is_seen_before_a_try(self, holder: Holder) -> None:
        tokens.wrong_logins(holder.made, 15, "so")
        error = refused(holder)
        assert (error.code, error.data) == ("pin-locked", {"which": "so"})
        assert operations.outcome(error) == "so-pin-locked"
        user_pin_is(holder.made, USER_PIN)

    def test_s1_28_the_last_so_try_is_never_spent(self, holder: Holder) -> None:
        tokens.wrong_logins(holder.made, 14, "so")
        error = refused(holder)
        assert (error.code, operations.outcome(error)) == ("pin-final-try", "untouched")
        assert tries_left(holder.made) == (10, 1)
        nothing_changed(holder)

    def test_s1_28_nor_by_the_second_candidate(self, holder: Holder) -> None:
        tokens.wrong_logins(holder.made, 13, "so")
        error = refused(holder, candidates=(OTHER_SO_PIN, SO_PIN))
        assert error.code == "pin-final-try"
        assert tries_left(holder.made) == (10, 1)
        nothing_changed(holder)

    def test_another_serial(self, holder: Holder) -> None:
        module, serial = holder.at
        error = children.error(operations.reset_user_pin, module, "0" + serial[1:] + "x", **order())
        assert error.code == "token-not-found"
        assert error.data["seen"] == (serial,)
        assert tries_left(holder.made) == (10, 15)
        nothing_changed(holder)

    @pytest.mark.parametrize("pin", ["abc", "x" * 256, "bad\ud800pin"])
    def test_a_pin_that_the_token_does_not_take(self, holder: Holder, pin: str) -> None:
        error = refused(holder, new_user_pin=pin)
        assert (error.code, operations.outcome(error)) == ("pin-refused", "untouched")
        assert tries_left(holder.made) == (10, 15)
        nothing_changed(holder)

    @pytest.mark.parametrize("style", ["puk_set_pin", "never-heard-of"])
    def test_a_style_that_is_not_built_in(self, holder: Holder, style: str) -> None:
        error = refused(holder, style=style)
        assert (error.code, error.data["style"]) == ("style-unsupported", style)
        assert tries_left(holder.made) == (10, 15)
        nothing_changed(holder)

    def test_a_module_without_init_pin(self, holder: Holder) -> None:
        arm_fault(holder.made, "before InitPIN 1 return 0x54")
        error = refused(holder)
        assert (error.code, error.data["ckr"]) == (
            "style-unsupported",
            "CKR_FUNCTION_NOT_SUPPORTED",
        )
        nothing_changed(holder)

    def test_a_token_pulled_at_login(self, holder: Holder) -> None:
        arm_fault(holder.made, "before Login 1 return 0x32")
        error = refused(holder)
        assert (error.code, operations.outcome(error)) == ("device-gone", "untouched")
        nothing_changed(holder)

    def test_an_so_pin_that_locks_without_a_flag(self, holder: Holder) -> None:
        arm_fault(holder.made, "before Login 1 return 0xA4")
        error = refused(holder, candidates=(SO_PIN, NEXT_SO_PIN))
        assert (error.code, operations.outcome(error)) == ("pin-locked", "so-pin-locked")
        nothing_changed(holder)

    def test_no_module(self, holder: Holder) -> None:
        missing = str(holder.made.directory / "missing.so")
        text = str(holder.made.directory / "token.conf")
        for path in (missing, text):
            error = children.error(operations.reset_user_pin, path, "1", **order())
            assert (error.code, error.data["path"]) == ("module-not-loadable", path)


class TestAfterTheFirstChange:
    """Nothing is raised any more; the receipt says exactly which SO PIN is in force."""

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_init_pin_with_an_unclear_answer(self, blocked: Holder, when: str) -> None:
        arm_fault(blocked.made, f"{when} InitPIN 1 return 0x32")
        receipt = reset(blocked)
        assert receipt.steps == ("so-login", "user-pin-unclear")
        assert (receipt.so_pin_in_force, receipt.user_pin_set) == ("candidate-0", False)
        assert receipt.error is not None
        assert receipt.error.code == "device-gone"
        assert operations.outcome(receipt) == "unknown"
        so_pin_is(blocked.made, SO_PIN)
        assert operations.outcome(reset(blocked, candidates=(NEXT_SO_PIN, SO_PIN))) == "done"

    def test_set_pin_done_but_device_removed(self, blocked: Holder) -> None:
        arm_fault(blocked.made, "after SetPIN 1 return 0x32")
        receipt = reset(blocked)
        assert receipt.so_pin_in_force == "next"
        assert receipt.error is not None
        assert receipt.error.code == "device-gone"
        assert operations.outcome(receipt) == "done"
        so_pin_is(blocked.made, NEXT_SO_PIN)

    def test_set_pin_not_done_and_device_removed(self, blocked: Holder) -> None:
        arm_fault(blocked.made, "before SetPIN 1 return 0x32")
        receipt = reset(blocked)
        assert (receipt.so_pin_in_force, receipt.user_pin_set) == ("unknown", True)
        assert operations.outcome(receipt) == "unknown"
        assert tries_left(blocked.made) == (10, 14), "one try with the next SO PIN, no more"
        verify(blocked.certificate, receipt.signature, CHALLENGE)
        so_pin_is(blocked.made, SO_PIN)
        resumed = reset(blocked, candidates=(NEXT_SO_PIN, SO_PIN))
        assert operations.outcome(resumed) == "done"

    def test_set_pin_done_and_gone_for_good(self, blocked: Holder) -> None:
        arm_fault(blocked.made, "after SetPIN 1 return 0x30")
        arm_fault(blocked.made, "before Login 4 return 0x32")
        receipt = reset(blocked)
        assert receipt.so_pin_in_force == "unknown"
        assert receipt.error is not None
        assert receipt.error.data == {"ckr": "CKR_DEVICE_ERROR"}, "the first trouble is told"
        so_pin_is(blocked.made, NEXT_SO_PIN)

    def test_set_pin_ok_but_not_proven(self, blocked: Holder) -> None:
        arm_fault(blocked.made, "before Login 4 return 0x32")
        receipt = reset(blocked)
        assert receipt.steps[-1] == "so-pin-set"
        assert receipt.so_pin_in_force == "unknown"
        assert operations.outcome(receipt) == "unknown"

    def test_a_next_so_pin_that_the_token_refuses(self, blocked: Holder) -> None:
        receipt = reset(blocked, next_so_pin="abc")
        assert receipt.so_pin_in_force == "candidate-0"
        assert operations.outcome(receipt) == "rotation-due"
        user_pin_is(blocked.made, NEW_PIN)
        so_pin_is(blocked.made, SO_PIN)

    def test_pulled_before_the_proof(self, blocked: Holder) -> None:
        arm_fault(blocked.made, "before Login 2 return 0x32")
        receipt = reset(blocked)
        assert receipt.steps == ("so-login", "user-pin-set")
        assert (receipt.so_pin_in_force, receipt.user_pin_set) == ("candidate-0", True)
        assert operations.outcome(receipt) == "unknown"
        so_pin_is(blocked.made, SO_PIN)

    def test_a_user_pin_that_does_not_work_after_all(self, blocked: Holder) -> None:
        arm_fault(blocked.made, "before Login 2 return 0xA0")
        receipt = reset(blocked)
        assert receipt.user_pin_set is False
        assert receipt.error is not None
        assert (receipt.error.code, receipt.error.data["which"]) == ("pin-incorrect", "user")
        assert operations.outcome(receipt) == "unknown"

    def test_no_key(self, made: MadeToken) -> None:
        receipt = reset(Holder(made, b""))
        assert receipt.error is not None
        assert receipt.error.code == "key-not-found"
        assert (receipt.so_pin_in_force, receipt.signature) == ("candidate-0", b"")
        assert operations.outcome(receipt) == "unknown"
        so_pin_is(made, SO_PIN)


def test_a_login_that_failed_leaves_no_session(holder: Holder) -> None:
    outcomes = children.value(sign_wrong_then_reset, *holder.at)
    assert outcomes == ("pin-incorrect", "done")


def sign_wrong_then_reset(module: str, serial: str) -> tuple[str, str]:
    try:
        operations.sign(module, serial, user_pin="wrong-one", data=b"x")
    except errors.PinIncorrect as error:
        code = error.code
    receipt = operations.reset_user_pin(module, serial, **order())  # type: ignore[arg-type]
    return code, operations.outcome(receipt)


def test_the_old_pin_of_a_token_that_was_not_blocked_is_gone(holder: Holder) -> None:
    assert operations.outcome(reset(holder)) == "done"
    assert act(holder.made, ("login", "user", USER_PIN)) == ["CKR_PIN_INCORRECT"]
