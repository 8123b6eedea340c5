"""The sites as processes: what they load, what they answer to, and what happens when one dies."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.institution.ports import free_port
from tests.institution.proxied import Proxied
from tests.proxy.asking import Headers, ask, ask_socket, said_by_nginx

TOP = Path(__file__).parents[2]


# --- children of serve -----------------------------------------------------------------
def _children(pid: int) -> list[int]:
    found = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended since
            found += [int(child) for child in file.read_text().split()]
    return found


def _masters(here: Proxied) -> dict[str, int]:
    """The process of each site that starts its workers."""
    found = {}
    for child in _children(here.process("serve").pid):
        words = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
        if "site" in words:
            found[words[words.index("site") + 1]] = child
    return found


def _wait(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if what():
            return
        time.sleep(0.1)
    raise TimeoutError


def test_the_sites_load_no_pkcs11(here: Proxied) -> None:
    """Neither the process that starts workers nor a worker (promise 2)."""
    masters = _masters(here)
    assert set(masters) == {"public", "certificate"}
    for master in masters.values():
        workers = _children(master)
        assert len(workers) == 2
        for pid in (master, *workers):
            mapped = Path(f"/proc/{pid}/maps").read_text()
            assert "libcrypto" in mapped
            assert not re.search(r"pkcs11|softhsm", mapped.replace(str(TOP), ""))


def test_many_pages_at_once_over_all_workers(here: Proxied) -> None:
    """Each worker has connections and locks of its own."""
    with ThreadPoolExecutor(24) as pool:
        pages = Counter(
            pool.map(lambda _: ask(here, "certificate", "/", part="operator").status, range(48))
        )
    assert pages == {200: 48}


def test_a_dead_site_is_started_again_and_told_in_words_meanwhile(here: Proxied) -> None:
    master = _masters(here)["public"]
    dead = _children(master)[0]
    os.kill(dead, signal.SIGKILL)
    _wait(lambda: len(_children(master)) == 2 and dead not in _children(master))
    assert ask(here, "public", "/healthz").status == 200
    for pid in (master, *_children(master)):
        with suppress(ProcessLookupError):  # a worker may end by itself when the first is gone
            os.kill(pid, signal.SIGKILL)
    away = ask(here, "public", "/")
    assert (away.status, away.header("cache-control")) == (503, "no-store")
    assert "Try again in a few minutes" in away.text
    assert ask(here, "public", "/helper/v1/openapi.json").status in (502, 503)
    _wait(lambda: ask(here, "public", "/healthz").status == 200)
    assert _masters(here)["public"] != master


# --- settings --------------------------------------------------------------------------
@pytest.mark.parametrize("command", [["site", "public"], ["serve"]])
def test_an_open_directory_of_sockets_is_refused(
    here: Proxied, tmp_path: Path, command: list[str]
) -> None:
    """Whoever can connect there can name anybody."""
    (tmp_path / "sockets").mkdir(mode=0o755)
    done = here.try_command(*command, config=_settings(here, tmp_path / "sockets"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "mode 0750" in done.stderr


def _settings(here: Proxied, sockets: Path | None) -> Path:
    """The service's settings with other sockets, or without a proxy."""
    file = here.root / "other.toml"
    proxy = f'[proxy]\nsockets = "{sockets}"\n' if sockets else ""
    file.write_text(re.sub(r'\[proxy\]\nsockets = ".*"\n', proxy, here.config.read_text()))
    return file


# --- gunicorn by hand ------------------------------------------------------------------
@contextmanager
def _gunicorn(config: Path, application: str, *binds: str) -> Iterator[None]:
    words = [sys.executable, "-m", "gunicorn", "--threads", "4", "--no-control-socket"]
    words += [word for bind in binds for word in ("--bind", bind)]
    environment = {**os.environ, "TOKEN_RESET_CONFIG": str(config)}
    process = subprocess.Popen(
        [*words, f"app:{application}"], cwd=TOP, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def _listens(path: Path) -> bool:
    """The file is there a moment before anybody listens."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _first_answer(path: Path, host: str, headers: Headers) -> int:
    _wait(lambda: _listens(path))
    return ask_socket(path, "/audit", host, headers).status


def _over_tcp(port: int, host: str, headers: Headers) -> int:
    lines = ["GET /audit HTTP/1.0", f"Host: {host}", *(f"{n}: {v}" for n, v in headers), "", ""]
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        connection.sendall("\r\n".join(lines).encode())
        return int(connection.makefile("rb").readline().split()[1])


def test_gunicorn_by_hand_answers_on_the_sites_own_socket_alone(here: Proxied) -> None:
    """Whatever else it was bound to, the headers of nginx are worth nothing there."""
    headers, host = said_by_nginx(here, "operator"), f"localhost:{here.ports['certificate']}"
    with tempfile.TemporaryDirectory() as name:
        sockets, port = Path(name), free_port()
        own, other = sockets / "certificate.socket", sockets / "public.socket"
        binds = (f"unix:{own}", f"unix:{other}", f"127.0.0.1:{port}")
        with _gunicorn(_settings(here, sockets), "certificate_app", *binds):
            assert _first_answer(own, host, headers) == 200
            assert _first_answer(other, host, headers) == 400
            assert _over_tcp(port, host, headers) == 400


def test_without_a_proxy_in_the_settings_no_header_is_read(here: Proxied) -> None:
    headers, host = said_by_nginx(here, "operator"), f"localhost:{here.ports['certificate']}"
    with tempfile.TemporaryDirectory() as name:
        own, port = Path(name) / "certificate.socket", free_port()
        binds = (f"unix:{own}", f"127.0.0.1:{port}")
        with _gunicorn(_settings(here, None), "certificate_app", *binds):
            assert _first_answer(own, host, headers) == 403
            assert _over_tcp(port, host, headers) == 403
