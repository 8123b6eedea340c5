"""Bring a database to the newest revision, and tell whether it is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, select

import reset
from reset.db.engine import make_engine, refusals

# any number of our own: nodes that start together upgrade one after the other
_UPGRADE_LOCK = 0x7265736574


def upgrade(url: str, revision: str = "head") -> None:
    """Upgrade to ``revision`` in one transaction, or change nothing.

    Raises ``Unavailable``, ``SettingsRefused``.
    """
    _run(url, lambda config: command.upgrade(config, revision))


def downgrade(url: str, revision: str) -> None:
    """Go back to ``revision`` in one transaction; ``base`` empties the database.

    Raises ``Unavailable``, ``SettingsRefused``.
    """
    _run(url, lambda config: command.downgrade(config, revision))


def current_is_head(url: str) -> bool:
    """Whether the database is at the newest revision.

    Raises ``Unavailable``, ``SettingsRefused``.
    """
    engine = make_engine(url)
    try:
        with refusals(), engine.execution_options(writing=False).begin() as connection:
            current = MigrationContext.configure(connection).get_current_heads()
    finally:
        engine.dispose()
    return set(current) == set(ScriptDirectory.from_config(_config()).get_heads())


def _run(url: str, action: Callable[[Config], None]) -> None:
    engine = make_engine(url)
    try:
        with refusals(), engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
            config = _config()
            # the connection, not the URL: a password with % never meets the configuration's syntax
            config.attributes["connection"] = connection
            action(config)
    finally:
        engine.dispose()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_directory()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _directory() -> Path:
    """The migrations: inside the installed package, or beside it in a checkout."""
    package = Path(reset.__file__).parent
    places = (package / "migrations", package.parent / "migrations")
    for place in places:
        if (place / "env.py").is_file():
            return place
    raise RuntimeError("the migrations are not installed")
