"""The witness on another machine: by command, over HTTPS, without any setting of the service."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.institution.site import Institution, Someone


@pytest.fixture(scope="module")
def institution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Institution]:
    """One holder; everything runs."""
    people = {"holder": Someone("1", "ann", "Ann A", "word-word")}
    made = Institution.build(tmp_path_factory.mktemp("institution"), people=people)
    made.start()
    yield made
    made.stop()


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reset.cli", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": "/usr/bin", "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def test_a_witness_elsewhere(institution: Institution, tmp_path: Path) -> None:
    """Key, record, cosignature, alarm; then the auditor's comparison and one entry's proof."""
    log_key, key = tmp_path / "log-key", tmp_path / "key"
    log_key.write_text(institution.command("audit", "key"))
    made = run("witness", "--create-key", "witness.test", "--key", key)
    (tmp_path / "witness-key").write_text(made.stdout)
    assert key.stat().st_mode & 0o777 == 0o600
    record = ("--directory", tmp_path / "record")
    usual = ("witness", *record, "--key", key, "--log-key", log_key)
    ca = ("--ca", institution.authority.anchors_pem)
    for _ in range(100):  # the worker makes the first one within a second
        seen = run(*usual, "--url", institution.public_url, *ca)
        if seen.returncode == 0:
            break
        time.sleep(0.2)
    assert seen.returncode == 0, seen.stderr
    assert seen.stdout.count("\n\u2014 ") == 2
    assert "\n\u2014 witness.test " in seen.stdout

    check = ("audit", "verify", "--key", str(log_key))
    elsewhere = ("--witness", str(tmp_path / "record"), "--witness-key")
    told = institution.command(*check, *elsewhere, str(tmp_path / "witness-key"))
    assert "the chain is whole" in told
    assert "1 from elsewhere fit" in told
    assert institution.try_command(*check, *elsewhere, str(log_key)).returncode == 1
    (tmp_path / "note").write_text(institution.command("audit", "checkpoint"))
    institution.command(*check, "--checkpoint", str(tmp_path / "note"))
    assert institution.try_command("audit", "verify", *elsewhere[:2]).returncode == 1

    proof = tmp_path / "proof"
    proof.write_text(institution.command("audit", "prove", "1"))
    good = run("verify-entry", "--key", log_key, proof)
    assert (good.returncode, "people-imported" in good.stdout) == (0, True), good.stderr
    proof.write_text(proof.read_text().replace("people-imported", "people-exported"))
    assert "rule=proof" in run("verify-entry", "--key", log_key, proof).stderr
    assert institution.try_command("audit", "prove", "99999").returncode == 1

    page = tmp_path / "page"
    page.write_text(json.dumps({"newest": 0, "checkpoints": []}))
    refused = run(*usual, "--page", page)
    assert (refused.returncode, "rule=smaller" in refused.stderr) == (1, True)
    assert "rule=smaller" in (tmp_path / "record" / "alarms").read_text()
    assert "rule=old" in run(*usual, "--url", institution.public_url, *ca, "--max-age", 0).stderr
    for wrong in (("--url", "http://localhost"), ("--url", institution.public_url), ()):
        done = run(*usual, *wrong)  # not TLS; a certificate that nobody vouches for; nothing
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
