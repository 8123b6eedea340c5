"""The normal form of an answer: stable, alike for what is meant alike, never changed (S1.45)."""

from __future__ import annotations

import hashlib
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reset.core.normal_form import ANSWER_LIMIT, NORM_VERSION, NORMAL_FORMS, normalise

ASSIGNED = [
    chr(n) for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n)) not in ("Cn", "Cs")
]
LONG_ASSIGNED = [
    chr(n)
    for n in range(sys.maxunicode + 1)
    if unicodedata.ucd_3_2_0.category(chr(n)) not in ("Cn", "Co", "Cs")
]
DIGESTS = {
    1: "c76ed0dd7240056773cc3c61a50582138fbebad9ef43be60cec8a5d502b69147",
    2: "74897a3640156df8419811f7988db99a3b14e19002960fdf5e7b7827296cc1f6",
}
every_form = pytest.mark.parametrize("version", sorted(NORMAL_FORMS))


@every_form
@pytest.mark.parametrize("around", ["{}", "か{0}a{0}"])
def test_the_normal_form_of_every_assigned_character_is_stable(version: int, around: str) -> None:
    for c in ASSIGNED:
        form = normalise(around.format(c), version)
        assert normalise(form, version) == form, hex(ord(c))


@every_form
@given(text=st.text(st.sampled_from(ASSIGNED), max_size=11))
def test_the_normal_form_of_any_text_is_stable(version: int, text: str) -> None:
    form = normalise(text, version)  # 11 characters: at most 18 times as long afterwards
    assert normalise(form, version) == form


@every_form
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_canonically_equal_texts_have_one_form(version: int, text: str) -> None:
    ways = ("NFC", "NFD", "NFKC", "NFKD")
    assert len({normalise(unicodedata.normalize(way, text), version) for way in ways}) == 1


@every_form
@given(text=st.text(max_size=60))
def test_only_letters_digits_marks_and_plus_are_left(version: int, text: str) -> None:
    for c in normalise(text, version):
        assert unicodedata.category(c)[0] in "LNM" or c == "+"


@pytest.mark.parametrize(("version", "digest"), DIGESTS.items())
def test_a_form_that_rows_were_made_with_never_changes(version: int, digest: str) -> None:
    """Over every character that was assigned in Unicode 3.2: later versions may not move them."""
    forms = [normalise(f"か{c}1", version) for c in LONG_ASSIGNED]
    assert hashlib.sha256("\0".join(forms).encode()).hexdigest() == digest


def test_every_form_is_pinned_and_new_answers_get_the_newest() -> None:
    assert DIGESTS.keys() == NORMAL_FORMS.keys()
    assert max(NORMAL_FORMS) == NORM_VERSION


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Main Street", "main street"),
        ("Main Street", "  MAIN-street. "),
        ("O'Brien", "obrien"),
        ("O’Brien", "O'BRIEN"),
        ("Müller", "muller"),
        ("Crème brûlée", "creme brulee"),
        ("Ångström", "angstrom"),
        ("Αθήνα", "ΑΘΗΝΑ"),
        ("Ὀδυσσεύς", "οδυσσευσ"),
        ("Ёлка", "елка"),
        ("Йошкар", "йошкар"),
        ("Straße", "STRASSE"),
        ("STRAẞE", "straße"),
        ("İzmir", "izmir"),
        # compatibility forms (peer failure 6)
        ("\uff2d\uff41\uff49\uff4e\uff11\uff12", "Main12"),  # fullwidth
        ("ﬁsh", "fish"),
        ("①②③", "123"),
        ("\u212b", "a"),  # the sign of the unit
        ("\u2126mega", "ωmega"),
        # invisible characters
        ("al\u200bice", "alice"),
        ("al\u00adice", "alice"),
        ("\u202ealice\u202c", "alice"),
        ("\u2066alice\u2069", "alice"),
        ("\ufeffalice", "alice"),
        ("a\u00a0lice\u3000", "alice"),
        ("alice\0\r\n\t", "alice"),
        # voiced kana, composed and not
        ("が", "か\u3099"),
        ("ｶﾞ", "ガ"),
        ("+49 1234", "+491234"),
        # what a phone's keyboard puts in place of the other one's
        ("O\u02bcBrien", "O'Brien"),
        ("м\u02bcята", "м'ята"),
        ("٣٤٥٦", "3456"),
        ("३४५६", "3456"),
        ("1\ufe0f\u20e32\ufe0f\u20e3", "12"),  # keycaps
        ("日本❤\ufe0f", "日本"),
        ("葛\U000e0100城", "葛城"),  # a variant of the drawing
        ("ناصـــر", "ناصر"),  # stretched
        ("ab\u034fc", "abc"),
    ],
)
def test_what_people_type_differently_is_one_answer(one: str, other: str) -> None:
    """S1.45: case, spaces, punctuation and accents do not matter."""
    assert normalise(one) == normalise(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("か", "が"),  # the voicing mark is the sound
        ("は", "ぱ"),
        ("कि", "क"),  # the vowel signs are the vowels
        ("कि", "की"),
        ("กา", "กี"),
        ("ı", "i"),  # dotless i is another letter
        ("kır", "kir"),
        ("123", "132"),
        ("+491", "491"),
        ("שלום", "שלומ"),
        ("عمر", "عمرو"),
        ("北京", "東京"),
        ("ビル", "ビール"),  # the long vowel is a letter
    ],
)
def test_what_is_another_word_stays_another_answer(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


def test_the_length_is_capped_before_anything_else() -> None:
    """U+FDFA becomes 18 characters: a long answer must not become a far longer one."""
    grown = normalise("\ufdfa" * 100_000)
    assert len(grown) <= 18 * ANSWER_LIMIT
    assert grown == normalise("\ufdfa" * ANSWER_LIMIT)
    assert normalise("a" * 100_000) == "a" * ANSWER_LIMIT


def test_the_ligature_is_its_words() -> None:
    assert normalise("\ufdfa") == normalise("صلى الله عليه وسلم")


@pytest.mark.parametrize("text", ["", " ", "\u200b\u200d", "...", "\ud800", "💥", "\0"])
def test_nothing_to_compare_is_an_empty_form(text: str) -> None:
    assert normalise(text) == ""


@pytest.mark.parametrize("text", ["❤\ufe0f", "\u3164\u3164\u3164", "ـــ", "\u02bc\u02bc\u02bc"])
def test_what_cannot_be_told_apart_by_eye_is_no_answer(text: str) -> None:
    assert normalise(text) == ""
    assert normalise(text, 1) != ""  # it was one before: rows of that form are still compared so
