"""Which module family unblocks how; the families are those of the facts on tokens."""

from __future__ import annotations

import pytest

from pkcs11_driver import styles
from pkcs11_driver.errors import StyleUnsupported


@pytest.mark.parametrize(
    ("manufacturer", "model", "style"),
    [
        ("SoftHSM project", "SoftHSM v2", "so_init_pin"),
        ("SafeNet, Inc.", "eToken", "so_init_pin"),
        ("Gemalto", "ID Prime MD", "so_init_pin"),
        ("Aladdin Ltd.", "eToken PRO", "so_init_pin"),
        ("IBM", "Soft", "so_init_pin"),
        ("Yubico (www.yubico.com)", "YubiKey YK5", "puk_set_pin"),
        ("piv_II", "PKCS#15 emulated", "puk_set_pin"),
        ("Somebody", "Something", "so_init_pin"),
    ],
)
def test_families(manufacturer: str, model: str, style: str) -> None:
    assert styles.style_of(manufacturer, model) == style


def test_a_named_style_without_an_adapter_is_refused() -> None:
    assert styles.adapter(styles.SO_INIT_PIN).name == "so_init_pin"
    with pytest.raises(StyleUnsupported):
        styles.adapter(styles.PUK_SET_PIN)
