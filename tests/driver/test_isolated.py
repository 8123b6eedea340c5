"""Operations in a process of their own: what a module does there costs one operation."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pkcs11_driver import errors, isolated, operations
from pkcs11_driver.operations import Receipt
from tests.driver.conftest import (
    NEW_PIN,
    NEXT_SO_PIN,
    OTHER_SO_PIN,
    SECRETS,
    SO_PIN,
    USER_PIN,
    Holder,
    order,
    verify,
)
from tests.institution.tokens import act, arm_fault, pkcs11_tool_login, tries_left

ROOT = Path(__file__).parents[2]
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


def reset(holder: Holder, *, deadline: float = 30.0, **changed: object) -> Receipt:
    return isolated.reset_user_pin(*holder.at, deadline=deadline, **order(**changed))  # type: ignore[arg-type]


def module_of(directory: Path, code: str) -> str:
    """A shared library that misbehaves as soon as it is asked anything."""
    source, library = directory / "bad.c", directory / "bad.so"
    source.write_text(code)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    return str(library)


BAD = """
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
unsigned long C_GetFunctionList(void **list) { %s; return 5; }
"""


class TestSameAsInProcess:
    def test_a_whole_reset(self, blocked: Holder) -> None:
        told: list[str] = []
        receipt = reset(blocked, progress=told.append)
        assert receipt == Receipt(WHOLE, "next", True, receipt.signature, blocked.certificate, None)
        assert tuple(told) == WHOLE
        verify(blocked.certificate, receipt.signature, CHALLENGE)
        assert tries_left(blocked.made) == (10, 15)

    def test_list_style_and_sign(self, holder: Holder) -> None:
        module, serial = holder.at
        (token,) = isolated.list_tokens(module)
        assert (token.serial, token.user_pin) == (serial, "ok")
        assert token.certificates == ((b"\x01", holder.certificate),)
        assert isolated.detect_style(module, serial) == "so_init_pin"
        signed = isolated.sign(module, serial, user_pin=USER_PIN, data=b"x", key_id=b"\x01")
        verify(holder.certificate, signed.signature, b"x")

    def test_errors_with_their_data(self, holder: Holder) -> None:
        module, serial = holder.at
        with pytest.raises(errors.TokenNotFound) as missing:
            isolated.detect_style(module, "other")
        assert missing.value.data == {"serial": "other", "seen": (serial,)}
        with pytest.raises(errors.PinIncorrect) as wrong:
            reset(holder, candidates=(OTHER_SO_PIN, NEXT_SO_PIN))
        assert wrong.value.data == {"which": "so", "candidate": 1}
        with pytest.raises(ValueError, match="different candidates"):
            reset(holder, candidates=())

    def test_an_error_in_the_receipt(self, blocked: Holder) -> None:
        arm_fault(blocked.made, "after InitPIN 1 return 0x32")
        receipt = reset(blocked)
        assert isinstance(receipt.error, errors.DeviceGone)
        assert receipt.steps == ("so-login", "user-pin-unclear")

    def test_a_broken_display_does_not_stop_it(self, blocked: Holder) -> None:
        def broken(_: str) -> None:
            raise OSError("the window is gone")

        assert operations.outcome(reset(blocked, progress=broken)) == "done"


class TestCrash:
    """The module's process is killed at a call; the receipt says what is known."""

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_before_any_change(self, blocked: Holder, when: str) -> None:
        arm_fault(blocked.made, f"{when} Login 1 kill")
        with pytest.raises(errors.ModuleCrashed) as crash:
            reset(blocked)
        data = {"path": blocked.at[0], "during": "so-login", "how": "SIGKILL"}
        assert crash.value.data == data
        assert operations.outcome(crash.value) == "untouched"
        assert operations.outcome(reset(blocked)) == "done", "one operation, no more"

    @pytest.mark.parametrize("when", ["before", "after"])
    def test_at_init_pin(self, blocked: Holder, when: str) -> None:
        arm_fault(blocked.made, f"{when} InitPIN 1 kill")
        receipt = reset(blocked)
        assert receipt.steps == ("so-login", "user-pin-unclear")
        assert (receipt.so_pin_in_force, receipt.user_pin_set) == ("candidate-0", False)
        assert isinstance(receipt.error, errors.ModuleCrashed)
        assert operations.outcome(receipt) == "unknown"

    def test_at_the_proof(self, blocked: Holder) -> None:
        arm_fault(blocked.made, "before Login 2 kill")
        receipt = reset(blocked)
        assert receipt.steps == ("so-login", "user-pin-set")
        assert (receipt.so_pin_in_force, receipt.user_pin_set) == ("candidate-0", True)

    @pytest.mark.parametrize(("when", "so_pin"), [("before", SO_PIN), ("after", NEXT_SO_PIN)])
    def test_at_set_pin(self, blocked: Holder, when: str, so_pin: str) -> None:
        arm_fault(blocked.made, f"{when} SetPIN 1 kill")
        receipt = reset(blocked)
        assert receipt.steps == (*WHOLE[:4], "so-pin-unclear")
        assert (receipt.so_pin_in_force, receipt.user_pin_set) == ("unknown", True)
        verify(blocked.certificate, receipt.signature, CHALLENGE)
        assert operations.outcome(receipt) == "unknown"
        assert pkcs11_tool_login(blocked.made, None, so_pin, so=True) == "ok"
        assert operations.outcome(reset(blocked, candidates=(NEXT_SO_PIN, SO_PIN))) == "done"

    def test_after_a_definite_refusal_nothing_has_changed(self, blocked: Holder) -> None:
        arm_fault(blocked.made, "before InitPIN 1 return 0x54")
        with pytest.raises(errors.StyleUnsupported):
            reset(blocked)


class TestHang:
    def test_before_any_change(self, blocked: Holder) -> None:
        arm_fault(blocked.made, "before Login 1 delay 60000")
        started = time.monotonic()
        with pytest.raises(errors.ModuleHangs) as hang:
            reset(blocked, deadline=10)
        assert hang.value.data == {"path": blocked.at[0], "during": "so-login", "seconds": 10}
        assert time.monotonic() - started < 60  # it did not wait for the module
        assert operations.outcome(reset(blocked)) == "done"

    def test_at_set_pin(self, blocked: Holder) -> None:
        arm_fault(blocked.made, "before SetPIN 1 delay 60000")
        receipt = reset(blocked, deadline=10)
        assert isinstance(receipt.error, errors.ModuleHangs)
        assert receipt.error.data["during"] == "set-so-pin"
        assert receipt.so_pin_in_force == "unknown"
        assert operations.outcome(reset(blocked, candidates=(NEXT_SO_PIN, SO_PIN))) == "done"


@pytest.mark.parametrize(
    ("does", "how"), [("abort()", "SIGABRT"), ("*(int *)0 = 1", "SIGSEGV"), ("_exit(0)", "exit 0")]
)
def test_a_module_that_ends_its_process(tmp_path: Path, does: str, how: str) -> None:
    with pytest.raises(errors.ModuleCrashed) as crash:
        isolated.list_tokens(module_of(tmp_path, BAD % does))
    assert (crash.value.data["during"], crash.value.data["how"]) == ("list_tokens", how)


def test_a_module_that_never_comes_back(tmp_path: Path) -> None:
    with pytest.raises(errors.ModuleHangs):
        isolated.list_tokens(module_of(tmp_path, BAD % "for (;;) sleep(9)"), deadline=2)


def test_what_a_module_prints_is_no_answer_and_not_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = r'puts("{\"value\": []}"); fflush(stdout); fputs("noise", stderr)'
    with pytest.raises(errors.ModuleNotLoadable):
        isolated.list_tokens(module_of(tmp_path, BAD % noise))
    assert capfd.readouterr() == ("", "")


class TestSecrets:
    def test_none_in_arguments_or_environment(self, blocked: Holder) -> None:
        """Looked at from outside, while the module waits in the changing call."""
        arm_fault(blocked.made, "before SetPIN 1 delay 3000")
        seen: list[bytes] = []

        def look(step: str) -> None:
            if step == "challenge-signed":
                for pid in children_of(os.getpid()):
                    seen.append(command_of(pid))
                    # nobody but root may look at its environment
                    with contextlib.suppress(PermissionError):
                        seen.append(Path(f"/proc/{pid}/environ").read_bytes())

        assert operations.outcome(reset(blocked, progress=look)) == "done"
        assert seen
        assert not [text for text in seen for secret in SECRETS if secret.encode() in text]

    def test_no_core_dump(self, blocked: Holder) -> None:
        arm_fault(blocked.made, "before InitPIN 1 delay 3000")  # the child is there meanwhile
        limits: list[str] = []

        def look(step: str) -> None:
            if step == "so-login":
                limits.extend(
                    Path(f"/proc/{pid}/limits").read_text() for pid in children_of(os.getpid())
                )

        reset(blocked, progress=look)
        (core,) = (line for line in limits[0].splitlines() if "core file" in line)
        assert core.split()[4:6] == ["0", "0"]

    def test_no_dump_to_a_program_and_no_debugger(self, tmp_path: Path) -> None:
        """A core_pattern with a pipe heeds no limit (core(5)); PR_GET_DUMPABLE is what counts."""
        told = tmp_path / "told"
        ask = f'FILE *f = fopen("{told}", "w"); fprintf(f, "%d", prctl(3)); fclose(f)'
        code = "#include <sys/prctl.h>" + BAD % ask
        with pytest.raises(errors.ModuleNotLoadable):
            isolated.list_tokens(module_of(tmp_path, code))
        assert told.read_text() == "0"


def children_of(pid: int) -> list[int]:
    """The processes that the driver started there."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(word) for word in (task / "children").read_text().split()]
    return [child for child in found if b"pkcs11_driver.child" in command_of(child)]


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def runs(pid: int) -> bool:
    """Whether it still does; one that nobody has waited for yet has ended, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


CALLER = """
import sys
from pkcs11_driver import isolated
module, serial = sys.argv[1:]
so_pin, next_so_pin, new_pin = sys.stdin.readline().split()
isolated.reset_user_pin(
    module, serial, style="so_init_pin", candidates=(so_pin,), next_so_pin=next_so_pin,
    new_user_pin=new_pin, challenge=b"x", progress=lambda step: print(step, flush=True))
"""


def test_the_child_of_a_dead_caller_makes_no_further_call(blocked: Holder) -> None:
    arm_fault(blocked.made, "before Login 2 delay 5000")
    with subprocess.Popen(
        [sys.executable, "-c", CALLER, *blocked.at],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as caller:
        assert caller.stdin is not None
        assert caller.stdout is not None
        caller.stdin.write(f"{SO_PIN} {NEXT_SO_PIN} {NEW_PIN}\n")
        caller.stdin.flush()
        assert any("user-pin-set" in line for line in caller.stdout)
        (child,) = children_of(caller.pid)
        caller.send_signal(signal.SIGKILL)
        caller.wait()
        end = time.monotonic() + 60
        while runs(child) and time.monotonic() < end:
            time.sleep(0.05)
        assert not runs(child)
    assert act(blocked.made, ("login", "so", SO_PIN)) == ["CKR_OK"], "no rotation was begun"
