"""One scene for all tests of a worker process: building it takes longer than a run on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.scene import Scene, scene_in_a_directory


@pytest.fixture(scope="session")
def scene() -> Iterator[Scene]:
    with scene_in_a_directory() as made:
        yield made
