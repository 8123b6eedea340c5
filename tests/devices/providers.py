"""Real PKCS#11 modules, each with a fresh token that has a key and a certificate.

Every provider says what it is missing, so that one that cannot run is named and not skipped.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pkcs11_driver import isolated
from tests.devices.card import PivCard, Secret, padded
from tests.driver.conftest import issue
from tests.institution import tokens
from tests.institution.tokens import KeyKind, MadeToken

USER_PIN, SO_PIN = "Old-PI-1", "Adm-PI-1"
NEW_PIN, NEXT_SO_PIN, WRONG_PIN = "New-PI-2", "Nxt-PI-2", "Bad-PI-0"

_LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
OPENCRYPTOKI = _LIBRARIES / "opencryptoki" / "libopencryptoki.so.0"
OPENSC = _LIBRARIES / "opensc-pkcs11.so"
YKCS11 = _LIBRARIES / "libykcs11.so.2"
VPCD = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
PCSCD = Path("/run/pcscd/pcscd.comm")
# PIV: 6 to 8 digits
PIV_PINS = ("111222", "11112222", "333444", "33334444", "99998888")
TPM2 = _LIBRARIES / "pkcs11" / "libtpm2_pkcs11.so"


@dataclass(frozen=True)
class Device:
    """One token, its PINs, and what its module is known to do.

    ``user_tries``: wrong PINs until the user PIN is locked, 0 where none locks it alone;
    ``so_tries`` likewise; ``rotates``: the SO secret can be changed.
    """

    made: MadeToken
    style: str
    user_tries: int
    so_tries: int
    certificate: bytes
    rotates: bool = True
    # the module hashes PINs and takes any length
    any_length: bool = False
    pins: tuple[str, str, str, str, str] = field(
        default=(USER_PIN, SO_PIN, NEW_PIN, NEXT_SO_PIN, WRONG_PIN), repr=False
    )
    card: PivCard | None = field(default=None, repr=False)
    port: int = 0

    @property
    def at(self) -> tuple[str, str]:
        """Module and serial, as the driver's functions take them."""
        return str(self.made.module), self.made.serial


@dataclass(frozen=True)
class Provider:
    """``missing``: what it lacks to run here, empty when nothing; ``make``: a fresh token in this
    directory, for as long as the context lasts."""

    name: str
    title: str
    missing: Callable[[], str]
    make: Callable[[Path], contextlib.AbstractContextManager[Device]]


def needed(*paths: Path | str) -> Callable[[], str]:
    """What is not there of these files and programs."""

    def missing() -> str:
        absent = [
            str(path)
            for path in paths
            if not (path.exists() if isinstance(path, Path) else shutil.which(path))
        ]
        return f"not installed: {', '.join(absent)}" if absent else ""

    return missing


def equipped(made: MadeToken, kind: KeyKind) -> bytes:
    """Put a key and its certificate on a token; the certificate in DER."""
    certificate = issue(tokens.make_key(made, kind=kind))
    tokens.store_certificate(made, certificate)
    return certificate


def equipped_by_tool(made: MadeToken, kind: str) -> bytes:
    """The same by pkcs11-tool, for a module that takes no other attributes than its own."""
    spki, der = made.directory / "spki.der", made.directory / "certificate.der"
    login = ("--login", "--pin", "env:PIN")
    names = ("--id", "01", "--label", "Holder")
    tool(made.module, *login, *names, "--keypairgen", "--key-type", kind, PIN=made.user_pin)
    tool(made.module, *names, "--read-object", "--type", "pubkey", "--output-file", str(spki))
    der.write_bytes(issue(spki.read_bytes()))
    written = ("--write-object", str(der), "--type", "cert")
    tool(made.module, *login, *names, *written, PIN=made.user_pin)
    return der.read_bytes()


def tool(module: Path, *arguments: str, **pins: str) -> str:
    """What pkcs11-tool prints; PINs go by the environment."""
    done = subprocess.run(
        ["pkcs11-tool", "--module", str(module), *arguments],
        env={**os.environ, **pins},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """One user of a machine-wide store at a time, over all test processes."""
    with (Path(tempfile.gettempdir()) / f"token-reset-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def running(*command: str, ready: Callable[[], bool]) -> Iterator[None]:
    """A service, from when it is ready to the end of the context."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            until(ready)
            yield
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()


def until(ready: Callable[[], bool], seconds: float = 15) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it never came up"
        time.sleep(0.02)


def free_ports() -> int:
    """The first of two neighbouring ports that nobody listens at."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 1))
                return port


def listens(port: int) -> bool:
    """Whether somebody listens at a port of this machine; nobody is connected to."""
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "0A" for row in rows)


@contextlib.contextmanager
def softhsm(directory: Path) -> Iterator[Device]:
    """SoftHSM behind the retry module: 10 user and 15 SO tries."""
    made = tokens.make_token(directory / "t", label="Holder", user_pin=USER_PIN, so_pin=SO_PIN)
    yield Device(made, "so_init_pin", 10, 15, equipped(made, "p256"))


@contextlib.contextmanager
def opencryptoki(directory: Path) -> Iterator[Device]:
    """The software token of opencryptoki: one store per machine, made anew each time."""
    store = Path("/var/lib/opencryptoki/swtok")
    with alone("opencryptoki"):
        for path in (*store.glob("*.DAT"), *store.glob("TOK_OBJ/*"), *store.glob("*.DAT.*")):
            path.unlink()
        for path in Path("/dev/shm").glob("var.lib.opencryptoki.*"):
            path.unlink()
        ready = Path("/var/run/pkcsslotd.socket")
        ready.unlink(missing_ok=True)
        with running("pkcsslotd", "-f", ready=ready.exists):
            first = {"slot": "3", "FIRST": "87654321"}
            label = ("--init-token", "--slot", first["slot"], "--label", "Holder")
            tool(OPENCRYPTOKI, *label, "--so-pin", "env:FIRST", FIRST=first["FIRST"])
            made = MadeToken(directory, OPENCRYPTOKI, "Holder", "123", SO_PIN, USER_PIN)
            steps = tokens.act(
                made,
                ("login", "so", first["FIRST"]),
                ("set_pin", first["FIRST"], SO_PIN),
                ("init_pin", USER_PIN),
            )
            assert steps == ["CKR_OK"] * 3, steps
            yield Device(made, "so_init_pin", 3, 3, equipped(made, "rsa2048"))


@contextlib.contextmanager
def tpm2(directory: Path) -> Iterator[Device]:
    """tpm2-pkcs11 on a TPM in software, whose lockout locks the SO with the user."""
    # the driver of tpm2-tss looks for the control port beside the other one
    state, store, port = directory / "tpm", directory / "store", free_ports()
    for path in (state, store):
        path.mkdir()
    command = (
        *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}"),
        *("--server", f"type=tcp,port={port},bindaddr=127.0.0.1"),
        *("--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1"),
        *("--flags", "not-need-init,startup-clear"),
    )
    with (
        running(*command, ready=lambda: listens(port + 1)),
        environment(
            TPM2_PKCS11_STORE=str(store), TPM2_PKCS11_TCTI=f"swtpm:host=127.0.0.1,port={port}"
        ),
    ):
        label = ("--init-token", "--slot-index", "0", "--label", "Holder")
        tool(TPM2, *label, "--so-pin", "env:SO", SO=SO_PIN)
        made = MadeToken(directory, TPM2, "Holder", "0000000000000000", SO_PIN, USER_PIN)
        steps = tokens.act(made, ("login", "so", SO_PIN), ("init_pin", USER_PIN))
        assert steps == ["CKR_OK"] * 2, steps
        yield Device(
            made,
            "so_init_pin",
            0,
            0,
            equipped_by_tool(made, "EC:prime256v1"),
            any_length=True,
        )


def piv_card(issue: Callable[[bytes], bytes] = issue, *, yubico: bool) -> PivCard:
    """A PIV card with a key, and the certificate that ``issue`` makes for its SPKI."""
    # OpenSC offers ECDSA for the card types only that it knows
    key = (
        ec.generate_private_key(ec.SECP256R1())
        if yubico
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    certificate = issue(
        key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    pin, puk = (Secret(padded(secret)) for secret in PIV_PINS[:2])
    return PivCard(pin, puk, key, certificate, yubico)


@contextlib.contextmanager
def reader_with(card: PivCard, directory: Path) -> Iterator[int]:
    """pcscd with one virtual reader and the card in it; its port."""
    name = "Yubico YubiKey CCID" if card.yubico else "Virtual reader"
    readers, port = directory / "readers", free_ports()
    readers.mkdir()
    (readers / "vpcd").write_text(
        f'FRIENDLYNAME "{name}"\nDEVICENAME /dev/null:{port:#x}\n'
        f"LIBPATH {VPCD}\nCHANNELID {port:#x}\n"
    )
    with alone("pcscd"):
        ready = lambda: listens(port) and PCSCD.exists()  # noqa: E731
        with running("pcscd", "--foreground", "--config", str(readers), ready=ready):
            card.put(port)
            try:
                yield port
            finally:
                card.pull()


@contextlib.contextmanager
def piv(directory: Path, module: Path, card: PivCard) -> Iterator[Device]:
    """A PIV card behind a module: the SO secret is its PUK."""
    with reader_with(card, directory) as port:

        def shown() -> bool:
            with contextlib.suppress(AssertionError):
                return "token label" in tool(module, "--list-token-slots")
            return False

        until(shown)
        (serial,) = re.findall(r"serial num\s*: (\S+)", tool(module, "--list-token-slots"))
        made = MadeToken(directory, module, "Holder", serial, PIV_PINS[1], PIV_PINS[0])
        yield Device(
            made,
            "puk_set_pin",
            *(card.pin.left, card.puk.left),
            card.certificate,
            rotates=card.yubico,
            pins=PIV_PINS,
            card=card,
            port=port,
        )


@contextlib.contextmanager
def opensc(directory: Path) -> Iterator[Device]:
    """OpenSC with a PIV card, set to unblock with the PUK."""
    settings = directory / "opensc.conf"
    settings.write_text(
        "app opensc-pkcs11 { pkcs11 { user_pin_unblock_style = set_pin_in_unlogged_session; } }\n"
    )
    card = piv_card(yubico=False)
    with environment(OPENSC_CONF=str(settings)), piv(directory, OPENSC, card) as device:
        yield device


def ykcs11(directory: Path) -> contextlib.AbstractContextManager[Device]:
    """ykcs11 with a PIV card that answers as a YubiKey does."""
    return piv(directory, YKCS11, piv_card(yubico=True))


@contextlib.contextmanager
def real(_: Path) -> Iterator[Device]:
    """The token that the environment names. Its PINs are changed, and changed back at the end.

    ``TOKEN_DEVICE_MODULE`` and ``TOKEN_DEVICE_SERIAL``; ``TOKEN_DEVICE_PINS`` is a file, so that no
    PIN stands in the environment: JSON with user, so, new, next, wrong, style, user_tries.
    """
    module, serial = os.environ["TOKEN_DEVICE_MODULE"], os.environ["TOKEN_DEVICE_SERIAL"]
    told = json.loads(Path(os.environ["TOKEN_DEVICE_PINS"]).read_text(encoding="utf-8"))
    user_pin, so_pin, _, next_so_pin, _ = pins = tuple(
        told[name] for name in ("user", "so", "new", "next", "wrong")
    )
    (token,) = (each for each in isolated.list_tokens(module) if each.serial == serial)
    made = MadeToken(Path(), Path(module), token.label, serial, so_pin, user_pin)
    certificate = token.certificates[0][1]
    try:
        yield Device(made, told["style"], told["user_tries"], 0, certificate, pins=pins)
    finally:
        isolated.reset_user_pin(
            module,
            serial,
            style=told["style"],
            candidates=(so_pin, next_so_pin),
            next_so_pin=so_pin,
            new_user_pin=user_pin,
            challenge=b"restored",
        )


def unnamed() -> str:
    """What the environment does not name of a real token."""
    names = ("TOKEN_DEVICE_MODULE", "TOKEN_DEVICE_SERIAL", "TOKEN_DEVICE_PINS")
    absent = [name for name in names if not os.environ.get(name)]
    return f"not set: {', '.join(absent)}" if absent else ""


PROVIDERS = (
    Provider("softhsm", "SoftHSM behind the retry module", needed(), softhsm),
    Provider("opencryptoki", "opencryptoki", needed(OPENCRYPTOKI, "pkcsslotd"), opencryptoki),
    Provider("tpm2", "tpm2-pkcs11 on swtpm", needed(TPM2, "swtpm"), tpm2),
    Provider("opensc", "OpenSC with a PIV card", needed(OPENSC, VPCD, "pcscd"), opensc),
    Provider("ykcs11", "ykcs11 with a PIV card", needed(YKCS11, VPCD, "pcscd"), ykcs11),
    Provider("real", "a real token", unnamed, real),
)
