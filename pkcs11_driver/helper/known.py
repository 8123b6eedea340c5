"""Where the makers of tokens install their PKCS#11 modules, on three systems.

The maker's own module stands before OpenSC, which knows many cards a little. A name without a
folder is looked for in the folders where Linux distributions keep such files.
"""

from __future__ import annotations

import os
import sys
import typing
from collections.abc import Iterator

System = typing.Literal["linux", "darwin", "win32"]

_FOLDERS = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64/pkcs11",
    "/usr/lib/pkcs11",
    "/usr/local/lib",
)

# (maker and product, system, path or name)
TABLE: tuple[tuple[str, System, str], ...] = (
    ("Thales SafeNet eToken, IDPrime", "linux", "libeToken.so"),
    ("Thales SafeNet eToken, IDPrime", "linux", "libeTPkcs11.so"),
    ("Thales SafeNet IDPrime", "linux", "libIDPrimePKCS11.so"),
    ("Thales SafeNet eToken, IDPrime", "darwin", "/usr/local/lib/libeTPkcs11.dylib"),
    ("Thales SafeNet eToken, IDPrime", "win32", r"C:\Windows\System32\eTPKCS11.dll"),
    ("Yubico YubiKey PIV", "linux", "libykcs11.so"),
    ("Yubico YubiKey PIV", "darwin", "/usr/local/lib/libykcs11.dylib"),
    ("Yubico YubiKey PIV", "darwin", "/opt/homebrew/lib/libykcs11.dylib"),
    ("Yubico YubiKey PIV", "win32", r"C:\Program Files\Yubico\Yubico PIV Tool\bin\libykcs11.dll"),
    ("Bit4id", "linux", "libbit4xpki.so"),
    ("Bit4id", "win32", r"C:\Windows\System32\bit4xpki.dll"),
    ("Feitian ePass", "linux", "libcastle.so"),
    ("Feitian ePass", "win32", r"C:\Windows\System32\eps2003csp11.dll"),
    ("OpenSC, many cards", "linux", "opensc-pkcs11.so"),
    ("OpenSC, many cards", "darwin", "/Library/OpenSC/lib/opensc-pkcs11.so"),
    (
        "OpenSC, many cards",
        "win32",
        r"C:\Program Files\OpenSC Project\OpenSC\pkcs11\opensc-pkcs11.dll",
    ),
)


def installed(system: str = sys.platform) -> list[tuple[str, str]]:
    """Maker and path of each module that is there; one file under two names counts once."""
    found: dict[str, tuple[str, str]] = {}
    for maker, of, name in TABLE:
        if of == system:
            for path in _places(name):
                if os.path.isfile(path):
                    found.setdefault(os.path.realpath(path), (maker, path))
    return list(found.values())


def _places(name: str) -> Iterator[str]:
    if "/" in name or "\\" in name:
        yield name
    else:
        yield from (f"{folder}/{name}" for folder in _FOLDERS)
