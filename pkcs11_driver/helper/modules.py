"""Which modules to ask for tokens, and which token a job means."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pkcs11_driver import operations
from pkcs11_driver.errors import (
    DriverError,
    ModuleNotLoadable,
    TokenAmbiguous,
    TokenNotFound,
    sentence,
)
from pkcs11_driver.helper.dialogue import Dialogue, Refused, readable
from pkcs11_driver.operations import TokenStatus

# where makers install their modules; the maker's own before OpenSC, which knows many cards a little
KNOWN = (
    "/usr/lib/libeToken.so",
    "/usr/lib64/libeToken.so",
    "/usr/lib/libeTPkcs11.so",
    "/usr/lib/libIDPrimePKCS11.so",
    "/usr/lib/x86_64-linux-gnu/libykcs11.so",
    "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so",
    "/usr/lib64/opensc-pkcs11.so",
    "/usr/local/lib/libeTPkcs11.dylib",
    "/Library/OpenSC/lib/opensc-pkcs11.so",
    r"C:\Windows\System32\eTPKCS11.dll",
    r"C:\Program Files\OpenSC Project\OpenSC\pkcs11\opensc-pkcs11.dll",
)


def to_ask(named: Sequence[str]) -> list[str]:
    """The modules that the person named, else those of ``KNOWN`` that are installed."""
    return list(named) or [path for path in KNOWN if os.path.isfile(path)]


def tokens(modules: Sequence[str]) -> list[TokenStatus]:
    """The tokens of all modules; a module that fails hides no other.

    Raises the first module's ``DriverError`` when every one fails; ``Refused`` without a module.
    """
    if not modules:
        raise Refused("No token software is found. Install it, or name its file with --module.")
    found: list[TokenStatus] = []
    failures: list[DriverError] = []
    for module in modules:
        try:
            found.extend(operations.list_tokens(module))
        except DriverError as error:
            failures.append(error)
    if len(failures) == len(modules):
        raise failures[0]
    return found


def expected(modules: Sequence[str], serial: str, dialogue: Dialogue) -> TokenStatus:
    """The token that the job is about; the person may plug it in while being asked.

    Two modules that both show it are fine: the first one serves.
    Raises ``TokenNotFound`` when there is no token or another one, ``TokenAmbiguous``,
    ``ModuleNotLoadable``, ``Refused``.
    """
    seen = tokens(modules)
    matching = [token for token in seen if token.serial == serial]
    if not matching:
        for token in seen:
            dialogue.tell(f"  plugged in: {readable(describe(token))}")
        raise TokenNotFound(serial, [token.serial for token in seen])
    first = [token for token in matching if token.module == matching[0].module]
    if len(first) > 1:
        raise TokenAmbiguous(serial, [token.slot for token in first])
    return first[0]


def describe(token: TokenStatus) -> str:
    """One line about a token."""
    return (
        f"{token.serial}  {token.label}  ({token.manufacturer} {token.model})  "
        f"PIN: {token.user_pin}, administrator PIN: {token.so_pin}"
    )


def examine(module: str) -> tuple[str, bool]:
    """One line of ``doctor`` about a module, and whether it works."""
    try:
        seen = operations.list_tokens(module)
    except ModuleNotLoadable as error:
        return f"{module}: not loadable ({error.data['why']})", False
    except DriverError as error:
        return f"{module}: {sentence(error)}", False
    return f"{module}: works, {len(seen)} token{'' if len(seen) == 1 else 's'}", True
