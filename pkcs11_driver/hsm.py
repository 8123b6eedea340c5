"""The service's own keys, inside an HSM: seal, HMAC and sign.

Rules:

1. The keys are made inside, sensitive and not extractable; each does one thing.
2. The wrapping key has generations: a new one is made beside the old, and old sealed values still
   open. HMAC and signing keys stay: what they made is compared for years.
3. One object, one session, one thread; close it before another opens the same module.

A sealed value is version (1 byte, 1), generation (2 bytes), IV (12 random bytes), then the
ciphertext with its 16-byte tag: AES-256-GCM (NIST SP 800-38D), with the context as additional
data. Version and generation are bound in, too.
"""

from __future__ import annotations

import secrets
import struct
import types
import typing

from asn1crypto.core import OctetString, PrintableString
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, PKCS11Error
from pkcs11.exceptions import EncryptedDataInvalid, EncryptedDataLenRange
from pkcs11.mechanisms import GCMParams

from pkcs11_driver import library
from pkcs11_driver.errors import DriverError, KeyNotFound, TokenNotFound, translate

FIRST = 1  # the generation whose HMAC and signing keys are used for ever
_VERSION = 1
_IV = 12
_TAG = 16
_HEADER = struct.Struct(">BH")
_PROBE = b"token-reset health"
_EDWARDS25519 = PrintableString("edwards25519").dump()

_Name = typing.Literal["wrap", "hmac", "sign"]
_LOCKED_IN = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.MODIFIABLE: False,
    Attribute.WRAP: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
}


class SealBroken(Exception):
    """A sealed value does not open: changed, of another context, or of an unknown generation."""


def label_of(name: _Name, generation: int) -> str:
    """The CKA_LABEL of a key of the service."""
    return f"token-reset {name} {generation}"


class Hsm:
    """The service's keys in one token, opened with the token's user PIN.

    Every method raises ``DeviceGone`` or ``DeviceFailed`` when the HSM does, and ``KeyNotFound``
    when the generation has no keys.
    """

    def __init__(
        self,
        module: str,
        pin: str,
        *,
        serial: str | None = None,
        label: str | None = None,
        generation: int = 1,
    ) -> None:
        """Open the token with ``serial``, or the only one with ``label``, and log in.

        ``generation``: the keys that seal, HMAC and sign now.
        Raises ``TokenNotFound``, ``TokenAmbiguous``, ``ModuleNotLoadable``, ``PinIncorrect``,
        ``PinLocked``, ``DeviceGone``, ``DeviceFailed``.
        """
        if not 0 < generation < 1 << 16:
            raise ValueError("a generation is 1 to 65535")
        library.end_sessions(module)
        self.generation = generation
        self.serial = serial if serial is not None else _serial_of(module, label)
        self._login = library.login(module, self.serial, "user", pin)
        self._session = self._login.__enter__()

    def __enter__(self) -> Hsm:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Log out and close the session."""
        self._login.__exit__(None, None, None)

    def create_keys(self, generation: int) -> None:
        """Make the wrapping key of a generation inside the HSM; with the first one, the HMAC and
        the signing key as well.

        Raises ``ValueError`` when the generation has keys already.
        """
        if not 0 < generation < 1 << 16:
            raise ValueError("a generation is 1 to 65535")
        if any(self._find(name, generation) for name in ("wrap", "hmac", "sign")):
            raise ValueError(f"generation {generation} has keys already")
        try:
            self._secret("wrap", generation, KeyType.AES, crypt=True)
            if generation == FIRST:
                self._secret("hmac", FIRST, KeyType.GENERIC_SECRET, crypt=False)
                self._signing_pair()
        except PKCS11Error as error:
            raise translate(error) from None

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Encrypt under the current wrapping key, bound to ``context`` (format: module)."""
        header = _HEADER.pack(_VERSION, self.generation)
        iv = secrets.token_bytes(_IV)
        key = self._key("wrap", self.generation)
        try:
            sealed = key.encrypt(
                plaintext,
                mechanism=Mechanism.AES_GCM,
                mechanism_param=GCMParams(iv, header + context, _TAG * 8),
            )
        except PKCS11Error as error:
            raise translate(error) from None
        return header + iv + bytes(sealed)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Decrypt what ``seal`` returned, with the generation that it names.

        Raises ``SealBroken``.
        """
        if len(sealed) < _HEADER.size + _IV + _TAG:
            raise SealBroken
        version, generation = _HEADER.unpack_from(sealed)
        if version != _VERSION:
            raise SealBroken
        try:
            key = self._key("wrap", generation)
        except KeyNotFound as missing:
            # an HSM that lost its keys knows nothing of any value
            self._probe_seal(missing)
            raise SealBroken from None
        header, iv = sealed[: _HEADER.size], sealed[_HEADER.size : _HEADER.size + _IV]
        try:
            return bytes(
                key.decrypt(
                    sealed[_HEADER.size + _IV :],
                    mechanism=Mechanism.AES_GCM,
                    mechanism_param=GCMParams(iv, header + context, _TAG * 8),
                )
            )
        except (EncryptedDataInvalid, EncryptedDataLenRange):
            raise SealBroken from None
        except PKCS11Error as error:
            failure = translate(error)
        # modules answer a wrong tag with CKR_GENERAL_ERROR too: an HSM that still works told the
        # truth about this value, one that does not work told nothing
        self._probe_seal(failure)
        raise SealBroken

    def is_newest(self, sealed: bytes) -> bool:
        """Whether ``sealed`` names the current wrapping key."""
        return sealed[: _HEADER.size] == _HEADER.pack(_VERSION, self.generation)

    def hmac(self, message: bytes) -> bytes:
        """HMAC-SHA-256 under the HMAC key (CKM_SHA256_HMAC), 32 bytes."""
        key = self._key("hmac", FIRST)
        try:
            return bytes(key.sign(message, mechanism=Mechanism.SHA256_HMAC))
        except PKCS11Error as error:
            raise translate(error) from None

    def sign(self, message: bytes) -> bytes:
        """Sign with the signing key: 64 bytes Ed25519 (RFC 8032, CKM_EDDSA)."""
        key = self._key("sign", FIRST)
        try:
            return bytes(key.sign(message, mechanism=Mechanism.EDDSA))
        except PKCS11Error as error:
            raise translate(error) from None

    def signing_public_key(self) -> bytes:
        """The public half of the signing key: 32 raw bytes."""
        found = self._find("sign", FIRST, ObjectClass.PUBLIC_KEY)
        if len(found) != 1:
            raise KeyNotFound
        try:
            point = bytes(found[0][Attribute.EC_POINT])
        except PKCS11Error as error:
            raise translate(error) from None
        # the standard wants the point in an OCTET STRING; some modules give the bare 32 bytes
        return point if len(point) == 32 else bytes(OctetString.load(point))

    def health(self) -> None:
        """Use each key once. Raises what the HSM answers; returns nothing when all is well."""
        self._probe_seal(None)
        self.hmac(_PROBE)
        self.sign(_PROBE)

    def _probe_seal(self, failure: DriverError | None) -> None:
        """Seal and open a probe; raises ``failure`` if given, else what happened."""
        try:
            key = self._key("wrap", self.generation)
            gcm = GCMParams(secrets.token_bytes(_IV), _PROBE, _TAG * 8)
            sealed = key.encrypt(_PROBE, mechanism=Mechanism.AES_GCM, mechanism_param=gcm)
            opened = key.decrypt(sealed, mechanism=Mechanism.AES_GCM, mechanism_param=gcm)
        except (PKCS11Error, DriverError) as error:
            raise failure or translate(error) from None
        if opened != _PROBE:
            raise failure or translate(ValueError())

    def _secret(self, name: _Name, generation: int, kind: KeyType, *, crypt: bool) -> None:
        self._session.generate_key(
            kind,
            256,
            label=label_of(name, generation),
            id=_key_id(name, generation),
            store=True,
            template={
                **_LOCKED_IN,
                Attribute.ENCRYPT: crypt,
                Attribute.DECRYPT: crypt,
                Attribute.SIGN: not crypt,
                Attribute.VERIFY: False,
            },
        )

    def _signing_pair(self) -> None:
        self._session.create_domain_parameters(
            KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: _EDWARDS25519}, local=True
        ).generate_keypair(
            id=_key_id("sign", FIRST),
            label=label_of("sign", FIRST),
            store=True,
            mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
            private_template={
                Attribute.SENSITIVE: True,
                Attribute.EXTRACTABLE: False,
                Attribute.MODIFIABLE: False,
                Attribute.SIGN: True,
                Attribute.DERIVE: False,
            },
            public_template={Attribute.MODIFIABLE: False},
        )

    def _find(
        self, name: str, generation: int, kind: ObjectClass | None = None
    ) -> list[typing.Any]:
        wanted: dict[Attribute, object] = {
            Attribute.LABEL: label_of(typing.cast(_Name, name), generation)
        }
        if kind is not None:
            wanted[Attribute.CLASS] = kind
        try:
            return list(self._session.get_objects(wanted))
        except PKCS11Error as error:
            raise translate(error) from None

    def _key(self, name: _Name, generation: int) -> typing.Any:  # noqa: ANN401
        kind = ObjectClass.PRIVATE_KEY if name == "sign" else ObjectClass.SECRET_KEY
        found = self._find(name, generation, kind)
        if len(found) != 1:
            raise KeyNotFound
        return found[0]


def _key_id(name: _Name, generation: int) -> bytes:
    return f"{name}-{generation}".encode()


def _serial_of(module: str, label: str | None) -> str:
    tokens = library.tokens(module)
    found = [library.serial_of(token) for token in tokens if token.label == label]
    if len(found) != 1:
        raise TokenNotFound(f"labelled {label}", [library.serial_of(token) for token in tokens])
    return found[0]
