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
CREATE TABLE tries (serial TEXT PRIMARY KEY, spent INTEGER NOT NULL CHECK (spent >= 0));
CREATE TABLE holders (serial TEXT PRIMARY KEY, uid TEXT NOT NULL);
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
INSERT INTO schema VALUES (1);
