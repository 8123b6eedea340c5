"""Which modules to ask for tokens, and which token a job means."""

from __future__ import annotations

from collections.abc import Sequence

from asn1crypto import x509

from pkcs11_driver import isolated
from pkcs11_driver.errors import DriverError, TokenAmbiguous, TokenNotFound
from pkcs11_driver.helper import known, tries
from pkcs11_driver.helper.dialogue import Dialogue, Refused, one_line
from pkcs11_driver.helper.language import say
from pkcs11_driver.operations import TokenStatus


def to_ask(named: Sequence[str]) -> list[str]:
    """The modules that the person named, else those that are installed where makers do."""
    return list(named) or [path for _, path in known.installed()]


def tokens(modules: Sequence[str]) -> list[TokenStatus]:
    """The tokens of all modules; a module that fails hides no other.

    Raises the first module's ``DriverError`` when every one fails; ``Refused`` without a module.
    """
    if not modules:
        raise Refused(
            say("No token software is found. Install it, or name its file with --module.")
        )
    found: list[TokenStatus] = []
    failures: list[DriverError] = []
    for module in modules:
        try:
            found.extend(isolated.list_tokens(module))
        except DriverError as error:
            failures.append(error)
    if len(failures) == len(modules):
        raise failures[0]
    return found


def expected(modules: Sequence[str], serial: str, dialogue: Dialogue) -> TokenStatus:
    """The token that the job is about; the person may plug it in while being asked.

    Two modules that both show it are fine: the first one serves. Where their certificates say that
    these are two tokens of different makers, neither is taken.
    Raises ``TokenNotFound`` when there is no token or another one, ``TokenAmbiguous``,
    ``ModuleNotLoadable``, ``Refused``.
    """
    while True:
        seen = tokens(modules)
        matching = [token for token in seen if token.serial == serial]
        if matching:
            break
        if not dialogue.plug_in(serial, [describe(token) for token in seen]):
            raise TokenNotFound(serial, [token.serial for token in seen])
    first, *others = matching
    if any(token.module == first.module or _is_another(first, token) for token in others):
        raise TokenAmbiguous(serial, [token.slot for token in matching])
    return first


def _is_another(one: TokenStatus, other: TokenStatus) -> bool:
    mine, theirs = ({der for _, der in token.certificates} for token in (one, other))
    return bool(mine and theirs) and not mine & theirs


def owner(token: TokenStatus) -> str:
    """Whose token it is by the common name in its certificate, empty where that is not plain."""
    names = set()
    for _, der in token.certificates:
        try:
            subject = x509.Certificate.load(der).subject.native
        except (ValueError, TypeError):
            continue
        names.add(subject.get("common_name"))
    name = names.pop() if len(names) == 1 else None
    return one_line(name)[:120] if isinstance(name, str) else ""


def describe(token: TokenStatus) -> str:
    """One line about a token, whatever it calls itself."""
    return say(
        "{serial}  {label}  ({maker} {model})  PIN: {user_pin}, administrator PIN: {so_pin}",
        serial=one_line(token.serial) or say("(no serial number)"),
        label=one_line(token.label),
        maker=one_line(token.manufacturer),
        model=one_line(token.model),
        user_pin=tries.in_a_list(token.user_pin),
        so_pin=tries.in_a_list(token.so_pin),
    )
