"""Cards in software, in the readers of a pcscd of our own, behind OpenSC and ykcs11."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.devices.card import NOT_ALLOWED, Card, Secret
from tests.devices.device import SO_PIN, USER_PIN, Device
from tests.devices.machine import alone, environment, listens, tool, until
from tests.devices.openpgp import OpenPgpCard
from tests.devices.piv import PivCard, padded
from tests.driver.conftest import issue
from tests.institution.ports import free_ports_in_row
from tests.institution.tokens import MadeToken

OPENSC = Path("/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so")
YKCS11 = Path("/usr/lib/x86_64-linux-gnu/libykcs11.so.2")
VPCD = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
# PIV: 6 to 8 digits
PIV_PINS = ("111222", "11112222", "333444", "33334444", "99998888")
_PCSCD = Path("/run/pcscd/pcscd.comm")


class Reader:
    """pcscd with two virtual readers of this name; cards go in at ``port`` and ``port + 1``."""

    def __init__(self, directory: Path, name: str) -> None:
        self.port = free_ports_in_row(2)
        self._settings = directory / "readers"
        self._settings.mkdir()
        (self._settings / "vpcd").write_text(
            f'FRIENDLYNAME "{name}"\nDEVICENAME /dev/null:{self.port:#x}\n'
            f"LIBPATH {VPCD}\nCHANNELID {self.port:#x}\n"
        )
        self._log = directory / "pcscd.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start pcscd. One that was killed left its socket behind."""
        _PCSCD.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["pcscd", "--foreground", "--info", "--config", str(self._settings)],
                stdout=log,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        until(lambda: listens(self.port) and _PCSCD.exists())

    def wait_until_empty(self) -> None:
        """Until pcscd has seen that its cards are out: one that is back before is never powered.

        It logs the ATR of each card that comes, and that each went; but not of one that went while
        it was being reset. It looks twice a second.
        """
        end = time.monotonic() + 3
        while time.monotonic() < end:
            said = self._log.read_text(encoding="utf-8", errors="replace")
            if said.count("Card ATR") == said.count("Card Removed From"):
                return
            time.sleep(0.02)

    def kill(self) -> None:
        """End pcscd at once, whatever it is doing; the readers are gone with it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End pcscd in its own time."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        self.kill()


@contextlib.contextmanager
def reader(directory: Path, name: str) -> Iterator[Reader]:
    """pcscd and its readers, for as long as the context lasts; one on the machine at a time."""
    with alone("pcscd"):
        made = Reader(directory, name)
        try:
            made.start()
            yield made
        finally:
            made.stop()


@contextlib.contextmanager
def inserted(card: Card, port: int) -> Iterator[None]:
    """The card in the reader at this port, and out of it at the end."""
    card.put(port)
    try:
        yield
    finally:
        card.pull()


def piv_card(issue: Callable[[bytes], bytes] = issue, *, yubico: bool) -> PivCard:
    """A PIV card, and the certificate that ``issue`` makes for its SPKI; OpenSC offers ECDSA for
    the card types only that it knows."""
    key = ec.generate_private_key(ec.SECP256R1()) if yubico else _rsa()
    pin, puk = (Secret(padded(value)) for value in PIV_PINS[:2])
    return PivCard(pin, puk, key, issue(spki(key)), yubico)


def openpgp_card(version: tuple[int, int], number: int = 0x11223344) -> OpenPgpCard:
    """An OpenPGP card of this version. The older one has RSA, does not tell its tries and names the
    maker of Gnuk; the newer one names Yubico."""
    older = version < (3, 0)
    key = _rsa() if older else ec.generate_private_key(ec.SECP256R1())
    pw1, pw3 = (
        Secret(value.encode(), wrong=NOT_ALLOWED if older else b"") for value in (USER_PIN, SO_PIN)
    )
    maker = 0xF517 if older else 0x0006
    return OpenPgpCard(pw1, pw3, key, issue(spki(key)), version, maker, number)


def spki(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """The public key in DER."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def serials(module: Path) -> set[str]:
    """The serials that the module shows, by a foreign tool."""
    listed = ""
    with contextlib.suppress(AssertionError):
        listed = tool(module, "--list-token-slots")
    return set(re.findall(r"serial num\s*: *(\S*)", listed))


@contextlib.contextmanager
def piv(directory: Path, module: Path, card: PivCard) -> Iterator[Device]:
    """A PIV card behind a module: the SO secret is its PUK."""
    name = "Yubico YubiKey CCID" if card.yubico else "Virtual reader"
    with reader(directory, name) as into, inserted(card, into.port):
        until(lambda: bool(serials(module)))
        (serial,) = serials(module)
        made = MadeToken(directory, module, "Holder", serial, PIV_PINS[1], PIV_PINS[0])
        yield Device(
            made,
            "puk_set_pin",
            *(card.pin.left, card.puk.left),
            card.certificate,
            rotates=card.yubico,
            pins=PIV_PINS,
            card=card,
            reader=into,
        )


@contextlib.contextmanager
def opensc_set_to(directory: Path, style: str) -> Iterator[None]:
    """OpenSC with this ``user_pin_unblock_style`` (opensc.conf(5))."""
    settings = directory / "opensc.conf"
    settings.write_text(f"app opensc-pkcs11 {{ pkcs11 {{ user_pin_unblock_style = {style}; }} }}\n")
    with environment(OPENSC_CONF=str(settings)):
        yield


@contextlib.contextmanager
def opensc(directory: Path, style: str = "set_pin_in_unlogged_session") -> Iterator[Device]:
    """OpenSC with a PIV card, set to unblock with the PUK."""
    with opensc_set_to(directory, style), piv(directory, OPENSC, piv_card(yubico=False)) as device:
        yield device


def ykcs11(directory: Path) -> contextlib.AbstractContextManager[Device]:
    """ykcs11 with a PIV card that answers as a YubiKey does."""
    return piv(directory, YKCS11, piv_card(yubico=True))


@contextlib.contextmanager
def openpgp(
    directory: Path, version: tuple[int, int], style: str = "init_pin_in_so_session"
) -> Iterator[Device]:
    """OpenSC with an OpenPGP card, set to unblock by the SO, who has the card's PW3."""
    card = openpgp_card(version)
    with (
        opensc_set_to(directory, style),
        reader(directory, "Virtual reader") as into,
        inserted(card, into.port),
    ):
        until(lambda: bool(serials(OPENSC)))
        (serial,) = serials(OPENSC)
        made = MadeToken(directory, OPENSC, "OpenPGP card", serial, SO_PIN, USER_PIN)
        tries = (card.pw1.left, card.pw3.left)
        yield Device(made, "so_init_pin", *tries, card.certificate, card=card, reader=into)


def openpgp2(directory: Path) -> contextlib.AbstractContextManager[Device]:
    """A card of version 2.1, which signs with its authentication key."""
    return openpgp(directory, (2, 1))


def openpgp3(directory: Path) -> contextlib.AbstractContextManager[Device]:
    """A card of version 3.4, which signs with its signature key."""
    return openpgp(directory, (3, 4))
