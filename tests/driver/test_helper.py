"""The reset job of the helper, from the code to the last message."""

from __future__ import annotations

import base64
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from pkcs11_driver import wire
from pkcs11_driver.helper.client import ServiceUnreachable
from pkcs11_driver.helper.cms import signed_statement
from pkcs11_driver.helper.dialogue import Terminal
from pkcs11_driver.helper.job import Job, report
from pkcs11_driver.operations import Signed
from tests.driver.conftest import (
    NEW_PIN,
    NEXT_SO_PIN,
    OTHER_SO_PIN,
    SECRETS,
    USER_PIN,
    Holder,
    verify,
)
from tests.driver.program import CHALLENGE, ROOT, Office, helper, job, read_until, running
from tests.driver.service import problem, serve
from tests.institution.tokens import arm_fault, pkcs11_tool_login, tries_left

STATEMENT = b"token-reset approval 1\naction: reset\n"

# what a shell, a format, a template or an option parser would take for its own
PINS = (
    "New;$(>{made})&1", "A1`>{made}`", "N1|>{made} #", "'\"N1>{made}", "--N1;>{made}",
    "N1%s%n$HOME*?~", r"N1\n\x00\0;!!",
)  # fmt: skip


def signed_attributes(statement: bytes, certificate: bytes) -> bytes:
    """The bytes that an approver's token signs for a statement, in DER."""
    seen: list[bytes] = []

    def sign(attributes: bytes) -> Signed:
        seen.append(attributes)
        return Signed(b"signature", certificate, "sha256_ecdsa")

    signed_statement(statement, sign)
    assert seen[0][:1] == b"\x31", "a SET"
    return seen[0]


class TestReset:
    def test_the_whole_job(self, blocked: Holder, tmp_path: Path) -> None:
        office = Office(blocked.made.serial)
        ran = job(blocked, office, tmp_path, NEW_PIN, NEW_PIN)
        assert (ran.code, ran.err) == (0, "")
        assert wire.confirmation_words("job", office.key) in ran.out
        assert "Done. Use the new PIN" in ran.out
        (report,) = office.reports
        assert (report.outcome, report.proof.so_pin_in_force) == ("done", "next")
        assert report.nonce == office.nonces[0]
        assert len(bytes.fromhex(report.nonce)) == 16
        verify(blocked.certificate, report.proof.signature, CHALLENGE)
        assert pkcs11_tool_login(blocked.made, None, NEW_PIN) == "ok"

    def test_no_pin_is_said_to_anyone(self, blocked: Holder, tmp_path: Path) -> None:
        ran = job(blocked, Office(blocked.made.serial), tmp_path, NEW_PIN, NEW_PIN)
        for secret in SECRETS:
            assert secret not in ran.out + ran.err + ran.bodies
            assert base64.b64encode(secret.encode()).decode()[:-4] not in ran.bodies

    @pytest.mark.parametrize("form", PINS)
    def test_no_character_of_a_pin_means_anything(
        self, blocked: Holder, tmp_path: Path, form: str
    ) -> None:
        """Peer failure 32: it gets to the token as it was typed, and to no shell on the way."""
        with tempfile.TemporaryDirectory() as place:
            pin = form.format(made=f"{place}/x")
            ran = job(blocked, Office(blocked.made.serial), tmp_path, pin, pin)
            assert (ran.code, ran.err) == (0, "")
            assert not list(Path(place).iterdir())
        assert pin not in ran.out + ran.bodies
        assert pkcs11_tool_login(blocked.made, None, pin) == "ok"

    def test_rules_are_named_and_asked_again(self, blocked: Holder, tmp_path: Path) -> None:
        lines = ("short", "abcdefgh=", NEW_PIN, "typo", NEW_PIN, NEW_PIN)
        ran = job(blocked, Office(blocked.made.serial), tmp_path, *lines)
        assert ran.code == 0
        assert "at least 8 characters" in ran.out
        assert "needs 3 of these four" in ran.out
        assert "none of } ] =" in ran.out
        assert "The two were not the same." in ran.out

    def test_the_code_is_asked_for(self, blocked: Holder, tmp_path: Path) -> None:
        with serve(tmp_path, Office(blocked.made.serial)) as service:
            at = ("--server", service.url, "--ca", str(service.ca), "--module", blocked.at[0])
            assert helper(*at, lines=("ABCD EFGH", NEW_PIN, NEW_PIN)).code == 0

    def test_another_token(self, holder: Holder, tmp_path: Path) -> None:
        office = Office("OTHER-SERIAL")
        ran = job(holder, office, tmp_path, NEW_PIN, NEW_PIN)
        assert ran.code == 1
        assert "OTHER-SERIAL is not plugged in" in ran.reason
        assert holder.made.serial in ran.reason
        assert office.nonces == [], "nothing is released for a token that is not there"

    def test_no_answer_before_release(self, holder: Holder, tmp_path: Path) -> None:
        office = Office(holder.made.serial)
        ran = job(holder, office, tmp_path, NEW_PIN)
        assert (ran.code, office.nonces) == (1, [])
        assert "no answer" in ran.reason

    def test_a_code_that_the_service_refuses(self, holder: Holder, tmp_path: Path) -> None:
        ran = job(holder, Office("x"), tmp_path, code="HHHH-HHHH")
        assert (ran.code, ran.reason) == (1, "token-helper: This code is not valid any more.\n")

    def test_other_words_than_the_keys(self, holder: Holder, tmp_path: Path) -> None:
        office = Office(holder.made.serial, words="apple apple apple")
        ran = job(holder, office, tmp_path, NEW_PIN, NEW_PIN)
        assert (ran.code, office.nonces) == (1, [])

    @pytest.mark.parametrize("what", ["attributes", "statement", "another job"])
    def test_what_is_no_proof_is_refused_before_anything_is_changed(
        self, holder: Holder, tmp_path: Path, what: str
    ) -> None:
        """A service that was taken over gets no signature for an approval (signing oracle)."""
        challenge = {
            "attributes": signed_attributes(STATEMENT, holder.certificate),
            "statement": STATEMENT,
            "another job": wire.proof_challenge("0a" * 16, "job2", "0b" * 32),
        }[what]
        office = Office(holder.made.serial, challenge=challenge)
        ran = job(holder, office, tmp_path, NEW_PIN, NEW_PIN)
        assert ran.code == 1
        assert "no proof. Nothing was changed." in ran.reason
        assert "Token to be reset" not in ran.out, "the person is asked for nothing"
        assert (office.nonces, office.reports) == ([], [])
        assert tries_left(holder.made) == (10, 15)
        assert pkcs11_tool_login(holder.made, None, USER_PIN) == "ok"

    def test_a_running_lease_is_waited_for_with_the_same_nonce(
        self, blocked: Holder, tmp_path: Path
    ) -> None:
        running = problem(409, "lease-running", "Still running.", retry_after=1)
        office = Office(blocked.made.serial, refusals=[running])
        ran = job(blocked, office, tmp_path, NEW_PIN, NEW_PIN)
        assert ran.code == 0
        assert "waiting 1 seconds" in ran.out
        assert len(office.nonces) == 2
        assert len(set(office.nonces)) == 1

    def test_the_time_of_an_order_begins_when_it_is_asked_for(
        self, blocked: Holder, tmp_path: Path
    ) -> None:
        """Who waited for a whole lease of an earlier run still has one of his own."""
        running = problem(409, "lease-running", "Still running.", retry_after=8)
        office = Office(blocked.made.serial, refusals=[running], expires=8)
        ran = job(blocked, office, tmp_path, NEW_PIN, NEW_PIN)
        assert (ran.code, [told.outcome for told in office.reports]) == (0, ["done"])

    def test_a_refused_release_changes_nothing(self, holder: Holder, tmp_path: Path) -> None:
        refusal = problem(403, "approval-missing", "Your supervisor has not signed yet.")
        office = Office(holder.made.serial, refusals=[refusal])
        ran = job(holder, office, tmp_path, NEW_PIN, NEW_PIN)
        assert "has not signed yet" in ran.reason
        assert office.reports == []
        assert pkcs11_tool_login(holder.made, None, USER_PIN) == "ok"

    def test_an_order_that_came_too_late_is_not_used(self, holder: Holder, tmp_path: Path) -> None:
        office = Office(holder.made.serial, expires=0, next="again")
        ran = job(holder, office, tmp_path, NEW_PIN, NEW_PIN)
        assert "too late" in ran.reason
        assert office.reports[0].outcome == "untouched"
        assert pkcs11_tool_login(holder.made, None, USER_PIN) == "ok"

    def test_an_order_for_another_key(self, holder: Holder, tmp_path: Path) -> None:
        class Elsewhere(Office):
            def release(self, body: object) -> object:
                self.serial = "another"
                return super().release(body)

        office = Elsewhere(holder.made.serial, next="again")
        ran = job(holder, office, tmp_path, NEW_PIN, NEW_PIN)
        assert "order could not be used" in ran.reason
        assert office.reports[0].outcome == "untouched"
        assert tries_left(holder.made) == (10, 15)

    def test_an_order_of_an_earlier_attempt(self, holder: Holder, tmp_path: Path) -> None:
        """The order is bound to epoch and nonce: what was sealed before does not open again."""

        class Replayed(Office):
            def release(self, body: object) -> object:
                said = wire.from_json(wire.Release, body)
                earlier = wire.Release("00" * 16, said.token)
                return super().release(wire.to_json(earlier))

        office = Replayed(holder.made.serial, next="again")
        ran = job(holder, office, tmp_path, NEW_PIN, NEW_PIN)
        assert "order could not be used" in ran.reason
        assert office.reports[0].outcome == "untouched"
        assert tries_left(holder.made) == (10, 15)

    def test_so_pins_that_do_not_fit(self, holder: Holder, tmp_path: Path) -> None:
        order = wire.Order((OTHER_SO_PIN,), NEXT_SO_PIN)
        office = Office(holder.made.serial, order=order, next="office")
        ran = job(holder, office, tmp_path, NEW_PIN, NEW_PIN)
        assert "registration office" in ran.reason
        assert office.reports[0].outcome == "so-pin-refused"
        assert office.reports[0].steps == ("so-pin-incorrect",)

    def test_pulled_out_in_the_middle(self, blocked: Holder, tmp_path: Path) -> None:
        arm_fault(blocked.made, "before Login 2 return 0x32")
        office = Office(blocked.made.serial, next="again")
        ran = job(blocked, office, tmp_path, NEW_PIN, NEW_PIN)
        assert ran.code == 1
        assert "Get a new code from the page" in ran.reason
        assert office.reports[0].outcome == "unknown"
        assert office.reports[0].proof.so_pin_in_force == "candidate-0"

    def test_a_call_that_fails_after_its_effect(self, blocked: Holder, tmp_path: Path) -> None:
        """Who is done is not told to start again."""
        arm_fault(blocked.made, "after SetPIN 1 return 0x32")
        office = Office(blocked.made.serial)
        ran = job(blocked, office, tmp_path, NEW_PIN, NEW_PIN)
        assert (ran.code, ran.err, office.reports[0].outcome) == (0, "", "done")
        assert ran.out.endswith("Done. Use the new PIN from now on.\n")
        assert "start again" not in ran.out

    def test_a_service_that_is_gone_after_release_is_told_later(
        self, blocked: Holder, tmp_path: Path
    ) -> None:
        office = Office(blocked.made.serial, lost_reports=2)
        ran = job(blocked, office, tmp_path, NEW_PIN, NEW_PIN)
        assert ran.code == 0
        assert [report.outcome for report in office.reports] == ["done"]


class TestInterrupted:
    def test_before_release_nothing_has_happened(self, holder: Holder, tmp_path: Path) -> None:
        office = Office(holder.made.serial)
        with running(holder, office, tmp_path) as program:
            read_until(program, "Found: Holder")
            program.send_signal(signal.SIGINT)
            _, said = program.communicate(timeout=60)
        assert program.returncode == 1
        assert "Nothing was changed" in said
        assert office.nonces == []

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_not_while_the_token_changes(
        self, blocked: Holder, tmp_path: Path, number: signal.Signals
    ) -> None:
        arm_fault(blocked.made, "before SetPIN 1 delay 3000")
        office = Office(blocked.made.serial)
        with running(blocked, office, tmp_path, NEW_PIN, NEW_PIN) as program:
            read_until(program, "Your key signs again.")
            program.send_signal(number)
            said, _ = program.communicate(timeout=60)
        assert program.returncode == 0
        assert "Done. Use the new PIN" in said
        assert office.reports[0].outcome == "done"


class Dead:
    """A service that is gone for good."""

    def __init__(self) -> None:
        self.calls = 0

    def report(self, *_: object) -> wire.JobState:
        self.calls += 1
        raise ServiceUnreachable("The service does not answer.")


class Silent:
    """A person who is only told things."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def tell(self, text: str) -> None:
        self.told.append(text)

    def ask(self, question: str) -> str:
        raise AssertionError(question)

    ask_secret = ask


def test_reporting_ends_after_ten_minutes() -> None:
    now = [0.0]

    def pause(seconds: float) -> None:
        now[0] += seconds

    dead, person = Dead(), Silent()
    claimed = wire.Claimed("j", "s", "reset", "S1", wire.PinRules(), b"", "")
    key = X25519PrivateKey.generate()
    unanswered = Job(dead, claimed, key, (), person, pause, lambda: now[0])  # type: ignore[arg-type]
    with pytest.raises(ServiceUnreachable):
        report(unanswered, wire.Report(1, "n", "done", (), wire.Proof()))
    assert 500 < now[0] <= 600
    assert dead.calls > 10
    assert len(person.told) == 1, "the person is told once, not at each try"


def test_nothing_told_drives_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().tell("Found: A\x1b[2J\r\u202eB\u200b \ud800 Ω\nnext")
    shown = "Found: A\\x1b[2J\\r\\u202eB\\u200b \\ud800 Ω\nnext\n"
    assert capsys.readouterr().out == shown


def test_a_crash_leaves_no_memory_on_disk() -> None:
    program = (
        "import ctypes, resource; from pkcs11_driver.helper.cli import main; "
        "main(['list', '--module', 'none.so']); "
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "(0, 0) 0\n"
