"""Real PKCS#11 modules, each with a fresh token that has a key and a certificate.

Every provider says what it is missing, so that one that cannot run is named and not skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from pkcs11_driver import isolated, operations
from tests.devices.cards import OPENSC, VPCD, YKCS11, openpgp2, openpgp3, opensc, ykcs11
from tests.devices.device import SO_PIN, USER_PIN, Device, Provider
from tests.devices.machine import alone, environment, listens, needed, running, tool
from tests.driver.conftest import issue
from tests.institution import tokens
from tests.institution.ports import free_ports_in_row
from tests.institution.tokens import KeyKind, MadeToken

_LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
OPENCRYPTOKI = _LIBRARIES / "opencryptoki" / "libopencryptoki.so.0"
TPM2 = _LIBRARIES / "pkcs11" / "libtpm2_pkcs11.so"
_CARDS = (VPCD, "pcscd")


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
    state, store, port = directory / "tpm", directory / "store", free_ports_in_row(2)
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
        certificate = equipped_by_tool(made, "EC:prime256v1")
        yield Device(made, "so_init_pin", 3, 3, certificate, one_lockout=True)


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
        receipt = isolated.reset_user_pin(
            module,
            serial,
            style=told["style"],
            candidates=(so_pin, next_so_pin),
            next_so_pin=so_pin,
            new_user_pin=user_pin,
            challenge=b"restored",
        )
        assert operations.outcome(receipt) == "done", f"the token kept other PINs: {receipt.steps}"


def unnamed() -> str:
    """What the environment does not name of a real token."""
    names = ("TOKEN_DEVICE_MODULE", "TOKEN_DEVICE_SERIAL", "TOKEN_DEVICE_PINS")
    absent = [name for name in names if not os.environ.get(name)]
    return f"not set: {', '.join(absent)}" if absent else ""


PROVIDERS = (
    Provider("softhsm", "SoftHSM behind the retry module", needed(), softhsm),
    Provider("opencryptoki", "opencryptoki", needed(OPENCRYPTOKI, "pkcsslotd"), opencryptoki),
    Provider("tpm2", "tpm2-pkcs11 on swtpm", needed(TPM2, "swtpm"), tpm2),
    Provider("opensc", "OpenSC with a PIV card", needed(OPENSC, *_CARDS), opensc),
    Provider("openpgp2", "OpenSC with an OpenPGP card 2.1", needed(OPENSC, *_CARDS), openpgp2),
    Provider("openpgp3", "OpenSC with an OpenPGP card 3.4", needed(OPENSC, *_CARDS), openpgp3),
    Provider("ykcs11", "ykcs11 with a PIV card", needed(YKCS11, *_CARDS), ykcs11),
    Provider("real", "a real token", unnamed, real),
)
