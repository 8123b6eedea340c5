"""The service's keys on a real SoftHSM: they do their one thing and do not come out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pkcs11
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pkcs11 import Attribute, Mechanism, ObjectClass

from pkcs11_driver import errors
from pkcs11_driver.hsm import Hsm, SealBroken
from tests.driver import children
from tests.institution import tokens
from tests.institution.tokens import MadeToken

PIN = "Hsm-User-PIN-1"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> MadeToken:
    """An HSM with the keys of generations 1 and 2."""
    made = tokens.make_token(
        tmp_path_factory.mktemp("hsm") / "token", label="service", user_pin=PIN, so_pin="Admin-1"
    )
    children.value(_create, str(made.module), made.serial)
    return made


def _create(module: str, serial: str) -> None:
    with Hsm(module, PIN, serial=serial) as hsm:
        hsm.create_keys(1)
        hsm.create_keys(2)


def in_hsm(token: MadeToken, function: Any, *args: object) -> Any:
    return children.value(_call, str(token.module), function, args)


def _call(module: str, function: Any, args: tuple[object, ...]) -> Any:
    with Hsm(module, PIN, label="service") as hsm:
        return function(hsm, *args)


def _breaks(hsm: Hsm, sealed: bytes, context: bytes) -> bool:
    try:
        hsm.open(sealed, context)
    except SealBroken:
        return True
    return False


def _sealed_values(hsm: Hsm) -> dict[str, Any]:
    sealed = hsm.seal(b"an SO PIN", b"serial 1 version 1")
    damaged = []
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        damaged.append(_breaks(hsm, bytes(changed), b"serial 1 version 1"))
    second = bytearray(sealed)
    second[2] = 2
    return {
        "sealed": sealed,
        "again": hsm.seal(b"an SO PIN", b"serial 1 version 1"),
        "opened": hsm.open(sealed, b"serial 1 version 1"),
        "damaged": damaged,
        "cut": [_breaks(hsm, sealed[:n], b"serial 1 version 1") for n in (0, 14, 30, 39)],
        "context": _breaks(hsm, sealed, b"serial 2 version 1"),
        "generation": _breaks(hsm, bytes(second), b"serial 1 version 1"),
        "still": hsm.open(sealed, b"serial 1 version 1"),
        "empty": hsm.open(hsm.seal(b"", b""), b""),
        "long": hsm.open(hsm.seal(b"x" * 20_000, b""), b"") == b"x" * 20_000,
    }


def test_sealed_values_open_only_unchanged_and_in_their_context(token: MadeToken) -> None:
    seen = in_hsm(token, _sealed_values)
    assert seen["opened"] == seen["still"] == b"an SO PIN"
    assert seen["sealed"][:3] == b"\x01\x00\x01"
    assert len(seen["sealed"]) == 3 + 12 + 9 + 16
    assert seen["sealed"] != seen["again"]
    assert all(seen["damaged"])
    assert all(seen["cut"])
    assert seen["context"]
    assert seen["generation"]
    assert (seen["empty"], seen["long"]) == (b"", True)


def _second_generation(module: str, serial: str, first: bytes) -> tuple[bytes, bytes, bool]:
    with Hsm(module, PIN, serial=serial, generation=2) as hsm:
        return hsm.open(first, b"c"), hsm.seal(b"new", b"c")[:3], hsm.hmac(b"m") != b""


def test_old_values_open_under_a_new_generation(token: MadeToken) -> None:
    first = in_hsm(token, _seal_one)
    opened, header, _ = children.value(_second_generation, str(token.module), token.serial, first)
    assert (opened, header) == (b"old", b"\x01\x00\x02")


def _seal_one(hsm: Hsm) -> bytes:
    return hsm.seal(b"old", b"c")


def _signs(hsm: Hsm) -> tuple[bytes, bytes, bytes, bytes]:
    hsm.health()
    return hsm.signing_public_key(), hsm.sign(b"checkpoint"), hsm.hmac(b"m"), hsm.hmac(b"n")


def test_signatures_and_tags(token: MadeToken) -> None:
    public, signature, tag, other = in_hsm(token, _signs)
    assert (len(public), len(signature)) == (32, 64)
    Ed25519PublicKey.from_public_bytes(public).verify(signature, b"checkpoint")
    assert len(tag) == 32
    assert tag != other
    assert in_hsm(token, _signs)[1:] == (signature, tag, other)


def _attributes(module: str) -> dict[str, dict[str, object]]:
    (token,) = [t for t in pkcs11.lib(module).get_tokens() if t.label == "service"]
    wanted = (
        Attribute.SENSITIVE,
        Attribute.EXTRACTABLE,
        Attribute.NEVER_EXTRACTABLE,
        Attribute.MODIFIABLE,
        Attribute.LOCAL,
        Attribute.PRIVATE,
    )
    seen = {}
    with token.open(user_pin=PIN) as session:
        for key in list(session.get_objects()):
            if key[Attribute.CLASS] != ObjectClass.PUBLIC_KEY:
                seen[key[Attribute.LABEL]] = {
                    **{name.name: key[name] for name in wanted},
                    "value": _value(key),
                    "uses": _uses(key),
                }
    return seen


def _value(key: Any) -> str:
    try:
        return repr(key[Attribute.VALUE])
    except pkcs11.PKCS11Error as error:
        return type(error).__name__


def _uses(key: Any) -> set[str]:
    names = ("ENCRYPT", "DECRYPT", "SIGN", "VERIFY", "WRAP", "UNWRAP", "DERIVE")
    found = set()
    for name in names:
        try:
            if key[Attribute[name]]:
                found.add(name)
        except pkcs11.exceptions.AttributeTypeInvalid:
            continue
    return found


def test_no_key_comes_out_or_does_more_than_its_one_thing(token: MadeToken) -> None:
    seen = children.value(_attributes, str(token.module))
    expected = {"wrap": {"ENCRYPT", "DECRYPT"}, "hmac": {"SIGN"}, "sign": {"SIGN"}}
    once = {f"token-reset {name} 1" for name in expected}
    assert set(seen) == once | {"token-reset wrap 2"}
    for label, key in seen.items():
        assert key.pop("uses") == expected[label.split()[1]]
        assert key == {
            "SENSITIVE": True,
            "EXTRACTABLE": False,
            "NEVER_EXTRACTABLE": True,
            "MODIFIABLE": False,
            "LOCAL": True,
            "PRIVATE": True,
            "value": "AttributeSensitive",
        }


def _wraps(module: str) -> str:
    (token,) = [t for t in pkcs11.lib(module).get_tokens() if t.label == "service"]
    with token.open(rw=True, user_pin=PIN) as session:
        outer: Any = session.generate_key(pkcs11.KeyType.AES, 256, store=False)
        inner = session.get_key(ObjectClass.SECRET_KEY, label="token-reset wrap 1")
        try:
            outer.wrap_key(inner, mechanism=Mechanism.AES_KEY_WRAP)
        except pkcs11.PKCS11Error as error:
            return type(error).__name__
    return "wrapped"


def test_nor_under_another_key(token: MadeToken) -> None:
    assert children.value(_wraps, str(token.module)) == "KeyUnextractable"


def test_refusals(token: MadeToken) -> None:
    module = str(token.module)
    assert children.error(_open, module, "wrong PIN", token.serial).code == "pin-incorrect"
    assert children.error(_open, module, PIN, "other").code == "token-not-found"
    assert isinstance(children.error(_create, module, token.serial), ValueError)
    missing = children.error(_unknown_generation, module, token.serial)
    assert isinstance(missing, errors.KeyNotFound)


def _open(module: str, pin: str, serial: str) -> None:
    with Hsm(module, pin, serial=serial):
        pass


def _unknown_generation(module: str, serial: str) -> None:
    with Hsm(module, PIN, serial=serial, generation=9) as hsm:
        hsm.health()


def _lose_the_keys(hsm: Hsm, store: str, sealed: bytes) -> list[str]:
    """What each call says while the store of the HSM is away."""
    calls = (
        lambda: hsm.open(sealed, b"c"),
        lambda: hsm.seal(b"x", b"c"),
        lambda: hsm.hmac(b"x"),
        lambda: hsm.sign(b"x"),
        hsm.health,
    )
    said = []
    Path(store).rename(f"{store}-away")
    for call in calls:
        try:
            call()
            said.append("ok")
        except (errors.DriverError, SealBroken) as error:
            said.append(type(error).__name__)
    Path(f"{store}-away").rename(store)
    return said


def test_without_its_keys_no_value_is_called_broken(token: MadeToken) -> None:
    """An SO PIN that is called broken is given up for good; one that is out of reach is not."""
    sealed = in_hsm(token, Hsm.seal, b"x", b"c")
    said = in_hsm(token, _lose_the_keys, str(token.directory / "store"), sealed)
    assert said == ["KeyNotFound"] * 5
    assert in_hsm(token, Hsm.open, sealed, b"c") == b"x"


@pytest.mark.parametrize("generation", [0, 65536])
def test_a_generation_fits_its_two_bytes(generation: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="generation"):
        Hsm(str(tmp_path / "none.so"), PIN, serial="1", generation=generation)
