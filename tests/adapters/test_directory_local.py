"""The local directory's own promise; the common ones are in ``test_directory_contract``."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from reset.adapters.directory_local import LocalDirectory
from reset.adapters.hasher_argon2 import Argon2Hasher, Slots
from reset.core.identities import Person
from reset.db.store import SqlStore


def test_unknown_names_cost_the_same_work(store: SqlStore, tmp_path: Path) -> None:
    """The medians differ by less than a quarter (T34)."""
    directory = LocalDirectory(store, Argon2Hasher(Slots(tmp_path / "slots")))
    with store.write() as uow:
        ada = Person("1", "ada", "Ada Alpha", "ada@i.example", "2")
        uow.people.put(ada, directory.hash_password("correct horse 7"))

    def median(pid: str) -> float:
        times = []
        for _ in range(9):
            begun = time.process_time()
            directory.check_password(pid, "wrong")
            times.append(time.process_time() - begun)
        return statistics.median(times)

    known, unknown = median("ada"), median("nobody")
    assert 0.75 < known / unknown < 1.33, (known, unknown)
