"""Newer CRLs and OCSP responses: fetched by the worker, checked, put in place of the old ones.

Rules (T12):

1. Only configured addresses are asked, over http or https, without redirects, and through no proxy
   but a configured one. An answer has 30 seconds and a limit of bytes.
2. A CRL replaces a file if a CA of the store signed it, the same one and of the same kind as what
   is on file, if it is in force, and if it is newer by its number and not older by its date.
3. An OCSP response replaces a file if it counts (``revocation``), is in force, and is not older:
   whatever it says, since one that revokes must arrive.
4. Files are replaced whole. Whatever fails leaves the old one, in force until its own end.

Verifiers trust none of this: they check each file again.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from reset.adapters import armour, revocation, trust
from reset.adapters.fetching import fetch
from reset.adapters.revocation import Crl
from reset.adapters.strict import extension
from reset.adapters.trust import Material, TrustStore
from reset.errors import CertificateRefused, Unavailable
from reset.ports import RevocationSource, RevocationStanding


class FetchedRevocation:
    """Refreshes the files that a ``TrustStore`` reads.

    Parameters: ``store``; ``crls``: the address for each file that is fetched; ``responders``: the
    address for each file of a CA's certificate, of the store's ``ocsp_issuers``; ``directory`` of
    responses; ``proxy``: ``http://host:port`` or empty.
    """

    def __init__(
        self,
        store: TrustStore,
        crls: Mapping[Path, str],
        responders: Mapping[Path, str],
        directory: Path | None,
        *,
        proxy: str = "",
    ) -> None:
        self._store = store
        self._crls = {str(path): url for path, url in crls.items()}
        self._responders = {
            trust.identity(ca): url
            for path, url in responders.items()
            for ca in trust.read_authorities([path])
        }
        self._directory = directory
        self._proxy = proxy

    def sources(self, certificates: Sequence[bytes]) -> list[RevocationSource]:
        """As the port says; CRLs first: few, and many depend on them."""
        found = [RevocationSource(name, url) for name, url in self._crls.items()]
        try:
            material = self._store.material()
        except CertificateRefused:  # by a damaged CRL, perhaps: a new one mends it
            return found
        for certificate, issuer in _issued(material, certificates) if self._responders else ():
            if url := self._responders.get(trust.identity(issuer)):
                der = certificate.public_bytes(Encoding.DER)
                found.append(RevocationSource(trust.response_name(certificate), url, der))
        return found

    def refresh(self, source: RevocationSource, now: Callable[[], datetime]) -> datetime:
        """As the port says."""
        if not source.certificate:
            return self._refresh_list(source, now)
        material = self._store.material()
        for certificate, issuer in _issued(material, [source.certificate]):
            if trust.response_name(certificate) == source.name:
                return self._refresh_answer(source, certificate, issuer, material, now)
        raise CertificateRefused(rule="chain", source=source.name)

    def standing(self, certificates: Sequence[bytes], at: datetime) -> list[RevocationStanding]:
        """As the port says."""
        try:
            material = self._store.material()
        except CertificateRefused as refused:
            return [RevocationStanding("trust-store", str(refused.data["file"]), None, None)]
        found: list[RevocationStanding] = []
        for ca in dict.fromkeys(material.authorities):
            signed = [one for one in material.lists if revocation.is_signed(one, ca)]
            if not all(_is_delta(one) for one in signed) or not _asked(ca, material):
                complete = [one for one in signed if not _is_delta(one)]
                found += _listed("crl", ca, complete) or [_nothing("crl", ca)]
            found += _listed("delta-crl", ca, [one for one in signed if _is_delta(one)])
        found += [
            self._answered(material, certificate, issuer, at)
            for certificate, issuer in _issued(material, certificates)
            if _asked(issuer, material)
        ]
        return _soonest(found)

    def _refresh_list(self, source: RevocationSource, now: Callable[[], datetime]) -> datetime:
        new, at = _parsed(fetch(source.url, limit=trust.FILE_LIMIT, proxy=self._proxy)), now()
        if new is None:
            raise CertificateRefused(rule="malformed", source=source.name)
        if not any(revocation.is_signed(new, ca) for ca in self._store.authorities()):
            raise CertificateRefused(rule="crl-missing", source=source.name)
        if new.last_update_utc > at:
            raise CertificateRefused(rule="crl-not-yet", source=source.name)
        if new.next_update_utc is None or at > new.next_update_utc:
            raise CertificateRefused(rule="crl-stale", source=source.name)
        path = Path(source.name)
        old = _parsed(path.read_bytes()) if path.exists() else None
        if old is not None and (old.issuer, _is_delta(old)) != (new.issuer, _is_delta(new)):
            raise CertificateRefused(rule="crl-other", source=source.name)
        if old is not None and old != new and not _is_newer(new, old):
            raise CertificateRefused(rule="crl-older", source=source.name)
        if old != new:
            _replace(path, new.public_bytes(Encoding.DER))
        return new.next_update_utc

    def _refresh_answer(
        self,
        source: RevocationSource,
        certificate: x509.Certificate,
        issuer: x509.Certificate,
        material: Material,
        now: Callable[[], datetime],
    ) -> datetime:
        assert self._directory
        # every responder knows SHA-1, which only names the issuer here (RFC 5019 section 2.1.1)
        naming = hashes.SHA1()  # noqa: S303
        asked = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, naming).build()
        body, limit = asked.public_bytes(Encoding.DER), trust.RESPONSE_LIMIT
        raw = fetch(source.url, limit=limit, proxy=self._proxy, body=body)
        at = now()
        path = self._directory / source.name
        [new] = newest = _counting([raw], certificate, issuer, material, at)
        with contextlib.suppress(CertificateRefused, OSError):
            newest = [*newest, *_counting([path.read_bytes()], certificate, issuer, material, at)]
        kept = max(newest, key=lambda one: one.this_update_utc)  # the new one of two alike
        if kept is new:  # else a responder with several copies, or an answer played again
            _replace(path, raw)
        assert kept.next_update_utc  # else it would not count
        return kept.next_update_utc

    def _answered(
        self, material: Material, certificate: x509.Certificate, issuer: x509.Certificate,
        at: datetime,
    ) -> RevocationStanding:  # fmt: skip
        try:
            files = self._store.evidence(material, certificate, issuer).responses
            counting = _counting(files, certificate, issuer, material, at)
        except CertificateRefused:
            return _nothing("ocsp", issuer)
        return _latest("ocsp", issuer, [(o.next_update_utc, o.this_update_utc) for o in counting])


def _asked(ca: x509.Certificate, material: Material) -> bool:
    """Whether a responder is asked about certificates of this CA."""
    return trust.identity(ca) in material.responders


def _issued(
    material: Material, certificates: Sequence[bytes]
) -> Iterable[tuple[x509.Certificate, x509.Certificate]]:
    """Each of the certificates, and of the store's below an anchor, with the CA that issued it."""
    for der in dict.fromkeys((*material.intermediates, *certificates)):
        try:
            certificate = x509.load_der_x509_certificate(der)
        except ValueError:  # whoever verifies it says so
            continue
        issuer = next((ca for ca in material.authorities if _is_issued(certificate, ca)), None)
        if issuer is not None:
            yield certificate, issuer


def _is_issued(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(ca)
    except Exception:  # noqa: BLE001 - another name, another key, an unknown algorithm
        return False
    return True


def _counting(
    files: Sequence[bytes],
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    material: Material,
    at: datetime,
) -> list[ocsp.OCSPResponse]:
    answers = [one for raw in files if (one := revocation.answer(raw, certificate, issuer))]
    return revocation.in_force(answers, issuer, material.lists, at)


def _parsed(raw: bytes) -> Crl | None:
    try:
        return trust.revocation_list(armour.ders(raw, armour.CRL)[0])
    except Exception:  # noqa: BLE001 - unknown bytes: whatever the parsers raise
        return None


def _is_delta(crl: Crl) -> bool:
    return extension(crl, x509.DeltaCRLIndicator) is not None


def _is_newer(new: Crl, old: Crl) -> bool:
    """By number where both have one (RFC 5280 section 5.2.3), else by date."""
    numbers = [extension(one, x509.CRLNumber) for one in (new, old)]
    if numbers[0] and numbers[1]:
        higher = numbers[0].crl_number > numbers[1].crl_number
        return higher and new.last_update_utc >= old.last_update_utc
    return new.last_update_utc > old.last_update_utc


def _listed(kind: str, ca: x509.Certificate, lists: Iterable[Crl]) -> list[RevocationStanding]:
    """One row for each scope: the newest list of one does not stand in for another's."""
    dates = defaultdict(list)
    for one in lists:
        scope = extension(one, x509.IssuingDistributionPoint)
        dates[scope].append((one.next_update_utc, one.last_update_utc))
    return [_latest(kind, ca, found) for found in dates.values()]


def _latest(
    kind: str, ca: x509.Certificate, dates: Iterable[tuple[datetime | None, datetime]]
) -> RevocationStanding:
    """By the one that ends last; one without an end never counts."""
    ends = [(until, since) for until, since in dates if until is not None]
    if not ends:
        return _nothing(kind, ca)
    until, since = max(ends)
    return RevocationStanding(kind, ca.subject.rfc4514_string(), since, until)


def _nothing(kind: str, ca: x509.Certificate) -> RevocationStanding:
    return RevocationStanding(kind, ca.subject.rfc4514_string(), None, None)


def _soonest(rows: Iterable[RevocationStanding]) -> list[RevocationStanding]:
    """For each kind and CA the row that ends first; one without an end comes before all."""
    found: dict[tuple[str, str], RevocationStanding] = {}
    for one in rows:
        known = found.setdefault((one.kind, one.issuer), one)
        if known.until is not None and (one.until is None or one.until < known.until):
            found[one.kind, one.issuer] = one
    return list(found.values())


def _replace(path: Path, content: bytes) -> None:
    """Whole or not at all, durable, readable for the custodian's user. Raises ``Unavailable``."""
    try:
        number, name = tempfile.mkstemp(prefix=".", suffix=".new", dir=path.parent)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(content)
                os.fchmod(number, 0o644)
                file.flush()
                os.fsync(number)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Unavailable(part=path.name, why=error.strerror) from None
