"""A PIV card in software, put into a reader of vpcd (SP 800-73-4 part 2; Yubico's additions).

As far as the driver's promises go: PIN and PUK with real retry counters, one key, P-256 or
RSA-2048, with its certificate in slot 9A. It talks to vpcd as vsmartcard's cards do: each message
is two bytes of length and then one byte of control, or an APDU.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

ATR = bytes.fromhex("3B80800101")
TRIES = 3
_OK, _WRONG_LENGTH, _BLOCKED = b"\x90\x00", b"\x67\x00", b"\x69\x83"
_NOT_ALLOWED, _NOT_FOUND, _NO_KEY = b"\x69\x82", b"\x6a\x82", b"\x6a\x88"
_NO_COMMAND, _BAD_DATA = b"\x6d\x00", b"\x6a\x80"
_SELECTED = bytes.fromhex("61114F0600001000010079074F05A000000308")
_CHUID = bytes.fromhex(
    "5338"
    "3019D4E739DA739CED39CE739D836858210842108421C84210C3EB"
    "3410A1B2C3D4A1B2C3D4A1B2C3D4A1B2C3D4"
    "350832303335303130313E00FE00"
)
_OFF, _ON, _RESET, _ASK_ATR = 0, 1, 2, 4


@dataclass
class Secret:
    """A PIN or PUK and its tries."""

    value: bytes
    left: int = TRIES

    def compare(self, said: bytes) -> bytes:
        """The status word; a wrong value costs a try, a right one restores them."""
        if not self.left:
            return _BLOCKED
        if said == self.value:
            self.left = TRIES
            return _OK
        self.left -= 1
        return bytes((0x63, 0xC0 | self.left)) if self.left else _BLOCKED


@dataclass
class PivCard:
    """One card; ``pull`` takes it out of the reader, ``put`` puts it in (again)."""

    pin: Secret
    puk: Secret
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    certificate: bytes
    yubico: bool
    serial: int = 12345678  # as Yubico's cards tell it; others have the one in their CHUID
    verified: bool = False
    # instruction bytes of the next commands at which the card is pulled, before or after the effect
    pull_before: int = -1
    pull_after: int = -1
    # and one that is answered by an error that means nothing (6F00), nothing done
    fail: int = -1
    _rest: bytes = b""
    _chained: bytes = b""
    _reader: socket.socket | None = field(default=None, repr=False)

    def put(self, port: int) -> None:
        """Put the card into the reader that listens at this port."""
        reader = socket.create_connection(("127.0.0.1", port), timeout=10)
        reader.settimeout(None)
        self._reader = reader
        threading.Thread(target=self._serve, args=(reader,), daemon=True).start()

    def pull(self) -> None:
        """Take the card out."""
        reader, self._reader = self._reader, None
        if reader is not None:
            with contextlib.suppress(OSError):
                reader.shutdown(socket.SHUT_RDWR)
            reader.close()

    def _serve(self, reader: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                # without it each answer waits 40 ms for the other side's acknowledgement
                reader.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                said = _exactly(reader, int.from_bytes(_exactly(reader, 2)))
                answer = self._control(said[0]) if len(said) == 1 else self._apdu(said)
                if answer is not None:
                    reader.sendall(len(answer).to_bytes(2) + answer)

    def _control(self, what: int) -> bytes | None:
        if what in (_OFF, _ON, _RESET):
            self.verified = False
        return ATR if what == _ASK_ATR else None

    def _apdu(self, apdu: bytes) -> bytes:
        # without data, VERIFY only asks for the state
        command = apdu[1] if len(apdu) > 5 else 0
        if command == self.pull_before:
            self.pull_before = -1
            self.pull()
            raise EOFError
        if command == self.fail:
            self.fail = -1
            return b"\x6f\x00"
        answer = self._answer(apdu)
        if command == self.pull_after:
            self.pull_after = -1
            self.pull()
            raise EOFError
        return answer

    def _answer(self, apdu: bytes) -> bytes:
        chain, instruction, reference = apdu[0] & 0x10, apdu[1], apdu[3]
        data = self._chained + (apdu[5 : 5 + apdu[4]] if len(apdu) > 5 else b"")
        self._chained = data if chain else b""
        if chain:
            return _OK
        match instruction:
            case 0xA4:
                return self._select(data)
            case 0xC0:
                return self._more(apdu[4] or 256)
            case 0xCB:
                return self._object(data)
            case 0x20:
                return self._verify(reference, data)
            case 0x24:
                return self._change(reference, data)
            case 0x2C:
                return self._unblock(data)
            case 0x87:
                return self._sign(reference, data)
            case 0xFD if self.yubico:
                return bytes((5, 2, 0)) + _OK
            case 0xF8 if self.yubico:
                return self.serial.to_bytes(4) + _OK
        return _NO_COMMAND

    def _select(self, aid: bytes) -> bytes:
        return _SELECTED + _OK if aid.startswith(bytes.fromhex("A000000308")) else _NOT_FOUND

    def _more(self, length: int = 256) -> bytes:
        part, self._rest = self._rest[:length], self._rest[length:]
        return part + (bytes((0x61, min(len(self._rest), 256) & 0xFF)) if self._rest else _OK)

    def _object(self, request: bytes) -> bytes:
        tag = request[2:].hex()
        if tag == "5fc102":
            self._rest = _CHUID
        elif tag == "5fc105":
            inside = b"\x70" + _length(len(self.certificate)) + self.certificate
            inside += bytes.fromhex("710100FE00")
            self._rest = b"\x53" + _length(len(inside)) + inside
        else:
            return _NOT_FOUND
        return self._more()

    def _verify(self, reference: int, pin: bytes) -> bytes:
        if reference != 0x80:
            return _NO_KEY
        if not pin:
            if self.verified:
                return _OK
            return bytes((0x63, 0xC0 | self.pin.left)) if self.pin.left else _BLOCKED
        if len(pin) != 8:
            return _WRONG_LENGTH
        status = self.pin.compare(pin)
        self.verified = status == _OK
        return status

    def _change(self, reference: int, data: bytes) -> bytes:
        secret = {0x80: self.pin, 0x81: self.puk}.get(reference)
        if secret is None or len(data) != 16:
            return _NO_KEY if secret is None else _BAD_DATA
        status = secret.compare(data[:8])
        if status == _OK:
            secret.value = data[8:]
        return status

    def _unblock(self, data: bytes) -> bytes:
        if len(data) != 16:
            return _BAD_DATA
        status = self.puk.compare(data[:8])
        if status == _OK:
            self.pin.value, self.pin.left, self.verified = data[8:], TRIES, False
        return status

    def _sign(self, reference: int, data: bytes) -> bytes:
        if reference != 0x9A:
            return _NO_KEY
        if not self.verified:
            return _NOT_ALLOWED
        # 7C { 82 00, 81 <length> <what is signed> } in either order
        if isinstance(self.key, rsa.RSAPrivateKey):
            block = data[data.index(b"\x81\x82\x01\x00") + 4 :][:256]
            numbers = self.key.private_numbers()
            power = pow(int.from_bytes(block), numbers.d, numbers.public_numbers.n)
            signature = power.to_bytes(256)
        else:
            digest = data[data.index(b"\x81\x20") + 2 :][:32]
            signature = self.key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256())))
        inside = b"\x82" + _length(len(signature)) + signature
        self._rest = b"\x7c" + _length(len(inside)) + inside
        return self._more()


def padded(pin: str) -> bytes:
    """A PIN or PUK as it lies on the card."""
    return pin.encode().ljust(8, b"\xff")


def _length(n: int) -> bytes:
    if n < 0x80:
        return bytes((n,))
    return bytes((0x81, n)) if n < 0x100 else bytes((0x82, n >> 8, n & 0xFF))


def _exactly(reader: socket.socket, n: int) -> bytes:
    got = b""
    while len(got) < n:
        part = reader.recv(n - len(got))
        if not part:
            raise EOFError
        got += part
    return got
