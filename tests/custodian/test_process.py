"""Starting a custodian: keys and ledger are made once, by hand, and never silently again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.institution.site import Institution, Someone


@pytest.fixture(scope="module")
def institution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Institution]:
    """One holder with one token in escrow; nothing runs."""
    people = {"holder": Someone("1", "ann", "Ann A", "word-word")}
    made = Institution.build(tmp_path_factory.mktemp("institution"), people=people)
    yield made
    made.stop()


def _create_keys(institution: Institution, config: Path | None = None) -> tuple[int, str]:
    done = institution.try_command(
        "custodian", "--create-keys", config=config or institution.custodian_config
    )
    return done.returncode, done.stderr


def test_keys_are_made_once(institution: Institution) -> None:
    """A second time is refused in one line."""
    code, words = _create_keys(institution)
    assert (code, words.count("\n")) == (1, 1)
    assert "generation 1" in words


def test_a_lost_ledger_is_an_error(institution: Institution) -> None:
    """An empty one would forget which approvals were used."""
    ledger = institution.root / "custodian" / "ledger.sqlite"
    aside = ledger.with_suffix(".aside")
    ledger.rename(aside)
    done = institution.try_command("custodian", config=institution.custodian_config)
    assert done.returncode == 1
    assert "ledger.sqlite: missing" in done.stderr
    assert not ledger.exists()
    aside.rename(ledger)


def test_a_generation_without_keys_is_an_error(institution: Institution) -> None:
    """Said at the start: the first seal would end the custodian, again and again."""
    config = institution.root / "generation-7.toml"
    settings = institution.custodian_config.read_text()
    config.write_text(settings.replace("[hsm]\n", "[hsm]\ngeneration = 7\n"))
    done = institution.try_command("custodian", config=config)
    assert (done.returncode, done.stderr) == (
        1,
        "refused: unavailable (part=hsm, why=key-not-found)\n",
    )


def test_it_loads_no_code_of_other_parts(institution: Institution) -> None:
    """What opens SO PINs runs nothing of web, database, mail, directory or single sign-on."""
    institution.environment = {"PYTHONPROFILEIMPORTTIME": "1"}
    institution.start_custodian()
    institution.stop("custodian")
    institution.environment = {}
    lines = institution.log.read_text().splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert {"pkcs11_driver.hsm", "reset.custodian.server"} <= loaded
    others = {"flask", "jinja2", "sqlalchemy", "alembic", "requests", "authlib", "ldap", "gunicorn"}
    parts = {
        "reset.web",
        "reset.flows.parts",
        "reset.db",
        "reset.bootstrap",
        "pkcs11_driver.helper",
    }
    assert not loaded & {"smtplib", *others, *parts}


def test_a_new_wrapping_key_while_answers_stay(institution: Institution) -> None:
    """Rewrap moves every row under generation 2; the HMAC key is the old one (facts on answers)."""
    institution.start_custodian()
    before = institution.command("doctor")
    institution.stop("custodian")
    config = institution.custodian_config
    config.write_text(config.read_text().replace("[hsm]\n", "[hsm]\ngeneration = 2\n"))
    assert _create_keys(institution)[0] == 0
    institution.start_custodian()
    assert institution.command("escrow", "rewrap").startswith("1 sealed")
    assert institution.command("escrow", "rewrap").startswith("0 sealed")
    assert institution.command("escrow", "check").startswith("1 sealed")
    assert "custodian: ok" in before
