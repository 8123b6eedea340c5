"""A PostgreSQL server of the tests' own: loopback only, its own directory, its own port.

Rules:
1. Whoever starts a server stops it, and only that one: by its directory.
2. A missing PostgreSQL is an error that says what to install, never a skipped test.
3. Durability is off, as nothing here outlives the tests; ``durable`` for a server that is killed,
   which loses what it has not yet handed to the kernel.
"""

from __future__ import annotations

import os
import pwd
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.institution.ports import free_port

USER = "postgres"
_BINARIES = (Path("/usr/lib/postgresql"), Path("/usr/pgsql"), Path("/opt/postgresql"))
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
}
_RECOVERED = 60.0  # seconds in which a killed server answers again


class PostgresMissing(RuntimeError):
    """PostgreSQL is not installed, or its server user or directory cannot be used."""


class Postgres:
    """One server. ``with Postgres() as server: url = server.start(directory)``."""

    def __init__(self, *, durable: bool = False) -> None:
        self._binaries = binaries()
        self._directory: Path | None = None
        self._options = ""
        self._settings = _SETTINGS | ({"synchronous_commit": "on"} if durable else {})
        self._password = secrets.token_urlsafe(12) + "%@:/"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, directory: Path) -> str:
        """Make a cluster in ``directory/cluster`` and start it.

        Returns the URL of its database ``postgres``; the password needs quoting in a URL, as real
        ones do. Raises ``PostgresMissing``.
        """
        directory.mkdir(parents=True, exist_ok=True)
        secret = directory / "password"
        secret.write_text(self._password)
        if os.geteuid() == 0:
            for path in (directory, secret):
                _give(path)
        self._reachable(directory)
        cluster = directory / "cluster"
        self._run("initdb", "-D", str(cluster), "-A", "scram-sha-256", "-U", USER,
                  f"--pwfile={secret}", "--no-sync", "-E", "UTF8", "--locale=C")  # fmt: skip
        port = free_port()
        settings = " ".join(f"-c {name}='{value}'" for name, value in self._settings.items())
        self._options = f"-p {port} {settings}"
        self._start(cluster)
        self._directory = cluster
        return self._url(port)

    def kill(self) -> None:
        """Kill the server (SIGKILL to its first process) and start it again."""
        directory = self._directory
        assert directory is not None
        first = (directory / "postmaster.pid").read_text().splitlines()[0]
        os.kill(int(first), signal.SIGKILL)
        _until_it_works(lambda: self._start(directory))  # its children may still end

    def kill_process_of(self, client_port: int) -> None:
        """Kill the process that serves this client (SIGKILL).

        The server then ends all others and recovers by itself; returns when it has.
        """
        name = f"127.0.0.1({client_port})".encode()
        (found,) = [
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if name in _read(path)
        ]
        os.kill(found, signal.SIGKILL)
        while Path(f"/proc/{found}").exists():  # until then it takes connections as before
            time.sleep(0.01)
        port = self._options.split()[1]
        _until_it_works(lambda: self._run("pg_isready", "-h", "127.0.0.1", "-p", port))

    def _start(self, cluster: Path) -> None:
        self._run("pg_ctl", "-D", str(cluster), "-w", "-l", str(cluster.parent / "log"),
                  "-o", self._options, "start")  # fmt: skip

    def stop(self) -> None:
        """Stop the server that this object started; without one nothing happens."""
        if self._directory is not None:
            self._run("pg_ctl", "-D", str(self._directory), "-m", "immediate", "-w", "stop")
            self._directory = None

    def _url(self, port: int) -> str:
        quoted = "".join(
            c if c.isalnum() or c in "-_" else f"%{ord(c):02X}" for c in self._password
        )
        return f"postgresql://{USER}:{quoted}@127.0.0.1:{port}/postgres"

    def _reachable(self, directory: Path) -> None:
        if subprocess.run([*_as_server(), "test", "-w", str(directory)], check=False).returncode:
            raise PostgresMissing(
                f"{directory} must be writable for the user {USER}, every directory above included"
            )

    def _run(self, program: str, *arguments: str) -> None:
        # the server keeps the descriptors that it inherits: never a pipe, or reading never ends
        subprocess.run(
            [*_as_server(), str(self._binaries / program), *arguments],
            check=True,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def binaries() -> Path:
    """The directory of the newest installed server. Raises ``PostgresMissing``."""
    found = [p for root in _BINARIES for p in root.glob("*/bin") if (p / "initdb").is_file()]
    if not found:
        raise PostgresMissing("PostgreSQL is not installed: apt-get install postgresql")
    return max(found, key=lambda p: float(p.parent.name) if p.parent.name[:1].isdigit() else 0)


def _as_server() -> Sequence[str]:
    """PostgreSQL refuses to run as root."""
    return ("runuser", "-u", USER, "--") if os.geteuid() == 0 else ()


def _until_it_works(step: Callable[[], None]) -> None:
    end = time.monotonic() + _RECOVERED
    while True:
        try:
            step()
            return
        except subprocess.CalledProcessError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # it has ended


def _give(path: Path) -> None:
    try:
        owner = pwd.getpwnam(USER)
    except KeyError:
        raise PostgresMissing(f"there is no user {USER}: apt-get install postgresql") from None
    os.chown(path, owner.pw_uid, owner.pw_gid)
