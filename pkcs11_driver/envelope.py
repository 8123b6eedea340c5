"""HPKE (RFC 9180) envelopes: what travels from the custodian to a helper, and to the custodian.

Suite: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, base mode; ``enc`` first.
"""

from __future__ import annotations

import json

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from pkcs11_driver.wire import Order, from_json, to_json

_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class EnvelopeRefused(Exception):
    """The envelope does not open: another key, another context, or it was changed."""


def seal(plaintext: bytes, public_key: bytes, context: bytes) -> bytes:
    """Seal ``plaintext`` to a raw X25519 public key (32 bytes), bound to ``context``.

    Raises ``ValueError`` for a key of another length.
    """
    return _SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(public_key), context)


def open_sealed(sealed: bytes, private_key: X25519PrivateKey, context: bytes) -> bytes:
    """Open an envelope. Raises ``EnvelopeRefused``."""
    try:
        return _SUITE.decrypt(sealed, private_key, context)
    except (InvalidTag, ValueError):
        raise EnvelopeRefused from None


def seal_order(order: Order, public_key: bytes, context: bytes) -> bytes:
    """Seal an order for the helper that owns ``public_key``."""
    return seal(json.dumps(to_json(order)).encode(), public_key, context)


def open_order(sealed: bytes, private_key: X25519PrivateKey, context: bytes) -> Order:
    """Open an order. Raises ``EnvelopeRefused``, ``WireError``."""
    return from_json(Order, json.loads(open_sealed(sealed, private_key, context)), "order")


def import_context(serial: str, family: str) -> bytes:
    """The HPKE ``info`` that binds a sealed SO PIN to its token on the way into escrow, and to the
    token's family: who seals says it, and nobody on the way can say otherwise."""
    parts = (serial.encode(), family.encode())
    return b"token-reset import 2" + b"".join(len(p).to_bytes(4) + p for p in parts)
