"""The helper as people run it: codes and PINs on standard input, a service on loopback."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pkcs11_driver import envelope, wire
from tests.driver.conftest import NEXT_SO_PIN, SO_PIN, Holder
from tests.driver.service import Answer, Asked, problem, serve

CHALLENGE = wire.proof_challenge("0a" * 16, "job", "0b" * 32)
ROOT = Path(__file__).parents[2]
MAIN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pkcs11_driver.helper.cli import main
sys.exit(main())
"""


@dataclass
class Office:
    """The service's part in one job; ``refusals`` are answered to release first."""

    serial: str
    kind: wire.Kind = "reset"
    challenge: bytes = CHALLENGE
    order: wire.Order = field(default_factory=lambda: wire.Order((SO_PIN,), NEXT_SO_PIN))
    refusals: list[Answer] = field(default_factory=list)
    lost_reports: int = 0
    next: str = "done"
    expires: int = 60
    words: str | None = None
    rules: wire.PinRules = field(default_factory=wire.PinRules)
    style: str = "so_init_pin"
    key: bytes = b""
    reports: list[wire.Report] = field(default_factory=list)
    nonces: list[str] = field(default_factory=list)

    def __call__(self, asked: Asked) -> Answer:
        message = getattr(self, asked.path.rpartition("/")[2])(asked.body)
        return message if isinstance(message, Answer) else Answer(wire.to_json(message))

    def claim(self, body: object) -> object:
        said = wire.from_json(wire.Claim, body)
        if said.code != "ABCDEFGH":
            return problem(404, "code-unknown", "This code is not valid any more.")
        self.key = said.public_key
        words = self.words or wire.confirmation_words("job", self.key)
        return wire.Claimed(
            "job",
            "secret",
            self.kind,
            self.serial,
            self.rules,
            self.challenge,
            words,
        )

    def release(self, body: object) -> object:
        said = wire.from_json(wire.Release, body)
        self.nonces.append(said.nonce)
        if self.refusals:
            return self.refusals.pop(0)
        context = wire.order_context("job", 1, said.nonce, self.serial)
        sealed = envelope.seal_order(self.order, self.key, context)
        return wire.Released(1, self.style, sealed, self.expires)

    def report(self, body: object) -> object:
        if self.lost_reports:
            self.lost_reports -= 1
            return Answer(drop=True)
        self.reports.append(wire.from_json(wire.Report, body))
        return wire.JobState("done", self.next)


@dataclass(frozen=True)
class Ran:
    """How the program ended, and what the service saw."""

    code: int
    out: str
    err: str
    bodies: str = ""

    @property
    def reason(self) -> str:
        """The one line on standard error."""
        assert self.err.startswith("token-helper: ")
        assert self.err.count("\n") == 1
        return self.err


def helper(*arguments: str, lines: tuple[str, ...] = ()) -> Ran:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", MAIN, *arguments],
        input="".join(f"{line}\n" for line in lines),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def job(
    holder: Holder, office: Office, tmp_path: Path, *lines: str, code: str = "abcd-efgh"
) -> Ran:
    with serve(tmp_path, office) as service:
        at = ("--server", service.url, "--ca", str(service.ca), "--module", holder.at[0])
        ran = helper(code, *at, lines=lines)
    bodies = json.dumps([asked.body for asked in service.asked])
    return Ran(ran.code, ran.out, ran.err, bodies)


@contextlib.contextmanager
def running(
    holder: Holder, office: Office, tmp_path: Path, *lines: str
) -> Iterator[subprocess.Popen[str]]:
    """The program in the middle of a job, its input still open."""
    with serve(tmp_path, office) as service:
        at = ("--server", service.url, "--ca", str(service.ca), "--module", holder.at[0])
        with subprocess.Popen(
            [sys.executable, "-c", MAIN, "ABCDEFGH", *at],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as program:
            assert program.stdin is not None
            program.stdin.write("".join(f"{line}\n" for line in lines))
            program.stdin.flush()
            try:
                yield program
            finally:
                program.kill()


def read_until(program: subprocess.Popen[str], words: str) -> None:
    assert program.stdout is not None
    assert any(words in line for line in program.stdout), f"never said: {words}"
