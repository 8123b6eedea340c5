"""A card in software in a reader of vpcd, and secrets with a counter of tries.

It talks to vpcd as vsmartcard's cards do: each message is two bytes of length and then one byte of
control, or an APDU (ISO/IEC 7816-4).
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

TRIES = 3
OK, WRONG_LENGTH, BLOCKED = b"\x90\x00", b"\x67\x00", b"\x69\x83"
NOT_ALLOWED, NOT_FOUND, NO_KEY = b"\x69\x82", b"\x6a\x82", b"\x6a\x88"
NO_COMMAND, BAD_DATA = b"\x6d\x00", b"\x6a\x80"
_ATR = bytes.fromhex("3B80800101")
_OFF, _ON, _RESET, _ASK_ATR = 0, 1, 2, 4


@dataclass
class Secret:
    """A PIN or PUK and its tries. ``wrong``: the status word for a wrong value, where the card
    does not tell how many are left."""

    value: bytes
    left: int = TRIES
    wrong: bytes = b""

    def compare(self, said: bytes) -> bytes:
        """The status word; a wrong value costs a try, a right one restores them."""
        if not self.left:
            return BLOCKED
        if said == self.value:
            self.left = TRIES
            return OK
        self.left -= 1
        return (self.wrong or self.told()) if self.left else BLOCKED

    def told(self) -> bytes:
        """The status word that tells the tries left."""
        return bytes((0x63, 0xC0 | self.left)) if self.left else BLOCKED


@dataclass(kw_only=True)
class Card:
    """One card; ``pull`` takes it out of the reader, ``put`` puts it in (again)."""

    # the card is pulled at (instruction byte, which one of those to come, "before" or "after" its
    # effect); ``meanwhile`` happens first
    pulled_at: tuple[int, int, str] | None = None
    fail: int = -1  # instruction byte that is answered once by 6F00, which means nothing
    meanwhile: Callable[[], None] = field(default=lambda: None, repr=False)
    _rest: bytes = field(default=b"", init=False, repr=False)
    _chained: bytes = field(default=b"", init=False, repr=False)
    _reader: socket.socket | None = field(default=None, init=False, repr=False)

    def put(self, port: int) -> None:
        """Put the card into the reader that listens at this port, out of any that it was in."""
        self.pull()
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

    def forget(self) -> None:
        """Power was cut: nobody is verified any more."""
        raise NotImplementedError

    def answer(self, instruction: int, p1: int, p2: int, data: bytes) -> bytes:
        """Data and status word for one command, its chained parts put together."""
        raise NotImplementedError

    def begin(self, answer: bytes, length: int = 256) -> bytes:
        """The first part of a long answer; GET RESPONSE gets the others."""
        self._rest = answer
        return self._more(length)

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
            self.forget()
        return _ATR if what == _ASK_ATR else None

    def _apdu(self, apdu: bytes) -> bytes:
        if self._pulled_now(apdu, "before"):
            raise EOFError
        if len(apdu) > 5 and apdu[1] == self.fail:
            self.fail = -1
            return b"\x6f\x00"
        answer = self._answer(apdu)
        if self._pulled_now(apdu, "after"):
            raise EOFError
        return answer

    def _pulled_now(self, apdu: bytes, when: str) -> bool:
        # without data, VERIFY only asks for the state
        if self.pulled_at is None or len(apdu) <= 5:
            return False
        instruction, nth, chosen = self.pulled_at
        if (instruction, chosen) != (apdu[1], when):
            return False
        self.pulled_at = (instruction, nth - 1, when) if nth > 1 else None
        if nth == 1:
            self.meanwhile()
            self.pull()
        return nth == 1

    def _answer(self, apdu: bytes) -> bytes:
        data = self._chained + (apdu[5 : 5 + apdu[4]] if len(apdu) > 5 else b"")
        chain = apdu[0] & 0x10
        self._chained = data if chain else b""
        if chain:
            return OK
        if apdu[1] == 0xC0:
            return self._more(apdu[4] or 256)
        return self.answer(apdu[1], apdu[2], apdu[3], data)

    def _more(self, length: int) -> bytes:
        part, self._rest = self._rest[:length], self._rest[length:]
        return part + (bytes((0x61, min(len(self._rest), 256) & 0xFF)) if self._rest else OK)


def tlv(tag: str, value: bytes) -> bytes:
    """A data object in BER; the tag in hex."""
    n = len(value)
    length = bytes((n,)) if n < 0x80 else bytes((0x81, n)) if n < 0x100 else b"\x82" + n.to_bytes(2)
    return bytes.fromhex(tag) + length + value


def _exactly(reader: socket.socket, n: int) -> bytes:
    got = b""
    while len(got) < n:
        part = reader.recv(n - len(got))
        if not part:
            raise EOFError
        got += part
    return got
