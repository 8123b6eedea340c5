"""The institution's anchors, intermediate certificates and CRLs, from configured files.

They are read again when they change. A file that is missing, empty or unreadable refuses everybody
(T12, peer failure 28); nothing is ever fetched from the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from asn1crypto import pem
from cryptography import x509

from reset.errors import CertificateRefused

ANCHOR_LIMIT = 16
INTERMEDIATE_LIMIT = 4  # path building is factorial in CA certificates of one name
CRL_LIMIT = 32

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


def extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    """The value of an extension, None without it."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


@dataclass(frozen=True)
class Material:
    """What the files held when they were last read.

    The path builder gets bytes and parses them anew each time: asn1crypto's objects parse
    lazily, and a thread that sees a half-parsed CRL would miss a revocation.
    """

    anchors: tuple[bytes, ...]
    intermediates: tuple[bytes, ...]
    crls: tuple[bytes, ...]
    lists: tuple[x509.CertificateRevocationList, ...]


class TrustStore:
    """The institution's anchors, intermediate certificates and CRLs.

    Parameters: ``anchors``, ``crls`` and ``intermediates``, files of PEM blocks or one DER each;
    anchors and CRLs are never empty; at most 4 intermediates in all.
    Raises ``CertificateRefused(rule="trust-store")`` with ``file`` and ``why`` (T12).
    """

    def __init__(
        self,
        anchors: Sequence[Path],
        crls: Sequence[Path],
        intermediates: Sequence[Path] = (),
    ) -> None:
        self._anchors, self._crls = tuple(anchors), tuple(crls)
        self._intermediates = tuple(intermediates)
        self._read_last: tuple[tuple[tuple[int, ...], ...], Material] | None = None
        self.material()

    def material(self) -> Material:
        """The files' content now; read again if one of them changed.

        Raises ``CertificateRefused(rule="trust-store")``.
        """
        stamps = tuple(_stamp(path) for path in (*self._anchors, *self._intermediates, *self._crls))
        last = self._read_last
        if last is None or last[0] != stamps:
            last = (stamps, self._read())
            self._read_last = last
        return last[1]

    def _read(self) -> Material:
        crls = _blocks(self._crls, "X509 CRL", x509.load_der_x509_crl, CRL_LIMIT)
        anchors = _blocks(self._anchors, "CERTIFICATE", _authority, ANCHOR_LIMIT)
        intermediates = _blocks(self._intermediates, "CERTIFICATE", _authority, INTERMEDIATE_LIMIT)
        # a CA below another one is no root to the path builder, wherever it is configured
        roots = tuple(der for der in anchors if _self_issued(der))
        below = dict.fromkeys((*intermediates, *(der for der in anchors if der not in roots)))
        anchors, intermediates = roots, tuple(below)
        if len(intermediates) > INTERMEDIATE_LIMIT:
            raise CertificateRefused(rule="trust-store", file="intermediates", why="too-many")
        if not anchors or not crls:
            raise CertificateRefused(
                rule="trust-store", file="-", why="no self-signed anchor or no CRL"
            )
        lists = tuple(x509.load_der_x509_crl(der) for der in crls)
        return Material(anchors, intermediates, crls, lists)


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        seen = path.stat()
    except OSError:
        raise CertificateRefused(rule="trust-store", file=path.name, why="unreadable") from None
    return (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def _blocks(
    paths: Sequence[Path], label: str, check: Callable[[bytes], object], limit: int
) -> tuple[bytes, ...]:
    found: list[bytes] = []
    for path in paths:
        try:
            raw = path.read_bytes()
            blocks = pem.unarmor(raw, multiple=True) if pem.detect(raw) else [(label, None, raw)]
            for kind, _, der in blocks:
                if kind != label:
                    raise ValueError(label)
                check(der)
                found.append(der)
        except Exception as error:  # whatever is wrong with a trusted file refuses everybody
            why = type(error).__name__
            raise CertificateRefused(rule="trust-store", file=path.name, why=why) from error
    if len(found) > limit:
        raise CertificateRefused(rule="trust-store", file=label, why="too-many", limit=limit)
    return tuple(found)


def _self_issued(der: bytes) -> bool:
    certificate = x509.load_der_x509_certificate(der)
    return certificate.issuer == certificate.subject


def _authority(der: bytes) -> None:
    """A trusted certificate that is no CA would vouch for whoever holds its key (CVE-2025-6037)."""
    certificate = x509.load_der_x509_certificate(der)
    constraints = extension(certificate, x509.BasicConstraints)
    usage = extension(certificate, x509.KeyUsage)
    if not (constraints and constraints.ca and usage and usage.key_cert_sign):
        raise ValueError("not a CA certificate")
