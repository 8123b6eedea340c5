"""What the device tests need of the machine: locks, services, ports, and foreign tools."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def needed(*paths: Path | str) -> Callable[[], str]:
    """What is not there of these files and programs."""

    def missing() -> str:
        absent = [
            str(path)
            for path in paths
            if not (path.exists() if isinstance(path, Path) else shutil.which(path))
        ]
        return f"not installed: {', '.join(absent)}" if absent else ""

    return missing


def tool(module: Path, *arguments: str, **pins: str) -> str:
    """What pkcs11-tool prints; PINs go by the environment."""
    done = subprocess.run(
        ["pkcs11-tool", "--module", str(module), *arguments],
        env={**os.environ, **pins},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """One user of a machine-wide store at a time, over all test processes."""
    with (Path(tempfile.gettempdir()) / f"token-reset-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def running(*command: str, ready: Callable[[], bool]) -> Iterator[None]:
    """A service, from when it is ready to the end of the context."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            until(ready)
            yield
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()


def until(ready: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it never came up"
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Whether somebody listens at a port of this machine; nobody is connected to."""
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "0A" for row in rows)
