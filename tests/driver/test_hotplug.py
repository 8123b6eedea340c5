"""Tokens that vanish at any call, look alike, or are not alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pkcs11_driver import errors, isolated, operations
from pkcs11_driver.helper import modules
from pkcs11_driver.operations import Receipt
from tests.driver.conftest import (
    NEW_PIN,
    NEXT_SO_PIN,
    OTHER_SO_PIN,
    SO_PIN,
    USER_PIN,
    Holder,
    equip,
    order,
)
from tests.institution import tokens
from tests.institution.tokens import act, arm_fault

# the calls of a clean reset: SO, proof, SO, SO with the next PIN
CALLS = ("Login 1", "InitPIN 1", "Login 2", "Login 3", "SetPIN 1", "Login 4")


def reset(holder: Holder, **changed: object) -> Receipt:
    return isolated.reset_user_pin(*holder.at, **order(**changed))  # type: ignore[arg-type]


@pytest.mark.parametrize("answer", ["return 0x32", "return 0xE0", "return 0xB3", "return 0x30"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", CALLS)
def test_pulled_at_any_call(blocked: Holder, call: str, when: str, answer: str) -> None:
    """What is claimed is so, and the next reset with both candidates ends it."""
    arm_fault(blocked.made, f"{when} {call} {answer}")
    if call == "Login 1":
        with pytest.raises((errors.DeviceGone, errors.DeviceFailed)) as gone:
            reset(blocked)
        assert operations.outcome(gone.value) == "untouched"
    else:
        claims_are_true(blocked, reset(blocked))
    assert operations.outcome(reset(blocked, candidates=(NEXT_SO_PIN, SO_PIN))) == "done"


def claims_are_true(holder: Holder, receipt: Receipt) -> None:
    claimed = {"next": NEXT_SO_PIN, "candidate-0": SO_PIN}.get(receipt.so_pin_in_force)
    if claimed is not None:
        assert act(holder.made, ("login", "so", claimed)) == ["CKR_OK"]
    if receipt.user_pin_set:
        assert act(holder.made, ("login", "user", NEW_PIN)) == ["CKR_OK"]
    assert receipt.error is not None


def test_two_tokens_with_one_label(holder: Holder) -> None:
    second = tokens.add_second_token(
        holder.made, label=holder.made.label, user_pin=USER_PIN, so_pin=OTHER_SO_PIN
    )
    assert operations.outcome(reset(holder)) == "done"
    assert act(second, ("login", "user", USER_PIN)) == ["CKR_OK"]
    assert act(second, ("login", "so", OTHER_SO_PIN)) == ["CKR_OK"]


def test_a_module_that_aborts_at_two_tokens_with_one_serial(holder: Holder) -> None:
    """SoftHSM does; that costs the operation and nothing else."""
    (stored,) = (holder.made.directory / "store").iterdir()
    shutil.copytree(stored, stored.with_name("ffffffff-0000-0000-0000-000000000000"))
    with pytest.raises(errors.ModuleCrashed) as crash:
        reset(holder)
    assert crash.value.data["how"] == "SIGABRT"
    assert operations.outcome(crash.value) == "untouched"


def test_a_broken_module_hides_no_other(holder: Holder, tmp_path: Path) -> None:
    other = equip(
        tokens.make_token(tmp_path / "other", label="Other", user_pin=USER_PIN, so_pin=SO_PIN)
    )
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    seen = modules.tokens([str(broken), holder.at[0], other.at[0]])
    assert [token.serial for token in seen] == [holder.made.serial, other.made.serial]
