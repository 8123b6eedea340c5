"""A new CRL and a responder's answers reach the service and the custodian without a restart."""

from __future__ import annotations

import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tests.institution.answering import Answer
from tests.institution.authority import SLACK
from tests.institution.publishing import Publisher, content, publishing
from tests.institution.site import Institution, Someone


@pytest.fixture(scope="module")
def publisher() -> Iterator[Publisher]:
    with publishing() as made:
        yield made


@pytest.fixture(scope="module")
def institution(
    tmp_path_factory: pytest.TempPathFactory, publisher: Publisher
) -> Iterator[Institution]:
    """One holder. The issuing CA's list and its answers are fetched; nothing runs yet."""
    people = {"holder": Someone("1", "ann", "Ann A", "word-word")}
    made = Institution.build(tmp_path_factory.mktemp("institution"), people=people)
    fetched = made.root / "fetched"
    (fetched / "ocsp").mkdir(parents=True)
    source, issuer = made.authority.crl_files[1], made.authority.intermediates_pem
    (fetched / "issuing.crl").write_bytes(source.read_bytes())
    trust = f'ocsp_issuers = ["{issuer}"]\nocsp_responses = "fetched/ocsp"\n'
    fetch = (
        f'[[fetch.crls]]\nfile = "fetched/issuing.crl"\nurl = "{publisher.url}/issuing.crl"\n'
        f'[[fetch.responders]]\nissuer = "{issuer}"\nurl = "{publisher.url}/ocsp"\n'
    )
    for config, more in ((made.config, fetch), (made.custodian_config, "")):
        text = config.read_text().replace(str(source), "fetched/issuing.crl")
        text = text.replace("[trust]\n", f"[trust]\n{trust}")
        config.write_text(text + more)
    yield made
    made.stop()


def answering(institution: Institution, publisher: Publisher, answer: Answer) -> None:
    """The responder answers so about whatever it is asked."""

    def about() -> bytes:
        asked = ocsp.load_der_ocsp_request(publisher.asked[-1][2])
        answered = Answer(**{**answer.__dict__, "serial_number": asked.serial_number})
        return answered.about(institution.authority, institution.certificate("holder"))

    publisher.pages["/ocsp"] = content(about)


def until(met: Callable[[], bool]) -> None:
    for _ in range(300):
        if met():
            return
        time.sleep(0.2)
    raise TimeoutError


def metrics(institution: Institution) -> str:
    context = ssl.create_default_context(cafile=str(institution.authority.anchors_pem))
    token = (institution.root / "secrets" / "metrics-token").read_text()
    request = urllib.request.Request(f"{institution.public_url}/metrics")
    request.add_header("Authorization", f"Bearer {token}")
    asking = urllib.request.build_opener(  # directly, whatever proxy the environment names
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    with asking.open(request) as answer:
        return answer.read().decode()


def test_what_the_worker_fetches_counts(institution: Institution, publisher: Publisher) -> None:
    authority, fetched = institution.authority, institution.root / "fetched"
    institution.start_custodian()
    refused = institution.try_command("doctor")
    assert (refused.returncode, "ocsp of" in refused.stderr) == (1, True)
    institution.stop("custodian")

    authority.refresh_crls(days=5)
    new = x509.load_pem_x509_crl(authority.crl_files[1].read_bytes()).public_bytes(Encoding.DER)
    publisher.pages["/issuing.crl"] = content(new)
    answering(institution, publisher, Answer(ends=timedelta(days=2)))
    institution.start()
    until(lambda: (fetched / "issuing.crl").read_bytes() == new)
    until(lambda: any((fetched / "ocsp").glob("*.ocsp")))
    told = institution.command("doctor")
    assert told.count("crl of CN=Example Institute") == 2
    assert "ocsp of CN=Example Institute Issuing CA" in told
    assert ", soon" not in told
    name = "reset_revocation_end_timestamp_seconds"
    rows = [line for line in metrics(institution).splitlines() if line.startswith(name)]
    assert sorted(row.split('kind="')[1].split('"')[0] for row in rows) == ["crl", "crl", "ocsp"]
    assert all(float(row.split()[-1]) > time.time() for row in rows)


def test_a_token_is_imported_with_the_answer_of_the_responder(
    institution: Institution, publisher: Publisher, tmp_path: Path
) -> None:
    """Its certificate is asked about before it is verified; without a good answer it is refused."""
    rows = (institution.root / "tokens.csv").read_text().splitlines()
    serial, *rest = rows[1].split(",")
    cells = dict(zip(rows[0].split(","), (serial + "9", *rest), strict=True))
    file = tmp_path / "tokens.csv"
    other = institution.authority.issue_person(
        uid="1",
        name="Ann A",
        public_key=x509.load_der_x509_certificate(institution.certificate("holder")).public_key(),
    )
    (tmp_path / "other.der").write_bytes(other)
    cells["certificate"] = str(tmp_path / "other.der")
    file.write_text(",".join(cells) + "\n" + ",".join(cells.values()) + "\n")
    answering(institution, publisher, Answer(status=ocsp.OCSPCertStatus.REVOKED))
    done = institution.try_command("tokens", "import", str(file))
    assert (done.returncode, "rule=revoked" in done.stderr) == (1, True), done.stderr
    publisher.pages.pop("/ocsp")
    done = institution.try_command("tokens", "import", str(file))
    assert (done.returncode, "status 404" in done.stderr) == (1, True), done.stderr
    answering(institution, publisher, Answer(starts=-SLACK / 2))
    done = institution.try_command("tokens", "import", str(file))
    # the certificate is good now; the SO PIN in this row is sealed for another serial
    assert (done.returncode, "so_pin does not open" in done.stderr) == (1, True), done.stderr


def test_doctor_says_what_ends_soon(institution: Institution) -> None:
    """A list made for eight days, with an hour left; then one that is over."""
    institution.authority.refresh_crls(age=timedelta(days=8), days=1 / 24)
    told = institution.command("doctor")
    assert ", soon" in told
    institution.authority.refresh_crls(days=-1)
    refused = institution.try_command("doctor")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "crl of CN=Example Institute Root CA" in refused.stderr
