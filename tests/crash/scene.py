"""One institution at a saved state, and one reset on it in which processes die.

Time is not waited for: between two runs of the helper the lease is written into the past.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.institution.site import Institution
from tests.institution.tokens import pkcs11_tool_login, tries_left
from tests.institution.visitors import Visitor
from tests.story.story import Story, approve, ask, block, enter_code, pairing_code, register

POLICY = "lease_seconds = 30\ncode_sends_per_hour = 10"
ENDS = ("done", "office", "withdrawn")
ATTEMPTS = 6  # runs of the helper in which every operation must have come to its end
SO_TRIES, SO_BUDGET = 15, 7
_CHANGES = ("custodian", "data", "tokens/holder")

_OPENED = """
import json, sqlite3, sys
from pathlib import Path
from pkcs11_driver.hsm import Hsm
from reset import config
from reset.custodian.keys import so_pin_context
s = config.load_custodian(Path(sys.argv[1]))
rows = sqlite3.connect(sys.argv[2]).execute(
    "select version, sealed from escrow where serial = ? order by version", (sys.argv[3],)
).fetchall()
h = Hsm(str(s.hsm.module), s.pin().get_secret_value(), label=s.hsm.token_label)
for version, sealed in rows:
    print(version, h.open(sealed, so_pin_context(sys.argv[3], version)).decode())
"""


@dataclass(frozen=True)
class Kill:
    """Where processes die in the first run: ``name:n``, empty for nowhere."""

    service: str = ""
    helper: str = ""

    def __str__(self) -> str:
        return " + ".join(filter(None, (self.service, self.helper))) or "nothing"


class Scene:
    """The institution; ``build`` it once, ``restore`` it for each schedule."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # a directory of its own, so that a small file system can stand in for it
        data = root / "institution" / "data"
        data.mkdir(parents=True, mode=0o700)
        self.database = data / "service.sqlite"
        self.here = Institution.build(
            root / "institution", policy=POLICY, database=f"sqlite:///{self.database}"
        )
        self.story = Story(self.here)
        self.browser = Visitor(self.here)  # the one in which the code was typed
        self.new_pin = f"New-{secrets.token_hex(4)}"
        self.trace = root / "trace"
        self.said = root / "helper.log"
        self.fired: list[str] = []

    def build(self) -> None:
        """Play the story up to the approved request with a fresh code, and save that."""
        self.here.start()
        for step in (register, block, ask, approve):
            step(self.story)
        self.browser.log_in("holder")
        enter_code(self.story, self.browser)
        self.save("ready")

    # --- states on disk -----------------------------------------------------------------
    def save(self, name: str) -> None:
        """Stop the service and keep a copy of all that a reset changes."""
        self.here.stop("serve")
        with self.edited() as db:
            db.execute("pragma wal_checkpoint(truncate)")
        for part in _CHANGES:
            shutil.copytree(self.here.root / part, self.root / name / part)

    def restore(self, name: str) -> None:
        """The state of ``save``, with proofs as old as they were then; nothing runs."""
        self.here.stop("serve")
        for part in _CHANGES:
            shutil.rmtree(self.here.root / part)
            shutil.copytree(self.root / name / part, self.here.root / part)
        with self.edited() as db:
            db.execute("update proofs set at = ? where method like 'code-%'", (_time(0),))
            db.execute("update sessions set created_at = ?, seen_at = ?", (_time(0), _time(0)))
        for file in self.root.glob("fired-*"):
            file.unlink()

    @contextlib.contextmanager
    def edited(self) -> Any:
        """The database, changed behind the service's back."""
        with closing(sqlite3.connect(self.database, timeout=20)) as db, db:
            yield db

    def row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        """The first row of an answer."""
        with self.edited() as db:
            found: tuple[Any, ...] | None = db.execute(query, values).fetchone()
        return found

    # --- running ------------------------------------------------------------------------
    def _environment(self, side: str, point: str) -> dict[str, str]:
        return {
            "FAILPOINTS": point,
            "FAILPOINTS_FIRED": str(self._fired(side)),
            "FAILPOINTS_TRACE": str(self.trace),
        }

    def _fired(self, side: str) -> Path:
        return self.root / f"fired-{side}"

    def start(self, point: str = "") -> None:
        """Start the service, which dies at ``point`` once."""
        self.here.environment = self._environment("service", point)
        self.keep_up()

    def keep_up(self) -> None:
        """Start the service again if it is dead, as systemd would."""
        for _ in range(40):
            with contextlib.suppress(KeyError):
                if self.here.process("serve").poll() is None:
                    return
            self.here.stop("serve")
            # the children of the dead one may still hold the custodian's directory
            with contextlib.suppress(RuntimeError):
                self.here.start()
                return
            time.sleep(0.25)
        raise AssertionError("the service does not come up again")

    def code(self) -> str:
        """A new pairing code from the page."""
        for _ in range(20):
            self.keep_up()
            try:
                page = f"{self.story.page}/helper"
                return pairing_code(self.browser.send(page, page).text)
            except (OSError, ValueError, AssertionError) as error:
                last = error
            time.sleep(0.5)
        raise AssertionError(f"no pairing code: {last}")

    def helper(self, point: str = "", server: str = "") -> int:
        """One run of the helper, which dies at ``point``; the service is kept up meanwhile.

        ``server``: where it finds the service, if not at its own address.
        """
        code = self.code()
        here = self.here
        with self.said.open("a") as said:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "pkcs11_driver.helper", code),
                    *("--server", server or here.public_url),
                    *("--ca", str(here.authority.anchors_pem)),
                    *("--module", str(here.tokens["holder"].module)),
                ],
                stdin=subprocess.PIPE, stdout=said, stderr=said, text=True,
                env={**os.environ, **self._environment("helper", point)},
            )  # fmt: skip
            assert process.stdin
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(f"{self.new_pin}\n{self.new_pin}\n")
                process.stdin.close()
            end = time.monotonic() + 120
            while process.poll() is None:
                if time.monotonic() > end:
                    process.kill()
                    process.wait()
                    raise AssertionError("the helper does not end")
                self.keep_up()
                time.sleep(0.05)
        return process.returncode

    def kill_custodian(self) -> None:
        """SIGKILL while it waits for a request; ``serve`` starts it again when it can."""
        serve = self.here.process("serve").pid
        children = Path(f"/proc/{serve}/task/{serve}/children").read_text().split()
        (found,) = (p for p in children if "custodian" in _proc(p, "cmdline").split("\0"))
        os.kill(int(found), signal.SIGKILL)
        while _proc(found, "stat").rpartition(")")[2].split()[:1] not in ([], ["Z"]):
            time.sleep(0.01)

    def lapse(self) -> None:
        """The lease ends now."""
        with self.edited() as db:
            db.execute(
                "update operations set lease_until = ? where lease_until is not null and state = "
                "'sent'",
                (_time(-1),),
            )

    def state(self) -> str:
        """The operation's state; ``none`` before there is one."""
        found = self.row("select state from operations")
        return str(found[0]) if found else "none"

    def play(self, kill: Kill) -> str:
        """The whole reset: die, recover, end. Returns the end; raises ``AssertionError``.

        Each side dies once; ``fired`` says which ones did.
        """
        self.start(kill.service)
        self.helper(kill.helper)
        end = self.recover(kill.helper)
        # of a pair, the first death may take the way to the second one away
        self.fired = [side for side in ("service", "helper") if self._fired(side).exists()]
        assert self.fired or not (kill.service or kill.helper), f"{kill} was not reached"
        return end

    def recover(self, point: str = "", server: str = "") -> str:
        """What a person does after a run: new codes and new runs until there is an end.

        Parameters are those of ``helper``. Returns the end, of which the custodian has heard.
        Raises ``AssertionError``.
        """
        self._counted()
        for _ in range(ATTEMPTS):
            if self.state() in ENDS:
                break
            self.lapse()
            self.helper(point, server)
            self._counted()
        assert self.state() in ENDS, f"no end after {ATTEMPTS} runs: {self.state()}"
        self._settled()
        return self.state()

    def _counted(self) -> None:
        wrong = SO_TRIES - tries_left(self.here.tokens["holder"])[1]
        assert wrong <= SO_BUDGET, f"{wrong} wrong SO tries"

    def _settled(self) -> None:
        """The custodian hears of an end, if need be from the worker."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            self.keep_up()
            if self.state() == "office" or self.row("select settled from operations") == (1,):
                return
            time.sleep(0.2)
        raise AssertionError("the custodian was never told")

    # --- proving ------------------------------------------------------------------------
    def prove(self, end: str) -> None:
        """What must hold afterwards, by pkcs11-tool where the token is asked."""
        self.here.stop("serve")
        token = self.here.tokens["holder"]
        pins = self._escrow()
        if end == "done":
            (version,) = self.row("select so_version from tokens where serial=?", token.serial)  # type: ignore[misc]
            assert pkcs11_tool_login(token, None, pins[version], so=True) == "ok"
            assert pkcs11_tool_login(token, None, self.new_pin) == "ok"
        else:
            fits = [
                v for v, pin in pins.items() if pkcs11_tool_login(token, None, pin, so=True) == "ok"
            ]
            assert fits, "no SO PIN of the escrow fits"
        if end == "withdrawn":
            proven = self._proven()
            assert (fits, proven) == ([1], None), f"the ledger says {proven}, the token {fits}"
        for event, most in (("custody-intent", 1), ("custody-done", int(end == "done"))):
            found = self.entries(event)
            assert len(found) == most, f"{found} entries {event}"
        assert self.row("select count(*) from operations") == (1,)
        used = self.row("select count(*) from approvals where used_at is not null")
        assert used == (1,), used
        verified = self.here.try_command("audit", "verify")
        assert verified.returncode == 0, verified.stderr

    def _proven(self) -> int | None:
        """The version that is in force by the custodian's ledger, after a reset it knows of."""
        with closing(sqlite3.connect(self.here.root / "custodian" / "ledger.sqlite")) as ledger:
            (found,) = ledger.execute(
                "select max(pending_version) from approvals where closed"
                " and operation_id not in (select operation_id from withdrawn)"
            ).fetchone()
        return found

    def entries(self, event: str) -> list[dict[str, Any]]:
        """The facts of every audit entry of this name, oldest first."""
        with self.edited() as db:
            rows = db.execute("select raw from audit_entries order by number").fetchall()
        found = [json.loads(raw) for (raw,) in rows]
        return [entry["facts"] for entry in found if entry["event"] == event]

    def _escrow(self) -> dict[int, str]:
        """Every SO PIN of the holder's token, opened with the custodian's own HSM."""
        serial = self.here.tokens["holder"].serial
        words = [str(self.here.custodian_config), str(self.database), serial]
        done = subprocess.run(
            [sys.executable, "-c", _OPENED, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return {int(v): pin for v, pin in (line.split() for line in done.stdout.splitlines())}


@contextlib.contextmanager
def scene_in_a_directory() -> Iterator[Scene]:
    """The scene at its saved state; nothing of it is left afterwards."""
    with tempfile.TemporaryDirectory() as directory:
        scene = Scene(Path(directory))
        try:
            scene.build()
            yield scene
        finally:
            scene.here.stop()


def _proc(pid: str, name: str) -> str:
    """What the kernel says of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def _time(seconds: float) -> str:
    """From now, as SQLite holds it."""
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return at.replace(tzinfo=None).isoformat(" ", "microseconds")
