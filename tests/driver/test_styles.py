"""Which module family unblocks how; the families are those of the facts on tokens."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pkcs11_driver import families, styles
from pkcs11_driver.errors import PinRefused, StyleUnsupported
from pkcs11_driver.families import FAMILIES

MODELS = {
    "Yubico": "YubiKey YK5",
    "IBM Corp.": "IBM SoftTok",
    "SafeNet, Inc.": "eToken",
    "Gemalto": "ID Prime MD",
}


def token(manufacturer: str) -> Any:
    return SimpleNamespace(manufacturer_id=manufacturer, model=MODELS.get(manufacturer, ""))


@pytest.mark.parametrize(
    ("manufacturer", "model", "style"),
    [
        ("SoftHSM project", "SoftHSM v2", "so_init_pin"),
        ("SafeNet, Inc.", "eToken", "so_init_pin"),
        ("Gemalto", "ID Prime MD", "so_init_pin"),
        ("Aladdin Ltd.", "eToken PRO", "so_init_pin"),
        ("IBM", "Soft", "so_init_pin"),
        ("Yubico (www.yubico.com)", "YubiKey YK5", "puk_set_pin"),
        ("Yubico", "PKCS#15 emulated", "so_init_pin"),
        ("piv_II", "PKCS#15 emulated", "puk_set_pin"),
        ("Somebody", "Something", "so_init_pin"),
    ],
)
def test_families(manufacturer: str, model: str, style: str) -> None:
    assert families.style_of(manufacturer, model) == style


@pytest.mark.parametrize("style", ["so_init_pin", "puk_set_pin", "context_set_pin"])
def test_every_style_has_its_adapter(style: str) -> None:
    assert styles.adapter(style).name == style


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(StyleUnsupported):
        styles.adapter("never-heard-of")


@pytest.mark.parametrize(
    ("manufacturer", "style"),
    [
        ("SoftHSM project", "puk_set_pin"),
        ("SafeNet, Inc.", "context_set_pin"),
        ("Yubico", "so_init_pin"),
        ("Yubico", "context_set_pin"),
        ("piv_II", "so_init_pin"),
    ],
)
def test_a_style_that_contradicts_the_family_is_refused(manufacturer: str, style: str) -> None:
    with pytest.raises(StyleUnsupported):
        styles.fitting(style, token(manufacturer), ["12345678"], "12345678")


@pytest.mark.parametrize(
    ("manufacturer", "style"),
    [("piv_II", "puk_set_pin"), ("piv_II", "context_set_pin"), ("Somebody", "puk_set_pin")],
)
def test_a_secret_that_cannot_be_rotated_is_not_used_for_a_rotation(
    manufacturer: str, style: str
) -> None:
    with pytest.raises(StyleUnsupported):
        styles.fitting(style, token(manufacturer), ["12345678"], "87654321")
    assert styles.fitting(style, token(manufacturer), ["12345678"], "12345678").name == style


@pytest.mark.parametrize("puk", ["12345", "123456789", "ÄÖÜÄÖ"])
def test_a_puk_that_the_card_cannot_take_is_refused_before_anything(puk: str) -> None:
    with pytest.raises(PinRefused):
        styles.fitting("puk_set_pin", token("Yubico"), ["12345678"], puk)


def test_the_puk_of_a_yubikey_is_told_apart_by_prefixes() -> None:
    assert styles.fitting("puk_set_pin", token("Yubico"), ["12345678"], "87654321") == (
        styles.PukSetPin(prefixes=True)
    )


@pytest.mark.parametrize("so_pin", ["abc", "long-SO-PIN", "tab\tbed"])
def test_an_so_pin_that_opencryptoki_cannot_take_is_refused_before_anything(so_pin: str) -> None:
    with pytest.raises(PinRefused):
        styles.fitting("so_init_pin", token("IBM Corp."), ["12345678"], so_pin)


def test_which_tokens_have_few_tries() -> None:
    """A token that nobody knows is treated as one that has few."""
    made_by = {
        "Yubico": True, "IBM Corp.": True, "OpenPGP": True, "Somebody": True,
        "SafeNet, Inc.": False,
        "Gemalto": True,  # of the same makers, and ended by 5 wrong ones
    }  # fmt: skip
    for maker, few in made_by.items():
        assert styles.few_tries(token(maker)) is few, maker


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_a_style_and_takes_what_is_made_for_it(name: str) -> None:
    """The table by itself: a fresh secret fits, and a family of the makers' table is one."""
    family = FAMILIES[name]
    assert styles.adapter(family.style).name == family.style
    assert family.takes("x" * family.so_fresh)
    assert name in {row[2] for row in families.MAKERS} == set(FAMILIES)
    assert (name in families.kept()) is family.rotates
