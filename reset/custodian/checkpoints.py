"""The only bytes that the custodian signs: bodies of C2SP tlog-checkpoints (facts/audit.md).

A body is UTF-8 lines, each ended by LF: origin, tree size in decimal, base64 of the 32-byte root,
then any number of extension lines up to ``EXTENSIONS``. No line is empty, no control characters.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata

from reset.errors import ReleaseRefused

LIMIT = 4_096
EXTENSIONS = 16
_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")
_ROOT = re.compile(r"[A-Za-z0-9+/]{43}=")


def parse(body: bytes) -> tuple[str, int, bytes]:
    """Origin, size and root of a checkpoint body.

    Raises ``ReleaseRefused(rule="checkpoint-form")`` for any other bytes.
    """
    try:
        if len(body) > LIMIT:
            raise ValueError
        *lines, end = body.decode().split("\n")
        origin, size, root, *extensions = lines
        good = (
            end == ""
            and all(line and not _controls(line) for line in lines)
            and " " not in origin
            and "+" not in origin  # both would be ambiguous in a signed note's key name
            and len(extensions) <= EXTENSIONS
            and _SIZE.fullmatch(size)
            and _ROOT.fullmatch(root)
        )
        raw_root = base64.b64decode(root, validate=True)
        if not good or base64.b64encode(raw_root).decode() != root:
            raise ValueError
    except (ValueError, binascii.Error):
        raise ReleaseRefused(rule="checkpoint-form") from None
    return origin, int(size), raw_root


def _controls(line: str) -> bool:
    return any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in line)
