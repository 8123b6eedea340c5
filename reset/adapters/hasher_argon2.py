"""argon2id (RFC 9106) behind node-wide slots.

More hashes at once than cores only add latency and memory, so every hash takes a slot: a lock file
that all processes of the node share. The queue is short; who cannot get a slot in time is told to
come back (``Busy``).
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from argon2.low_level import Type, hash_secret_raw

from reset.errors import Busy, Unavailable

# name → (time cost, memory KiB, lanes); a stored name outside this table is never used
SETTINGS = {"argon2id-2-19456-1": (2, 19_456, 1)}
NEWEST = "argon2id-2-19456-1"
WAIT = 2.0  # seconds in the queue
QUEUE = 16  # waiting threads of one process


class Slots:
    """``count`` slots, one lock file each, in ``directory``."""

    def __init__(self, directory: Path, count: int | None = None) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._paths = [directory / f"slot-{n}" for n in range(count or os.cpu_count() or 1)]
        self._queue = threading.BoundedSemaphore(QUEUE + len(self._paths))

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one slot. Raises ``Busy`` when the queue is full or the wait too long."""
        if not self._queue.acquire(blocking=False):
            raise Busy(retry_after=int(WAIT) + 1)
        try:
            handle = self._take(time.monotonic() + WAIT)
            try:
                yield
            finally:
                os.close(handle)  # closing drops the lock
        finally:
            self._queue.release()

    def _take(self, deadline: float) -> int:
        while True:
            for path in self._paths:
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(handle)
                else:
                    return handle
            if time.monotonic() >= deadline:
                raise Busy(retry_after=int(WAIT) + 1)
            time.sleep(0.005)


class Argon2Hasher:
    """The Hasher port."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    @property
    def parameters(self) -> str:
        """The name of the setting for new hashes."""
        return NEWEST

    def tag(self, text: str, salt: bytes, parameters: str) -> bytes:
        """32 bytes of argon2id over ``text``.

        Raises ``Busy``; ``Unavailable`` for a setting outside the allow-list: a changed row may
        neither weaken a hash nor make it eat the memory of the node.
        """
        if parameters not in SETTINGS:
            raise Unavailable(part="hash-parameters")
        time_cost, memory, lanes = SETTINGS[parameters]
        with self._slots.slot():
            return hash_secret_raw(text.encode(), salt, time_cost, memory, lanes, 32, Type.ID)
