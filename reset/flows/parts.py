"""What every flow stands on, put together once in ``bootstrap``."""

from __future__ import annotations

from dataclasses import dataclass

from pkcs11_driver.wire import PinRules
from reset.core.identities import Person
from reset.core.policy import Policy
from reset.core.tokens import Token
from reset.errors import NotFound
from reset.flows.times import UTC_TIME, LocalTime
from reset.ports import (
    CertificateVerifier,
    Clock,
    Custodian,
    Directory,
    Hasher,
    Mailer,
    Random,
    SignatureVerifier,
    SingleSignOn,
    Store,
)


@dataclass(frozen=True)
class Parts:
    """Ports and policy. ``public_url`` and ``certificate_url``: the addresses of the two sites,
    from the settings, never from a request (peer failure 21); ``mail_domains``: domains whose
    mailboxes the PID opens, lower case; ``log_number``: raised when a restored log goes on as a new
    one; ``institution``: its name; ``sign_on``: its single sign-on, None without one; ``local``:
    the clock that people read."""

    policy: Policy
    clock: Clock
    random: Random
    store: Store
    directory: Directory
    hasher: Hasher
    certificates: CertificateVerifier
    signatures: SignatureVerifier
    custodian: Custodian
    mailer: Mailer
    public_url: str
    certificate_url: str
    mail_domains: frozenset[str]
    log_number: int = 1
    institution: str = ""
    sign_on: SingleSignOn | None = None
    local: LocalTime = UTC_TIME

    @property
    def log_origin(self) -> str:
        """The name of the audit log in its checkpoints."""
        name = self.public_url.removeprefix("https://") + "/audit"
        return name if self.log_number == 1 else f"{name}/{self.log_number}"

    def new_id(self) -> str:
        """32 random hex characters."""
        return self.random.token(16).hex()

    def pin_rules(self, token: Token | None) -> PinRules:
        """The rules for a new PIN, as far as this token can keep them."""
        return token.traits.pin_rules(self.policy.pin) if token else self.policy.pin

    def person(self, uid: str) -> Person:
        """The active person of the directory. Raises ``NotFound``."""
        person = self.directory.by_uid(uid)
        if person is None:
            raise NotFound(what="person")
        return person
