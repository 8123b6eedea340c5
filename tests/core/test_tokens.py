"""Serials as modules tell them; the bytes that prove a reset are no approval (promise 4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkcs11_driver import wire
from reset.core.approvals import parse
from reset.core.tokens import tidy_serial
from reset.errors import BadInput, StatementRefused


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("A1B2C3", "A1B2C3"),
        ("A1B2C3          ", "A1B2C3"),  # CK_TOKEN_INFO pads to 16
        ("\0\0A1\0\0\0", "A1"),
        (" 00 12 ", "00 12"),
        ("\tA1\r\n", "A1"),
        ("x" * 64, "x" * 64),
        ("a1b2", "a1b2"),  # case is kept: two serials may differ in it
    ],
)
def test_a_serial_as_the_register_keeps_it(told: str, kept: str) -> None:
    assert tidy_serial(told) == kept


@pytest.mark.parametrize(
    "told", ["", " ", "\0" * 16, "x" * 65, "A\0B", "A\nB", "A\tB", "A\u202eB", "A\u200bB", "\ud800"]
)
def test_anything_else_is_refused(told: str) -> None:
    with pytest.raises(BadInput) as caught:
        tidy_serial(told)
    assert caught.value.data == {"field": "token", "rule": "serial"}


@given(st.text(max_size=80))
def test_a_tidied_serial_is_stable(told: str) -> None:
    try:
        serial = tidy_serial(told)
    except BadInput:
        return
    assert tidy_serial(serial) == serial
    assert 1 <= len(serial) <= 64
    serial.encode()


hexes = st.text("0123456789abcdef", min_size=1, max_size=64)


@given(hexes, hexes, hexes)
def test_a_challenge_is_never_an_approval(request: str, job: str, nonce: str) -> None:
    """The holder's key signs it; the signature must be of no use anywhere else."""
    challenge = wire.proof_challenge(request, job, nonce)
    assert challenge.startswith(b"token-reset proof 1\n")
    with pytest.raises(StatementRefused):
        parse(challenge)
