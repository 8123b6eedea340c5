"""The servers of a directory: which of them is asked, and the connections that are kept.

Rules:

1. The servers are copies of each other, asked in the order of the settings. One that does not
   answer, or refuses the service account, is left alone for a while and the next one is asked.
2. A kept connection that has died since costs another connection, never an error.
3. At most ``CONNECTIONS`` questions at a time; who waits too long for a place is told ``Busy``.
4. A user's password is tried on a connection of its own.
5. No answer is ever made up: what is not answered is ``Unavailable``.
"""

from __future__ import annotations

import logging
import queue
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import ldap

from reset.adapters.ldap_link import Link, Security
from reset.errors import Busy, SettingsRefused, Unavailable

_log = logging.getLogger("reset.directory")
T = TypeVar("T")
CONNECTIONS = 16
TIMEOUT = 5.0  # seconds for each step with a server
REST = 10.0  # seconds until a server that did not answer is asked again
# the server or the way to it, not the question, is at fault
_ELSEWHERE = (ldap.SERVER_DOWN, ldap.CONNECT_ERROR, ldap.TIMEOUT, ldap.UNAVAILABLE, ldap.BUSY)


class Servers:
    """``addresses``: ``host:port`` of each; ``user``: DN of the service account.

    Raises ``SettingsRefused`` for a CA file that cannot be used.
    """

    def __init__(
        self,
        addresses: tuple[str, ...],
        security: Security,
        ca_file: Path,
        user: str,
        password: str,
        *,
        timeout: float = TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.addresses = addresses
        self._security = security
        self._user, self._password = user, password
        self._timeout, self._clock = timeout, clock
        try:
            self._trusted = ssl.create_default_context(cafile=str(ca_file))
        except OSError:
            raise SettingsRefused(problems=[f"{ca_file}: holds no CA certificate"]) from None
        self._trusted.hostname_checks_common_name = False
        self._kept: queue.LifoQueue[Link] = queue.LifoQueue()
        self._places = threading.BoundedSemaphore(CONNECTIONS)
        self._resting: dict[str, float] = {}

    def ask(self, work: Callable[[Link], T]) -> T:
        """What ``work`` gets from a connection of the service account; it may be called again on
        another one, so it only reads. Raises ``Unavailable``, ``Busy``."""
        return self._with(work, service=True)

    def tells_right(self, dn: str, password: str) -> bool:
        """Whether the password of ``dn`` is right. Raises ``Unavailable``, ``Busy``."""
        return self._with(lambda link: link.tells_right(dn, password), service=False)

    def examine(self, address: str, work: Callable[[Link], T]) -> T:
        """Like ``ask``, of one server; raises ``Unavailable`` with ``why`` it cannot be used."""
        try:
            link = self._connected(address, service=True)
            try:
                return work(link)
            finally:
                link.close()
        except (OSError, ldap.LDAPError) as error:
            raise Unavailable(part="directory", why=_why(error)) from None

    def close(self) -> None:
        """Hang up every connection that is not in use."""
        while link := self._taken():
            link.close()

    def _with(self, work: Callable[[Link], T], *, service: bool) -> T:
        with self._place():
            while True:
                kept = self._taken() if service else None
                link = kept or self._opened(service=service)
                good = False
                try:
                    answer = work(link)
                    good = True
                    return answer
                except _ELSEWHERE as error:
                    if kept is None or not isinstance(error, ldap.SERVER_DOWN):
                        self._leave_alone(link.address, error)
                except ldap.LDAPError as error:
                    _log.warning("directory server %s: %s", link.address, _why(error))
                    raise Unavailable(part="directory") from None
                finally:
                    if good and service:
                        self._kept.put(link)
                    else:
                        link.close()

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(timeout=self._timeout):
            raise Busy(retry_after=int(TIMEOUT))
        try:
            yield
        finally:
            self._places.release()

    def _taken(self) -> Link | None:
        try:
            return self._kept.get_nowait()
        except queue.Empty:
            return None

    def _opened(self, *, service: bool) -> Link:
        for address in self.addresses:
            if self._resting.get(address, 0.0) > self._clock():
                continue
            try:
                return self._connected(address, service=service)
            except (OSError, ldap.LDAPError) as error:
                self._leave_alone(address, error)
        raise Unavailable(part="directory")

    def _connected(self, address: str, *, service: bool) -> Link:
        link = Link(address, self._security, self._trusted, self._timeout)
        try:
            if service:
                link.bind(self._user, self._password)
        except BaseException:
            link.close()
            raise
        return link

    def _leave_alone(self, address: str, error: Exception) -> None:
        self._resting[address] = self._clock() + REST
        _log.warning("directory server %s is left alone: %s", address, _why(error))


def _why(error: Exception) -> str:
    """The reason in words of this machine's libraries; texts of the server may name people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}"
    if isinstance(error, ldap.INVALID_CREDENTIALS):
        return "the service account is refused"
    if isinstance(error, ldap.LDAPError):
        told = error.args[0] if error.args else {}
        return str(told.get("desc", type(error).__name__))
    return str(getattr(error, "strerror", None) or type(error).__name__)
