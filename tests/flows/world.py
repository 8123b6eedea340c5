"""A small institution on real parts: the flows over a database, a custodian, real certificates.

A ``Place`` is a directory (and a database) that a test has for itself; ``seed`` fills it once, and
every test starts from a copy of it.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from pkcs11_driver import envelope, wire
from reset.adapters import armour
from reset.adapters.certificates import CertificateVerifier
from reset.adapters.directory_local import LocalDirectory
from reset.adapters.hasher_argon2 import Argon2Hasher, Slots
from reset.adapters.revocation_files import FetchedRevocation
from reset.adapters.signatures_cms import CmsVerifier
from reset.adapters.system import SystemRandom
from reset.adapters.trust import TrustStore
from reset.core import audit
from reset.core.assurance import Proof
from reset.core.identities import Person
from reset.core.policy import Policy
from reset.core.registration import Chosen
from reset.core.requests import Request
from reset.custodian.keys import so_pin_context
from reset.custodian.ledger import Ledger
from reset.custodian.service import CustodianService
from reset.db.engine import make_engine
from reset.db.store import SqlStore
from reset.db.tables import metadata
from reset.errors import Unavailable
from reset.flows.approve import Approve
from reset.flows.auditing import Auditing
from reset.flows.authenticators import Authenticators
from reset.flows.custody import Custody
from reset.flows.enrol import Enrol
from reset.flows.escrow import EscrowKeeping
from reset.flows.importing import PEOPLE, TOKENS, Importing
from reset.flows.login import Login
from reset.flows.operate import Operate
from reset.flows.pairing import Pair
from reset.flows.parts import Parts
from reset.flows.recover import Progress, Recover
from reset.flows.rehearse import Rehearse
from reset.flows.revocation import RevocationKeeping
from reset.flows.sessions import Sessions
from reset.flows.upkeep import Upkeep
from reset.ports import Custodian, ReleaseOrder, Store, UnitOfWork
from tests.custodian.scene import Institution, SoftKeys
from tests.institution.authority import Authority, software_key

HOLDER, SECOND, SUPERVISOR, REPRESENTATIVE = "u-holder", "u-second", "u-super", "u-rep"
DEPUTY, STRANGER, OPERATOR, AUDITOR = "u-deputy", "u-stranger", "u-office", "u-audit"
PUBLIC, CERTIFICATE = "https://reset.example", "https://reset.example:8444"
SECOND_TIME = timedelta(seconds=1)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

# uid → (pid, name, supervisor, representative, roles, has a password)
PEOPLE_ROWS = {
    HOLDER: ("holly", "Holly Holder", SUPERVISOR, REPRESENTATIVE, "", True),
    SECOND: ("sam", "Sam Second", SUPERVISOR, "", "", True),
    SUPERVISOR: ("sue", "Sue Supervisor", "", "", "", False),
    REPRESENTATIVE: ("rita", "Rita Representative", "", "", "", False),
    DEPUTY: ("dave", "Dave Deputy", "", "", "", False),
    STRANGER: ("stan", "Stan Stranger", "", "", "", False),
    OPERATOR: ("olga", "Olga Operator", "", "", "office", False),
    AUDITOR: ("aude", "Aude Auditor", "", "", "auditor", False),
}
ANSWERS = {
    HOLDER: {
        "first-phone": "extension 739 204",
        "childhood-street": "Rue du Phénix",
        "first-flight": "Tromsø harbour",
        "first-employer": "Okonkwo-Brandt",
        "teacher-nickname": "Thunder Owl",
    },
    SECOND: {
        "first-phone": "extension 118 463",
        "childhood-street": "Kestrel Mews",
        "first-flight": "Valparaiso",
        "first-employer": "Wiśniewska",
        "teacher-nickname": "Professor Gravel",
    },
}


Memo = dict[tuple[str, bytes, str], bytes]


class Died(BaseException):
    """The process ended here. No ``except`` of the product may hold it up."""


def die(name: str) -> None:
    """The process ends at this point."""
    raise Died(name)


def away(name: str) -> None:
    """The database is away at this point."""
    raise Unavailable(part="database")


@dataclass
class Faults:
    """Every point that a run passes, by name; at the one with number ``at`` the fault strikes."""

    at: int | None = None
    strike: Callable[[str], None] = die
    trace: list[str] = field(default_factory=list)
    away: int | None = None  # the custodian call with this number finds nobody
    calls: int = 0

    def reach(self, name: str) -> None:
        """Pass a point."""
        self.trace.append(name)
        if self.at is not None and len(self.trace) - 1 == self.at:
            self.strike(name)

    def call(self) -> None:
        """Count a call of the custodian."""
        self.calls += 1
        if self.away is not None and self.calls - 1 == self.away:
            raise Unavailable(part="custodian")

    def reset(self, at: int | None = None) -> None:
        """Count anew."""
        self.at, self.away, self.calls, self.strike = at, None, 0, die
        self.trace = []


class FaultyStore:
    """A ``Store`` that can die around each commit."""

    def __init__(self, inner: SqlStore, faults: Faults) -> None:
        self.inner = inner
        self._faults = faults

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        with self.inner.write() as uow:
            yield uow
            self._faults.reach("server: before a commit")
        self._faults.reach("server: after a commit")

    @contextmanager
    def read(self) -> Iterator[UnitOfWork]:
        with self.inner.read() as uow:
            yield uow


class FaultyCustodian:
    """A ``Custodian`` that can be away, or die before or after it did its part."""

    def __init__(self, inner: Custodian, faults: Faults) -> None:
        self.inner = inner
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self.inner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            self._faults.call()
            self._faults.reach(f"custodian: before {name}")
            answer = inner(*arguments, **named)
            self._faults.reach(f"custodian: after {name}")
            return answer

        return call


class Clock:
    """The real time until it is moved or stopped."""

    def __init__(self, at: datetime | None = None) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at or datetime.now(UTC)

    def move(self, by: timedelta) -> None:
        self._at = self.now() + by


class CountingHasher:
    """The real hasher; counts, and with ``memo`` remembers what was hashed in this test run."""

    def __init__(self, inner: Argon2Hasher, memo: Memo | None) -> None:
        self._inner = inner
        self._memo = memo
        self._lock = threading.Lock()
        self.count = 0

    @property
    def parameters(self) -> str:
        return self._inner.parameters

    def tag(self, text: str, salt: bytes, parameters: str) -> bytes:
        with self._lock:
            self.count += 1
        if self._memo is None:
            return self._inner.tag(text, salt, parameters)
        key = (text, salt, parameters)
        if key not in self._memo:
            self._memo[key] = self._inner.tag(text, salt, parameters)
        return self._memo[key]


@dataclass(frozen=True)
class Sent:
    to: str
    subject: str
    body: str
    message_id: str


class Postman:
    """The Mailer port: keeps what it was given; ``away`` refuses that many times first."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.away = 0

    def send(self, to: str, subject: str, body: str, message_id: str) -> None:
        if self.away:
            self.away -= 1
            raise Unavailable(part="mail")
        self.sent.append(Sent(to, subject, body, message_id))

    def to(self, address: str) -> list[Sent]:
        return [mail for mail in self.sent if mail.to == address]


# --- the institution ----------------------------------------------------------------------
def serial_of(uid: str) -> str:
    return "T" + uid.removeprefix("u-").upper()


def mail_of(uid: str) -> str:
    return f"{PEOPLE_ROWS[uid][0]}@inst.example"


def recovery_of(uid: str) -> str:
    return f"{PEOPLE_ROWS[uid][0]}@home.example"


def password_of(uid: str) -> str:
    return f"Pass word of {uid}!"


def so_pin_of(serial: str) -> str:
    return f"First-SO-PIN-{serial}"


@dataclass
class Institute:
    """The authority and everybody's key and certificate."""

    directory: Path
    members: dict[str, tuple[Any, bytes]]
    made_at: datetime

    @classmethod
    def create(cls, directory: Path) -> Institute:
        authority = Authority.create(directory)
        authority.refresh_crls(days=200)
        members = {}
        for uid, (_, name, *_rest) in PEOPLE_ROWS.items():
            key = software_key("p256")
            certificate = authority.issue_person(uid=uid, name=name, public_key=key.public_key())
            members[uid] = (key, certificate)
        return cls(directory, members, datetime.now(UTC))


@dataclass
class Place:
    """Where a world lives. ``at``: the time that its clock starts with; None: the real time."""

    directory: Path
    url: str
    at: datetime | None

    def copy(self, directory: Path, url: str | None = None, at: datetime | None = None) -> Place:
        """A copy of a place whose world is closed."""
        shutil.copytree(self.directory, directory)
        return Place(directory, url or f"sqlite:///{directory}/reset.db", at or self.at)


def by_password(at: datetime) -> Proof:
    """A login by password at this time."""
    return Proof("password", at)


class World:
    """The flows with their parts, and what people do with them."""

    def __init__(
        self,
        institute: Institute,
        place: Place,
        memo: Memo | None = None,
        custodian: Custodian | None = None,
        policy: Policy | None = None,
    ) -> None:
        self.institute, self.place = institute, place
        self.policy = policy or Policy()
        self.clock = Clock(place.at)
        self.faults = Faults()
        self.mailer = Postman()
        here = place.directory / "authority"
        if not here.exists():
            shutil.copytree(institute.directory, here)
        self.authority = Authority.load(here)
        self.papers = Institution(self.authority, institute.members)
        trusted = TrustStore(
            [self.authority.anchors_pem], self.authority.crl_files,
            [self.authority.intermediates_pem],
        )  # fmt: skip
        signatures = CmsVerifier(trusted)
        self._ledger: Ledger | None = None
        if custodian is None:
            (place.directory / "own").mkdir(mode=0o700, exist_ok=True)
            self._ledger = Ledger(place.directory / "own" / "ledger.db")
            custodian = CustodianService(
                SoftKeys(), self._ledger, signatures, self.clock, policy=self.policy,
                random=SystemRandom(),
            )  # fmt: skip
        self._administrator = make_engine(place.url)
        self.database = SqlStore(place.url, self.clock, self.policy.login_slow_after)
        store: Store = FaultyStore(self.database, self.faults)
        self.hasher = CountingHasher(Argon2Hasher(Slots(place.directory / "hashing")), memo)
        self.directory = LocalDirectory(store, self.hasher)  # type: ignore[arg-type]
        self.parts = Parts(
            policy=self.policy,
            clock=self.clock,
            random=SystemRandom(),
            store=store,
            directory=self.directory,
            hasher=self.hasher,
            certificates=CertificateVerifier(trusted),
            signatures=signatures,
            custodian=FaultyCustodian(custodian, self.faults),  # type: ignore[arg-type]
            mailer=self.mailer,
            public_url=PUBLIC,
            certificate_url=CERTIFICATE,
            mail_domains=frozenset({"alumni.inst.example"}),
        )
        self.login, self.sessions = Login(self.parts), Sessions(self.parts)
        self.enrol, self.recover = Enrol(self.parts), Recover(self.parts)
        self.authenticators, self.rehearse = Authenticators(self.parts), Rehearse(self.parts)
        self.approve, self.operate = Approve(self.parts), Operate(self.parts)
        self.pair = Pair(self.parts, self.recover, self.approve)
        self.custody = Custody(self.parts, self.approve)
        self.upkeep = Upkeep(self.parts)
        self.auditing, self.escrow = Auditing(self.parts), EscrowKeeping(self.parts)
        files = FetchedRevocation(trusted, {}, {}, None)
        self.revocation = RevocationKeeping(self.parts, files, every=HOUR, notice=24 * HOUR)
        self.importing = Importing(
            self.parts, self.directory.hash_password,
            lambda name: armour.certificate(Path(name).read_bytes()), self.revocation.ask_about,
        )  # fmt: skip

    def close(self) -> None:
        self.database.close()
        self._administrator.dispose()
        if self._ledger:
            self._ledger.close()

    # --- filling it -------------------------------------------------------------------
    def seed(self) -> None:
        """People, tokens, and the profiles of the two holders, by the real flows."""
        lines = [",".join(PEOPLE)]
        for uid, (pid, name, supervisor, representative, roles, login) in PEOPLE_ROWS.items():
            word = password_of(uid) if login else ""
            row = (uid, pid, name, mail_of(uid), supervisor, representative, roles, word)
            lines.append(",".join(row))
        self.importing.people(lines)
        self.importing.tokens(
            [",".join(TOKENS), *(self.token_row(serial_of(uid), uid) for uid in PEOPLE_ROWS)]
        )
        for uid in (HOLDER, SECOND):
            self.enrol.register(self.person(uid), self.chosen(uid), recovery_of(uid))
            self.enrol.confirm(uid, self.code_mailed(recovery_of(uid)))
        self.upkeep.deliver()
        self.mailer.sent.clear()
        self.clock.move(2 * HOUR)

    def token_row(self, serial: str, uid: str, so_pin: str = "", family: str = "etoken") -> str:
        file = self.place.directory / f"{uid}.der"
        file.write_bytes(self.institute.members[uid][1])
        clear = (so_pin or so_pin_of(serial)).encode()
        key = self.parts.custodian.import_key()
        sealed = envelope.seal(clear, key, envelope.import_context(serial, family))
        so_pin = base64.b64encode(sealed).decode()
        return ",".join((serial, uid, f"token of {uid}", family, str(file), "0a", so_pin))

    def chosen(self, uid: str) -> list[Chosen]:
        return [Chosen(question, answer) for question, answer in ANSWERS[uid].items()]

    # --- looking ----------------------------------------------------------------------
    def person(self, uid: str) -> Person:
        return self.parts.person(uid)

    def request(self, request: Request | str) -> Request:
        with self.database.read() as uow:
            found = uow.requests.get(request if isinstance(request, str) else request.id)
        assert found is not None
        return found

    def progress(self, request: Request, login_at: datetime | None = None) -> Progress:
        return self.recover.progress(
            request.uid, request.id, by_password(login_at or self.clock.now())
        )

    def spent(self, key: str) -> int:
        with self.database.read() as uow:
            return uow.tries.spent(key)

    def events(self) -> list[dict[str, Any]]:
        """The audit log, oldest first; its chain is verified on the way."""
        with self.database.read() as uow:
            audit.verify(uow.audit.entries(), uow.audit.head())
            return [json.loads(entry.raw) for entry in uow.audit.entries()]

    def named(self, event: str) -> list[dict[str, Any]]:
        return [entry for entry in self.events() if entry["event"] == event]

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table."""
        with self._administrator.connect() as connection:
            rows = {
                table.name: sorted(
                    (tuple(row) for row in connection.execute(select(table))), key=repr
                )
                for table in metadata.sorted_tables
            }
        return rows

    def so_pins(self, serial: str) -> dict[int, str]:
        """The escrow, opened as only the custodian can."""
        keys = SoftKeys()
        with self.database.read() as uow:
            rows = [(v, sealed) for s, v, sealed in uow.escrow.every() if s == serial]
        return {v: keys.open(sealed, so_pin_context(serial, v)).decode() for v, sealed in rows}

    def so_version(self, serial: str) -> int:
        with self.database.read() as uow:
            token = uow.tokens.get(serial)
        assert token is not None
        return token.so_version

    def put_person(self, uid: str, **changes: Any) -> None:
        """Change somebody in the directory."""
        with self.database.write() as uow:
            person = uow.people.by_uid(uid)
            assert person is not None
            found = uow.people.by_pid(person.pid)
            uow.people.put(replace(person, **changes), found[1] if found else "")

    def put_token(self, uid: str, serial: str = "", **changes: Any) -> None:
        """Change somebody's token in the register, or add one like it under ``serial``."""
        with self.database.write() as uow:
            token = uow.tokens.get(serial_of(uid))
            assert token is not None
            uow.tokens.put(replace(token, serial=serial or token.serial, **changes))

    # --- mail -------------------------------------------------------------------------
    def code_mailed(self, address: str) -> str:
        """Deliver, and the code in the newest mail to an address."""
        self.upkeep.deliver()
        codes = [re.search(r"your code is: (\d+)", mail.body) for mail in self.mailer.to(address)]
        return [found[1] for found in codes if found][-1]

    # --- the holder's steps -------------------------------------------------------------
    def log_in(self, uid: str = HOLDER) -> datetime:
        self.login.with_password(PEOPLE_ROWS[uid][0], password_of(uid), "192.0.2.1")
        return self.clock.now()

    def open(self, uid: str = HOLDER, serial: str | None = None) -> Request:
        return self.recover.open(
            self.person(uid), by_password(self.log_in(uid)), serial, "blocked in Kyoto"
        )

    def right(self, request: Request) -> list[str]:
        return [ANSWERS[request.uid][q] for q in self.request(request).questions]

    def answer(self, request: Request) -> Request:
        now = self.clock.now()
        return self.recover.answer(request.uid, request.id, self.right(request), by_password(now))

    def send(self, request: Request) -> str:
        """Have a code sent; returns it."""
        self.recover.send_code(request.uid, request.id, by_password(self.clock.now()))
        return self.code_mailed(recovery_of(request.uid))

    def confirm(self, request: Request) -> Request:
        code = self.send(request)
        return self.recover.enter_code(request.uid, request.id, code, by_password(self.clock.now()))

    def signature(self, request: Request, by: str = SUPERVISOR) -> bytes:
        return self.papers.sign(self.approve.statement(self.person(by), request.id), by)

    def sign(self, request: Request, by: str = SUPERVISOR) -> Request:
        self.clock.move(SECOND_TIME)
        return self.approve.sign(self.person(by), request.id, self.signature(request, by))

    def code(self, request: Request) -> str:
        """The pairing code that the page shows."""
        return self.pair.for_reset(request.uid, request.id, by_password(self.clock.now())).code

    # --- states ---------------------------------------------------------------------------
    def waiting(self, uid: str = HOLDER, serial: str | None = None) -> Request:
        request = self.open(uid, serial)
        self.answer(request)
        return self.confirm(request)

    def ready(self, uid: str = HOLDER, by: str = SUPERVISOR, serial: str | None = None) -> Request:
        """Approved, and confirmed once more by a code."""
        request = self.waiting(uid, serial)
        self.sign(request, by)
        self.clock.move(SECOND_TIME)
        return self.confirm(request)


def over_the_wire(message: Any) -> Any:
    """The message as the other side reads it."""
    return wire.from_json(type(message), json.loads(json.dumps(wire.to_json(message))))


__all__ = ["ReleaseOrder", "World"]
