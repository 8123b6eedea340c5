"""An order opens with the helper's key and in its own context only."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from pkcs11_driver import envelope, wire

ORDER = wire.Order(("first-so-pin", "second-so-pin"), "next-so-pin")
CONTEXT = wire.order_context("job", 1, "nonce", "serial")


def sealed_for(key: X25519PrivateKey) -> bytes:
    return envelope.seal_order(ORDER, key.public_key().public_bytes_raw(), CONTEXT)


def test_it_opens_for_its_helper() -> None:
    key = X25519PrivateKey.generate()
    sealed = sealed_for(key)
    assert envelope.open_order(sealed, key, CONTEXT) == ORDER
    assert b"so-pin" not in sealed
    assert sealed != sealed_for(key)


@pytest.mark.parametrize(
    "context",
    [
        b"",
        wire.order_context("other", 1, "nonce", "serial"),
        wire.order_context("job", 2, "nonce", "serial"),
        wire.order_context("job", 1, "other", "serial"),
        wire.order_context("job", 1, "nonce", "other"),
    ],
)
def test_not_in_another_context(context: bytes) -> None:
    key = X25519PrivateKey.generate()
    with pytest.raises(envelope.EnvelopeRefused):
        envelope.open_order(sealed_for(key), key, context)


def test_not_for_another_helper() -> None:
    sealed = sealed_for(X25519PrivateKey.generate())
    with pytest.raises(envelope.EnvelopeRefused):
        envelope.open_order(sealed, X25519PrivateKey.generate(), CONTEXT)


def test_not_when_a_byte_is_changed_or_missing() -> None:
    key = X25519PrivateKey.generate()
    sealed = sealed_for(key)
    for place in (0, 31, 32, len(sealed) - 1):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(envelope.EnvelopeRefused):
            envelope.open_order(bytes(changed), key, CONTEXT)
    for length in (0, 31, 32, 40, len(sealed) - 1):
        with pytest.raises(envelope.EnvelopeRefused):
            envelope.open_order(sealed[:length], key, CONTEXT)


def test_a_public_key_of_another_length_is_a_mistake() -> None:
    with pytest.raises(ValueError):
        envelope.seal(b"x", b"short", CONTEXT)


def test_what_is_sealed_must_be_an_order() -> None:
    key = X25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    for content in (b"{}", b"[]", b'{"candidates": "x", "next_so_pin": "y"}', b"no json"):
        with pytest.raises(ValueError):
            envelope.open_order(envelope.seal(content, public, CONTEXT), key, CONTEXT)
