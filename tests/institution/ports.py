"""Ports that stay free until a server of ours listens there, and while it is restarted.

A port that the kernel chose may be given away again before the server binds it: to an outgoing
connection, or to another test process that asks. So ours lie outside the kernel's own range, and
each is locked for the life of the process that asked, against all processes of the same user.
Where the kernel's range leaves none, the lock has to do.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from functools import cache
from pathlib import Path

_CHOSEN_BY_THE_KERNEL = Path("/proc/sys/net/ipv4/ip_local_port_range")  # ip(7)
_LOWEST = 10_000  # below lie the ports of services that people run
_HIGHEST = 65_000
_given: set[int] = set()  # a process is never refused a lock that it has itself


def free_port() -> int:
    """A free loopback port that nobody else is given. Raises as ``free_ports_in_row``."""
    return free_ports_in_row(1)


def free_ports(*names: str) -> dict[str, int]:
    """A free loopback port for each name. Raises as ``free_ports_in_row``."""
    return {name: free_port() for name in names}


def free_ports_in_row(count: int) -> int:
    """The first of ``count`` neighbouring free ports. Raises ``RuntimeError``: there are none."""
    ports = _candidates()
    starts = range(0, len(ports) - count + 1, count)
    for start in random.sample(starts, len(starts)):
        row = ports[start : start + count]
        if all(map(_take, row)):
            return row[0]
    raise RuntimeError("no free port: end the servers that an earlier run left behind")


def _candidates() -> range:
    lowest, highest = map(int, _CHOSEN_BY_THE_KERNEL.read_text().split())
    below, above = range(_LOWEST, lowest), range(highest + 1, _HIGHEST)
    return max(below, above, key=len) or range(_LOWEST, _HIGHEST)


def _take(port: int) -> bool:
    if port in _given:
        return False
    try:
        fcntl.lockf(_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)  # the port's own byte
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    _given.add(port)
    return True


@cache
def _locks() -> int:
    """A file that is never closed: closing it would give all locks back, fcntl(2)."""
    path = Path(tempfile.gettempdir()) / f"token-reset-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
