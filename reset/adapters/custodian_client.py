"""The custodian as the other processes see it: every call over its unix socket.

One connection per call, one deadline per call. Whatever goes wrong on the way is
``Unavailable(part="custodian")``; the custodian's own refusals come back as what they are.
"""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from reset.core import custodian_wire as wire
from reset.errors import Unavailable
from reset.ports import Escrowed, ReleaseOrder


class CustodianClient:
    """``ports.Custodian`` over the socket (design section 5)."""

    def __init__(self, socket_path: Path, timeout: float = 15.0) -> None:
        """``timeout``: seconds for one whole call, longer than the custodian's own deadline."""
        self._path = str(socket_path)
        self._timeout = timeout

    def import_key(self) -> bytes:
        """See ``ports.Custodian``; so do all methods below."""
        return cast(bytes, self._call("import_key"))

    def store(
        self, serial: str, version: int, envelope: bytes | None, holder_uid: str, family: str
    ) -> bytes:
        """Seal an SO PIN for escrow."""
        answer = self._call(
            "store",
            serial=serial,
            version=version,
            envelope=envelope,
            holder_uid=holder_uid,
            family=family,
        )
        return cast(bytes, answer)

    def correct(self, serial: str, envelope: bytes, holder_uid: str) -> tuple[int, bytes]:
        """Replace a wrong imported SO PIN."""
        answer = self._call("correct", serial=serial, envelope=envelope, holder_uid=holder_uid)
        return cast(tuple[int, bytes], answer)

    def release(self, order: ReleaseOrder) -> bytes:
        """The order for the helper as HPKE ciphertext."""
        names = (f.name for f in dataclasses.fields(order))
        return cast(bytes, self._call("release", **{n: getattr(order, n) for n in names}))

    def settle(self, operation_id: str, serial: str, resolved: bool) -> None:
        """Tell what is known of an operation."""
        self._call("settle", operation_id=operation_id, serial=serial, resolved=resolved)

    def withdraw(self, operation_id: str, serial: str) -> None:
        """Tell that no order of an operation left."""
        self._call("withdraw", operation_id=operation_id, serial=serial)

    def hmac(self, message: bytes) -> bytes:
        """HMAC-SHA-256 with the key in the HSM."""
        return cast(bytes, self._call("hmac", message=message))

    def check(self, serial: str, version: int, sealed: bytes) -> bytes:
        """The keyed fingerprint of a sealed SO PIN."""
        return cast(bytes, self._call("check", serial=serial, version=version, sealed=sealed))

    def rewrap(self, serial: str, version: int, sealed: bytes) -> bytes:
        """The same SO PIN under the newest wrapping key."""
        return cast(bytes, self._call("rewrap", serial=serial, version=version, sealed=sealed))

    def escrowed(self, serial: str) -> Escrowed:
        """What the custodian's ledger holds for a token."""
        proven, unsettled, versions = cast(
            tuple[int, bool, tuple[tuple[int, bytes], ...]], self._call("escrowed", serial=serial)
        )
        return Escrowed(proven, unsettled, versions)

    def sign_checkpoint(self, body: bytes, proof: Sequence[bytes]) -> bytes:
        """Sign a checkpoint body."""
        return cast(bytes, self._call("sign_checkpoint", body=body, proof=tuple(proof)))

    def checkpoint_size(self, origin: str) -> int:
        """The size of the newest checkpoint that was signed."""
        return cast(int, self._call("checkpoint_size", origin=origin))

    def checkpoint_key(self) -> bytes:
        """The public key of ``sign_checkpoint``."""
        return cast(bytes, self._call("checkpoint_key"))

    def health(self) -> Mapping[str, str]:
        """Facts for operators."""
        return cast(Mapping[str, str], self._call("health"))

    def _call(self, operation: str, **arguments: object) -> object:
        deadline = time.monotonic() + self._timeout
        try:
            request = wire.frame(wire.encode_request(operation, arguments))
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self._timeout)
                connection.connect(self._path)
                connection.sendall(request)
                size = wire.body_size(_read(connection, wire.HEADER, deadline))
                body = _read(connection, size, deadline)
            return wire.decode_reply(operation, body)
        except (OSError, ValueError):  # ValueError: the format, on either side
            raise Unavailable(part="custodian") from None


def _read(connection: socket.socket, size: int, deadline: float) -> bytes:
    found = b""
    while len(found) < size:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        piece = connection.recv(size - len(found))
        if not piece:
            raise ConnectionResetError
        found += piece
    return found
