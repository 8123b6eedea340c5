"""Both sites on the real flows and a real database, with stand-ins for what is outside."""

from __future__ import annotations

import hashlib
import hmac
import html
import re
import secrets
import shutil
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from reset.core.catalogue import CATALOGUE
from reset.core.identities import Person, Subject
from reset.core.policy import Policy
from reset.core.registration import Chosen
from reset.core.tokens import Token
from reset.db.store import SqlStore
from reset.errors import CertificateRefused, SignatureRefused, Unavailable
from reset.flows import codes
from reset.flows.approve import Approve
from reset.flows.auditing import Auditing
from reset.flows.authenticators import Authenticators
from reset.flows.custody import Custody
from reset.flows.enrol import Enrol
from reset.flows.login import Login
from reset.flows.operate import Operate
from reset.flows.pairing import Pair
from reset.flows.parts import Parts
from reset.flows.recover import Recover
from reset.flows.rehearse import Rehearse
from reset.flows.revocation import RevocationKeeping
from reset.flows.sessions import Sessions
from reset.flows.times import UTC_TIME, LocalTime
from reset.ports import Escrowed, ReleaseOrder, RevocationSource, RevocationStanding
from reset.web.app import Flows, WebSettings, create_certificate_site, create_public_site

ROOT = Path(__file__).parents[2]
PUBLIC, CERTIFICATE = "https://public.test", "https://tokens.test:8444"
PASSWORD = "correct horse"
HOUR = timedelta(hours=1)
RECOVERY = "alice@elsewhere.example"
QUESTIONS = tuple(list(CATALOGUE)[:5])
ANSWERS = {q: f"my own answer {n}x" for n, q in enumerate(QUESTIONS)}
PEOPLE = {
    "alice": Person("u-alice", "alice", "Alice Adams", "alice@uni.example", "u-bob", "u-carol"),
    "bob": Person("u-bob", "bob", "Bob Brown", "bob@uni.example", "u-carol"),
    "carol": Person("u-carol", "carol", "Carol Clark", "carol@uni.example", "u-bob"),
    "olga": Person(
        "u-olga", "olga", "Olga Owen", "olga@uni.example", "u-bob", roles=frozenset({"office"})
    ),
    "adam": Person(
        "u-adam", "adam", "Adam Abbot", "adam@uni.example", "u-bob", roles=frozenset({"auditor"})
    ),
}


class Watch:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.at = datetime(2030, 1, 15, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        """The time that the test has set."""
        return self.at


class Dice:
    def below(self, limit: int) -> int:
        """A random integer."""
        return secrets.randbelow(limit)

    def token(self, size: int) -> bytes:
        """Random bytes."""
        return secrets.token_bytes(size)


class QuickHasher:
    parameters = "quick"

    def tag(self, text: str, salt: bytes, parameters: str) -> bytes:
        """A fast stand-in for argon2id."""
        return hashlib.sha256(salt + text.encode()).digest()


class Register:
    """A directory in memory; every password is ``PASSWORD``."""

    def by_pid(self, pid: str) -> Person | None:
        """By login name."""
        return PEOPLE.get(pid)

    def by_uid(self, uid: str) -> Person | None:
        """By UID."""
        return next((p for p in PEOPLE.values() if p.uid == uid), None)

    def uid_of(self, pid: str) -> str:
        """By login name."""
        return PEOPLE[pid].uid if pid in PEOPLE else ""

    def check_password(self, pid: str, password: str) -> Person | None:
        """The person, if the password is right."""
        return PEOPLE.get(pid) if password == PASSWORD else None

    def search(self, text: str) -> list[Person]:
        """By any part of the name."""
        return [p for p in PEOPLE.values() if text.lower() in f"{p.name} {p.pid} {p.uid}".lower()]


class Anchors:
    """Certificates are ``certificate-PID``, proofs ``proof``, signatures ``signed-PID``."""

    def verify_client(self, certificate: bytes, at: datetime) -> Subject:
        """Accept certificates of known people."""
        pid = certificate.decode().removeprefix("certificate-")
        if pid not in PEOPLE:
            raise CertificateRefused(rule="chain")
        return _subject(pid)

    def verify_proof(self, certificate: bytes, challenge: bytes, signature: bytes) -> None:
        """Accept the one proof."""
        if signature != b"proof":
            raise SignatureRefused(rule="proof")

    def verify_approval(self, statement: bytes, signature: bytes, at: datetime) -> Subject:
        """Accept the signatures of known people."""
        pid = signature.decode(errors="replace").removeprefix("signed-")
        if pid not in PEOPLE:
            raise SignatureRefused(rule="der")
        return _subject(pid)


def _subject(pid: str) -> Subject:
    uid, certificate = PEOPLE[pid].uid, f"certificate-{pid}".encode()
    return Subject(uid, f"CN={pid}", "CN=CA", "1", hashlib.sha256(certificate).hexdigest(),
                   certificate)  # fmt: skip


class Vault:
    """A custodian in memory; ``gone`` makes it unreachable."""

    def __init__(self) -> None:
        self.gone = False

    def _answer(self) -> None:
        if self.gone:
            raise Unavailable(part="custodian")

    def import_key(self) -> bytes:
        return bytes(32)

    def store(
        self, serial: str, version: int, envelope: bytes | None, holder_uid: str, family: str
    ) -> bytes:
        self._answer()
        return f"sealed {serial} {version}".encode()

    def correct(self, serial: str, envelope: bytes, holder_uid: str) -> tuple[int, bytes]:
        self._answer()
        return 2, b"corrected"

    def release(self, order: ReleaseOrder) -> bytes:
        self._answer()
        return b"order for the helper"

    def settle(self, operation_id: str, serial: str, resolved: bool) -> None:
        self._answer()

    def withdraw(self, operation_id: str, serial: str) -> None:
        self._answer()

    def hmac(self, message: bytes) -> bytes:
        self._answer()
        return hmac.digest(b"key", message, "sha256")

    def check(self, serial: str, version: int, sealed: bytes) -> bytes:
        return sealed

    def rewrap(self, serial: str, version: int, sealed: bytes) -> bytes:
        return sealed

    def escrowed(self, serial: str) -> Escrowed:
        return Escrowed(0, False, ())

    def sign_checkpoint(self, body: bytes, proof: Sequence[bytes]) -> bytes:
        return bytes(64)

    def checkpoint_size(self, origin: str) -> int:
        return 0

    def checkpoint_key(self) -> bytes:
        return bytes(32)

    def health(self) -> Mapping[str, str]:
        self._answer()
        return {}


class Shelf:
    """One CRL that counts until the year 2031, and a responder that did not answer."""

    def sources(self, certificates: Sequence[bytes]) -> list[RevocationSource]:
        return []

    def refresh(self, source: RevocationSource, now: Callable[[], datetime]) -> datetime:
        return now()

    def standing(self, certificates: Sequence[bytes], at: datetime) -> list[RevocationStanding]:
        since, until = datetime(2030, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
        return [
            RevocationStanding("crl", "CN=Root CA", since, until),
            RevocationStanding("ocsp", "CN=Issuing CA", None, None),
        ]


class Post:
    def send(self, to: str, subject: str, body: str, message_id: str) -> None:
        """Nothing is sent."""


class ClientSocket(ssl.SSLSocket):
    """A TLS connection on which ``certificate`` was shown."""

    certificate: bytes

    def __new__(cls, certificate: bytes) -> ClientSocket:
        made = super().__new__(cls)
        made.certificate = certificate
        return made

    def __init__(self, certificate: bytes) -> None:
        """No connection is made."""

    def getpeercert(self, binary_form: bool = False) -> bytes | None:  # type: ignore[override]
        return self.certificate or None


@dataclass
class World:
    """Flows, clock and both sites."""

    parts: Parts
    flows: Flows
    settings: WebSettings
    watch: Watch
    vault: Vault
    public: Flask = field(init=False)
    certificate: Flask = field(init=False)

    def __post_init__(self) -> None:
        folders = (ROOT / "templates", ROOT / "static")
        self.public = create_public_site(self.flows, self.settings, *folders)
        self.certificate = create_certificate_site(self.flows, self.settings, *folders)

    def visitor(self) -> Visitor:
        """Somebody at the public site."""
        return Visitor(self.public.test_client(), PUBLIC)

    def logged_in(self, pid: str = "alice") -> Visitor:
        """Somebody who logged in there."""
        visitor = self.visitor()
        assert visitor.send("/login", "/login", pid=pid, password=PASSWORD).status_code == 303
        return visitor

    def holder_of(self, pid: str) -> Visitor:
        """Somebody at the certificate site."""
        extra = {"werkzeug.socket": ClientSocket(f"certificate-{pid}".encode())}
        return Visitor(self.certificate.test_client(), CERTIFICATE, extra)

    def enrol(self, pid: str = "alice") -> None:
        """Give the person a confirmed profile."""
        person, chosen = PEOPLE[pid], [Chosen(q, a) for q, a in ANSWERS.items()]
        self.flows.enrol.register(person, chosen, RECOVERY)
        self.flows.enrol.confirm(person.uid, self.code("address", person.uid))

    def code(self, purpose: str, about: str) -> str:
        """The newest mailed code."""
        with self.parts.store.read() as uow:
            found = uow.codes.newest(purpose, about)
        assert found
        return codes.derive(self.parts, found)

    def open_request(self, visitor: Visitor, **fields: str) -> str:
        """Begin a reset; the request's address."""
        answer = visitor.send("/", "/reset", reason="typed it wrong", **fields)
        assert answer.status_code == 303, answer.text
        return str(answer.location)

    def right_answers(self, path: str) -> dict[str, str]:
        """The form fields with the right answers to the drawn set."""
        with self.parts.store.read() as uow:
            request = uow.requests.get(path.split("/")[2])
        assert request
        return {f"answer-{n}": ANSWERS[q] for n, q in enumerate(request.questions, 1)}

    def answer_questions(self, visitor: Visitor, path: str) -> TestResponse:
        """Answer the drawn set rightly."""
        return visitor.send(path, f"{path}/questions", **self.right_answers(path))

    def enter_code(self, visitor: Visitor, path: str) -> TestResponse:
        """Ask for a code and type it."""
        visitor.send(path, f"{path}/code/send")
        return visitor.send(path, f"{path}/code", code=self.code("reset", path.split("/")[2]))

    def asked(self) -> tuple[Visitor, str]:
        """A request that waits for its approval."""
        visitor = self.logged_in()
        path = self.open_request(visitor)
        self.answer_questions(visitor, path)
        self.enter_code(visitor, path)
        return visitor, path

    def approved(self) -> tuple[Visitor, str]:
        """A request that was approved."""
        visitor, path = self.asked()
        request_id = path.split("/")[2]
        self.flows.approve.sign(PEOPLE["bob"], request_id, b"signed-bob")
        return visitor, path


class Visitor:
    """A browser without one: forms are sent with the token of a page."""

    def __init__(
        self, client: FlaskClient, base: str, extra: Mapping[str, object] | None = None
    ) -> None:
        self.client, self.base, self.extra = client, base, dict(extra or {})

    def get(self, path: str, **options: object) -> TestResponse:
        """Open a page."""
        return self.client.get(
            path, base_url=self.base, environ_overrides=self.extra, **options  # type: ignore[arg-type]
        )  # fmt: skip

    def post(self, path: str, data: object = None, **options: object) -> TestResponse:
        """Send exactly these fields."""
        return self.client.post(
            path, base_url=self.base, environ_overrides=self.extra, data=data, **options  # type: ignore[arg-type]
        )  # fmt: skip

    def token(self, page: str) -> str:
        """The form token of a page."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get(page).text)
        assert found, page
        return html.unescape(found[1])

    def send(self, page: str, path: str, **fields: object) -> TestResponse:
        """Send a form of ``page`` to ``path``."""
        return self.post(path, {"csrf_token": self.token(page), **fields})

    def cookie(self) -> str:
        """The value of the session cookie."""
        name = "__Host-public" if self.base == PUBLIC else "__Host-certificate"
        host = self.base.removeprefix("https://").partition(":")[0]
        found = self.client.get_cookie(name, domain=host)
        return found.value if found else ""


def make_world(
    template: Path, directory: Path, public: str = PUBLIC, certificate: str = CERTIFICATE,
    policy: Policy | None = None, local: LocalTime = UTC_TIME,
) -> World:  # fmt: skip
    """A world on a fresh copy of the database."""
    shutil.copy(template, directory / "reset.db")
    watch, vault = Watch(), Vault()
    policy = policy or Policy()
    parts = Parts(
        policy=policy,
        clock=watch,
        random=Dice(),
        store=SqlStore(f"sqlite:///{directory}/reset.db", watch),
        directory=Register(),
        hasher=QuickHasher(),
        certificates=Anchors(),
        signatures=Anchors(),
        custodian=vault,
        mailer=Post(),
        public_url=public,
        certificate_url=certificate,
        mail_domains=frozenset({"uni.example"}),
        local=local,
    )
    _issue_tokens(parts)
    recover, approve = Recover(parts), Approve(parts)
    flows = Flows(
        login=Login(parts),
        sessions=Sessions(parts),
        enrol=Enrol(parts),
        authenticators=Authenticators(parts),
        rehearse=Rehearse(parts),
        recover=recover,
        approve=approve,
        pair=Pair(parts, recover, approve),
        custody=Custody(parts, approve),
        operate=Operate(parts),
        auditing=Auditing(parts),
        revocation=RevocationKeeping(parts, Shelf(), every=HOUR, notice=HOUR),
        health=vault.health,
    )
    settings = WebSettings(
        public_url=public,
        certificate_url=certificate,
        secret_key=secrets.token_bytes(32),
        institution="University of Example",
        office="Student Centre, room 120\nMonday to Friday, 8:00 to 17:00",
        help_desk="Telephone 555 0100\nhelp@uni.example",
        policy=policy,
        local=local,
    )
    return World(parts, flows, settings, watch, vault)


def _issue_tokens(parts: Parts) -> None:
    with parts.store.write() as uow:
        for number, (pid, person) in enumerate(PEOPLE.items()):
            uow.people.put(person, "")
            serial = f"0200{number:04d}"
            uow.tokens.put(
                Token(serial, person.uid, f"eToken of {person.name}", "in-use", "etoken",
                      f"certificate-{pid}".encode(), "01", 1)
            )  # fmt: skip
            uow.escrow.add(serial, 1, b"sealed")
