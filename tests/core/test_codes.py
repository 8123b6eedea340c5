"""Mailed codes and pairing codes: form, age, binding (S1.72, S1.73, peer failures 7 and 15)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkcs11_driver.wire import CODE_ALPHABET, CODE_LENGTH, SELECTOR_LENGTH, is_code
from reset.core.codes import (
    MailCode,
    check_alive,
    mail_context,
    mail_digits,
    pairing_context,
    pairing_secret,
    selector,
    tidy_digits,
)
from reset.errors import BadInput, CodeDead

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
AGE = timedelta(minutes=10)
CODE = MailCode("0" * 32, "u1", "reset", "request-1", "code-recovery", NOW)
tags = st.binary(min_size=32, max_size=32)


# --- digits ------------------------------------------------------------------------------
@given(tags, st.integers(6, 12))
def test_a_code_has_exactly_its_digits(tag: bytes, digits: int) -> None:
    code = mail_digits(tag, digits)
    assert len(code) == digits
    assert code.isascii()
    assert code.isdigit()
    assert tidy_digits(code, digits) == code


def test_leading_zeros_are_kept() -> None:
    assert mail_digits(bytes(32), 8) == "00000000"
    assert mail_digits(bytes(31) + b"\x07", 8) == "00000007"
    assert mail_digits((10**8 + 42).to_bytes(32), 8) == "00000042"


@pytest.mark.parametrize(
    "typed", ["01234567", " 01234567 ", "0123 4567", "0123-4567", "0123\u00a04567", "01234567\r\n"]
)
def test_blanks_and_dashes_do_not_matter(typed: str) -> None:
    assert tidy_digits(typed, 8) == "01234567"


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "1234567",
        "123456789",
        "+1234567",
        "+01234567",
        "0x123456",
        "1234567a",
        "1234567.",
        "12_34567",
        "1e000007",
        "-" * 8,
        "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17",  # fullwidth
        "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667",  # Arabic-Indic
        "1234567\u00b2",
        "01234567\0",
        "01234567\u200b",
        "01234567" * 9,
        "01234567" + " " * 60 + "9",  # nothing behind a long blank is overlooked
        "01234567" + " " * 60,
        "1" * 1_000_000,
        "\ud800",
    ],
)
def test_anything_else_is_a_typing_slip(typed: str) -> None:
    """It costs no try; it is never read as another code (peer failure 7)."""
    with pytest.raises(BadInput) as caught:
        tidy_digits(typed, 8)
    assert caught.value.data == {"field": "code", "rule": "digits", "limit": 8}


@given(st.text(st.sampled_from("0123456789 -+\t\u00a0\uff11aé\u0661"), max_size=80))
def test_what_is_taken_is_what_was_typed(typed: str) -> None:
    try:
        code = tidy_digits(typed, 8)
    except BadInput:
        return
    assert code == "".join(c for c in typed if c in "0123456789")
    assert set(typed) - set(code) <= set(" -\t\u00a0")
    assert len(code) == 8


# --- life --------------------------------------------------------------------------------
def why(code: MailCode | None, at: datetime, age: timedelta = AGE) -> object:
    with pytest.raises(CodeDead) as caught:
        check_alive(code, at, age)
    return caught.value.data["why"]


def test_a_code_lives_for_its_age_and_not_a_moment_longer() -> None:
    """S1.73."""
    moment = timedelta(microseconds=1)
    assert check_alive(CODE, NOW, AGE) is CODE
    assert check_alive(CODE, NOW + AGE - moment, AGE) is CODE
    assert why(CODE, NOW + AGE) == "expired"
    assert why(CODE, NOW + AGE + moment) == "expired"


def test_no_code_is_dead() -> None:
    assert why(None, NOW) == "none"


def test_a_used_code_is_dead_at_once_and_for_ever() -> None:
    used = replace(CODE, used_at=NOW)
    for at in (NOW, NOW + timedelta(seconds=1), NOW + 2 * AGE):
        assert why(used, at) == "used"


# --- binding -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "other",
    [
        replace(CODE, id="1" + "0" * 31),
        replace(CODE, uid="u2"),
        replace(CODE, purpose="address"),
        replace(CODE, about="request-2"),
        replace(CODE, method="code-mailbox"),
        replace(CODE, uid="u1r", purpose="eset"),  # type: ignore[arg-type]
        replace(CODE, about="request-1c", method="ode-recovery"),
    ],
)
def test_a_code_is_bound_to_every_field(other: MailCode) -> None:
    """Peer failure 15: one request's code is nothing on another."""
    assert mail_context(other) != mail_context(CODE)


words = st.text(max_size=6)
mail_codes = st.builds(MailCode, words, words, words, words, words, st.just(NOW))


@given(mail_codes, mail_codes)
def test_different_codes_never_share_a_context(one: MailCode, other: MailCode) -> None:
    assert (mail_context(one) == mail_context(other)) == (one == other)


def test_using_a_code_changes_nothing_of_it() -> None:
    assert mail_context(replace(CODE, used_at=NOW)) == mail_context(CODE)


@given(mail_codes, words)
def test_a_mail_code_and_a_pairing_code_never_share_a_context(mail: MailCode, job: str) -> None:
    assert mail_context(mail) != pairing_context(job)


@given(words, words)
def test_each_job_has_its_own_context(one: str, other: str) -> None:
    assert (pairing_context(one) == pairing_context(other)) == (one == other)


# --- pairing -----------------------------------------------------------------------------
@given(tags, tags)
def test_selector_and_secret_make_a_pairing_code(public: bytes, secret: bytes) -> None:
    assert len(selector(public)) == SELECTOR_LENGTH
    assert len(pairing_secret(secret)) == CODE_LENGTH - SELECTOR_LENGTH
    assert is_code(selector(public) + pairing_secret(secret))


def test_the_whole_alphabet_occurs() -> None:
    seen = {c for n in range(400) for c in pairing_secret(n.to_bytes(32))}
    assert seen == set(CODE_ALPHABET)


def test_no_two_letters_are_confused() -> None:
    assert not set("0O1IL") & set(CODE_ALPHABET)
    assert len(set(CODE_ALPHABET)) == len(CODE_ALPHABET)


def test_different_tags_give_different_secrets() -> None:
    assert len({pairing_secret(n.to_bytes(32)) for n in range(5_000)}) == 5_000
