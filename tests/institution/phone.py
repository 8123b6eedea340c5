"""An authenticator app, written from RFC 6238 and RFC 4226 alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime
from urllib.parse import parse_qs, urlsplit


class Phone:
    """Has scanned ``uri`` (otpauth) and shows codes; ``slow``: seconds that its clock is behind."""

    def __init__(self, uri: str, slow: int = 0) -> None:
        parts = urlsplit(uri)
        assert (parts.scheme, parts.netloc) == ("otpauth", "totp"), uri
        told = {name: values[0] for name, values in parse_qs(parts.query).items()}
        # what common apps do whatever they are told
        assert (told["algorithm"], told["digits"], told["period"]) == ("SHA1", "6", "30")
        self.account, self.issuer = parts.path.removeprefix("/"), told["issuer"]
        self.slow = slow
        self.key = base64.b32decode(told["secret"])

    @classmethod
    def typed(cls, key: str) -> Phone:
        """The key was typed by hand."""
        bare = key.replace(" ", "")
        return cls(f"otpauth://totp/x?secret={bare}&issuer=x&algorithm=SHA1&digits=6&period=30")

    def code(self, at: datetime) -> str:
        """The code on its screen at ``at``."""
        step = (int(at.timestamp()) - self.slow) // 30
        mac = hmac.digest(self.key, step.to_bytes(8), hashlib.sha1)
        offset = mac[-1] & 15
        number = int.from_bytes(mac[offset : offset + 4]) & 0x7FFFFFFF
        return f"{number % 10**6:06d}"
