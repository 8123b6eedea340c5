"""``verify-approval`` and ``verify-certificate`` on real files, as an auditor has them.

Exit 0: good, with what was approved; 1: refused, in one line with code, rule and what was expected;
2: usage. OpenSSL signs, and makes the root of a CA as most people do.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pkcs11_driver.wire import STATEMENT_OID
from reset import cli_verify
from reset.adapters import certificates, signatures_cms
from reset.core.approvals import Statement, render
from tests.institution.authority import Authority, Profile, key_pem, software_key, utc_now
from tests.service.commands import run

HOLDER, APPROVER, DEPUTY, OTHER = "u-holder", "u-approver", "u-deputy", "u-other"
NOW, DAY, SECOND = utc_now(), timedelta(days=1), timedelta(seconds=1)
WELL_BEFORE_NOW = Profile(starts=-DAY)  # this module may be read long before its tests begin
MARK = b"\xef\xbb\xbf"
TEXT = b"Signed by me\nSerial: 7\n"

STATEMENT = Statement(
    format="token-reset-approval/1",
    action="reset-user-pin",
    request="r-4711",
    token_serial="A1B2C3",
    holder_uid=HOLDER,
    holder_name="Zoë Ångström",
    approver_uid=APPROVER,
    approver_name="Sue Supervisor",
    acting_for="-",
    reason="token blocked",
    requested_at=NOW,
    valid_until=NOW + DAY,
    nonce="00ff",
    service="https://pin.example.edu",
    decision="approve",
)


@dataclass(frozen=True)
class Desk:
    """An authority and its people's keys and certificates, ``UID.key`` and ``UID.pem``."""

    authority: Authority
    folder: Path

    def sign(self, raw: bytes, uid: str, *more: str) -> bytes:
        """By OpenSSL, detached, as an approver without the helper does; DER but for ``more``."""
        signer = ("-signer", self.folder / f"{uid}.pem", "-inkey", self.folder / f"{uid}.key")
        form = more or ("-outform", "DER")
        command = ("openssl", "cms", "-sign", "-binary", "-nosmimecap", *signer)
        return subprocess.run(
            [*command, "-econtent_type", STATEMENT_OID, *form],
            input=raw, capture_output=True, check=True,
        ).stdout  # fmt: skip

    def trust(self) -> list[str | Path]:
        crls = [word for crl in self.authority.crl_files for word in ("--crl", crl)]
        anchors, between = self.authority.anchors_pem, self.authority.intermediates_pem
        return ["--anchors", anchors, "--intermediates", between, *crls]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Four people; CRLs that count for a week."""
    folder = tmp_path_factory.mktemp("people")
    made = Desk(Authority.create(folder / "ca"), folder)
    made.authority.refresh_crls(age=DAY)
    for uid in (HOLDER, APPROVER, DEPUTY, OTHER):
        key = software_key()
        (folder / f"{uid}.key").write_bytes(key_pem(key))
        public = key.public_key()
        der = made.authority.issue_person(
            uid=uid, name=f"Name {uid}", public_key=public, profile=WELL_BEFORE_NOW
        )
        pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
        (folder / f"{uid}.pem").write_bytes(pem)
    return made


def verify(
    desk: Desk, folder: Path, raw: bytes | None, signature: bytes | None, at: datetime = NOW
) -> subprocess.CompletedProcess[str]:
    """The command on files of these bytes; None: no file."""
    for name, content in (("statement.txt", raw), ("signature.p7s", signature)):
        if content is not None:
            (folder / name).write_bytes(content)
    files = ("--statement", folder / "statement.txt", folder / "signature.p7s")
    return run("verify-approval", *desk.trust(), "--at", at.isoformat(), *files)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """Its code, rule and the rest; one line, nothing called good."""
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
    found = re.fullmatch(r"refused: (\S+) \((.*)\)\n", done.stderr)
    assert found, done.stderr
    [rule] = re.findall(r"\brule=([^,]+)", found[2])
    return f"{found[1]} {rule}"


# --- approvals that are good --------------------------------------------------------------
def test_a_good_approval_is_told_in_full(desk: Desk, tmp_path: Path) -> None:
    raw = render(STATEMENT)
    done = verify(desk, tmp_path, raw, desk.sign(raw, APPROVER))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"good at {NOW:%F %T} UTC: signed by UID u-approver, "
        "UID=u-approver,CN=Name u-approver,O=Example Institute",
        "approver: UID u-approver, Sue Supervisor",
        "acting for: -",
        "holder: UID u-holder, Zoë Ångström",
        "token: A1B2C3",
        "request: r-4711",
        "service: https://pin.example.edu",
        f"valid: from {NOW:%F %T} UTC until before {NOW + DAY:%F %T} UTC",
    ]


def test_a_deputy_signs_for_the_approver(desk: Desk, tmp_path: Path) -> None:
    raw = render(replace(STATEMENT, approver_uid=DEPUTY, acting_for=APPROVER))
    done = verify(desk, tmp_path, raw, desk.sign(raw, DEPUTY))
    assert done.returncode == 0, done.stderr
    assert "acting for: u-approver\n" in done.stdout


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "PEM": lambda pem: pem,
    "CRLF": lambda pem: pem.replace(b"\n", b"\r\n"),
    "PKCS7": lambda pem: pem.replace(b" CMS-", b" PKCS7-"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_signature_in_pem(desk: Desk, tmp_path: Path, form: Callable[[bytes], bytes]) -> None:
    raw = render(STATEMENT)
    done = verify(desk, tmp_path, raw, form(desk.sign(raw, APPROVER, "-outform", "PEM")))
    assert done.returncode == 0, done.stderr


def test_a_signature_that_carries_the_statement(desk: Desk, tmp_path: Path) -> None:
    """Whatever the holder wrote into it."""
    raw = render(replace(STATEMENT, reason="-----BEGIN CMS-----"))
    signature = desk.sign(raw, APPROVER, "-outform", "DER", "-nodetach")
    assert verify(desk, tmp_path, raw, signature).returncode == 0


# --- approvals that are none --------------------------------------------------------------
@dataclass(frozen=True)
class Case:
    """A real signature by ``signer`` over ``raw``, verified at ``at`` with ``shown``."""

    refused: str
    raw: bytes = render(STATEMENT)
    signer: str = APPROVER
    at: datetime = NOW
    shown: bytes | None = None


CASES = {
    "another signer": Case("signature-refused signer", signer=OTHER),
    "the holder signs": Case("self-approval signer", signer=HOLDER),
    "the one acted for signs": Case(
        "signature-refused signer",
        render(replace(STATEMENT, approver_uid=DEPUTY, acting_for=APPROVER)),
    ),
    "the holder approves": Case(
        "self-approval approver", render(replace(STATEMENT, approver_uid=HOLDER)), HOLDER
    ),
    "acting for the holder": Case(
        "self-approval acting-for", render(replace(STATEMENT, acting_for=HOLDER))
    ),
    "any text": Case("statement-refused malformed", b"I approve of everything.\n"),
    "nothing": Case("statement-refused malformed", b""),
    "with a blank line": Case("statement-refused malformed", render(STATEMENT) + b"\n"),
    "with a byte-order mark": Case("statement-refused malformed", MARK + render(STATEMENT)),
    "CRLF": Case("statement-refused malformed", render(STATEMENT).replace(b"\n", b"\r\n")),
    "no UTF-8": Case("statement-refused malformed", render(STATEMENT).replace(b"\xc3", b"\xff")),
    "denied": Case(
        "statement-refused not-an-approval", render(replace(STATEMENT, decision="deny"))
    ),
    "another action": Case(
        "statement-refused not-an-approval", render(replace(STATEMENT, action="enrol"))
    ),
    "expired": Case("statement-refused expired", at=STATEMENT.valid_until),
    "not yet": Case("statement-refused expired", at=STATEMENT.requested_at - SECOND),
    "changed afterwards": Case(
        "signature-refused message-digest", shown=render(replace(STATEMENT, token_serial="FFFFFF"))
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_good_signature_under_no_approval(desk: Desk, tmp_path: Path, case: Case) -> None:
    shown = case.raw if case.shown is None else case.shown
    done = verify(desk, tmp_path, shown, desk.sign(case.raw, case.signer), case.at)
    assert refusal(done) == case.refused
    assert "expected=" in done.stderr


def test_the_last_second_counts(desk: Desk, tmp_path: Path) -> None:
    raw = render(STATEMENT)
    last = STATEMENT.valid_until - SECOND
    assert verify(desk, tmp_path, raw, desk.sign(raw, APPROVER), last).returncode == 0


def test_the_refusal_names_who_and_when(desk: Desk, tmp_path: Path) -> None:
    raw = render(STATEMENT)
    said = verify(desk, tmp_path, raw, desk.sign(raw, OTHER)).stderr
    assert "approver=u-approver" in said
    assert "signer=u-other" in said
    said = verify(desk, tmp_path, raw, b"-", NOW + DAY).stderr
    assert f"span={NOW:%Y-%m-%dT%H:%M:%SZ} to {NOW + DAY:%Y-%m-%dT%H:%M:%SZ}" in said


DAMAGE: dict[str, Callable[[bytes, bytes], bytes]] = {
    "empty": lambda der, pem: b"",
    "garbage": lambda der, pem: b"\x00garbage\xff",
    "text alone": lambda der, pem: TEXT,
    "cut DER": lambda der, pem: der[:-10],
    "DER and more": lambda der, pem: der + b"\n",
    "cut PEM": lambda der, pem: pem[: len(pem) // 2],
    "PEM of another kind": lambda der, pem: pem.replace(b" CMS-", b" CERTIFICATE-"),
    "two": lambda der, pem: pem + pem,
    # what the service refuses at the upload is not called good afterwards
    "text before": lambda der, pem: TEXT + pem,
    "text after": lambda der, pem: pem + TEXT,
    "byte-order mark": lambda der, pem: MARK + pem,
    "an end of another kind": lambda der, pem: pem.replace(b"END CMS", b"END PKCS7"),
    "junk inside": lambda der, pem: pem.replace(b"\n", b"\n%%%!!\n", 1),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_signature(
    desk: Desk, tmp_path: Path, damage: Callable[[bytes, bytes], bytes]
) -> None:
    raw = render(STATEMENT)
    der, pem = desk.sign(raw, APPROVER), desk.sign(raw, APPROVER, "-outform", "PEM")
    done = verify(desk, tmp_path, raw, damage(der, pem))
    assert refusal(done) == "signature-refused encoding"
    assert "expected=one CMS signature, whole" in done.stderr


def test_files_that_are_not_there(desk: Desk, tmp_path: Path) -> None:
    raw = render(STATEMENT)
    assert refusal(verify(desk, tmp_path, None, b"x")) == "bad-input no such file"
    (tmp_path / "signature.p7s").unlink()
    assert refusal(verify(desk, tmp_path, raw, None)) == "bad-input no such file"
    (tmp_path / "signature.p7s").write_bytes(desk.sign(raw, APPROVER))
    files = ("--statement", tmp_path / "statement.txt", tmp_path / "signature.p7s")
    trust = [tmp_path / "gone" if word == desk.authority.crl_files[1] else word
             for word in desk.trust()]  # fmt: skip
    done = run("verify-approval", *trust, "--at", NOW.isoformat(), *files)
    assert refusal(done) == "certificate-refused trust-store"
    assert "file=gone" in done.stderr


# --- usage --------------------------------------------------------------------------------
@pytest.mark.parametrize("left_out", ["--anchors", "--crl", "--at", "--statement"])
def test_every_option_is_needed(left_out: str) -> None:
    words = [w for o in ("--anchors", "--crl", "--statement") if o != left_out for w in (o, "f")]
    words += [] if left_out == "--at" else ["--at", "2030-01-31"]
    done = run("verify-approval", *words, "signature")
    assert done.returncode == 2
    assert left_out in done.stderr


@pytest.mark.parametrize("time", ["garbage", "", "31.1.2030", "0001-01-01T00:00:00+14:00"])
def test_a_time_of_another_form(time: str) -> None:
    done = run("verify-approval", "--anchors", "f", "--crl", "f", "--at", time, "x")
    assert done.returncode == 2
    assert "argument --at: expected a time as 2030-01-31T12:00:00 (UTC) or" in done.stderr
    assert repr(time) in done.stderr


def test_every_rule_says_what_it_expects() -> None:
    """Those of the verifiers' tables and texts, and no other; the commands set no policy."""
    cms = {rule for rule, _ in signatures_cms._RULES} | {"size", "encoding", "malformed", "signer"}
    assert set(cli_verify.EXPECTED["signature-refused"]) == cms
    assert certificates.__doc__
    text = certificates.__doc__.partition("Rules")[2].replace("``paths``", "")
    named = set(re.findall(r"``([a-z-]+)``", text)) - {"trust", "revocation", "policy"}
    assert set(cli_verify.EXPECTED["certificate-refused"]) == named


# --- certificates -------------------------------------------------------------------------
def certificate(desk: Desk, file: Path, at: datetime = NOW) -> subprocess.CompletedProcess[str]:
    return run("verify-certificate", *desk.trust(), "--at", at.isoformat(), file)


def test_a_certificate_as_programs_write_it(desk: Desk, tmp_path: Path) -> None:
    """``openssl x509 -text``, a byte-order mark, a chain; the anchors and CRLs alike."""
    mine = desk.folder / f"{APPROVER}.pem"
    command = ["openssl", "x509", "-text", "-in", mine]
    text = subprocess.run(command, capture_output=True, check=True).stdout
    assert text.startswith(b"Certificate:")
    chain = mine.read_bytes() + desk.authority.intermediates_pem.read_bytes()
    file = tmp_path / "person.pem"
    for content in (text, MARK + mine.read_bytes(), MARK + text, chain):
        file.write_bytes(content)
        done = certificate(desk, file)
        assert (done.returncode, done.stderr) == (0, "")
        assert "UID u-approver" in done.stdout
    trust = desk.trust()
    for number, word in enumerate(trust):
        if isinstance(word, Path):
            trust[number] = tmp_path / f"marked-{number}"
            (tmp_path / f"marked-{number}").write_bytes(MARK + word.read_bytes())
    done = run("verify-certificate", *trust, "--at", NOW.isoformat(), file)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_damaged_certificate(desk: Desk, tmp_path: Path) -> None:
    pem = (desk.folder / f"{APPROVER}.pem").read_bytes()
    key = (desk.folder / f"{APPROVER}.key").read_bytes()
    file = tmp_path / "person.pem"
    for content in (b"", b"junk", TEXT, pem[:-40], pem + key, pem.replace(b"A", b"", 1)):
        file.write_bytes(content)
        assert refusal(certificate(desk, file)) == "certificate-refused malformed"


def test_a_crl_of_later(desk: Desk) -> None:
    """Not the same as none: an auditor has to look for the one before it."""
    file = desk.folder / f"{APPROVER}.pem"
    done = certificate(desk, file, NOW - 2 * DAY)
    assert refusal(done) == "certificate-refused not-yet-valid"  # the certificate comes first
    file = desk.folder / "older.der"
    key = software_key().public_key()
    old = Profile(starts=-9 * DAY)
    file.write_bytes(desk.authority.issue_person(uid=OTHER, name="O", public_key=key, profile=old))
    assert refusal(certificate(desk, file, NOW - 2 * DAY)) == "certificate-refused crl-not-yet"
    assert refusal(certificate(desk, file, NOW + 9 * DAY)) == "certificate-refused crl-stale"


def test_a_root_as_openssl_makes_it(tmp_path: Path) -> None:
    """basicConstraints CA:TRUE and no keyUsage: a CA by RFC 5280; reasons are in words."""

    def openssl(words: str) -> None:
        subprocess.run(["openssl", *words.split()], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "person.ext").write_text("keyUsage=digitalSignature\nextendedKeyUsage=clientAuth\n")
    (tmp_path / "ca.cnf").write_text("[ca]\ndefault_ca=d\n[d]\ndatabase=index\ndefault_md=sha256\n")
    (tmp_path / "index").touch()
    made = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -out"
    openssl(f"req -x509 {made} root.pem -keyout root.key -subj /CN=Root -days 9")
    openssl(f"req {made} person.csr -keyout person.key -subj /CN=Ann/UID=7")
    issuer = "-CA root.pem -CAkey root.key -CAcreateserial"
    openssl(f"x509 -req -in person.csr {issuer} -extfile person.ext -days 9 -out person.pem")
    signer = "-config ca.cnf -cert root.pem -keyfile root.key"
    openssl(f"ca -gencrl {signer} -crldays 9 -out root.crl")
    assert b"Key Usage" not in subprocess.run(
        ["openssl", "x509", "-in", tmp_path / "root.pem", "-noout", "-text"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    at = (datetime.now(UTC) + 2 * SECOND).isoformat()
    rest: Sequence[str | Path] = ("--crl", tmp_path / "root.crl", "--at", at)
    root, person = tmp_path / "root.pem", tmp_path / "person.pem"
    done = run("verify-certificate", "--anchors", root, *rest, person)
    assert (done.returncode, done.stderr) == (0, "")
    assert "UID 7" in done.stdout
    done = run("verify-certificate", "--anchors", person, *rest, person)
    assert refusal(done) == "certificate-refused trust-store"
    assert "why=holds a certificate of no CA" in done.stderr
