"""The normal form of an answer: what people type differently and mean alike is one text (S1.45).

Rules:

1. The length is capped first: NFKC of one code point may be 18 long.
2. Every form is idempotent and the same for canonically equal texts.
3. A form that was stored is never changed, only followed by another one; its version stands in the
   row. Case folding and NFKC never change for assigned code points (Unicode stability policy), and
   unassigned ones are refused at registration.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping

NORM_VERSION = 2
ANSWER_LIMIT = 200  # code points, before any normalising: at most 800 bytes

# over these letters a mark is an accent; over others it may be the vowel or the voice
_ACCENTED = ("LATIN", "GREEK", "CYRILLIC")
# default-ignorable code points that are no format characters: variation selectors and fillers
_UNSEEN = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
# letters by category, apostrophes and stretching by use
_ORNAMENTS = frozenset("\u02b9\u02ba\u02bb\u02bc\u02bd\u02be\u02bf\u02c8\ua78b\ua78c\u0640\u07fa")


def normalise(answer: str, version: int = NORM_VERSION) -> str:
    """The normal form of an answer; may be empty. ``version``: a key of ``NORMAL_FORMS``."""
    return NORMAL_FORMS[version](answer[:ANSWER_LIMIT])


def _form_1(text: str) -> str:
    """NFKD and case folding, then only letters, digits, marks and ``+``, without accents."""
    return _composed(_folded(text))


def _form_2(text: str) -> str:
    """Form 1 without what no keyboard shows alike: unseen characters, apostrophes that count as
    letters, stretching, frames around a character; digits of every script are the ASCII ones."""
    return _composed(_plain(c) for c in _folded(text))


NORMAL_FORMS: Mapping[int, Callable[[str], str]] = {1: _form_1, 2: _form_2}


def _folded(text: str) -> str:
    text = unicodedata.normalize("NFKD", text)
    text = unicodedata.normalize("NFKD", text.casefold()).casefold()
    return unicodedata.normalize("NFKD", text)


def _plain(c: str) -> str:
    if c in _UNSEEN or c in _ORNAMENTS or unicodedata.category(c) == "Me":
        return ""
    digit = unicodedata.decimal(c, -1)
    return c if digit < 0 else str(digit)


def _composed(text: str | Iterator[str]) -> str:
    kept: list[str] = []
    base = ""
    for c in text:
        category = unicodedata.category(c) if c else ""
        if category.startswith("M"):
            if not base.startswith(_ACCENTED):
                kept.append(c)
        elif category[:1] in ("L", "N") or c == "+":
            base = unicodedata.name(c, "")
            kept.append(c)
    return unicodedata.normalize("NFKC", "".join(kept))
