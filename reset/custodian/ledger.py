"""The custodian's own memory: a small SQLite file that no web process and no DBA can undo.

Rules (design section 5; rotation rules R2, R3):

1. The file is the custodian's alone: mode 0600 in a 0700 directory of its own user.
2. A transaction is BEGIN IMMEDIATE with synchronous=FULL: what ``write`` returned from is durable.
3. ``sealed`` and ``releases`` only grow; the file itself refuses to change or delete a sealed SO
   PIN, and to open a closed approval again.
4. One approval statement belongs to one operation, and one operation to one statement.
5. An older schema is brought up in one transaction at the start; an unknown one is refused, never
   migrated by guessing.

SO PINs stand here sealed only. A failing file is ``Unavailable(part="ledger")``: nothing is
released that is not written down.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from reset.errors import SettingsRefused, Unavailable

SCHEMA = 3
# operations that are closed and set nothing on their token
_WITHDRAWN = """
CREATE TABLE withdrawn (operation_id TEXT PRIMARY KEY REFERENCES approvals (operation_id));
CREATE TRIGGER withdrawal_is_kept BEFORE DELETE ON withdrawn
    BEGIN SELECT RAISE(ABORT, 'append only'); END;
"""
_TABLES = f"""
CREATE TABLE schema (version INTEGER NOT NULL);
CREATE TABLE import_key (id INTEGER PRIMARY KEY CHECK (id = 1), sealed BLOB NOT NULL);
CREATE TABLE sealed (
    id INTEGER PRIMARY KEY, serial TEXT NOT NULL, version INTEGER NOT NULL, sealed BLOB NOT NULL,
    stored_at INTEGER NOT NULL, UNIQUE (serial, version, sealed));
CREATE TABLE approvals (
    statement BLOB PRIMARY KEY CHECK (length(statement) = 32),
    operation_id TEXT NOT NULL UNIQUE, serial TEXT NOT NULL,
    active_version INTEGER NOT NULL, pending_version INTEGER NOT NULL, first_at INTEGER NOT NULL,
    releases INTEGER NOT NULL, closed INTEGER NOT NULL DEFAULT 0 CHECK (closed IN (0, 1)));
CREATE TABLE epochs (
    operation_id TEXT PRIMARY KEY REFERENCES approvals (operation_id),
    epoch INTEGER NOT NULL, fingerprint BLOB NOT NULL);
CREATE TABLE releases (at INTEGER NOT NULL);
CREATE INDEX releases_at ON releases (at);
CREATE TABLE tries (
    serial TEXT PRIMARY KEY, spent INTEGER NOT NULL CHECK (spent >= 0),
    worked INTEGER NOT NULL DEFAULT 0 CHECK (worked IN (0, 1)));
CREATE TABLE holders (
    serial TEXT PRIMARY KEY, uid TEXT NOT NULL, family TEXT NOT NULL DEFAULT 'etoken');
CREATE TABLE corrected (
    serial TEXT NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (serial, version));
CREATE TABLE guesses (serial TEXT PRIMARY KEY, spent INTEGER NOT NULL);
CREATE TABLE checkpoints (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL);
CREATE TRIGGER sealed_stays BEFORE UPDATE ON sealed
    BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER sealed_is_kept BEFORE DELETE ON sealed
    BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER holder_stays BEFORE UPDATE ON holders
    BEGIN SELECT RAISE(ABORT, 'write once'); END;
CREATE TRIGGER holder_is_kept BEFORE DELETE ON holders
    BEGIN SELECT RAISE(ABORT, 'write once'); END;
CREATE TRIGGER correction_is_kept BEFORE DELETE ON corrected
    BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER approval_is_kept BEFORE DELETE ON approvals
    BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER approval_stays_closed BEFORE UPDATE ON approvals WHEN OLD.closed AND NOT NEW.closed
    BEGIN SELECT RAISE(ABORT, 'closed'); END;
{_WITHDRAWN}"""
_UPGRADES = {
    # schema 1 knew one form of SO PIN, that of the family etoken
    1: """
ALTER TABLE holders ADD COLUMN family TEXT NOT NULL DEFAULT 'etoken';
ALTER TABLE tries ADD COLUMN worked INTEGER NOT NULL DEFAULT 0 CHECK (worked IN (0, 1));
""",
    2: _WITHDRAWN,
}


@dataclass(frozen=True)
class Bound:
    """What a token was bound to when it was first stored."""

    holder_uid: str
    family: str


@dataclass(frozen=True)
class Use:
    """What became of one approval. ``statement``: SHA-256; ``first_at``: seconds since 1970;
    ``closed``: 0 or 1; ``epoch`` and ``fingerprint`` of the newest order."""

    statement: bytes
    operation_id: str
    serial: str
    active_version: int
    pending_version: int
    first_at: int
    releases: int
    closed: int
    epoch: int
    fingerprint: bytes


_USE = (
    "SELECT a.statement, a.operation_id, a.serial, a.active_version, a.pending_version,"
    " a.first_at, a.releases, a.closed, e.epoch, e.fingerprint"
    " FROM approvals a JOIN epochs e USING (operation_id) WHERE "
)


class Ledger:
    """The open file. Its methods are called inside ``write``; one process, one thread."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises ``SettingsRefused`` when others can reach it or its schema is unknown, and
        ``Unavailable``.
        """
        _check_private(path)
        with _failing_closed():
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                self._db.execute(f"PRAGMA {pragma}")
        with self.write():
            self._prepare(path)

    def _prepare(self, path: Path) -> None:
        if not self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
            # executescript would commit first
            for statement in _statements(_TABLES):
                self._db.execute(statement)
            self._db.execute("INSERT INTO schema VALUES (?)", (SCHEMA,))
            return
        try:
            found = self._db.execute("SELECT version FROM schema").fetchall()
        except sqlite3.OperationalError:
            found = []
        version = found[0][0] if len(found) == 1 else None
        while version in _UPGRADES:
            for statement in _statements(_UPGRADES[version]):
                self._db.execute(statement)
            version += 1
            self._db.execute("UPDATE schema SET version = ?", (version,))
        if version != SCHEMA:
            raise SettingsRefused(problems=[f"{path}: not a ledger of schema {SCHEMA} or before"])

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def write(self) -> Iterator[None]:
        """A transaction: committed and on disk when the block ends, rolled back if it raises.

        Raises ``Unavailable``.
        """
        with _failing_closed():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    # --- keys and sealed SO PINs --------------------------------------------------------
    def import_key(self) -> bytes | None:
        """The sealed private import key."""
        return self._blob("SELECT sealed FROM import_key", ())

    def set_import_key(self, sealed: bytes) -> None:
        """Keep the import key; there is one for ever."""
        self._db.execute("INSERT INTO import_key VALUES (1, ?)", (sealed,))

    def sealed(self, serial: str, version: int) -> bytes | None:
        """The newest sealed form of an SO PIN."""
        return self._blob(
            "SELECT sealed FROM sealed WHERE serial = ? AND version = ? ORDER BY id DESC LIMIT 1",
            (serial, version),
        )

    def add_sealed(self, serial: str, version: int, sealed: bytes, at: int) -> None:
        """Append to the journal."""
        self._db.execute(
            "INSERT INTO sealed (serial, version, sealed, stored_at) VALUES (?, ?, ?, ?)",
            (serial, version, sealed, at),
        )

    def every_sealed(self, serial: str) -> tuple[tuple[int, bytes], ...]:
        """Each version of a token's SO PIN in its newest form, by version."""
        rows = self._db.execute(
            "SELECT version, sealed FROM sealed WHERE serial = ? ORDER BY id", (serial,)
        )
        return tuple(sorted(dict(rows.fetchall()).items()))

    def newest_version(self, serial: str) -> int:
        """The highest version in the journal, 0 for an unknown serial."""
        query = "SELECT coalesce(max(version), 0) FROM sealed WHERE serial = ?"
        return self._number(query, serial)

    def has_sealed(self, serial: str, version: int, sealed: bytes) -> bool:
        """Whether the journal has exactly this."""
        query = "SELECT count(*) FROM sealed WHERE serial = ? AND version = ? AND sealed = ?"
        return self._number(query, serial, version, sealed) > 0

    def mark_corrected(self, serial: str, version: int) -> None:
        """This version came from outside: it is never the one that a reset sets."""
        self._db.execute("INSERT INTO corrected VALUES (?, ?)", (serial, version))

    def is_corrected(self, serial: str, version: int) -> bool:
        """Whether this version came from outside after the first."""
        query = "SELECT count(*) FROM corrected WHERE serial = ? AND version = ?"
        return self._number(query, serial, version) > 0

    def bind(self, serial: str, to: Bound) -> None:
        """Bind a token, once for ever."""
        self._db.execute(
            "INSERT INTO holders (serial, uid, family) VALUES (?, ?, ?)",
            (serial, to.holder_uid, to.family),
        )

    def bound(self, serial: str) -> Bound | None:
        """What the token is bound to."""
        row = self._db.execute(
            "SELECT uid, family FROM holders WHERE serial = ?", (serial,)
        ).fetchone()
        return None if row is None else Bound(*row)

    def count_guess(self, serial: str, limit: int) -> bool:
        """Count a comparison with the stored SO PIN; False beyond ``limit``."""
        self._db.execute("INSERT OR IGNORE INTO guesses VALUES (?, 0)", (serial,))
        changed = self._db.execute(
            "UPDATE guesses SET spent = spent + 1 WHERE serial = ? AND spent < ?", (serial, limit)
        )
        return changed.rowcount == 1

    # --- releases -----------------------------------------------------------------------
    def use_of_statement(self, digest: bytes) -> Use | None:
        """The use of the approval with this statement digest."""
        return self._use("a.statement = ?", digest)

    def use_of_operation(self, operation_id: str) -> Use | None:
        """The use of the approval by this operation."""
        return self._use("a.operation_id = ?", operation_id)

    def standing(self, serial: str) -> tuple[int, bool]:
        """The version that the last proven operation of a token put in force (0 without one), and
        whether an operation of it is open."""
        row = self._db.execute(
            "SELECT coalesce(max(CASE WHEN closed AND operation_id NOT IN"
            " (SELECT operation_id FROM withdrawn) THEN pending_version END), 0),"
            " coalesce(max(NOT closed), 0) FROM approvals WHERE serial = ?",
            (serial,),
        ).fetchone()
        return int(row[0]), bool(row[1])

    def is_released(self, serial: str) -> bool:
        """Whether an order for this token was ever made."""
        return self._number("SELECT count(*) FROM approvals WHERE serial = ?", serial) > 0

    def record_use(self, use: Use) -> None:
        """Write down an order: the first of an approval, or one with a higher epoch."""
        self._db.execute(
            "INSERT INTO approvals VALUES (?, ?, ?, ?, ?, ?, ?, 0)"
            " ON CONFLICT (statement) DO UPDATE SET releases = excluded.releases",
            (
                *(use.statement, use.operation_id, use.serial, use.active_version),
                *(use.pending_version, use.first_at, use.releases),
            ),
        )
        self._db.execute(
            "INSERT INTO epochs VALUES (?, ?, ?) ON CONFLICT (operation_id) DO UPDATE"
            " SET epoch = excluded.epoch, fingerprint = excluded.fingerprint"
            " WHERE excluded.epoch > epoch",
            (use.operation_id, use.epoch, use.fingerprint),
        )

    def close_operation(self, operation_id: str) -> None:
        """Nothing is released for it any more."""
        self._db.execute("UPDATE approvals SET closed = 1 WHERE operation_id = ?", (operation_id,))

    def withdraw_operation(self, operation_id: str) -> None:
        """Nothing is released for it any more, and it put nothing in force."""
        self._db.execute("INSERT INTO withdrawn VALUES (?)", (operation_id,))
        self.close_operation(operation_id)

    def add_release(self, at: int) -> None:
        """Count one release."""
        self._db.execute("INSERT INTO releases VALUES (?)", (at,))

    def releases_since(self, at: int) -> int:
        """How many releases came after ``at``."""
        return self._number("SELECT count(*) FROM releases WHERE at > ?", at)

    def debit(self, serial: str, candidates: int, limit: int) -> bool:
        """Spend a token's SO tries for so many SO PINs; False when that would pass ``limit``.

        One try less for a token with which a login ever worked: then one of the SO PINs is right.
        """
        self._db.execute("INSERT OR IGNORE INTO tries (serial, spent) VALUES (?, 0)", (serial,))
        changed = self._db.execute(
            "UPDATE tries SET spent = spent + ? - worked WHERE serial = ?"
            " AND spent + ? - worked <= ?",
            (candidates, serial, candidates, limit),
        )
        return changed.rowcount == 1

    def zero_tries(self, serial: str) -> None:
        """A login with the SO PIN worked: the token's own counter is zero (S1.25)."""
        self._db.execute("UPDATE tries SET spent = 0, worked = 1 WHERE serial = ?", (serial,))

    # --- checkpoints and numbers --------------------------------------------------------
    def checkpoint(self, origin: str) -> tuple[int, bytes] | None:
        """Size and root of the last checkpoint signed for this log."""
        row = self._db.execute(
            "SELECT size, root FROM checkpoints WHERE origin = ?", (origin,)
        ).fetchone()
        return None if row is None else (row[0], row[1])

    def put_checkpoint(self, origin: str, size: int, root: bytes) -> None:
        """Remember a checkpoint."""
        self._db.execute("REPLACE INTO checkpoints VALUES (?, ?, ?)", (origin, size, root))

    def counts(self) -> dict[str, int]:
        """Sealed SO PINs and approvals that are not closed."""
        return {
            "sealed": self._number("SELECT count(*) FROM sealed"),
            "open-operations": self._number("SELECT count(*) FROM approvals WHERE closed = 0"),
        }

    def _number(self, query: str, *values: object) -> int:
        return int(self._db.execute(query, values).fetchone()[0])

    def _blob(self, query: str, values: tuple[object, ...]) -> bytes | None:
        row = self._db.execute(query, values).fetchone()
        return None if row is None else bytes(row[0])

    def _use(self, where: str, value: object) -> Use | None:
        row = self._db.execute(_USE + where, (value,)).fetchone()
        return None if row is None else Use(*row)


@contextmanager
def _failing_closed() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        # an error of the module itself has no name of SQLite's
        why = getattr(error, "sqlite_errorname", type(error).__name__)
        raise Unavailable(part="ledger", why=why) from None


def _statements(script: str) -> Iterator[str]:
    piece = ""
    for line in script.splitlines():
        piece += line + "\n"
        if sqlite3.complete_statement(piece):
            yield piece
            piece = ""


def _check_private(path: Path) -> None:
    """Make the file if it is missing; refuse one that others can read or write.

    One that is there is not opened: closing it would end SQLite's locks of this process (fcntl(2)).
    """
    try:
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        for place, wanted in ((path.parent, "0700"), (path, "0600")):
            seen = os.lstat(place)
            if stat.S_IMODE(seen.st_mode) & 0o077 or seen.st_uid != os.geteuid():
                raise SettingsRefused(problems=[f"{place}: must be yours alone, mode {wanted}"])
    except OSError as error:
        raise SettingsRefused(problems=[f"{path}: {error.strerror}"]) from None
