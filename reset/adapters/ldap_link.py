"""One verified connection to one LDAP server (RFC 4511, RFC 4513).

Rules:

1. No connection without TLS: LDAPS, or StartTLS before any other operation. Chain, host name and
   TLS version are checked by Python's ``ssl`` against the institution's own CA file, nothing else.
2. libldap speaks LDAP only, over one end of a socket pair; a thread carries the bytes between the
   other end and the TLS connection (decision 0027). It has no address of any server, so it can
   never connect again by itself, in clear.
3. Every step has a time limit. A link on which anything went wrong is closed, never used again.
4. Referrals are not followed.
5. No password is sent but in a simple bind, and never an empty one (RFC 4513 section 5.1.2).
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Collection, Sequence
from typing import Literal

import ldap
from asn1crypto import parser
from ldap.controls.ppolicy import PasswordPolicyControl

Security = Literal["tls", "starttls"]
Values = dict[str, list[bytes]]  # by attribute name in small letters
Entry = tuple[str, Values]  # DN and values

# ExtendedRequest with message number 1 and the name of StartTLS (RFC 4511 section 4.14.1)
_START_TLS = bytes.fromhex("301d02010177188016") + b"1.3.6.1.4.1.1466.20037"
_NOWHERE = "ldapi://%2Fdev%2Fnull"  # nothing listens there
_PIECE = 65536
# how servers say "no" to a user: wrong, no password on file, no such entry, locked, not allowed
_WRONG = (
    ldap.INVALID_CREDENTIALS,
    ldap.INAPPROPRIATE_AUTH,
    ldap.NO_SUCH_OBJECT,
    ldap.CONSTRAINT_VIOLATION,
    ldap.UNWILLING_TO_PERFORM,
)


class Link:
    """An open connection. Every method raises ``ldap.LDAPError``, its sub-class ``ldap.TIMEOUT``
    after ``timeout`` seconds. Not for two threads at once."""

    def __init__(
        self, address: str, security: Security, trusted: ssl.SSLContext, timeout: float
    ) -> None:
        """Connect to ``host:port``. Raises ``OSError``, of which ``ssl.SSLError`` is a kind."""
        self.address = address
        self._timeout = timeout
        outside = _secured(address, security, trusted, timeout)
        ours, inside = socket.socketpair()
        limit = struct.pack("@ll", int(timeout), int(timeout % 1 * 1_000_000))
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        threading.Thread(target=_carry, args=(outside, inside, timeout), daemon=True).start()
        self._ldap = ldap.initialize(_NOWHERE, fileno=ours.detach())
        self._ldap.set_option(ldap.OPT_REFERRALS, 0)

    def bind(self, dn: str, password: str) -> None:
        """Be the service account."""
        self._bind(dn, password)

    def tells_right(self, dn: str, password: str) -> bool:
        """Whether a user may log in with this password; the link is good for nothing afterwards.

        A password that has expired or must be changed, and a locked account, are wrong (T34).
        """
        try:
            controls = self._bind(dn, password)
        except _WRONG:
            return False
        return all(c.error is None for c in controls if isinstance(c, PasswordPolicyControl))

    def _bind(self, dn: str, password: str) -> Sequence[object]:
        if not password or not dn:
            raise RuntimeError("a bind without name or password proves nothing")
        asked = self._ldap.simple_bind(dn, password, serverctrls=[PasswordPolicyControl()])
        _, _, _, controls = self._ldap.result3(asked, all=1, timeout=self._timeout)
        return controls or ()

    def search(
        self, base: str, words: str, attributes: Collection[str], *, deep: bool, limit: int
    ) -> int:
        """Ask for entries that fit the filter ``words``, below ``base`` or ``base`` itself.

        Returns the number by which ``entries`` gets the answer: several may be on the way.
        """
        scope = ldap.SCOPE_SUBTREE if deep else ldap.SCOPE_BASE
        number: int = self._ldap.search_ext(
            base, scope, words, list(attributes), timeout=self._timeout, sizelimit=limit
        )
        return number

    def entries(self, number: int) -> tuple[list[Entry], bool]:
        """The answer to a search, and whether more entries fit."""
        found: list[Entry] = []
        end = time.monotonic() + self._timeout
        while True:
            left = max(0.001, end - time.monotonic())
            try:
                kind, rows, _, _ = self._ldap.result3(number, all=0, timeout=left)
            except ldap.SIZELIMIT_EXCEEDED:
                return found, True
            if kind == ldap.RES_SEARCH_RESULT:
                return found, False
            if kind == ldap.RES_SEARCH_ENTRY:  # else it points to another server
                found += [(dn, {k.lower(): v for k, v in values.items()}) for dn, values in rows]

    def compare(self, dn: str, attribute: str, value: str) -> int:
        """Ask whether an entry has this value; returns the number for ``compared``."""
        number: int = self._ldap.compare_ext(dn, attribute, value.encode())
        return number

    def compared(self, number: int) -> bool:
        """The answer to a comparison; an entry or attribute that is not there has no value."""
        try:
            self._ldap.result3(number, all=1, timeout=self._timeout)
        except ldap.COMPARE_TRUE:
            return True
        except (ldap.COMPARE_FALSE, ldap.NO_SUCH_ATTRIBUTE, ldap.NO_SUCH_OBJECT):
            return False
        raise ldap.PROTOCOL_ERROR

    def close(self) -> None:
        """Hang up; nothing is waited for."""
        with contextlib.suppress(ldap.LDAPError):  # the other side was faster
            self._ldap.unbind_ext()


def _secured(
    address: str, security: Security, trusted: ssl.SSLContext, timeout: float
) -> ssl.SSLSocket:
    host, _, port = address.rpartition(":")
    plain = socket.create_connection((host, int(port)), timeout)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if security == "starttls":
            _start_tls(plain, time.monotonic() + timeout)
            plain.settimeout(timeout)
        return trusted.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise


def _start_tls(plain: socket.socket, end: float) -> None:
    """The StartTLS operation. Anything sent behind its answer in clear is refused."""
    plain.sendall(_START_TLS)
    answer = b""
    while len(answer) < _PIECE:
        plain.settimeout(max(0.001, end - time.monotonic()))
        piece = plain.recv(_PIECE)
        answer += piece
        if not piece:
            break
        try:
            parser.peek(answer)
        except ValueError:
            continue  # not all of it yet
        if _says_yes(answer):
            return
        break
    raise ConnectionRefusedError("StartTLS refused")


def _says_yes(answer: bytes) -> bool:
    """Whether it is an ExtendedResponse to message 1 with the code success, and nothing else."""
    try:
        message = parser.parse(answer, strict=True)[4]
        size = parser.peek(message)
        kind, _, tag, _, response, _ = parser.parse(message[size:])
        _, _, code_tag, _, code, _ = parser.parse(response)
    except ValueError:
        return False
    return (message[:size], kind, tag, code_tag, code) == (b"\2\1\1", 1, 24, 10, b"\0")


def _carry(outside: ssl.SSLSocket, inside: socket.socket, timeout: float) -> None:
    """Carry bytes both ways until one side hangs up or does not take them in time."""
    with outside, inside:
        inside.settimeout(timeout)
        outside.setblocking(False)
        ends: dict[int, socket.socket] = {s.fileno(): s for s in (outside, inside)}
        poll = select.poll()  # unlike select, it knows any number of open files
        for number in ends:
            poll.register(number, select.POLLIN)
        try:
            while True:
                held = outside.pending()
                for source in [outside] if held else [ends[n] for n, _ in poll.poll()]:
                    try:
                        piece = source.recv(_PIECE)
                    except ssl.SSLWantReadError:
                        continue  # part of a record, or a message of TLS itself
                    if not piece:
                        return
                    if source is outside:
                        inside.sendall(piece)
                    else:
                        outside.settimeout(timeout)
                        outside.sendall(piece)
                        outside.setblocking(False)
        except OSError:
            return  # libldap sees the end of its connection
