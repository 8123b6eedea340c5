"""The Directory port's contract, on the local directory. Another adapter joins ``directory``."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reset.adapters.directory_local import LocalDirectory
from reset.adapters.hasher_argon2 import Argon2Hasher, Slots
from reset.adapters.system import SystemClock
from reset.core.identities import Person
from reset.db import migrate
from reset.db.store import SqlStore
from reset.errors import BadInput
from reset.ports import Directory

PASSWORD = "correct horse 7 ÄÖ"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    """Ada (active) and Bob (gone)."""
    url = f"sqlite:///{tmp_path}/people.sqlite"
    migrate.upgrade(url)
    store = SqlStore(url, SystemClock())
    made = LocalDirectory(store, Argon2Hasher(Slots(tmp_path / "slots")))
    word = made.hash_password(PASSWORD)
    with store.write() as uow:
        uow.people.put(Person("1", "ada", "Ada Alpha", "ada@i.example", "2"), word)
        uow.people.put(Person("2", "bob", "Bob Beta", "bob@i.example", active=False), word)
    yield made
    store.close()


def test_the_right_password(directory: Directory) -> None:
    """The person comes back; the login name is compared in its normal form."""
    for pid in ("ada", "ADA", " ada "):
        person = directory.check_password(pid, PASSWORD)
        assert person is not None
        assert person.uid == "1"


@pytest.mark.parametrize("password", ["", " ", PASSWORD + " ", PASSWORD.lower(), PASSWORD[:-1]])
def test_any_other_password(directory: Directory, password: str) -> None:
    """The password is never normalised (ASVS 6.2.8), and an empty one is never right."""
    assert directory.check_password("ada", password) is None


@pytest.mark.parametrize("pid", ["nobody", "bob", "*", "a%", "' or 1=1 --", "ada)(uid=*"])
def test_unknown_gone_and_hostile_names(directory: Directory, pid: str) -> None:
    """None of them logs in or is found (peer failures 10, 24)."""
    assert directory.check_password(pid, PASSWORD) is None
    assert directory.by_pid(pid) is None
    assert directory.by_uid(pid) is None


def test_a_name_with_nul(directory: Directory) -> None:
    """It finds nobody, whatever the database thinks of it."""
    assert directory.check_password("\0", PASSWORD) is None
    with pytest.raises(BadInput):
        directory.by_uid("\0")


def test_unknown_names_cost_the_same_work(directory: Directory) -> None:
    """The medians differ by less than a quarter (T34)."""

    def median(pid: str) -> float:
        times = []
        for _ in range(9):
            begun = time.process_time()
            directory.check_password(pid, "wrong")
            times.append(time.process_time() - begun)
        return statistics.median(times)

    known, unknown = median("ada"), median("nobody")
    assert 0.75 < known / unknown < 1.33, (known, unknown)


def test_search(directory: Directory) -> None:
    """By parts of name, login, mail and UID; signs of patterns are plain letters."""
    assert [p.uid for p in directory.search("alph")] == ["1"]
    assert directory.search("%") == []
