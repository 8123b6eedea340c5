"""Keeping CRLs and OCSP responses fresh, and telling in time when they do not get fresh.

Rules:

1. Each source is asked when the worker starts and then every ``every``, or after half of what is
   left of what it gave, if that is sooner; one that fails, again after five minutes. A responder
   or server that does not answer is left alone until then, so that it does not hold up the others.
2. What a verifier may use is not decided here: it reads the files and checks them itself.
3. Someone is told while there is still time: when less than ``notice`` is left, or less than a
   quarter of what lives for a shorter time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from reset.errors import CertificateRefused, Unavailable
from reset.flows.parts import Parts
from reset.ports import RevocationFiles, RevocationSource, RevocationStanding

RETRY = timedelta(minutes=5)
TELL = timedelta(hours=1)  # between two lines of the log about the same thing
_log = logging.getLogger(__name__)


class RevocationKeeping:
    """Parameters: ``files``; ``every`` source is asked in this time; ``notice`` before an end."""

    def __init__(
        self, parts: Parts, files: RevocationFiles, *, every: timedelta, notice: timedelta
    ) -> None:
        self._parts = parts
        self._files = files
        self._every = every
        self._notice = notice
        self._due: dict[str, datetime] = {}  # by the source's name or address
        self._told: dict[tuple[str, str], datetime] = {}

    def run_once(self) -> int:
        """Ask every source that is due; how many gave something that counts."""
        gave = sum(self._ask(one) for one in self._files.sources(self._certificates()))
        self._tell()
        return gave

    def ask_about(self, certificate: bytes) -> None:
        """Ask the responder about a certificate (DER) that is not registered yet, if it has one.

        Raises ``Unavailable``, ``CertificateRefused``.
        """
        for source in self._files.sources([certificate]):
            if source.certificate == certificate:
                self._files.refresh(source, self._parts.clock.now)

    def standing(self) -> list[RevocationStanding]:
        """How long what is on file counts."""
        return self._files.standing(self._certificates(), self._parts.clock.now())

    def ends_soon(self, one: RevocationStanding) -> bool:
        """Whether somebody has to look after it, or it is too late already."""
        if one.since is None or one.until is None:
            return True
        longest = min(self._notice, (one.until - one.since) / 4)
        return one.until - self._parts.clock.now() < longest

    def _certificates(self) -> Sequence[bytes]:
        with self._parts.store.read() as uow:
            return [one.certificate for one in uow.tokens.every() if one.state == "in-use"]

    def _ask(self, source: RevocationSource) -> bool:
        now = self._parts.clock.now()
        if any(now < self._due.get(key, now) for key in (source.name, source.url)):
            return False
        try:
            until = self._files.refresh(source, self._parts.clock.now)
        except Unavailable as error:
            _log.warning("revocation: nothing from %s for %s: %s", source.url, source.name, error)
            self._due[source.url] = now + RETRY
            return False
        except CertificateRefused as error:
            _log.warning("revocation: not taken from %s: %s", source.url, error)
            self._due[source.name] = now + RETRY
            return False
        self._due[source.name] = now + max(RETRY, min(self._every, (until - now) / 2))
        return True

    def _tell(self) -> None:
        now = self._parts.clock.now()
        for one in filter(self.ends_soon, self.standing()):
            if now >= self._told.get((one.kind, one.issuer), now):
                ends = f"ends {one.until:%Y-%m-%d %H:%M} UTC" if one.until else "nothing counts"
                _log.warning("revocation: %s of %s: %s", one.kind, one.issuer, ends)
                self._told[one.kind, one.issuer] = now + TELL
