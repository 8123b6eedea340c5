"""Custodians: in this process for rules, and as a process of its own with a real SoftHSM."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reset.adapters.custodian_client import CustodianClient
from tests.custodian import served
from tests.custodian.scene import Case, Institution, ShiftedClock, service

ROOT = Path(__file__).parents[2]


@dataclass
class Process:
    """A custodian process; ``directory`` has a short path, for the socket's sake."""

    directory: Path
    institution: Institution
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def socket(self) -> Path:
        return self.directory / "run" / "socket"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    def start(self, *uids: int) -> subprocess.Popen[str]:
        """Start it and wait until it is ready."""
        child = self.begin(*uids)
        assert child.stdout is not None
        assert child.stdout.readline() == "custodian ready\n", self.log.read_text()
        return child

    def begin(self, *uids: int) -> subprocess.Popen[str]:
        """Start it; it may not become ready."""
        environment = {**os.environ, "SOFTHSM2_CONF": str(self.directory / "softhsm2.conf")}
        names = [str(uid) for uid in uids or (os.geteuid(),)]
        with self.log.open("a") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.custodian.served", str(self.directory), *names],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.running.append(child)
        return child

    def stop(self) -> None:
        """End all of them politely; SoftHSM is not safe against kill -9 at a random time."""
        for child in self.running:
            child.terminate()
            child.wait(60)
            assert child.stdout is not None
            child.stdout.close()
        self.running.clear()

    def client(self, timeout: float = 60) -> CustodianClient:
        return CustodianClient(self.socket, timeout)


@pytest.fixture(scope="session")
def institution(tmp_path_factory: pytest.TempPathFactory) -> Institution:
    return Institution.create(tmp_path_factory.mktemp("institution") / "authority")


def make_process(institution: Institution) -> Process:
    directory = Path(tempfile.mkdtemp(prefix="custodian-"))
    for name in ("run", "own", "tokens"):
        (directory / name).mkdir(mode=0o700)
    shutil.copytree(institution.authority.directory, directory / "authority")
    configuration = directory / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {directory}/tokens\n")
    pins = ("--so-pin", "Hsm-Admin-PIN-1", "--pin", served.PIN)
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", served.LABEL, *pins],
        env={**os.environ, "SOFTHSM2_CONF": str(configuration)},
        check=True,
        capture_output=True,
    )
    return Process(directory, institution)


@pytest.fixture(scope="module")
def process(institution: Institution) -> Iterator[Process]:
    """A running custodian, shared by a module's tests."""
    made = make_process(institution)
    made.start()
    yield made
    made.stop()
    shutil.rmtree(made.directory)


@pytest.fixture
def own_process(institution: Institution) -> Iterator[Process]:
    """A custodian that a test starts itself."""
    made = make_process(institution)
    yield made
    made.stop()
    shutil.rmtree(made.directory)


@pytest.fixture
def case(tmp_path: Path, institution: Institution) -> Iterator[Case]:
    """A token and its approval at a custodian in this process."""
    clock = ShiftedClock()
    custodian, ledger = service(tmp_path / "own", institution, clock)
    yield Case(custodian, institution, clock)
    ledger.close()
