"""DER out of a file, PEM or not: one way for every file that an operator names.

Rules:

1. A line that begins with ``-----BEGIN …-----`` makes a file PEM; text around its blocks and a
   byte-order mark count for nothing (RFC 7468 section 2). Any other file is one DER.
2. Every block is whole and of the kind that was asked for: no other one is passed over.
"""

from __future__ import annotations

import re

from asn1crypto import pem

CERTIFICATE, CRL = "CERTIFICATE", "X509 CRL"
SIGNATURE = ("CMS", "PKCS7")

_MARK = b"\xef\xbb\xbf"  # UTF-8; editors put it before the first line
# of a line only: what somebody wrote into a signed statement stands behind its field's name
_BEGIN = re.compile(rb"(?<![^\r\n])-----BEGIN [A-Z0-9 ]+-----")


class Unusable(ValueError):
    """A file that is not what it has to be; ``str`` is the reason, in words about the file."""


def ders(raw: bytes, *labels: str) -> list[bytes]:
    """The DER of each block in a file's bytes, never none; the bytes themselves without a block.

    Parameters: ``labels``, the kinds of block that may stand in it (RFC 7468 section 4).
    Raises ``Unusable``.
    """
    if not raw:
        raise Unusable("is empty")
    raw = raw.removeprefix(_MARK)
    begun = len(_BEGIN.findall(raw))
    if not begun:
        return [raw]
    try:
        blocks = list(pem.unarmor(raw, multiple=True))
    except ValueError:  # no end, headers that are no text, bytes that are no base64
        blocks = []
    if len(blocks) != begun:  # the library passes over a last block without an end
        raise Unusable("holds a PEM block that is cut off or damaged")
    for kind, _, _ in blocks:
        if kind not in labels:
            raise Unusable(f"holds a PEM block {kind}, not {' or '.join(labels)}")
    return [der for _, _, der in blocks]


def certificate(raw: bytes) -> bytes:
    """A person's certificate, DER; of several the first, as chains begin with it.

    Raises ``Unusable``.
    """
    return ders(raw, CERTIFICATE)[0]


def signature(raw: bytes) -> bytes:
    """The one signature in a file, DER. Raises ``Unusable``."""
    found = ders(raw, *SIGNATURE)
    if len(found) > 1:
        raise Unusable("holds more than one signature")
    return found[0]
