"""argon2id: the right function, bounded work, no setting but the allow-listed ones."""

from __future__ import annotations

import multiprocessing
import threading
import time
from pathlib import Path

import pytest
from argon2.low_level import Type, hash_secret_raw

from reset.adapters.hasher_argon2 import NEWEST, Argon2Hasher, Slots
from reset.errors import Busy, Unavailable

SALT = b"s" * 16


def test_it_is_argon2id_with_the_named_cost(tmp_path: Path) -> None:
    """t=2, m=19 MiB, p=1, 32 bytes (ASVS 11.4.2)."""
    hasher = Argon2Hasher(Slots(tmp_path / "slots"))
    assert hasher.parameters == NEWEST
    expected = hash_secret_raw(b"word", SALT, 2, 19_456, 1, 32, Type.ID)
    assert hasher.tag("word", SALT, NEWEST) == expected


@pytest.mark.parametrize("name", ["argon2id-1-8-1", "argon2id-2-2097152-1", "", "$argon2id$"])
def test_a_changed_row_cannot_choose_the_cost(tmp_path: Path, name: str) -> None:
    """Neither a downgrade nor a memory bomb is ever computed."""
    with pytest.raises(Unavailable):
        Argon2Hasher(Slots(tmp_path / "slots")).tag("word", SALT, name)


def _hold(directory: Path, seconds: float, holding: object) -> None:
    with Slots(directory, 1).slot():
        holding.set()  # type: ignore[attr-defined]
        time.sleep(seconds)


def test_slots_are_shared_by_processes(tmp_path: Path) -> None:
    """While another process holds the only slot, nobody hashes; afterwards it goes on."""
    spawn = multiprocessing.get_context("spawn")
    holding = spawn.Event()
    other = spawn.Process(target=_hold, args=(tmp_path / "slots", 30.0, holding))
    other.start()
    try:
        assert holding.wait(30)
        with pytest.raises(Busy) as refused, Slots(tmp_path / "slots", 1).slot():
            pass
        assert refused.value.data["retry_after"] > 0  # type: ignore[operator]
    finally:
        other.kill()
        other.join()
    with Slots(tmp_path / "slots", 1).slot():
        pass


def test_a_full_queue_is_told_at_once(tmp_path: Path) -> None:
    """The queue is short: who does not fit is not kept waiting (T34: no pile of threads)."""
    slots, release = Slots(tmp_path / "slots", 1), threading.Event()
    outcomes: list[str] = []

    def take() -> None:
        try:
            with slots.slot():
                release.wait(30)
            outcomes.append("held")
        except Busy:
            outcomes.append("busy")

    threads = [threading.Thread(target=take) for _ in range(40)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    while outcomes.count("busy") < 39 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert outcomes.count("busy") == 39
    release.set()
    for thread in threads:
        thread.join()
    assert outcomes.count("held") == 1
