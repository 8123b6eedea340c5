"""A world per test on a copy of one migrated database."""

from __future__ import annotations

from pathlib import Path

import pytest

from reset.db import migrate
from tests.web.world import World, make_world


@pytest.fixture(scope="session")
def database_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("web") / "template.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="module")
def shared(database_template: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """One world for all tests of a module that leave no trace in it."""
    return make_world(database_template, tmp_path_factory.mktemp("shared"))


@pytest.fixture
def world(database_template: Path, tmp_path: Path) -> World:
    """Both sites, five people with a token each, nobody enrolled."""
    return make_world(database_template, tmp_path)
