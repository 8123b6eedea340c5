"""Servers of test processes side by side never meet at one port."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.institution import ports
from tests.institution.ports import free_port

ASK = "import sys; from tests.institution.ports import *; "
ASK += "print(*[free_port() for _ in range(300)], flush=True); sys.stdin.read()"


def test_processes_that_ask_at_once_are_given_different_ports() -> None:
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    given = [port for one in asking if one.stdout for port in one.stdout.readline().split()]
    for one in asking:
        one.communicate()
    assert len(given) == len(set(given)) == 4 * 300


def test_no_outgoing_connection_takes_one() -> None:
    file = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest, highest = map(int, file.read_text().split())
    all_are_the_kernels = lowest <= 10_000 and highest >= 64_999
    assert all_are_the_kernels or not lowest <= free_port() <= highest


def test_a_port_in_use_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()  # ours: nobody takes it at the end
    monkeypatch.setattr(ports, "_given", set())
    with socket.create_server(("127.0.0.1", port)):
        monkeypatch.setattr(ports, "_candidates", lambda: range(port, port + 1))
        with pytest.raises(RuntimeError, match="no free port"):
            free_port()
    assert free_port() == port
