"""Escrow by command: sealing at the enrolment station, correction, rewrap killed, lost HSM keys."""

from __future__ import annotations

import base64
import csv
import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.institution.site import Institution, Someone

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def institution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Institution]:
    """Two holders; only the custodian runs."""
    people = {
        "ann": Someone("1", "ann", "Ann A", "word-word"),
        "bob": Someone("2", "bob", "Bob B", "word-word"),
    }
    made = Institution.build(tmp_path_factory.mktemp("institution"), people=people)
    made.start_custodian()
    yield made
    made.stop()


def seal(key: str, text: str) -> subprocess.CompletedProcess[str]:
    """Run it as the enrolment station does: no settings, the list through a pipe."""
    return subprocess.run(
        [sys.executable, "-m", "reset.cli", "escrow", "seal", "--key", key],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": "/usr/bin", "PYTHONPATH": str(ROOT)},
    )


def test_seal_and_correct(institution: Institution, tmp_path: Path) -> None:
    """What the station prints is what the import takes; other columns pass through."""
    key = institution.command("escrow", "import-key").strip()
    serial, so_pin = institution.tokens["ann"].serial, "Another-SO-PIN-1"
    done = seal(key, f"serial,family,so_pin,label\n{serial},etoken,{so_pin},blue\n")
    assert done.returncode == 0, done.stderr
    assert so_pin not in done.stdout + done.stderr
    row = next(csv.DictReader(io.StringIO(done.stdout)))
    assert (row["serial"], row["label"]) == (serial, "blue")
    file = tmp_path / "wrong.csv"
    file.write_text(f"serial,family,so_pin\n{serial},etoken,{row['so_pin']}\n")
    assert institution.command("escrow", "correct", str(file)).startswith("1 ")
    assert institution.command("escrow", "check").startswith("3 sealed")
    other = institution.tokens["bob"].serial
    file.write_text(f"serial,family,so_pin\n{other},etoken,{row['so_pin']}\n")
    refused = institution.try_command("escrow", "correct", str(file))  # sealed for another token
    assert (refused.returncode, "does not open" in refused.stderr) == (1, True)


KEY = base64.b64encode(bytes(range(32))).decode()
COLUMNS = "needs the columns serial, family and so_pin"
BAD_LISTS = [
    ("serial\nT1\n", COLUMNS),
    ("serial,so_pin\nT1,abcdef\n", COLUMNS),
    ("serial,family,so_pin\n,etoken,abcdef\n", COLUMNS),
    ("serial,family,so_pin\nT1,etoken,\n", COLUMNS),
    ("serial,family,so_pin\nT1,etoken\n", COLUMNS),
    ("serial,family,so_pin\nT1,etoken,abcdef,x\n", COLUMNS),
    ("serial,family,so_pin\nT1,so_init_pin,abcdef\n", "family must be one of etoken,"),
    ("serial,family,so_pin\nT1,piv,11223344\n", "family must be one of etoken,"),
    ("serial,family,so_pin\nT1,etoken,abc\n", "4 to 255 printable bytes of the family etoken"),
    ('serial,family,so_pin\nT1,etoken,"a\tbcde"\n', "4 to 255 printable bytes"),
    ("serial,family,so_pin\nT1,yubikey,55555\n", "6 to 8 printable bytes of the family yubikey"),
    ("serial,family,so_pin\nT1,yubikey,999999999\n", "6 to 8 printable bytes"),
    ("serial,family,so_pin\nT1,opencryptoki,999999999\n", "4 to 8 printable bytes"),
]


@pytest.mark.parametrize(("text", "wanted"), BAD_LISTS)
def test_lists_that_are_not_sealed(text: str, wanted: str) -> None:
    """The line and what to do are told, the secret never."""
    done = seal(KEY, text)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "line 2" in done.stderr
    assert wanted in done.stderr
    so_pin = text.split("\n")[1].rpartition(",")[2]
    assert len(so_pin) < 4 or so_pin not in done.stderr


def test_a_key_that_is_none() -> None:
    done = seal("AAAA", "serial,family,so_pin\nT1,etoken,abcdef\n")
    assert (done.returncode, "is no import key" in done.stderr) == (1, True)


def test_a_clear_list_on_disk_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clear.csv").write_text("serial,so_pin\nT1,abcdef\n")
    with (tmp_path / "clear.csv").open() as file:
        done = subprocess.run(
            [sys.executable, "-m", "reset.cli", "escrow", "seal", "--key", "AAAA"],
            stdin=file, capture_output=True, text=True, check=False, cwd=ROOT,
        )  # fmt: skip
    assert (done.returncode, "pipe" in done.stderr) == (1, True)


def test_the_list_is_in_no_dump() -> None:
    """Neither a file nor a program of the system gets it, nor a debugger (PR_GET_DUMPABLE)."""
    program = (
        "import ctypes, resource; from reset.cli import main; "
        "main(['escrow', 'seal', '--key', 'AAAA']); "
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input="serial,family,so_pin\n", capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "(0, 0) 0"


KILLED = """
import os, signal, sys
from reset.adapters.custodian_client import CustodianClient
from reset.cli import main
left, rewrap = int(sys.argv.pop(1)), CustodianClient.rewrap
def dying(self, serial, version, sealed):
    global left
    found = rewrap(self, serial, version, sealed)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
CustodianClient.rewrap = dying
sys.exit(main(sys.argv[1:]))
"""


def test_rewrap_is_killed_and_goes_on(institution: Institution) -> None:
    """SIGKILL in the second row, after the custodian renewed it and before the database knows."""
    institution.stop("custodian")
    config = institution.custodian_config
    config.write_text(config.read_text().replace("[hsm]\n", "[hsm]\ngeneration = 2\n"))
    institution.command("custodian", "--create-keys", config=config)
    institution.start_custodian()
    count = int(institution.command("escrow", "check").split()[0])
    words = ["escrow", "rewrap", "--config", str(institution.config)]
    done = subprocess.run([sys.executable, "-c", KILLED, "2", *words], check=False, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert institution.command("escrow", "check").startswith(f"{count} sealed")
    assert institution.command("escrow", "rewrap").startswith(f"{count - 1} sealed")
    assert institution.command("escrow", "rewrap").startswith("0 sealed")
    assert institution.command("escrow", "check").startswith(f"{count} sealed")
    assert institution.command("escrow", "restore").startswith("0 versions")


def test_without_the_keys_of_the_hsm(institution: Institution) -> None:
    """With an emptied HSM nothing starts; with the old keys everything opens again."""
    institution.stop("custodian")
    hsm = institution.root / "hsm"
    tokens = next(path for path in hsm.rglob("*") if path.is_dir() and list(path.glob("*.object")))
    aside = institution.root / "hsm-aside"
    shutil.copytree(tokens, aside)
    for file in tokens.glob("*.object"):
        if file.name != "token.object":
            file.unlink()
    environment = "custodian", "--config", str(institution.custodian_config)

    def start() -> str:
        done = subprocess.run(
            [sys.executable, "-m", "reset.cli", *environment], capture_output=True, text=True,
            check=False, timeout=60, cwd=ROOT, stdin=subprocess.DEVNULL, env=os.environ,
        )  # fmt: skip
        assert done.returncode == 1, done.stdout
        return done.stderr

    assert "unavailable" in start()
    shutil.rmtree(tokens)
    shutil.copytree(aside, tokens)
    institution.start_custodian()
    assert "sealed" in institution.command("escrow", "check")
