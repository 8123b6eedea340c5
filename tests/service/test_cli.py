"""Operator commands: exit 0 good, 1 refused with one line on stderr, 2 usage."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.x509.ocsp import OCSPCertStatus
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.institution.answering import Answer
from tests.institution.authority import Authority, Profile, software_key
from tests.institution.site import Institution, Someone
from tests.service.commands import run


@pytest.mark.parametrize(
    "words",
    [[], ["nonsense"], ["db"], ["people", "import"], ["verify-certificate"], ["serve", "--what"]],
)
def test_usage(words: list[str]) -> None:
    """What is no command at all is exit 2."""
    done = run(*words)
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_no_settings() -> None:
    """A command without settings says how to name them, in one line."""
    done = run("db", "upgrade")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "--config" in done.stderr


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A root and an issuing CA."""
    return Authority.create(tmp_path_factory.mktemp("ca"))


def _verify(
    authority: Authority,
    file: Path,
    later: timedelta = timedelta(),
    more: Sequence[str] = (),
    crls: Sequence[Path] = (),
) -> tuple[int, str]:
    done = run(
        "verify-certificate",
        *("--anchors", str(authority.anchors_pem)),
        *("--intermediates", str(authority.intermediates_pem)),
        *(word for crl in crls or authority.crl_files for word in ("--crl", str(crl))),
        *more,
        *("--at", (datetime.now(UTC) + later).isoformat(), str(file)),
    )
    assert done.stderr.count("\n") <= 1, done.stderr
    return done.returncode, done.stdout + done.stderr


def test_verify_certificate(authority: Authority, tmp_path: Path) -> None:
    """Good, expired at that time, wrong use, revoked, not a certificate, not there."""
    key = software_key().public_key()
    good = tmp_path / "good.der"
    good.write_bytes(authority.issue_person(uid="7", name="A", public_key=key))
    code, words = _verify(authority, good)
    assert (code, "UID 7" in words) == (0, True), words
    code, words = _verify(authority, good, timedelta(days=800))
    assert code == 1
    assert "rule=" in words
    bad = tmp_path / "bad.der"
    wrong = Profile(key_usages=("key_encipherment",))
    bad.write_bytes(authority.issue_person(uid="7", name="A", public_key=key, profile=wrong))
    code, words = _verify(authority, bad)
    assert (code, "key-usage" in words) == (1, True)
    (tmp_path / "junk").write_bytes(b"junk")
    assert _verify(authority, tmp_path / "junk")[0] == 1
    assert _verify(authority, tmp_path / "absent")[0] == 1
    authority.revoke(good.read_bytes())
    code, words = _verify(authority, good)
    assert (code, "revoked" in words) == (1, True)


def test_verify_certificate_for_approvals(authority: Authority, tmp_path: Path) -> None:
    """A certificate for mail alone signs approvals, and opens no login."""
    mail = Profile(
        purposes=[ExtendedKeyUsageOID.EMAIL_PROTECTION], key_usages=["content_commitment"]
    )
    key, file = software_key().public_key(), tmp_path / "mail.der"
    file.write_bytes(authority.issue_person(uid="9", name="C", public_key=key, profile=mail))
    assert "rule=key-usage" in _verify(authority, file)[1]
    assert _verify(authority, file, more=("--usage", "client"))[0] == 1
    code, words = _verify(authority, file, more=("--usage", "approval"))
    assert (code, "UID 9" in words) == (0, True), words


def test_verify_certificate_with_ocsp(authority: Authority, tmp_path: Path) -> None:
    """The CA's CRL is not needed then; an answer about another certificate does not help."""
    key, file = software_key().public_key(), tmp_path / "person.der"
    file.write_bytes(authority.issue_person(uid="9", name="C", public_key=key))
    other = authority.issue_person(uid="9", name="C", public_key=key)
    answers = {
        "good": (0, Answer().about(authority, file.read_bytes())),
        "revoked": (1, Answer(status=OCSPCertStatus.REVOKED).about(authority, file.read_bytes())),
        "crl-missing": (1, Answer().about(authority, other)),
    }
    for word, (code, raw) in answers.items():
        (tmp_path / word).write_bytes(raw)
        given = ("--ocsp", str(tmp_path / word))
        found = _verify(authority, file, more=given, crls=authority.crl_files[:1])
        assert (found[0], word in found[1]) == (code, True), found


def test_root_and_issuing_ca_in_one_file(authority: Authority, tmp_path: Path) -> None:
    """No --intermediates is needed when the anchors' file holds the issuing CA, too."""
    bundle, good = tmp_path / "bundle.pem", tmp_path / "good.der"
    parts = (authority.anchors_pem, authority.intermediates_pem)
    bundle.write_bytes(b"".join(part.read_bytes() for part in parts))
    key = software_key().public_key()
    good.write_bytes(authority.issue_person(uid="8", name="B", public_key=key))
    crls = [word for crl in authority.crl_files for word in ("--crl", str(crl))]
    rest = (*crls, "--at", datetime.now(UTC).isoformat(), str(good))
    done = run("verify-certificate", "--anchors", str(bundle), *rest)
    assert (done.returncode, done.stderr) == (0, "")
    assert "UID 8" in done.stdout
    done = run("verify-certificate", "--anchors", str(authority.intermediates_pem), *rest)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "trust-store" in done.stderr


@pytest.fixture(scope="module")
def institution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Institution]:
    """One holder; only the custodian runs."""
    people = {"holder": Someone("1", "ann", "Ann A", "word-word")}
    made = Institution.build(tmp_path_factory.mktemp("institution"), people=people)
    made.start_custodian()
    yield made
    made.stop()


def test_escrow_commands(institution: Institution) -> None:
    """Check opens every row, rewrap changes none under the same key generation."""
    assert institution.command("escrow", "check").startswith("1 sealed")
    institution.command("escrow", "rewrap")
    assert institution.command("escrow", "check").startswith("1 sealed")


def test_audit_commands(institution: Institution) -> None:
    """The chain is whole; a checkpoint is a signed note whose size is the count of entries."""
    count = int(institution.command("audit", "verify").split()[0])
    note = institution.command("audit", "checkpoint")
    origin, size, root, *_ = note.splitlines()
    assert origin.endswith("/audit")
    assert int(size) == count
    assert len(root) == 44
    assert f"\n\u2014 {origin} " in note


def test_who_is_not_prepared(institution: Institution) -> None:
    """S1.53: as CSV for a mailing; the count beside it."""
    done = institution.try_command("people", "without-profile")
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head == "uid,pid,name,mail,missing"
    assert lines == ["1,ann,Ann A,ann@institute.example,profile"]
    assert "1 of 1 token holders are not prepared" in done.stderr


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@A1"])
def test_the_list_holds_no_formula(institution: Institution, name: str) -> None:
    """ASVS 1.2.10: people may choose their names in a directory, and others open the list."""
    rows = institution.root / "renamed.csv"
    for called, shown in ((name, f"'{name}"), ("Ann A", "Ann A")):
        head = "uid,pid,name,mail,supervisor,representative,roles,password"
        rows.write_text(f"{head}\n1,ann,{called},ann@institute.example,,,,\n")
        institution.command("people", "import", str(rows))
        listed = institution.command("people", "without-profile").splitlines()
        assert listed[1:] == [f"1,ann,{shown},ann@institute.example,profile"]


def test_doctor(institution: Institution) -> None:
    """What works is listed, and what a reset is worth."""
    said = institution.command("doctor")
    assert "database: ok" in said
    assert "a reset is worth: level 3 of 4, codes go to: recovery\n" in said
    assert "accepted" not in said


def test_who_accepted_what_is_told_and_recorded(institution: Institution) -> None:
    """By doctor, and by the worker in the log when it starts."""
    today = datetime.now(UTC).date()
    tomorrow = today + timedelta(days=1)  # the test may pass midnight
    settings = institution.root / "accepting.toml"
    settings.touch(mode=0o600)
    settings.write_text(
        institution.config.read_text()
        + '\n[[policy.acceptance]]\nrule = "asvs-6.4.2"\nwho = "Sue Supervisor"\n'
        + f"on = {today}\nuntil = {tomorrow}\n"
    )
    said = institution.command("doctor", config=settings)
    assert f"accepted asvs-6.4.2: Sue Supervisor, {today} to {tomorrow}\n" in said
    before = _entries(institution)
    worker = subprocess.Popen(
        [sys.executable, "-m", "reset.cli", "worker", "--config", str(settings)],
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while (known := _entries(institution)) == before and time.monotonic() < end:
            time.sleep(0.2)
    finally:
        worker.terminate()
        worker.wait(timeout=20)
    institution.command("audit", "checkpoint")
    entry = institution.command("audit", "prove", str(known))
    assert "acceptances-changed" in entry
    assert f"Sue Supervisor, {today} to {tomorrow}" in entry


def _entries(institution: Institution) -> int:
    return int(institution.command("audit", "verify").split()[0])


def test_doctor_tells_of_pins_that_no_token_takes(institution: Institution) -> None:
    """A policy that was changed after the tokens had been imported."""
    strict = institution.root / "strict.toml"
    rules = "[policy.pin]\nminimum = 256\nmaximum = 300\n"
    strict.write_text(f"{institution.config.read_text()}\n{rules}")
    strict.chmod(0o600)
    done = institution.try_command("doctor", config=strict)
    assert done.returncode == 1
    assert "tokens of the family etoken take PINs of 4 to 255 characters" in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "2,bob,Bob,bob@i.example,,,,",
        "1,ann,Ann A,no-address,,,,",
        "1,ann,Ann A,a@i.example,,,emperor,",
        "1,,Ann A,a@i.example,,,,",
        "1,ann,Ann A",
    ],
)
def test_a_bad_people_file_changes_nothing(
    institution: Institution, line: str, tmp_path: Path
) -> None:
    """All rows or none; the bad line is named. (The first line is good and must not arrive.)"""
    file = tmp_path / "people.csv"
    columns = "uid,pid,name,mail,supervisor,representative,roles,password"
    good = "9,zoe,Zoe Z,zoe@i.example,,,,"
    bad = line if not line.startswith("2,bob") else "9,yan,Yan Y,yan@i.example,,,,"
    file.write_text(f"{columns}\n{good}\n{bad}\n")
    done = institution.try_command("people", "import", str(file))
    assert done.returncode == 1, done.stdout
    assert done.stderr.count("\n") == 1
    again = tmp_path / "again.csv"
    again.write_text(f"{columns}\n8,zoe,Zoe Other,zoe@i.example,,,,\n")
    # the login of the good line is still free: nothing of the bad file arrived
    institution.command("people", "import", str(again))
    again.write_text(f"{columns}\n8,zoe-{line[:3]},Zoe Other,zoe@i.example,,,,\n")


def test_without_the_custodian(institution: Institution) -> None:
    """Fail closed, in one line."""
    institution.stop("custodian")
    done = institution.try_command("escrow", "check")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "custodian" in done.stderr
    assert institution.try_command("doctor").returncode == 1
