"""DER out of a file, PEM or not: one way for certificates and CRLs that an operator names.

Rules:

1. A line that begins with ``-----BEGIN`` makes a file PEM; text around its blocks and a byte-order
   mark count for nothing (RFC 7468 section 2). Any other file is one DER.
2. Every block is whole and of the kind that was asked for: no other one is passed over.
3. A block is its two lines with the same label, and base64 with its padding between them; blanks
   and line ends count for nothing there, and nothing else may stand there, no headers either.
"""

from __future__ import annotations

import base64
import binascii
import re

CERTIFICATE, CRL = "CERTIFICATE", "X509 CRL"

_MARK = b"\xef\xbb\xbf"  # UTF-8; editors put it before the first line
# counted however the rest of its line looks, so that no damaged block passes for text
_BEGIN = re.compile(rb"(?<![^\r\n])----[- ]BEGIN\b")
_BLOCK = re.compile(
    rb"(?<![^\r\n])-----BEGIN ([A-Z0-9 ]+)-----[ \t]*[\r\n]"
    rb"([A-Za-z0-9+/= \t\r\n]+)(?<=[\r\n])-----END \1-----[ \t]*(?![^\r\n])"
)
_DAMAGED = "holds a PEM block that is cut off or damaged"


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
    blocks = _BLOCK.findall(raw)
    if len(blocks) != begun:
        raise Unusable(_DAMAGED)
    for kind, _ in blocks:
        if kind.decode() not in labels:
            raise Unusable(f"holds a PEM block {kind.decode()}, not {' or '.join(labels)}")
    try:
        return [base64.b64decode(b"".join(body.split()), validate=True) for _, body in blocks]
    except binascii.Error:
        raise Unusable(_DAMAGED) from None


def certificate(raw: bytes) -> bytes:
    """A person's certificate, DER; of several the first, as chains begin with it.

    Raises ``Unusable``.
    """
    return ders(raw, CERTIFICATE)[0]
