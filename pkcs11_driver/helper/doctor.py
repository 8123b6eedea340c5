"""``token-helper doctor``: what is there, what is wrong, and how to mend it.

Each finding is a line that begins with ``ok``, ``!!`` (wrong) or ``--`` (worth knowing); a wrong
one is followed by what to do. A smart card service that does not answer comes first, and failures
that it explains are left out. Nothing is changed and no PIN is asked for.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pkcs11_driver import isolated, wire
from pkcs11_driver.errors import DeviceFailed, DeviceGone, DriverError
from pkcs11_driver.families import family_of
from pkcs11_driver.helper import known, modules
from pkcs11_driver.helper.client import Client, ServiceError
from pkcs11_driver.helper.dialogue import readable
from pkcs11_driver.helper.job import version
from pkcs11_driver.helper.language import of_error, say
from pkcs11_driver.operations import TokenStatus

PCSCD = Path("/run/pcscd/pcscd.comm")
USB = Path("/sys/bus/usb/devices")
_SMART_CARD_CLASS = "0b"


@dataclass(frozen=True)
class Finding:
    """``text`` is one line; ``mend`` what to do, empty when all is well; ``works``: token software
    that does; ``of_device``: it fails at the device, not by itself; ``cause``: it explains such."""

    state: typing.Literal["ok", "!!", "--"]
    text: str
    mend: str = ""
    works: bool = False
    of_device: bool = False
    cause: bool = False


def examine(named: Sequence[str], server: str, ca: str | None) -> Iterator[Finding]:
    """All findings, one after the other as they are found."""
    yield Finding("--", f"token-helper {version()}, {say('protocol')} {wire.PROTOCOL}")
    service = card_service()
    yield from service
    down = any(finding.state == "!!" for finding in service)
    yield window()
    if sys.platform == "linux":
        yield from readers()
    asked = modules.to_ask(named)
    if not asked:
        yield Finding(
            "!!",
            say("No token software is found."),
            say("Install your token's software, or name its file with --module."),
        )
    makers = {path: maker for maker, path in known.installed()}
    for module in asked:
        found = of_module(module, makers.get(module, ""))
        yield from (finding for finding in found if not (down and finding.of_device))
    if server:
        yield of_service(server, ca)


def window() -> Finding:
    """Whether there can be a window."""
    try:
        import tkinter  # noqa: F401
    except ImportError:
        return Finding("--", say("No windows (Tk): install python3-tk for the window."))
    return Finding("ok", say("The window can be used (Tk)."))


def readers(devices: Path = USB) -> Iterator[Finding]:
    """Smart card readers and USB tokens that the kernel sees."""
    seen = False
    for place in sorted(devices.glob("*/bInterfaceClass")):
        if _read(place) == _SMART_CARD_CLASS:
            device = place.parent.parent / place.parent.name.partition(":")[0]
            device = device if device.is_dir() else place.parent
            name = f"{_read(device / 'manufacturer')} {_read(device / 'product')}".strip()
            seen = True
            yield Finding("ok", say("Reader or token: {name}", name=readable(name) or "USB"))
    if not seen:
        yield Finding("--", say("No USB reader or token is seen. Is it plugged in?"))


def card_service() -> list[Finding]:
    """The system's smart card service; none to ask where the system has another way."""
    asked = {"linux": pcscd, "win32": _windows_service}.get(sys.platform)
    return [replace(asked(), cause=True)] if asked else []


def pcscd(place: Path = PCSCD) -> Finding:
    """The smart card service, which most modules need."""
    if not place.exists():
        return Finding(
            "!!",
            say("The smart card service pcscd does not run."),
            say("sudo apt-get install pcscd; sudo systemctl enable --now pcscd.socket"),
        )
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(3)
        try:
            connection.connect(str(place))
        except PermissionError:
            return Finding(
                "!!",
                say("You may not use the smart card service pcscd."),
                say("Log in at the computer itself, or let an administrator allow it (polkit)."),
            )
        except OSError as error:
            return Finding(
                "!!",
                say("The smart card service pcscd does not answer ({reason}).", reason=error),
                say("sudo systemctl restart pcscd.socket pcscd"),
            )
    return Finding("ok", say("The smart card service pcscd answers."))


def _windows_service() -> Finding:
    done = subprocess.run(
        [r"C:\Windows\System32\sc.exe", "query", "SCardSvr"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "RUNNING" in done.stdout:
        return Finding("ok", say("The smart card service of Windows runs."))
    return Finding(
        "!!",
        say("The smart card service of Windows does not run."),
        say("Plug the token in; if that does not help: sc start SCardSvr as an administrator."),
    )


def of_module(module: str, maker: str) -> Iterator[Finding]:
    """Whether the module works, and its tokens."""
    if os.path.isfile(module) and not os.access(module, os.R_OK):
        yield Finding(
            "!!",
            say("{module}: you may not read this file", module=module),
            say("Let an administrator make it readable for everybody."),
        )
        return
    of = f" ({maker})" if maker else ""
    try:
        seen = isolated.list_tokens(module)
    except DriverError as error:
        mend = say("Install the token's software again, for this kind of computer.")
        of_device = isinstance(error, DeviceFailed | DeviceGone)
        yield Finding("!!", of_error(error) + of, mend, of_device=of_device)
        return
    how_many = (
        say("{module}: works, 1 token", module=module)
        if len(seen) == 1
        else say("{module}: works, {count} tokens", module=module, count=len(seen))
    )
    yield Finding("ok", how_many + of, works=True)
    yield from _tokens(seen)


def _tokens(seen: Sequence[TokenStatus]) -> Iterator[Finding]:
    office = say("Go to the registration office with it.")
    for token in seen:
        told = f"{modules.describe(token)}: "
        family = family_of(token.manufacturer, token.model)
        if not token.serial:
            yield Finding("!!", told + say("cannot be told from another token"), office)
        elif family is None:
            yield Finding("--", told + say("nobody knows yet whether it can be reset"))
        else:
            facts = {"style": family.style, "family": family.name}
            if family.rotates:
                yield Finding("ok", told + say("can be reset ({style}), family {family}", **facts))
            else:
                told += say("cannot be reset ({style}), family {family}", **facts)
                yield Finding("!!", told, office)


def of_service(server: str, ca: str | None) -> Finding:
    """Whether the service answers over verified TLS and speaks this protocol; no code is spent."""
    try:
        client = Client(server, ca)
        client.check()
    except (ServiceError, ValueError) as error:
        return Finding("!!", str(error), say("Check the address, the network and the proxy."))
    over = client.proxy
    way = say("over the proxy {host}", host=over) if over else say("directly")
    return Finding("ok", say("The service {server} answers, {way}.", server=server, way=way))


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
