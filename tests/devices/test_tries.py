"""What each module's flags tell of wrong tries, as the table in docs/tokens.md has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pkcs11_driver import isolated
from tests.devices.device import Device, Provider
from tests.devices.providers import PROVIDERS
from tests.institution.tokens import Step, act

DOCUMENT = (Path(__file__).parents[2] / "docs" / "tokens.md").read_text(encoding="utf-8")
ALL = ("count-low", "final-try", "locked")
LAST = ("ok", "final-try", "locked")
NONE = ("ok", "ok", "ok")
# user PIN and SO secret: after one wrong try, where one try is left, and blocked
TOLD = {
    "softhsm": (ALL, ALL),
    "opencryptoki": (ALL, ALL),
    "opensc": (LAST, NONE),
    "openpgp2": (NONE, NONE),
    "openpgp3": (LAST, NONE),
    "ykcs11": (ALL, NONE),
    "tpm2": (NONE, NONE),
}
WORDS = {
    ALL: "wrong tries, the last one, blocked",
    LAST: "the last one, blocked",
    NONE: "nothing",
}


def state(device: Device) -> tuple[str, str]:
    (token,) = isolated.list_tokens(device.at[0])
    return token.user_pin, token.so_pin


def after_wrong_tries(device: Device, step: Step, tries: int, which: int) -> tuple[str, ...]:
    states = []
    for times in (1, tries - 2, 1):
        act(device.made, *[step] * times)
        states.append(state(device)[which])
    return tuple(states)


def test_the_flags(provider: Provider, device: Device) -> None:
    if provider.name not in TOLD:
        pytest.xfail("not tried: it would end a real token for good")
    user, so = TOLD[provider.name]
    assert state(device) == ("ok", "ok")
    wrong = ("login", "user", device.pins[4])
    assert after_wrong_tries(device, wrong, device.user_tries, 0) == user
    assert after_wrong_tries(device, device.wrong_so_try(), device.so_tries, 1) == so


def test_the_document_tells_it() -> None:
    for each in PROVIDERS:
        if each.name in TOLD:
            user, so = (WORDS[states] for states in TOLD[each.name])
            assert f"| {each.title} | {user} | {so} |" in DOCUMENT
