"""What the helper and the service say to each other, and the PIN rules that both apply.

Standard library only. Rules of the conversation (design section 6):

1. Every message is one JSON object; unknown fields, missing fields, wrong types and sizes are
   refused, with the field's name and what it must be.
2. Binary values travel as base64 (RFC 4648 section 4, padded).
3. ``claim`` spends the pairing code and binds the job to the helper's X25519 public key.
4. Every later call carries ``Authorization: Bearer <secret>`` with the secret from ``claim``.
5. ``release`` may be repeated with the same nonce while its lease runs: the answer is the same.
6. ``report`` may be repeated: the answer is the state that it led to.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import re
import string
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

PROTOCOL = "1"
# eContentType of a signed approval statement: a UUID under 2.25 (ITU-T X.667), so no registration
STATEMENT_OID = "2.25.40633779807466837233232682364813766854"
CODE_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LENGTH = 8
SELECTOR_LENGTH = 3

Kind = typing.Literal["reset", "approve", "office"]
Outcome = typing.Literal[
    "done",  # user PIN set and proven, next SO PIN in force
    "rotation-due",  # user PIN set and proven, the token kept its old SO PIN
    "unknown",  # a changing call was sent and its effect is not known
    "untouched",  # nothing was changed on the token
    "so-pin-refused",  # every SO PIN of the order was answered CKR_PIN_INCORRECT
    "so-pin-locked",  # CKR_PIN_LOCKED to the SO PIN
    "signed",  # approve jobs: the statement is signed
]


Step = typing.Literal[
    "so-login",
    "so-pin-incorrect",
    "user-pin-set",
    "user-pin-unclear",
    "user-login",
    "challenge-signed",
    "so-pin-set",
    "so-pin-unclear",
    "so-pin-proven",
    "done",
    "statement-signed",
]
PinState = typing.Literal[
    "ok", "count-low", "final-try", "locked", "to-be-changed", "not-initialised"
]


class WireError(ValueError):
    """A message that breaks the format. ``field`` names the place, ``rule`` what it needs."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


# --- PIN rules (S1.12-S1.15) ----------------------------------------------------
@dataclass(frozen=True)
class PinRules:
    """Rules for a new user PIN.

    ``minimum`` in characters; ``maximum`` in bytes of UTF-8, as tokens count; ``classes`` of the
    four (digit, upper, lower, special) that must occur; ``forbidden`` characters. Characters
    outside ASCII count in no class.
    """

    minimum: int = 8
    maximum: int = 64
    classes: int = 3
    forbidden: str = "}]="


CLASSES: Mapping[str, str] = {
    "digit": string.digits,
    "upper": string.ascii_uppercase,
    "lower": string.ascii_lowercase,
    "special": string.punctuation + " ",
}


def broken_pin_rules(pin: str, rules: PinRules) -> tuple[str, ...]:
    """The names of the rules that ``pin`` breaks, empty when it is good.

    Names: ``too-short``, ``too-long``, ``classes``, ``forbidden``, ``unprintable``.
    """
    present = sum(any(c in members for c in pin) for members in CLASSES.values())
    checks = (
        ("too-short", len(pin) < rules.minimum),
        ("too-long", len(pin.encode("utf-8", "surrogatepass")) > rules.maximum),
        ("classes", present < rules.classes),
        ("forbidden", any(c in rules.forbidden for c in pin)),
        ("unprintable", not pin.isprintable()),
    )
    return tuple(name for name, broken in checks if broken)


# --- pairing code and confirmation words ------------------------------------------
def tidy_code(typed: str) -> str:
    """The pairing code as typed by a person, without blanks and dashes, in upper case."""
    return "".join(c for c in typed.upper() if c not in " -\t\u2010\u2011\u2013\u00a0")


def is_code(code: str) -> bool:
    """Whether a tidied pairing code has the right form."""
    return len(code) == CODE_LENGTH and all(c in CODE_ALPHABET for c in code)


def show_code(code: str) -> str:
    """The pairing code in two groups, as pages show it."""
    return f"{code[:4]}-{code[4:]}"


_WORDS = (
    "acorn anchor apple arrow autumn bacon badge bamboo barrel basil beacon bench bird blanket "
    "bottle breeze brick bridge bronze brush bucket butter button cabin cactus camel candle canoe "
    "carpet castle cedar cement cherry circle clock cloud clover coffee copper coral cotton crane "
    "crayon cricket crystal dagger daisy desert diamond dolphin dragon drum eagle earth elbow "
    "ember engine falcon feather fern fiddle finger flame flute forest fossil fountain fox garden "
    "garlic ginger giraffe glacier glove gold grape gravel hammer harbor harvest hazel helmet "
    "honey horse iceberg igloo island ivory jacket jaguar jelly jewel jungle kettle kitten ladder "
    "lagoon lantern lemon leopard lily lobster magnet mango maple marble meadow melon mirror "
    "mitten monkey moon mountain mustard napkin needle nickel oak oasis ocean olive onion orange "
    "orchid otter owl paddle panda paper parrot peach pebble pencil pepper piano pillow pine "
    "planet plum pocket pond potato prairie pumpkin puzzle pyramid quartz rabbit radish raven "
    "ribbon river robin rocket rose ruby saddle salmon sand scarf shadow shell silver spider "
    "spoon spring squirrel star summer sunset swan table teapot temple thunder tiger tomato "
    "tower train tulip tunnel turtle valley velvet violet violin volcano wagon walnut water "
    "whale willow window winter wolf yarn zebra"
).split()


def confirmation_words(job: str, public_key: bytes) -> str:
    """Three words that page and helper both compute from the job and the helper's key.

    Equal words show the person that the page talks to this very helper.
    """
    digest = hashlib.sha256(b"token-reset words 1\0" + job.encode() + b"\0" + public_key).digest()
    numbers = (int.from_bytes(digest[i : i + 4]) for i in (0, 4, 8))
    return " ".join(_WORDS[n % len(_WORDS)] for n in numbers)


def proof_challenge(request: str, job: str, nonce: str) -> bytes:
    """What the token signs to prove a reset.

    ``request``: 32 hex characters, ``nonce``: 64. The prefix and the fixed form keep the bytes
    apart from any other thing that a holder's key signs.
    """
    return f"token-reset proof 1\nrequest {request}\njob {job}\nnonce {nonce}\n".encode()


def is_proof_challenge(challenge: bytes, job: str) -> bool:
    """Whether these bytes are a challenge of this job and nothing else.

    The helper signs no other: a service that was taken over must not get a signature over, say,
    the attributes of an approval.
    """
    form = (
        rb"token-reset proof 1\nrequest [0-9a-f]{32}\njob "
        + re.escape(job.encode())
        + rb"\nnonce [0-9a-f]{64}\n"
    )
    return re.fullmatch(form, challenge) is not None


def order_context(job: str, epoch: int, nonce: str, token_serial: str) -> bytes:
    """The HPKE ``info`` (RFC 9180) that binds a sealed order to job, epoch, nonce and token."""
    parts = (job.encode(), str(epoch).encode(), nonce.encode(), token_serial.encode())
    return b"token-reset order 1" + b"".join(len(p).to_bytes(4) + p for p in parts)


# --- sizes of values ----------------------------------------------------------------
@dataclass(frozen=True)
class Size:
    """From ``least`` to ``most`` characters of a text or bytes of a binary value."""

    least: int
    most: int

    def fits(self, value: typing.Any) -> bool:  # noqa: ANN401
        """Whether a text or binary value keeps to it."""
        return self.least <= len(value) <= self.most

    def __str__(self) -> str:
        """In words: ``32``, ``at most 512``."""
        return str(self.most) if self.least == self.most else f"at most {self.most}"


LIST_LIMIT = 64
# of every field that is not annotated with its own; the parser and the OpenAPI document ask here
SIZES: Mapping[object, Size] = {str: Size(0, 512), bytes: Size(0, 75_000)}
KEY = Size(32, 32)  # a raw X25519 key (RFC 7748 section 5)
_NEEDS: Mapping[object, str] = {
    str: "text of {size} characters",
    bytes: "base64 (RFC 4648 section 4) of {size} bytes",
    int: "a whole number",
    bool: "true or false",
}


# --- messages ---------------------------------------------------------------------
@dataclass(frozen=True)
class Claim:
    """Helper → service. ``public_key``: raw X25519 key."""

    code: str = field(repr=False)
    public_key: typing.Annotated[bytes, KEY]
    helper_version: str


@dataclass(frozen=True)
class Claimed:
    """Service → helper. ``challenge``: the bytes to sign; for ``approve`` the statement.
    ``key_id``: CKA_ID of the key that signs, in hex; empty: the only one with a certificate.
    ``protocol``: the version that the service speaks; the first version did not name itself."""

    job: str
    secret: str = field(repr=False)
    kind: Kind
    token_serial: str
    pin_rules: PinRules
    challenge: bytes
    words: str
    key_id: str = ""
    protocol: str = PROTOCOL


@dataclass(frozen=True)
class TokenSeen:
    """What the helper saw of the token: trimmed serial, label, and the PIN flags as told."""

    serial: str
    label: str
    user_pin: PinState
    so_pin: PinState


@dataclass(frozen=True)
class Release:
    """Helper → service. ``nonce``: at least 16 random bytes in hex, kept in memory only."""

    nonce: str
    token: TokenSeen


@dataclass(frozen=True)
class Released:
    """Service → helper. ``sealed``: HPKE (X25519, HKDF-SHA256, AES-256-GCM), ``enc`` first;
    ``expires``: seconds that the order is good for; ``style``: the unblock style."""

    epoch: int
    style: str
    sealed: bytes = field(repr=False)
    expires: int


@dataclass(frozen=True)
class Order:
    """The plaintext inside ``sealed``: SO PINs to try in this order, and the one to set."""

    candidates: tuple[str, ...] = field(repr=False)
    next_so_pin: str = field(repr=False)


@dataclass(frozen=True)
class Proof:
    """``signature`` over the challenge (``approve``: the CMS in DER); ``certificate`` DER as read
    from the token, empty when none; ``so_pin_in_force``: next, candidate-N (from 0) or unknown."""

    signature: bytes = b""
    certificate: bytes = b""
    so_pin_in_force: str = "unknown"
    user_pin_set: bool = False


@dataclass(frozen=True)
class Report:
    """Helper → service. ``steps``: names of the steps that happened, in order."""

    epoch: int
    nonce: str
    outcome: Outcome
    steps: tuple[Step, ...]
    proof: Proof


@dataclass(frozen=True)
class JobState:
    """Service → helper. ``state``: the state of the request; ``next``: what the person does now:
    ``done``, ``again`` (start over with a new pairing code), ``office``, ``wait``."""

    state: str
    next: str


T = typing.TypeVar("T")


def to_json(message: object) -> dict[str, object]:
    """The JSON object of a message; bytes become base64."""

    def value(v: object) -> object:
        if dataclasses.is_dataclass(v):
            return to_json(v)
        if isinstance(v, bytes):
            return base64.b64encode(v).decode()
        if isinstance(v, tuple):
            return [value(item) for item in v]
        return v

    fields = dataclasses.fields(message)  # type: ignore[arg-type]
    return {f.name: value(getattr(message, f.name)) for f in fields}


def from_json(kind: type[T], raw: object, where: str = "message") -> T:
    """Parse one JSON value strictly into ``kind``.

    Raises ``WireError`` on a wrong type or size, a missing or an unknown field.
    """
    if not isinstance(raw, Mapping):
        raise WireError(where, _need(kind))
    types = typing.get_type_hints(kind, include_extras=True)
    unknown = [str(name) for name in raw if name not in types]
    if unknown:
        raise WireError(f"{where}.{unknown[0]}"[:80], "is unknown")
    values = {}
    for f in dataclasses.fields(kind):  # type: ignore[arg-type]
        if f.name in raw:
            values[f.name] = _value(types[f.name], raw[f.name], f"{where}.{f.name}")
        elif f.default is dataclasses.MISSING:
            raise WireError(f"{where}.{f.name}", "is missing")
    return kind(**values)


def bounds(hint: typing.Any) -> tuple[typing.Any, Size | None]:  # noqa: ANN401
    """The plain type of a field, and the size of its values where that is bounded."""
    if typing.get_origin(hint) is typing.Annotated:
        kind, size = typing.get_args(hint)
        return kind, size
    return hint, SIZES.get(hint)


def _need(hint: typing.Any) -> str:  # noqa: ANN401
    """What a value of this type must be, in words."""
    kind, size = bounds(hint)
    if dataclasses.is_dataclass(kind):
        return "must be an object"
    if typing.get_origin(kind) is typing.Literal:
        return f"must be one of {', '.join(typing.get_args(kind))}"
    if typing.get_origin(kind) is tuple:
        return f"must be a list of at most {LIST_LIMIT}"
    return f"must be {_NEEDS[kind].format(size=size)}"


def _value(hint: typing.Any, raw: object, where: str) -> object:  # noqa: ANN401
    kind, size = bounds(hint)
    if dataclasses.is_dataclass(kind):
        return from_json(typing.cast(type, kind), raw, where)
    if typing.get_origin(kind) is tuple:
        if not isinstance(raw, Sequence) or isinstance(raw, str) or len(raw) > LIST_LIMIT:
            raise WireError(where, _need(hint))
        one = typing.get_args(kind)[0]
        return tuple(_value(one, item, f"{where}[{n}]") for n, item in enumerate(raw))
    value = _decoded(raw) if kind is bytes else raw
    if typing.get_origin(kind) is typing.Literal:
        fits = isinstance(value, str) and value in typing.get_args(kind)
    else:  # bool is an int in Python; on the wire it is not
        fits = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    if not fits or (size is not None and not size.fits(value)):
        raise WireError(where, _need(hint))
    return value


def _decoded(raw: object) -> bytes | None:
    try:
        return base64.b64decode(raw, validate=True) if isinstance(raw, str) else None
    except (binascii.Error, ValueError):
        return None
