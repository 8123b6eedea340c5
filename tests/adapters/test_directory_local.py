"""The local directory's own promise; the common ones are in ``test_directory_contract``."""

from __future__ import annotations

import time
from pathlib import Path

from reset.adapters.directory_local import LocalDirectory
from reset.adapters.hasher_argon2 import Argon2Hasher, Slots
from reset.core.identities import Person
from reset.db.store import SqlStore


def test_unknown_names_cost_the_same_work(store: SqlStore, tmp_path: Path) -> None:
    """The times differ by less than a quarter (T34).

    Asked in turn, each at its best: what else the machine does meets both.
    """
    directory = LocalDirectory(store, Argon2Hasher(Slots(tmp_path / "slots")))
    with store.write() as uow:
        ada = Person("1", "ada", "Ada Alpha", "ada@i.example", "2")
        uow.people.put(ada, directory.hash_password("correct horse 7"))

    def cost(pid: str) -> float:
        begun = time.process_time()
        directory.check_password(pid, "wrong")
        return time.process_time() - begun

    known, unknown = map(min, zip(*((cost("ada"), cost("nobody")) for _ in range(15)), strict=True))
    assert 0.75 < known / unknown < 1.33, (known, unknown)
