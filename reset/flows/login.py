"""Logging in: PID and password on the public site, the token's certificate on the other."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from reset.core.identities import PID_LIMIT, Person, is_plain, tidy_pid
from reset.core.tokens import Token
from reset.errors import (
    BadInput,
    Busy,
    CertificateRefused,
    LoginRefused,
    NotFound,
    SignOnRefused,
    SlowDown,
    Unavailable,
)
from reset.flows.parts import Parts
from reset.ports import Attempt

PASSWORD_LIMIT = 256  # bytes; more is refused before hashing (peer failure 34)


@dataclass(frozen=True)
class TokenLogin:
    """A person shown by the certificate that is enrolled for ``token``."""

    person: Person
    token: Token


def network_of(address: str) -> str:
    """What attempts are counted by: an IPv4 address, or the /64 that one IPv6 customer has."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # a unix socket has none
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


class Login:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def with_password(self, pid: str, password: str, address: str) -> Person:
        """The person, when PID and password are right (S1.55).

        The attempt is counted before the password is looked at; failures slow down the pair of
        login name and network, and a network that tries many names, but nobody can lock somebody
        else out (S1.97, peer failure 41). What nobody looked at costs nothing.
        Raises ``BadInput``, ``SlowDown``, ``LoginRefused``, ``Busy``, ``Unavailable``.
        """
        name = tidy_pid(pid)
        problems: list[dict[str, object]] = []
        if not name or len(name) > PID_LIMIT:
            problems.append({"field": "pid", "rule": "empty" if not name else "too-long"})
        if not password or len(password.encode()) > PASSWORD_LIMIT:
            rule = "empty" if not password else "too-long"
            problems.append({"field": "password", "rule": rule})
        if problems:
            raise BadInput.of(problems)
        parts = self._parts
        network, now = network_of(address), parts.clock.now()
        every, burst = parts.policy.address_failure_every, parts.policy.address_failures
        # people type passwords into the wrong field: no name is kept in clear
        key = "login:" + parts.custodian.hmac(f"login 1|{name}|{network}".encode()).hex()
        around = f"network:{network}"
        with parts.store.write() as uow:
            wait = uow.throttle.reserve(key, now) or uow.throttle.take(around, now, every, burst)
            if wait:  # inside: where the network waits, the name is not charged either
                raise SlowDown(retry_after=wait)
        try:
            person = parts.directory.check_password(name, password)
        except (Busy, Unavailable):
            with parts.store.write() as uow:
                uow.throttle.give_back(key, now)
                uow.throttle.put_back(around, every)
            raise
        uid = person.uid if person else parts.directory.uid_of(name)
        with parts.store.write() as uow:
            if person is None:
                uow.audit.append("login-refused", uid or "unknown", {"address": address})
            else:
                uow.throttle.clear(key)
                uow.throttle.put_back(around, every)
                uow.audit.append("login", uid, {"address": address})
        if person is None:
            raise LoginRefused
        return person

    def with_sign_on(self, code: str, attempt: Attempt, address: str) -> Person:
        """The person whom the institution's single sign-on names, for the code it gave.

        Raises ``NotFound`` where there is none, ``SignOnRefused``, ``SlowDown``, ``Busy``,
        ``Unavailable``.
        """
        parts, now = self._parts, self._parts.clock.now()
        if parts.sign_on is None:
            raise NotFound(what="single-sign-on")
        every, burst = parts.policy.address_failure_every, parts.policy.address_failures
        around = f"network:{network_of(address)}"
        with parts.store.write() as uow:
            wait = uow.throttle.take(around, now, every, burst)
        if wait:
            raise SlowDown(retry_after=wait)
        try:
            person = self._signed_on(parts.sign_on.redeem(code, attempt, now))
        except SignOnRefused as refused:
            with parts.store.write() as uow:
                facts = {"address": address, "by": "single-sign-on", "rule": refused.data["rule"]}
                uow.audit.append("login-refused", "unknown", facts)
            raise
        except (Busy, Unavailable):
            with parts.store.write() as uow:
                uow.throttle.put_back(around, every)
            raise
        with parts.store.write() as uow:
            uow.throttle.put_back(around, every)
            facts = {"address": address, "by": "single-sign-on"}
            uow.audit.append("login", person.uid, facts)
        return person

    def _signed_on(self, pid: str) -> Person:
        """The person of a login name that the provider told; the directory notes whose it is."""
        usable = 0 < len(pid) <= PID_LIMIT and is_plain(pid)
        person = self._parts.directory.by_pid(tidy_pid(pid)) if usable else None
        if person is None:
            raise SignOnRefused(rule="person")
        self._parts.directory.keep(person.uid)
        return person

    def sign_on_address(self, attempt: Attempt) -> str:
        """Where a browser begins its single sign-on. Raises ``NotFound``, ``Unavailable``."""
        if self._parts.sign_on is None:
            raise NotFound(what="single-sign-on")
        return self._parts.sign_on.address(attempt)

    def person(self, uid: str) -> Person | None:
        """The active person of a session; None once the directory no longer has them."""
        return self._parts.directory.by_uid(uid)

    def with_certificate(self, certificate: bytes) -> TokenLogin:
        """The person whose enrolled certificate this is (S1.38, S1.39, peer failure 27).

        The whole certificate is compared, not its key or name. Raises ``CertificateRefused``.
        """
        parts = self._parts
        subject = parts.certificates.verify_client(certificate, parts.clock.now())
        person = parts.directory.by_uid(subject.uid)
        if person is None:
            raise CertificateRefused(rule="person")
        with parts.store.read() as uow:
            tokens = uow.tokens.of_holder(person.uid)
        for token in tokens:
            if token.certificate == certificate and token.state == "in-use":
                return TokenLogin(person, token)
        raise CertificateRefused(rule="not-enrolled")

    def note_certificate(self, login: TokenLogin, address: str) -> None:
        """Record that a session with a certificate began."""
        with self._parts.store.write() as uow:
            uow.audit.append(
                "certificate-login",
                login.person.uid,
                {"address": address, "token": login.token.serial},
            )
