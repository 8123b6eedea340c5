"""The institution's anchors, intermediate certificates, CRLs and OCSP responses, from files.

They are read again when they change. A file that is missing, empty or unreadable refuses everybody
(T12, peer failure 28). Nothing is ever fetched here: the worker puts what is newer into the files
of CRLs and responses (``revocation_files``), as a user that may write nothing else of the store.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from reset.adapters import armour
from reset.adapters.armour import Unusable
from reset.adapters.strict import extension
from reset.errors import CertificateRefused

AUTHORITY_LIMIT = 16
INTERMEDIATE_LIMIT = 4  # path building is factorial in CA certificates of one name
CRL_LIMIT = 32
FILE_LIMIT = 32 << 20  # bytes; a CRL of half a million entries
RESPONSE_LIMIT = 65_536  # bytes


@dataclass(frozen=True)
class Material:
    """What the files held when they were last read.

    The path builder gets bytes and parses them anew each time: asn1crypto's objects parse lazily,
    and two threads must not share a half-parsed one. ``authorities``: all of them, parsed;
    ``responders``: those whose certificates need an OCSP response, each as ``identity`` gives it.
    """

    anchors: tuple[bytes, ...]
    intermediates: tuple[bytes, ...]
    authorities: tuple[x509.Certificate, ...]
    lists: tuple[x509.CertificateRevocationList, ...]
    responders: frozenset[bytes]


@dataclass(frozen=True)
class Evidence:
    """What is on file about the revocation of one certificate.

    ``lists``: every CRL of the store; ``responses``: OCSP responses that may be about it, DER;
    ``responder``: certificates of its issuer need one.
    """

    lists: tuple[x509.CertificateRevocationList, ...]
    responses: tuple[bytes, ...]
    responder: bool


class TrustStore:
    """The institution's anchors, intermediate certificates, CRLs and OCSP responses.

    Parameters: ``anchors``, ``crls``, ``intermediates`` and ``ocsp_issuers``, files of PEM blocks
    or one DER each; anchors and CRLs are never empty; at most 4 intermediates in all.
    ``ocsp_issuers`` are CAs of the store whose certificates need an OCSP response. ``responses``:
    files of one DER response, or directories of those about certificates of ``ocsp_issuers``, each
    named by its certificate's fingerprint.
    Raises ``CertificateRefused(rule="trust-store")`` with ``file`` and ``why`` (T12).
    """

    def __init__(
        self,
        anchors: Sequence[Path],
        crls: Sequence[Path],
        intermediates: Sequence[Path] = (),
        *,
        ocsp_issuers: Sequence[Path] = (),
        responses: Sequence[Path] = (),
    ) -> None:
        self._anchors, self._crls = tuple(anchors), tuple(crls)
        self._intermediates, self._ocsp_issuers = tuple(intermediates), tuple(ocsp_issuers)
        self._responses = tuple(responses)
        self._read_last: tuple[tuple[tuple[int, ...], ...], Material] | None = None
        self.material()

    def material(self) -> Material:
        """The files' content now; read again if one of them changed.

        Raises ``CertificateRefused(rule="trust-store")``.
        """
        files = (*self._anchors, *self._intermediates, *self._crls, *self._ocsp_issuers)
        stamps = tuple(_stamp(path) for path in files)
        last = self._read_last
        if last is None or last[0] != stamps:
            last = (stamps, self._read())
            self._read_last = last
        return last[1]

    def evidence(
        self, material: Material, certificate: x509.Certificate, issuer: x509.Certificate
    ) -> Evidence:
        """What is on file about ``certificate`` of ``issuer``.

        Raises ``CertificateRefused(rule="trust-store")`` for a response that cannot be read.
        """
        asked = identity(issuer) in material.responders
        name = response_name(certificate)
        # where no responder is asked for, none stands in for a CRL: only a file that is named does
        files = [
            path / name if path.is_dir() else path
            for path in self._responses
            if asked or not path.is_dir()
        ]
        found = tuple(_read(path, RESPONSE_LIMIT) for path in files if path.exists())
        return Evidence(material.lists, found, asked)

    def authorities(self) -> tuple[x509.Certificate, ...]:
        """The CAs alone, read now, in whatever state the other files are.

        Raises ``CertificateRefused(rule="trust-store")``.
        """
        return (*read_authorities(self._anchors), *read_authorities(self._intermediates))

    def _read(self) -> Material:
        lists = _blocks(self._crls, armour.CRL, revocation_list, CRL_LIMIT)
        anchors = read_authorities(self._anchors)
        intermediates = read_authorities(self._intermediates)
        # a CA below another one is no root to the path builder, wherever it is configured
        roots = [ca for ca in anchors if ca.issuer == ca.subject]
        below = [*intermediates, *(ca for ca in anchors if ca not in roots)]
        if len(set(below)) > INTERMEDIATE_LIMIT:
            raise CertificateRefused(rule="trust-store", file="intermediates", why="too-many")
        if not roots or not lists:
            raise CertificateRefused(
                rule="trust-store", file="-", why="no self-signed anchor or no CRL"
            )
        known = {identity(ca) for ca in (*roots, *below)}
        responders = frozenset(identity(ca) for ca in read_authorities(self._ocsp_issuers))
        if not responders <= known:  # else a wrong file would quietly demand nothing
            raise CertificateRefused(
                rule="trust-store", file="ocsp_issuers", why="no CA of the store"
            )
        return Material(_ders(roots), _ders(below), (*roots, *below), lists, responders)


def response_name(certificate: x509.Certificate) -> str:
    """The name of the file with the response about a certificate, in a directory of them."""
    return certificate.fingerprint(hashes.SHA256()).hex() + ".ocsp"


def read_authorities(paths: Sequence[Path]) -> tuple[x509.Certificate, ...]:
    """The CA certificates in these files. Raises ``CertificateRefused(rule="trust-store")``."""
    return _blocks(paths, armour.CERTIFICATE, _authority, AUTHORITY_LIMIT)


def identity(authority: x509.Certificate) -> bytes:
    """A CA's name and key, whichever of its certificates it is (DER)."""
    key = authority.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return authority.subject.public_bytes() + key


def revocation_list(der: bytes) -> x509.CertificateRevocationList:
    """Parse a CRL. Raises ``ValueError`` for one that must not be used at all.

    A critical extension of an entry is one: RFC 5280 section 5.3 knows only that of indirect CRLs.
    """
    found = x509.load_der_x509_crl(der)
    found.extensions  # noqa: B018 - parsed on access: one extension twice raises here
    if any(one.critical for entry in found for one in entry.extensions):
        raise Unusable("has an entry with a critical extension")
    return found


def _ders(authorities: Sequence[x509.Certificate]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(ca.public_bytes(Encoding.DER) for ca in authorities))


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        seen = path.stat()
    except OSError:
        raise CertificateRefused(rule="trust-store", file=path.name, why="unreadable") from None
    return (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def _read(path: Path, limit: int) -> bytes:
    """A whole regular file: whoever writes CRLs must not hold up the custodian with a pipe."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            seen = os.fstat(file.fileno())
            if not stat.S_ISREG(seen.st_mode) or seen.st_size > limit:
                raise OSError
            return file.read(limit)
    except OSError:
        raise CertificateRefused(rule="trust-store", file=path.name, why="unreadable") from None


_Parsed = TypeVar("_Parsed")


def _blocks(
    paths: Sequence[Path], label: str, parse: Callable[[bytes], _Parsed], limit: int
) -> tuple[_Parsed, ...]:
    found: list[_Parsed] = []
    for path in paths:
        raw = _read(path, FILE_LIMIT)
        try:
            found += [parse(der) for der in armour.ders(raw, label)]
        except Exception as error:  # whatever is wrong with a trusted file refuses everybody
            # what a parser says of foreign bytes helps nobody
            why = str(error) if isinstance(error, Unusable) else f"is no {label} in PEM or DER"
            raise CertificateRefused(rule="trust-store", file=path.name, why=why) from error
    if len(found) > limit:
        raise CertificateRefused(rule="trust-store", file=label, why="too-many", limit=limit)
    return tuple(found)


def _authority(der: bytes) -> x509.Certificate:
    """A certificate by which others are trusted: a CA's, that may sign certificates.

    Any other would vouch for whoever holds its key (CVE-2025-6037). RFC 5280 section 6.1.4 k, n.
    """
    certificate = x509.load_der_x509_certificate(der)
    constraints = extension(certificate, x509.BasicConstraints)
    if not (constraints and constraints.ca):
        raise Unusable("holds a certificate of no CA: its basicConstraints lack CA:TRUE")
    usage = extension(certificate, x509.KeyUsage)
    if usage and not usage.key_cert_sign:  # without the extension any use is meant
        raise Unusable("holds a CA certificate whose keyUsage lacks keyCertSign")
    return certificate
