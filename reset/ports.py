"""What the flows need from the outside, as Protocols.

Every port fails closed: an adapter that cannot answer raises ``Unavailable`` (or a refusal of its
own), never a default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from reset.core.approvals import Approval, Delegation
from reset.core.assurance import Proof
from reset.core.audit import Entry
from reset.core.authenticator import Authenticator
from reset.core.checkpoints import SignedCheckpoint
from reset.core.codes import MailCode
from reset.core.custody import Operation
from reset.core.custody import State as CustodyState
from reset.core.identities import IdentityCheck, Person, Subject
from reset.core.profile import Draw, Profile
from reset.core.requests import Request
from reset.core.requests import State as RequestState
from reset.core.tokens import Job, Token


# --- the world ------------------------------------------------------------------------
class Clock(Protocol):
    def now(self) -> datetime:
        """Now, aware UTC."""


class Random(Protocol):
    def below(self, limit: int) -> int:
        """A random integer in 0…limit-1 from the system's CSPRNG."""

    def token(self, size: int) -> bytes:
        """``size`` random bytes."""


class Directory(Protocol):
    def by_pid(self, pid: str) -> Person | None:
        """The active person with this login name (compared in normal form)."""

    def by_uid(self, uid: str) -> Person | None:
        """The active person with this UID."""

    def uid_of(self, pid: str) -> str:
        """The UID with this login name, empty if nobody has it. Equal work for unknown names."""

    def check_password(self, pid: str, password: str) -> Person | None:
        """The person, if the password is right. Equal work for unknown names (T34).

        An empty password is never right. Raises ``Busy``, ``Unavailable``.
        """

    def search(self, text: str) -> list[Person]:
        """At most 20 persons whose UID, login, name or mail contains ``text``."""

    def keep(self, uid: str) -> None:
        """Note for ever whose UID this is: it names nobody else from now on (S5.7).

        Not inside a transaction. Raises ``NotFound``.
        """

    def check(self) -> Mapping[str, str]:
        """Facts for operators. Raises ``Unavailable`` with ``why`` for whatever is wrong."""


@dataclass(frozen=True)
class Attempt:
    """One browser's one attempt at a single sign-on: state, nonce and PKCE verifier."""

    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


class SingleSignOn(Protocol):
    def address(self, attempt: Attempt) -> str:
        """Where the browser is sent. Raises ``Unavailable``."""

    def redeem(self, code: str, attempt: Attempt, at: datetime) -> str:
        """The login name of who logged in, for the code that came back. Raises ``SignOnRefused``,
        ``Unavailable``."""

    def check(self) -> Mapping[str, str]:
        """Facts for operators. Raises ``Unavailable`` with ``why``."""


class Hasher(Protocol):
    @property
    def parameters(self) -> str:
        """The name of the setting for new hashes."""

    def tag(self, text: str, salt: bytes, parameters: str) -> bytes:
        """32 bytes of argon2id. Raises ``Busy``; ``Unavailable`` for a setting not allow-listed."""


class CertificateVerifier(Protocol):
    def verify_client(self, certificate: bytes, at: datetime) -> Subject:
        """Full path validation of a client certificate. Raises ``CertificateRefused``."""

    def verify_proof(self, certificate: bytes, challenge: bytes, signature: bytes) -> None:
        """The token's signature over the challenge. Raises ``SignatureRefused``."""


class SignatureVerifier(Protocol):
    def verify_approval(self, statement: bytes, signature: bytes, at: datetime) -> Subject:
        """The signer of the statement. Raises ``SignatureRefused``, ``CertificateRefused``."""


@dataclass(frozen=True)
class RevocationSource:
    """Where something newer is asked for: one CRL, or a responder about one certificate.

    ``name``: the CRL's file, or the certificate's fingerprint; ``certificate``: DER, or empty.
    """

    name: str
    url: str
    certificate: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class RevocationStanding:
    """How long the word of a CA about revocation still counts.

    ``kind``: ``crl``, ``delta-crl``, ``ocsp`` (its response that ends first), or ``trust-store``
    when nothing can be read; ``since`` and ``until``: None when there is nothing that counts.
    """

    kind: str
    issuer: str
    since: datetime | None
    until: datetime | None


class RevocationFiles(Protocol):
    """The files of CRLs and OCSP responses that verifiers read."""

    def sources(self, certificates: Sequence[bytes]) -> list[RevocationSource]:
        """Every configured one; responders are asked about these certificates (DER)."""

    def refresh(self, source: RevocationSource, now: Callable[[], datetime]) -> datetime:
        """Fetch from a source; until when the newest that is on file now counts.

        ``now`` is asked for the time of arrival: what is made while we wait is not of the future.

        Raises ``Unavailable`` when nothing comes, ``CertificateRefused`` when what comes does not
        count or is older; the file stays as it was.
        """

    def standing(self, certificates: Sequence[bytes], at: datetime) -> list[RevocationStanding]:
        """How long what is on file counts, for each CA."""


@dataclass(frozen=True)
class ReleaseOrder:
    """What the custodian needs to release an SO PIN; it checks all of it again.

    ``candidates``: (version, sealed) in the order of trying; ``pending``: (version, sealed).
    """

    operation_id: str
    job_id: str
    epoch: int
    nonce: str
    token_serial: str
    holder_uid: str
    candidates: tuple[tuple[int, bytes], ...] = field(repr=False)
    pending: tuple[int, bytes] = field(repr=False)
    helper_key: bytes
    statement: bytes
    signature: bytes = field(repr=False)


@dataclass(frozen=True)
class Escrowed:
    """What the custodian's ledger holds for one token.

    ``proven``: the version that the last proven reset put in force, 0 without one; ``unsettled``:
    something was released whose end the custodian has not heard; ``versions``: (version, sealed),
    each in its newest form.
    """

    proven: int
    unsettled: bool
    versions: tuple[tuple[int, bytes], ...] = field(repr=False)


class Custodian(Protocol):
    """The only process that opens an SO PIN. Every call raises ``Unavailable`` when it is gone."""

    def import_key(self) -> bytes:
        """The raw X25519 key to which existing SO PINs are sealed for ``store``."""

    def store(
        self, serial: str, version: int, envelope: bytes | None, holder_uid: str, family: str
    ) -> bytes:
        """Seal an SO PIN for escrow: the one in ``envelope``, or without one a fresh random one.

        The first call for a serial binds it to its holder and its family for ever; an envelope is
        taken for version 1 only. Returns the sealed bytes, bound to serial and version; idempotent
        per (serial, version). Raises ``ReleaseRefused``.
        """

    def correct(self, serial: str, envelope: bytes, holder_uid: str) -> tuple[int, bytes]:
        """Another SO PIN in place of a wrong imported one: its new version, and sealed.

        Only while nothing was released for the token. Raises ``ReleaseRefused``.
        """

    def release(self, order: ReleaseOrder) -> bytes:
        """The order for the helper as HPKE ciphertext. Raises ``ReleaseRefused``."""

    def settle(self, operation_id: str, serial: str, resolved: bool) -> None:
        """An SO PIN of the operation is known to fit. ``resolved``: its end is proven, and nothing
        is released for its approval any more. Raises ``ReleaseRefused``."""

    def withdraw(self, operation_id: str, serial: str) -> None:
        """Nobody got an order of the operation, and nobody will: the token kept its SO PIN.

        Raises ``ReleaseRefused``.
        """

    def hmac(self, message: bytes) -> bytes:
        """HMAC-SHA-256 with the key in the HSM: 32 bytes."""

    def check(self, serial: str, version: int, sealed: bytes) -> bytes:
        """Whether a sealed SO PIN opens: a keyed fingerprint of it, to find equal ones.

        Raises ``EscrowDamaged``.
        """

    def rewrap(self, serial: str, version: int, sealed: bytes) -> bytes:
        """The same SO PIN under the newest wrapping key. Raises ``EscrowDamaged``."""

    def escrowed(self, serial: str) -> Escrowed:
        """What the ledger holds for a token; changes nothing."""

    def sign_checkpoint(self, body: bytes, proof: Sequence[bytes]) -> bytes:
        """Ed25519 signature over a checkpoint body (``core.checkpoints``).

        ``proof``: RFC 6962 consistency with the newest checkpoint that was signed for this log,
        whose size ``checkpoint_size`` tells. Raises ``ReleaseRefused``.
        """

    def checkpoint_size(self, origin: str) -> int:
        """The size of the newest checkpoint that was signed for this log; 0 before the first."""

    def checkpoint_key(self) -> bytes:
        """The raw Ed25519 public key of ``sign_checkpoint``."""

    def health(self) -> Mapping[str, str]:
        """Facts for operators: no secrets."""


@dataclass(frozen=True)
class Mail:
    """An outbox row. The address is looked up when it is sent, never stored here.

    ``box``: ``directory``, ``recovery`` or ``second`` (the confirmed recovery addresses), each
    of them with ``-pending`` behind it for one that waits for its code, or ``former``: ``address``,
    which a change has just taken out of the profile and which is told of it. ``kind`` and
    ``facts`` choose and fill the text; ``code_id`` names the mail code to derive, never the code.
    """

    id: str
    uid: str
    box: str
    kind: str
    facts: Mapping[str, str]
    code_id: str
    created_at: datetime
    tries: int = 0
    address: str = field(default="", repr=False)


class Mailer(Protocol):
    def send(self, to: str, subject: str, body: str, message_id: str) -> None:
        """Deliver one mail to one address. Raises ``Unavailable``."""


# --- storage ----------------------------------------------------------------------------
class People(Protocol):
    def by_pid(self, pid: str) -> tuple[Person, str] | None:
        """Person and password hash by normalised login name."""

    def by_uid(self, uid: str) -> Person | None: ...
    def search(self, text: str) -> list[Person]: ...
    def put(self, person: Person, password_hash: str) -> None:
        """Insert or change. Raises ``BadInput`` when login or UID belongs to somebody else."""

    def entry_of(self, uid: str) -> str | None:
        """The entry of another directory that this UID belongs to, if it was noted."""

    def keep_entry(self, uid: str, entry: str) -> None:
        """Note it, unless there is one."""

    def forget_entry(self, uid: str) -> bool:
        """False when there was none."""


class IdentityChecks(Protocol):
    """Append-only."""

    def add(self, check: IdentityCheck) -> None: ...
    def of_person(self, uid: str, limit: int) -> list[IdentityCheck]:
        """Those of a person, newest first."""


class Tokens(Protocol):
    def get(self, serial: str) -> Token | None: ...
    def of_holder(self, uid: str) -> list[Token]: ...
    def every(self) -> list[Token]: ...
    def put(self, token: Token) -> None: ...


class Profiles(Protocol):
    def get(self, uid: str) -> Profile | None: ...
    def put(self, profile: Profile) -> None: ...
    def second_address(self, uid: str) -> str:
        """The confirmed second address, or empty; the row is not held."""

    def delete(self, uid: str) -> None:
        """With answers, draw, authenticators and rehearsals."""

    def draw_of(self, uid: str) -> Draw | None: ...
    def put_draw(self, draw: Draw) -> None: ...


class Authenticators(Protocol):
    def get(self, uid: str, *, confirmed: bool) -> Authenticator | None:
        """The enrolment that counts, or the one that waits for its first code."""

    def begin(self, authenticator: Authenticator) -> None:
        """Add an enrolment that waits; it replaces the one that waited."""

    def confirm(self, uid: str, authenticator_id: str, step: int) -> bool:
        """Make it the one that counts; False when it no longer waits."""

    def use(self, authenticator_id: str, step: int) -> bool:
        """Use up a time step and all before it; False when it was."""

    def remove(self, uid: str) -> bool:
        """Delete every enrolment; False when none counted."""


class Rehearsals(Protocol):
    def reserve(self, uid: str, limit: int, at: datetime, over: datetime) -> int | None:
        """Spend one try of those begun after ``over``: the count after it, or None."""

    def give_back(self, uid: str) -> None: ...
    def since(self, uid: str) -> datetime | None:
        """When the first try of the count was made."""

    def note_right(self, uid: str, at: datetime) -> None: ...
    def right_at(self, uid: str) -> datetime | None:
        """When the answers were right last, at a rehearsal or a reset."""


@dataclass(frozen=True)
class Ending:
    """A token in use whose certificate ends at ``at``."""

    serial: str
    holder_uid: str
    at: datetime


class Reminders(Protocol):
    """``missed``: who was not in the directory since then is left out."""

    def rehearsals_due(self, before: datetime, missed: datetime, limit: int) -> list[str]:
        """UIDs whose answers were neither registered nor right nor asked for since ``before``."""

    def certificates_ending(
        self, after: datetime, until: datetime, missed: datetime, limit: int
    ) -> list[Ending]: ...
    def mark(self, kind: str, about: str, at: datetime, below: datetime) -> bool:
        """Set the mark to ``at``; False when one that is not below ``below`` is there. ``kind``:
        rehearsal or missed, about a UID; certificate, about a serial."""


class Tries(Protocol):
    """Counters of spent tries, one way for every secret. ``key``: ``rounds:UID`` and the like."""

    def reserve(self, key: str, limit: int) -> int | None:
        """Spend one try if fewer than ``limit`` are spent: the count after it, or None."""

    def give_back(self, key: str) -> None: ...
    def clear(self, key: str) -> None: ...
    def spent(self, key: str) -> int: ...


class Throttle(Protocol):
    def reserve(self, key: str, at: datetime) -> int:
        """0 when an attempt may go on (it is counted), else the seconds to wait."""

    def give_back(self, key: str, at: datetime) -> None:
        """An attempt of ``reserve`` at this time did not count after all."""

    def clear(self, key: str) -> None: ...
    def take(self, key: str, at: datetime, every: timedelta, burst: int) -> int:
        """0 when an attempt may go on, else the seconds to wait: ``burst`` at once, then one in
        ``every``. Nobody waits longer than that."""

    def put_back(self, key: str, every: timedelta) -> None:
        """An attempt of ``take`` did not count after all."""


class Requests(Protocol):
    def add(self, request: Request) -> None:
        """Raises ``StateConflict`` when the token has an open request."""

    def get(self, request_id: str) -> Request | None: ...
    def save(self, request: Request, expected: RequestState) -> None:
        """``UPDATE … WHERE state = expected``. Raises ``StateConflict``."""

    def open_of_token(self, serial: str) -> Request | None: ...
    def of_holder(self, uid: str, limit: int = 20) -> list[Request]: ...
    def opened_since(self, uid: str, since: datetime, *, answered: bool) -> int:
        """How many requests were opened; ``answered``: only those with right answers."""

    def in_state(self, state: RequestState) -> list[Request]: ...
    def overdue(self, at: datetime) -> list[Request]: ...
    def add_proof(self, request_id: str, proof: Proof) -> None: ...
    def proofs(self, request_id: str) -> list[Proof]: ...


class Codes(Protocol):
    def add(self, code: MailCode) -> None: ...
    def get(self, code_id: str) -> MailCode | None: ...
    def newest(self, purpose: str, about: str) -> MailCode | None: ...
    def use(self, code_id: str, at: datetime) -> bool:
        """Mark as used; False when it was."""

    def sent_since(self, uid: str, since: datetime) -> list[datetime]: ...


class Approvals(Protocol):
    def add(self, approval: Approval) -> None: ...
    def of_request(self, request_id: str) -> Approval | None: ...
    def use(self, approval_id: str, at: datetime) -> bool:
        """Mark as used; False when it was."""

    def add_delegation(self, delegation: Delegation) -> None: ...
    def delegations_of(self, principal_uid: str) -> list[Delegation]: ...
    def delegations_to(self, delegate_uid: str) -> list[Delegation]: ...
    def revoke_delegation(self, delegation_id: str, principal_uid: str, at: datetime) -> bool: ...


class Escrow(Protocol):
    """Append-only: a version is never changed but by ``rewrap`` and never deleted."""

    def add(self, serial: str, version: int, sealed: bytes) -> None: ...
    def get(self, serial: str, version: int) -> bytes | None: ...
    def every(self) -> Iterator[tuple[str, int, bytes]]: ...
    def rewrap(self, serial: str, version: int, old: bytes, new: bytes) -> bool: ...


class Operations(Protocol):
    def add(self, operation: Operation) -> None:
        """Raises ``OperationUnresolved`` when the token has one."""

    def get(self, operation_id: str) -> Operation | None: ...
    def of_request(self, request_id: str) -> Operation | None: ...
    def unresolved_of(self, serial: str) -> Operation | None: ...
    def save(self, operation: Operation, expected: CustodyState, epoch: int) -> None:
        """``UPDATE … WHERE state and epoch are as expected``. Raises ``StateConflict``."""

    def proved(self, serial: str, version: int) -> bool:
        """Whether a reset that is ``done`` put this version in force."""

    def lease_over(self, at: datetime) -> list[Operation]: ...
    def abandoned(self, at: datetime) -> list[Operation]:
        """Those that wait for an order, and spent their approval at or before ``at``."""

    def unsettled(self) -> list[Operation]:
        """Ended operations that the custodian has not been told of."""

    def settle(self, operation_id: str) -> None: ...


class Jobs(Protocol):
    def add(self, job: Job) -> bool:
        """False when the selector is taken by a live job."""

    def get(self, job_id: str) -> Job | None: ...
    def by_selector(self, selector: str, since: datetime) -> Job | None:
        """The job with this selector made after ``since``."""

    def newest(self, about: str, uid: str, kind: str) -> Job | None: ...
    def claim(self, job: Job) -> bool:
        """Set key, secret and time; False when it was claimed."""

    def finish(self, job_id: str, outcome: str) -> None: ...


class Outbox(Protocol):
    def add(self, mail: Mail) -> None: ...
    def due(self, at: datetime, limit: int) -> list[Mail]: ...
    def sent(self, mail_id: str, at: datetime) -> None: ...
    def put_off(self, mail_id: str, until: datetime) -> None: ...
    def waiting(self) -> int: ...


class Checkpoints(Protocol):
    """Append-only."""

    def add(self, signed: SignedCheckpoint) -> None:
        """Raises ``StateConflict`` when the log has one with this number."""

    def newest(self, origin: str) -> SignedCheckpoint | None: ...
    def after(self, origin: str, number: int, limit: int) -> list[SignedCheckpoint]:
        """Those with a number above ``number``, in order."""


class AuditLog(Protocol):
    def append(self, event: str, actor: str, facts: Mapping[str, object]) -> None: ...
    def head(self) -> tuple[int, bytes]: ...
    def entries(self, after: int = 0) -> Iterator[Entry]: ...
    def newest(self, limit: int) -> list[Entry]: ...


@dataclass(frozen=True)
class Session:
    """A web session; ``key`` is the SHA-256 of the cookie's random id, in hex.

    ``handle`` names it on pages and stays the same when the cookie is renewed; ``address`` and
    ``agent`` are what its person may know it by: where it began, and the browser's own words.
    """

    key: str
    site: str
    uid: str
    data: str = field(repr=False)
    created_at: datetime
    seen_at: datetime
    handle: str
    address: str
    agent: str


class Sessions(Protocol):
    def get(self, key: str) -> Session | None: ...
    def put(self, session: Session) -> None: ...
    def touch(self, key: str, at: datetime) -> None:
        """Move the idle age of a session that still exists."""

    def keep(self, key: str, data: str) -> None:
        """Change the data of a session that still exists."""

    def renew(self, key: str, session: Session) -> bool:
        """Put ``session`` in the place of that with ``key``; False when it was ended."""

    def delete(self, key: str) -> None: ...
    def end(self, handle: str) -> None:
        """Delete it under whatever key it has by now."""

    def of_person(self, uid: str) -> list[Session]:
        """All sessions of a person, the newest first."""

    def purge(self, idle_since: datetime, created_before: datetime) -> int: ...


class UnitOfWork(Protocol):
    """One transaction: everything in it is committed together or not at all."""

    people: People
    identity_checks: IdentityChecks
    tokens: Tokens
    profiles: Profiles
    authenticators: Authenticators
    rehearsals: Rehearsals
    reminders: Reminders
    tries: Tries
    throttle: Throttle
    requests: Requests
    codes: Codes
    approvals: Approvals
    escrow: Escrow
    operations: Operations
    jobs: Jobs
    outbox: Outbox
    audit: AuditLog
    checkpoints: Checkpoints
    sessions: Sessions


class Store(Protocol):
    def write(self) -> AbstractContextManager[UnitOfWork]:
        """A transaction that commits at the end of the block and rolls back on an exception."""

    def read(self) -> AbstractContextManager[UnitOfWork]:
        """A transaction that changes nothing."""
