"""Fetching CRLs and OCSP responses from a real server, and what is taken from it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from reset.adapters import fetching, trust
from reset.adapters.certificates import CertificateVerifier
from reset.adapters.revocation_files import FetchedRevocation
from reset.adapters.trust import TrustStore, response_name
from reset.errors import CertificateRefused, ResetError, Unavailable
from reset.ports import RevocationSource
from tests.adapters.test_revocation import FRESHEST, Listing, scope
from tests.institution.answering import Answer, delegate
from tests.institution.authority import SLACK, Authority, Profile, key_pem, software_key, utc_now
from tests.institution.ports import free_port
from tests.institution.publishing import Publisher, content, publishing, status

DAY = timedelta(days=1)
REVOKED = ocsp.OCSPCertStatus.REVOKED


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with publishing() as made:
        yield made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def authority(made: Authority, tmp_path: Path) -> Authority:
    """A copy that a test may change; nothing of it is published yet."""
    for file in made.directory.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return Authority.load(tmp_path)


@dataclass(frozen=True)
class Desk:
    """A store whose issuing CA's list is fetched; ``file`` is that list."""

    authority: Authority
    store: TrustStore
    files: FetchedRevocation
    file: Path
    publisher: Publisher

    def refresh(self, raw: bytes | None = None) -> str:
        """What comes of asking for the list: ``new``, ``same``, or the rule of a refusal."""
        if raw is not None:
            self.publisher.pages["/issuing.crl"] = content(raw)
        source = self.files.sources([])[0]
        return said(self.files, source, self.file)


def said(files: FetchedRevocation, source: RevocationSource, file: Path) -> str:
    before = file.read_bytes() if file.exists() else None
    try:
        until = files.refresh(source, utc_now)
    except CertificateRefused as refused:
        return str(refused.data["rule"])
    assert until > utc_now()
    return "same" if file.read_bytes() == before else "new"


@pytest.fixture
def desk(authority: Authority, publisher: Publisher) -> Desk:
    file = authority.directory / "fetched.crl"
    file.write_bytes(Listing(number=10).write(authority).read_bytes())
    store = TrustStore(
        [authority.anchors_pem], [authority.crl_files[0], file], [authority.intermediates_pem]
    )
    files = FetchedRevocation(store, {file: f"{publisher.url}/issuing.crl"}, {}, None)
    return Desk(authority, store, files, file, publisher)


def person(authority: Authority, profile: Profile | None = None) -> bytes:
    key = software_key().public_key()
    return authority.issue_person(uid="u1", name="A", public_key=key, profile=profile)


def listing(desk: Desk, made: Listing, now: datetime | None = None) -> bytes:
    return made.write(desk.authority, "elsewhere.crl", now).read_bytes()


# --- lists ----------------------------------------------------------------------------
@pytest.mark.parametrize("pem", [False, True])
def test_a_newer_list_is_taken(desk: Desk, pem: bool) -> None:
    der = person(desk.authority)
    verifier = CertificateVerifier(desk.store)
    assert verifier.verify_client(der, utc_now()).uid == "u1"
    serial = x509.load_der_x509_certificate(der).serial_number
    raw = listing(desk, Listing(number=11, serials=[serial]))
    form = x509.load_der_x509_crl(raw).public_bytes(Encoding.PEM) if pem else raw
    assert desk.refresh(form) == "new"
    assert desk.file.read_bytes() == raw
    assert desk.file.stat().st_mode & 0o777 == 0o644  # the custodian's user reads it
    with pytest.raises(CertificateRefused) as caught:
        verifier.verify_client(der, utc_now())
    assert caught.value.data["rule"] == "revoked"
    assert desk.refresh() == "same"
    assert [name for name in desk.file.parent.iterdir() if name.suffix == ".new"] == []


# what a server offers in place of number 10, and what is said to it
LISTS: dict[str, tuple[str, Listing]] = {
    "the same number again": ("crl-older", Listing(number=10, ends=2 * DAY)),
    "an older number": ("crl-older", Listing(number=9)),
    "a newer number, an older date": ("crl-older", Listing(number=11, starts=-2 * SLACK)),
    "over": ("crl-stale", Listing(number=11, starts=-2 * DAY, ends=-DAY)),
    "not yet": ("crl-not-yet", Listing(number=11, starts=SLACK)),
    "a delta": ("crl-other", Listing(number=11, base=10)),
    "announcing deltas": ("new", Listing(number=11, extra=[FRESHEST])),
    "no number, a newer date": ("new", Listing(number=None, starts=-SLACK / 2)),
    "no number, the same date": ("crl-older", Listing(number=None, ends=2 * DAY)),
}


@pytest.mark.parametrize(("rule", "offered"), LISTS.values(), ids=LISTS.keys())
def test_what_is_offered(desk: Desk, rule: str, offered: Listing) -> None:
    now = utc_now()  # of both: dates in a list are whole seconds
    kept = listing(desk, Listing(number=10, starts=-SLACK), now)
    desk.file.write_bytes(kept)
    raw = listing(desk, offered, now)
    assert desk.refresh(raw) == rule
    assert desk.file.read_bytes() == (raw if rule == "new" else kept)


def test_a_forged_list_is_not_taken(desk: Desk, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other")
    kept = desk.file.read_bytes()
    forged = Listing(number=99).write(other).read_bytes()
    assert desk.refresh(forged) == "crl-missing"
    for junk in (b"", b"<html>not found</html>", kept[:-1], kept + b"\0"):
        assert desk.refresh(junk) == "malformed"
    assert desk.file.read_bytes() == kept


def test_another_cas_list_is_not_taken(desk: Desk) -> None:
    """Signed by a CA of the store, but not by the one whose list this file is."""
    assert desk.refresh(desk.authority.crl_files[0].read_bytes()) == "crl-other"


def test_a_damaged_file_is_mended(desk: Desk) -> None:
    """Files are read again for every question: what is damaged refuses until then."""
    good = listing(desk, Listing(number=3))
    for damage in (lambda: desk.file.write_bytes(b"junk"), desk.file.unlink):
        files = FetchedRevocation(
            desk.store, {desk.file: f"{desk.publisher.url}/issuing.crl"}, {}, None
        )
        damage()
        desk.publisher.pages["/issuing.crl"] = content(good)
        assert said(files, files.sources([])[0], desk.file) == "new"
        assert desk.file.read_bytes() == good


def test_a_directory_that_cannot_be_written(desk: Desk, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    files = FetchedRevocation(desk.store, {gone / "x.crl": f"{desk.publisher.url}/x"}, {}, None)
    desk.publisher.pages["/x"] = content(listing(desk, Listing(number=11)))
    with pytest.raises(Unavailable) as caught:
        files.refresh(files.sources([])[0], utc_now)
    assert caught.value.data["part"] == "x.crl"


# --- servers --------------------------------------------------------------------------
def drip(request: BaseHTTPRequestHandler, body: bytes) -> None:
    """A byte now and then, for ever: no single wait is long."""
    request.send_response(200)
    request.end_headers()
    gone = threading.Event()
    while not gone.wait(0.02):
        try:
            request.wfile.write(b".")
        except OSError:
            return


def cut(request: BaseHTTPRequestHandler, body: bytes) -> None:
    """Less than announced."""
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    request.wfile.write(b"half")


def silence(request: BaseHTTPRequestHandler, body: bytes) -> None:
    """No answer until the other side goes."""
    request.connection.recv(1)


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (status(404), "status 404"),
        (status(301, Location="/good"), "status 301"),
        (status(302, Location="http://127.0.0.1:1/"), "status 302"),
        (status(304), "status 304"),
        (status(500), "status 500"),
        (content(bytes(trust.RESPONSE_LIMIT + 1)), "ValueError"),
        (cut, "IncompleteRead"),
        (drip, ""),
        (silence, ""),
    ],
    ids=["404", "301", "302", "304", "500", "too large", "cut", "drip", "silence"],
)
def test_a_bad_server(
    publisher: Publisher, page: object, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not why:  # the other ones answer in time, however busy the machine is
        monkeypatch.setattr(fetching, "SILENCE", 0.5)
        monkeypatch.setattr(fetching, "DEADLINE", 1.0)
    publisher.pages |= {"/bad": page, "/good": content(b"good")}  # type: ignore[dict-item]
    with pytest.raises(Unavailable) as caught:
        fetching.fetch(f"{publisher.url}/bad", limit=trust.RESPONSE_LIMIT)
    assert why in str(caught.value.data["why"])
    assert caught.value.data["part"] == "127.0.0.1"
    assert [target for _, target, _ in publisher.asked] == ["/bad"]


def test_nobody_there() -> None:
    with pytest.raises(Unavailable):
        fetching.fetch(f"http://127.0.0.1:{free_port()}/", limit=10)


def test_tls_with_an_unknown_authority(authority: Authority, publisher: Publisher) -> None:
    """Plain http where TLS is expected, too."""
    with pytest.raises(Unavailable):
        fetching.fetch(publisher.url.replace("http:", "https:"), limit=10)


def test_proxies_of_the_environment_are_not_used(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.pages["/"] = content(b"itself")
    publisher.pages["http://pki.invalid/a?b=c"] = content(b"by proxy")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetching.fetch(publisher.url, limit=10) == b"itself"
    found = fetching.fetch("http://pki.invalid/a?b=c", limit=10, proxy=publisher.url)
    assert found == b"by proxy"


def test_tls_goes_through_the_proxy_by_connect(publisher: Publisher) -> None:
    with pytest.raises(Unavailable):
        fetching.fetch("https://pki.invalid/a", limit=10, proxy=publisher.url)


def test_the_limit_is_the_last_byte_that_fits(publisher: Publisher) -> None:
    publisher.pages["/"] = content(b"0123456789")
    assert fetching.fetch(publisher.url, limit=10) == b"0123456789"
    with pytest.raises(Unavailable):
        fetching.fetch(publisher.url, limit=9)


# --- answers --------------------------------------------------------------------------
@dataclass(frozen=True)
class Responder:
    """A store whose issuing CA answers at ``/ocsp``; its list is not on file."""

    authority: Authority
    store: TrustStore
    files: FetchedRevocation
    directory: Path
    publisher: Publisher
    der: bytes

    def refresh(self, answer: Answer | bytes) -> str:
        raw = answer if isinstance(answer, bytes) else answer.about(self.authority, self.der)
        self.publisher.pages["/ocsp"] = content(raw)
        [source] = [one for one in self.files.sources([self.der]) if one.certificate]
        return said(self.files, source, self.file)

    def verdict(self) -> str:
        try:
            CertificateVerifier(self.store).verify_client(self.der, utc_now())
        except CertificateRefused as refused:
            return str(refused.data["rule"])
        return "good"

    @property
    def file(self) -> Path:
        return self.directory / response_name(x509.load_der_x509_certificate(self.der))


@pytest.fixture
def responder(authority: Authority, publisher: Publisher) -> Responder:
    directory = authority.directory / "answers"
    directory.mkdir()
    store = TrustStore(
        [authority.anchors_pem],
        authority.crl_files[:1],
        [authority.intermediates_pem],
        ocsp_issuers=[authority.intermediates_pem],
        responses=[directory],
    )
    urls = {authority.intermediates_pem: f"{publisher.url}/ocsp"}
    files = FetchedRevocation(store, {}, urls, directory)
    return Responder(authority, store, files, directory, publisher, person(authority))


def test_an_answer_that_is_made_while_we_wait_is_not_of_the_future(responder: Responder) -> None:
    def slowly(request: BaseHTTPRequestHandler, body: bytes) -> None:
        time.sleep(1.1)  # dates in an answer are whole seconds
        now = Answer(starts=timedelta()).about(responder.authority, responder.der)
        content(now)(request, body)

    responder.publisher.pages["/ocsp"] = slowly
    [source] = [one for one in responder.files.sources([responder.der]) if one.certificate]
    assert said(responder.files, source, responder.file) == "new"
    assert responder.verdict() == "good"


def test_an_answer_is_taken(responder: Responder) -> None:
    assert responder.verdict() == "ocsp-missing"
    assert responder.refresh(Answer(signer=delegate(responder.authority))) == "new"
    assert responder.verdict() == "good"
    assert responder.file.stat().st_mode & 0o777 == 0o644
    [(method, target, body)] = responder.publisher.asked
    asked = ocsp.load_der_ocsp_request(body)
    assert (method, target) == ("POST", "/ocsp")
    assert asked.serial_number == x509.load_der_x509_certificate(responder.der).serial_number


def test_an_answer_that_revokes_is_taken(responder: Responder) -> None:
    assert responder.refresh(Answer()) == "new"
    assert responder.refresh(Answer(status=REVOKED, starts=-SLACK / 2)) == "new"
    assert responder.verdict() == "revoked"


def test_an_older_answer_is_not_played_again(responder: Responder) -> None:
    before = Answer(starts=-2 * SLACK).about(responder.authority, responder.der)
    assert responder.refresh(Answer(status=REVOKED)) == "new"
    assert responder.refresh(before) == "same"
    assert responder.verdict() == "revoked"


def test_what_does_not_count_is_not_taken(responder: Responder, tmp_path: Path) -> None:
    assert responder.refresh(Answer()) == "new"
    kept = responder.file.read_bytes()
    other = Authority.create(tmp_path / "other")
    wrong = delegate(other)
    for answer, rule in (
        (Answer(signer=wrong), "ocsp-missing"),
        (Answer(serial_number=5), "ocsp-missing"),
        (Answer(ends=None), "ocsp-stale"),
        (b"junk", "ocsp-missing"),
    ):
        assert responder.refresh(answer) == rule
    assert responder.file.read_bytes() == kept
    assert responder.verdict() == "good"


def test_an_answer_on_file_that_counts_no_more_goes(responder: Responder) -> None:
    for junk in (
        b"junk",
        Answer(ends=-SLACK, starts=-DAY).about(responder.authority, responder.der),
    ):
        responder.file.write_bytes(junk)
        assert responder.refresh(Answer()) == "new"
        assert responder.verdict() == "good"


def test_only_certificates_of_its_ca_are_asked_about(responder: Responder, tmp_path: Path) -> None:
    foreign = person(Authority.create(tmp_path / "other"))
    asked = responder.files.sources([foreign, b"junk", responder.der, responder.der])
    assert [one.certificate for one in asked] == [responder.der]


# --- how long it counts ---------------------------------------------------------------
def rows(files: FetchedRevocation, certificates: list[bytes]) -> dict[str, str]:
    now = utc_now()
    return {
        f"{one.kind} {one.issuer.split(',')[0].removeprefix('CN=Example Institute ')}": (
            f"{round((one.until - now) / DAY, 1):g}" if one.until else "-"
        )
        for one in files.standing(certificates, now)
    }


def test_standing_of_lists(desk: Desk) -> None:
    assert rows(desk.files, []) == {"crl Root CA": "7", "crl Issuing CA": "1"}
    desk.file.write_bytes(listing(desk, Listing(starts=-3 * DAY, ends=-DAY)))
    assert rows(desk.files, [])["crl Issuing CA"] == "-1"
    desk.file.write_bytes(listing(desk, Listing(base=9)))
    assert rows(desk.files, []) == {
        "crl Root CA": "7",
        "crl Issuing CA": "-",
        "delta-crl Issuing CA": "1",
    }
    desk.file.unlink()
    assert rows(desk.files, []) == {"trust-store fetched.crl": "-"}


def test_standing_of_lists_with_scopes(desk: Desk) -> None:
    """The one for people's certificates does not stand in for the one for CAs', nor one for all."""
    people = Listing(ends=2 * DAY, extra=[scope(only_contains_user_certs=True)])
    raw = [
        listing(desk, one) for one in (people, Listing(number=9), Listing(number=11, ends=3 * DAY))
    ]
    forms = [x509.load_der_x509_crl(one).public_bytes(Encoding.PEM) for one in raw]
    desk.file.write_bytes(b"".join(forms))
    assert rows(desk.files, [])["crl Issuing CA"] == "2"


def test_standing_of_answers(responder: Responder) -> None:
    """The one that ends first speaks for its CA; one that is missing before all."""
    second = person(responder.authority)
    both = [responder.der, second]
    assert rows(responder.files, []) == {"crl Root CA": "7"}
    assert rows(responder.files, both)["ocsp Issuing CA"] == "-"
    responder.refresh(Answer(ends=3 * DAY))
    assert rows(responder.files, [responder.der])["ocsp Issuing CA"] == "3"
    assert rows(responder.files, both)["ocsp Issuing CA"] == "-"
    other = replace(responder, der=second)
    other.refresh(Answer(ends=2 * DAY))
    assert rows(responder.files, both)["ocsp Issuing CA"] == "2"


def test_a_broken_store_is_said_and_not_mended_over(desk: Desk) -> None:
    desk.authority.anchors_pem.write_bytes(b"junk")
    desk.publisher.pages["/issuing.crl"] = content(listing(desk, Listing(number=11)))
    with pytest.raises(ResetError):
        desk.files.refresh(desk.files.sources([])[0], utc_now)


# --- a responder by others ------------------------------------------------------------
@contextmanager
def openssl_responder(authority: Authority, index: Path, signer: Path, key: Path) -> Iterator[str]:
    """OpenSSL's responder, with answers for a day: its address."""
    port = free_port()
    command = ["openssl", "ocsp", "-index", index, "-CA", authority.intermediates_pem]
    command += ["-rsigner", signer, "-rkey", key, "-port", str(port), "-ndays", "1"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr
        for line in process.stderr:
            if "waiting for OCSP client connections" in line:
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate()


def test_openssls_responder(responder: Responder, tmp_path: Path) -> None:
    """Good, revoked, and a certificate that it does not know; signed by a responder of the CA's."""
    authority = responder.authority
    signer, key = tmp_path / "signer.pem", tmp_path / "signer-key.pem"
    made = delegate(authority)
    signer.write_bytes(made.certificate.public_bytes(Encoding.PEM))
    key.write_bytes(key_pem(made.key))
    number = f"{x509.load_der_x509_certificate(responder.der).serial_number:X}"
    number = number.zfill(len(number) + len(number) % 2)
    lines = {
        "good": f"V\t351231235959Z\t\t{number}\tunknown\t/CN=A\n",
        "revoked": f"R\t351231235959Z\t260101000000Z,keyCompromise\t{number}\tunknown\t/CN=A\n",
        "ocsp-unknown": "",
    }
    for rule, line in lines.items():
        index = tmp_path / f"index-{rule}"
        index.write_text(line)
        responder.file.unlink(missing_ok=True)
        with openssl_responder(authority, index, signer, key) as url:
            urls = {authority.intermediates_pem: url}
            files = FetchedRevocation(responder.store, {}, urls, responder.directory)
            [source] = files.sources([responder.der])
            assert said(files, source, responder.file) == "new"
        assert responder.verdict() == rule
