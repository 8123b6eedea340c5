"""A real disk that becomes full at any page of what a reset writes: database and ledger."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from reset.errors import Unavailable
from tests.flows.stage import Stage
from tests.flows.world import Institute, Memo, Place
from tests.institution.disk import SmallDisk

STEP = 3  # pages
MOST = 300


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    (tmp_path / "disk").mkdir()
    with SmallDisk(tmp_path / "disk") as made:
        yield made


def test_the_disk_is_full_from_any_page_on(
    institute: Institute, memo: Memo, seeded: Place, tmp_path: Path, disk: SmallDisk
) -> None:
    """Refused with nothing half done; with room again the same helper or a new process goes on."""
    stage = Stage.of(institute, memo, seeded.copy(tmp_path / "ready"), disk.directory)
    refused: Counter[str] = Counter()
    points = set()
    for room in range(0, MOST, STEP):
        play = stage.play()
        helper = play.helper()
        disk.fill(room)
        whole = True
        try:
            helper.run()
        except Unavailable as error:
            whole = False
            refused["{part} {why}".format_map(error.data)] += 1
            points.add(len(play.world.faults.trace))
        play.holds()
        disk.free()
        if room % 2:
            play.restart()
            helper.world = play.world
        assert helper.run().state == "done"
        play.check()
        shutil.rmtree(play.world.place.directory)
        if whole:
            break
    else:
        raise AssertionError(f"not whole with {MOST} pages")
    print(f"\nfull {refused.total()} times, at {len(points)} points: {dict(refused)}")
    assert set(refused) == {"database SQLITE_FULL", "ledger SQLITE_FULL"}
    assert len(points) >= 6
