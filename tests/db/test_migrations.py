"""Migrations: the models match the head, every revision goes up and down, rows survive."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from cryptography import x509
from sqlalchemy import Connection, Engine, inspect, text

import reset
from pkcs11_driver import wire
from reset import ports
from reset.core import (
    approvals,
    assurance,
    audit,
    authenticator,
    checkpoints,
    codes,
    custody,
    identities,
    profile,
)
from reset.core import requests as core_requests
from reset.core import tokens as core_tokens
from reset.db import migrate, tables
from reset.db.engine import make_engine
from reset.db.store import SqlStore
from tests.db.examples import MAIL, NOW, OPERATION, PROFILE, TOKEN, Watch, lay_ground
from tests.institution.authority import Authority, software_key

REVISIONS = [r.revision for r in ScriptDirectory.from_config(migrate._config()).walk_revisions()]


@pytest.fixture
def bare(bare_url: str) -> Iterator[Engine]:
    """A database without tables."""
    engine = make_engine(bare_url)
    yield engine
    engine.dispose()


def _statement_parts(sql: str) -> list[str]:
    """The parts of a CREATE statement: constraints move about, added columns come last."""
    head, _, body = sql.partition("(")
    parts, depth = [""], 0
    for c in body.rpartition(")")[0]:
        depth += (c == "(") - (c == ")")
        if c == "," and not depth:
            parts.append("")
        else:
            parts[-1] += c
    return [" ".join(part.replace('"', "").split()) for part in (head, *parts)]


def _shape(connection: Connection) -> dict[str, object]:
    """Everything that the database itself says about its tables."""
    if connection.dialect.name == "sqlite":
        rows = connection.execute(
            text("SELECT name, sql FROM sqlite_master WHERE sql NOT LIKE '%alembic_version%'")
        )
        return {name: sorted(_statement_parts(sql)) for name, sql in rows}
    found: dict[str, object] = {}
    for query in (
        "SELECT conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) "
        "FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT table_name || '.' || column_name, concat_ws(' ', data_type, is_nullable, "
        "is_identity) FROM information_schema.columns WHERE table_schema = 'public'",
    ):
        found |= {name: shape for name, shape in connection.execute(text(query))}
    return {name: shape for name, shape in found.items() if "alembic_version" not in name}


def test_models_match_the_head(database: Engine) -> None:
    with database.begin() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, tables.metadata) == []


def test_head_and_models_make_the_same_constraints_and_indexes(bare_url: str, bare: Engine) -> None:
    migrate.upgrade(bare_url)
    with bare.begin() as connection:
        by_migrations = _shape(connection)
    migrate.downgrade(bare_url, "base")
    with bare.begin() as connection:
        tables.metadata.create_all(connection)
        assert _shape(connection) == by_migrations
    assert len(by_migrations) > 30


def test_every_field_of_the_core_has_a_column() -> None:
    kept = {
        approvals.Approval: tables.approvals,
        approvals.Delegation: tables.delegations,
        assurance.Proof: tables.proofs,
        audit.Entry: tables.audit_entries,
        authenticator.Authenticator: tables.authenticators,
        checkpoints.SignedCheckpoint: tables.checkpoints,
        codes.MailCode: tables.mail_codes,
        custody.Operation: tables.operations,
        identities.IdentityCheck: tables.identity_checks,
        identities.Person: tables.people,
        profile.Draw: tables.draws,
        profile.StoredAnswer: tables.answers,
        core_requests.Request: tables.requests,
        core_tokens.Job: tables.jobs,
        core_tokens.Token: tables.tokens,
        ports.Mail: tables.outbox,
        ports.Session: tables.sessions,
    }
    for kind, table in kept.items():
        assert {f.name for f in fields(kind)} <= set(table.columns.keys()), kind
    assert {f.name for f in fields(profile.Profile)} == {"answers", *tables.profiles.columns.keys()}


def test_no_table_refers_to_people() -> None:
    targets = {
        key.column.table.name for table in tables.metadata.tables.values()
        for key in table.foreign_keys
    }  # fmt: skip
    assert targets == {"requests", "approvals", "jobs", "profiles"}


def test_up_down_up(bare_url: str, bare: Engine) -> None:
    assert not migrate.current_is_head(bare_url)
    migrate.upgrade(bare_url)
    assert migrate.current_is_head(bare_url)
    migrate.downgrade(bare_url, "base")
    assert not migrate.current_is_head(bare_url)
    assert inspect(bare).get_table_names() == ["alembic_version"]
    migrate.upgrade(bare_url)
    assert migrate.current_is_head(bare_url)


@pytest.mark.parametrize("revision", REVISIONS)
def test_rows_survive_an_upgrade_from_every_revision(bare_url: str, revision: str) -> None:
    migrate.upgrade(bare_url)
    store = SqlStore(bare_url, Watch())
    with store.write() as uow:
        uow.tokens.put(TOKEN)
        uow.profiles.put(PROFILE)
        uow.escrow.add("T1", 1, b"sealed")
        lay_ground(uow)
        uow.audit.append("login", "u1", {})
    migrate.downgrade(bare_url, revision)
    migrate.upgrade(bare_url)
    with store.read() as uow:
        assert uow.tokens.every() == [TOKEN]
        assert uow.profiles.get("u1") == PROFILE
        assert list(uow.escrow.every()) == [("T1", 1, b"sealed")]
        assert uow.approvals.of_request("r1") is not None
        assert audit.verify(uow.audit.entries(), uow.audit.head()) == 1
    store.close()


def test_the_end_of_certificates_that_are_there_is_filled_in(
    bare_url: str, bare: Engine, tmp_path: Path
) -> None:
    """Also beside a row that holds no certificate."""
    made = Authority.create(tmp_path / "ca").issue_person(
        uid="u1", name="A", public_key=software_key().public_key()
    )
    migrate.upgrade(bare_url)
    store = SqlStore(bare_url, Watch())
    with store.write() as uow:
        uow.tokens.put(replace(TOKEN, certificate=made))
        uow.tokens.put(replace(TOKEN, serial="T0", certificate=b"none"))
    migrate.downgrade(bare_url, "0003")
    migrate.upgrade(bare_url)
    end = x509.load_der_x509_certificate(made).not_valid_after_utc
    with store.read() as uow:
        assert [e.serial for e in uow.reminders.certificates_ending(NOW, end, NOW, 9)] == ["T1"]
        assert uow.reminders.certificates_ending(end, end.replace(year=9999), NOW, 9) == []
    store.close()


def test_earlier_checks_of_identity_are_read_from_the_audit_log(bare_url: str) -> None:
    migrate.upgrade(bare_url)
    store, ids = SqlStore(bare_url, Watch()), ["driving-licence", "passport"]
    logged = NOW.replace(microsecond=123000)  # as the log has it, in milliseconds
    with store.write() as uow:
        for uid in ("u1", "u2"):
            facts = {"person": uid, "ids": ids}
            uow.audit.append("identity-checked", "u3", facts)
        forged = {"reason": '"event":"identity-checked"'}
        uow.audit.append("denied", "u3", forged)
    migrate.downgrade(bare_url, "0007")
    migrate.upgrade(bare_url)
    with store.read() as uow:
        assert uow.identity_checks.of_person("u1", 9) == [
            identities.IdentityCheck("u1", "u3", tuple(ids), logged)
        ]
        assert len(uow.identity_checks.of_person("u2", 9)) == 1
        assert audit.verify(uow.audit.entries(), uow.audit.head()) == 3
    store.close()


def test_going_down_leaves_no_row_that_the_older_version_could_not_read(
    bare_url: str, bare: Engine
) -> None:
    migrate.upgrade(bare_url)
    store = SqlStore(bare_url, Watch())
    with store.write() as uow:
        uow.profiles.put(replace(PROFILE, second_address="e@f"))
        lay_ground(uow)
        uow.requests.add_proof("r1", assurance.Proof("code-app", NOW))
        uow.requests.add_proof("r1", assurance.Proof("answers", NOW))
        uow.codes.add(codes.MailCode("c1", "u1", "second-address", "u1", "address", NOW))
        uow.codes.add(codes.MailCode("c2", "u1", "address", "u1", "address", NOW))
        for box in ("directory", "second", "second-pending", "former"):
            uow.outbox.add(replace(MAIL, id=box, box=box, code_id=""))
    store.close()
    migrate.downgrade(bare_url, "0003")
    with bare.begin() as connection:
        for column, found in (
            ("SELECT method FROM proofs", ["answers"]),
            ("SELECT purpose FROM mail_codes", ["address"]),
            ("SELECT box FROM outbox", ["directory"]),
            ("SELECT uid FROM profiles", ["u1"]),
        ):
            assert connection.execute(text(column)).scalars().all() == found


def test_a_failed_upgrade_changes_nothing(
    bare_url: str, bare: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("alembic.op.bulk_insert", fail)
    with pytest.raises(ZeroDivisionError):
        migrate.upgrade(bare_url)
    assert inspect(bare).get_table_names() == []


def test_migrations_are_found_in_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "reset"
    (package / "migrations").mkdir(parents=True)
    monkeypatch.setattr(reset, "__file__", str(package / "__init__.py"))
    with pytest.raises(RuntimeError):
        migrate._directory()
    (package / "migrations" / "env.py").touch()
    assert migrate._directory() == package / "migrations"


# --- constraints --------------------------------------------------------------------
ALL_WORDS = [
    ("tokens", "state", get_args(core_tokens.State)),
    ("requests", "state", get_args(core_requests.State)),
    ("operations", "state", get_args(custody.State)),
    ("jobs", "kind", get_args(wire.Kind)),
    ("mail_codes", "purpose", get_args(codes.Purpose)),
    ("proofs", "method", assurance.RECORDED),
]


@pytest.mark.parametrize(("table", "column", "words"), ALL_WORDS, ids=lambda value: str(value)[:12])
def test_words_are_those_of_the_core(
    database: Engine, table: str, column: str, words: tuple[str, ...]
) -> None:
    checks = {c["name"]: c["sqltext"] for c in inspect(database).get_check_constraints(table)}
    assert set(re.findall(r"'([^']+)'", checks[f"ck_{table}_{column}"])) == set(words)


BROKEN = [
    ("ck_requests_state", "UPDATE requests SET state = 'lost'"),
    ("ck_requests_asked", "UPDATE requests SET state = 'ready'"),
    ("ck_requests_asked", "UPDATE requests SET state = 'waiting_for_approval'"),
    ("ck_requests_times", "UPDATE requests SET changed_at = '2001-01-01 00:00:00.000000'"),
    ("ck_approvals_used", "UPDATE approvals SET used_at = '2001-01-01 00:00:00.000000'"),
    ("ck_approvals_signed", "UPDATE approvals SET signature = salt FROM empty"),
    ("ck_jobs_claimed", "UPDATE jobs SET secret_hash = 'x'"),
    ("ck_jobs_claimed", "UPDATE jobs SET claimed_at = created_at"),
    ("ck_jobs_kind", "UPDATE jobs SET kind = 'x'"),
    ("ck_operations_state", "UPDATE operations SET state = 'lost'"),
    ("ck_operations_ordered", "UPDATE operations SET state = 'sent'"),
    ("ck_operations_ordered", "UPDATE operations SET state = 'sent', epoch = 1, job_id = 'j1', "
        "lease_until = '2026-01-01 00:00:00.000000'"),
    ("ck_operations_ordered", "UPDATE operations SET state = 'sent', epoch = 1, nonce = 'n', "
        "lease_until = '2026-01-01 00:00:00.000000'"),
    ("ck_operations_ordered",
        "UPDATE operations SET state = 'unknown', epoch = 1, nonce = 'n', job_id = 'j1'"),
    ("ck_operations_ordered", "UPDATE operations SET state = 'done'"),
    ("ck_operations_intent", "UPDATE operations SET epoch = 1"),
    ("ck_operations_counts", "UPDATE operations SET tries_spent = -1"),
    ("ck_operations_counts", "UPDATE operations SET orders = -1"),
    ("ck_operations_withdrawn", "UPDATE operations SET state = 'withdrawn', orders = 1"),
    ("ck_operations_versions", "UPDATE operations SET pending_version = active_version"),
    ("ck_operations_settled", "UPDATE operations SET settled = (1 = 1)"),
    ("ck_operations_settled", "UPDATE operations SET state = 'office', settled = (1 = 1)"),
    ("fk_operations_job_id", "UPDATE operations SET job_id = 'none'"),
    ("ck_tries_spent", "INSERT INTO tries VALUES ('k', -1)"),
    ("ck_delegations_two_persons", "INSERT INTO delegations VALUES ('d', 'u', 'u', "
        "'2026-01-01 00:00:00.000000', '2026-01-02 00:00:00.000000', NULL)"),
    ("ck_delegations_period", "INSERT INTO delegations VALUES ('d', 'u', 'v', "
        "'2026-01-02 00:00:00.000000', '2026-01-01 00:00:00.000000', NULL)"),
    ("ck_draws_questions", "INSERT INTO draws VALUES ('u1', '[]', NULL)"),
    ("ck_tokens_so_version", "UPDATE tokens SET so_version = -1"),
    ("fk_authenticators_uid", "INSERT INTO authenticators VALUES ('none', (1 = 0), 'i', "
        "'2026-01-01 00:00:00.000000', 0)"),
    ("ck_authenticators_last_step", "INSERT INTO authenticators VALUES ('u1', (1 = 1), 'i', "
        "'2026-01-01 00:00:00.000000', 0)"),
    ("ck_identity_checks_two_persons", "INSERT INTO identity_checks VALUES (1, 'u1', 'u1', '[]', "
        "'2026-01-01 00:00:00.000000')"),
    ("ck_rehearsals_spent", "INSERT INTO rehearsals VALUES ('u1', -1, "
        "'2026-01-01 00:00:00.000000', NULL)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "statement"), BROKEN)
def test_constraints_bite(store: SqlStore, database: Engine, name: str, statement: str) -> None:
    with store.write() as uow:
        uow.tokens.put(TOKEN)
        uow.profiles.put(PROFILE)
        lay_ground(uow)
        uow.operations.add(OPERATION)
    statement = statement.replace("salt FROM empty", "substr(signature, 1, 0)")
    # SQLite does not name the foreign key that a statement breaks
    told = "FOREIGN KEY" if name.startswith("fk") and database.dialect.name == "sqlite" else name
    with pytest.raises(Exception, match=told), database.begin() as connection:
        connection.execute(text(statement))


def test_a_connection_is_needed() -> None:
    with pytest.raises(RuntimeError, match="token-reset db upgrade"):
        command.upgrade(migrate._config(), "head")
