"""The languages of the helper: one table of sentences each, for command line and window alike.

Rules:

1. The English sentence stands where it is said and is the key; ``say`` gives it in the chosen
   language and fills in its data. What a table lacks is said in English, never not at all.
2. A sentence that stands in a table of its own is marked there with ``later`` and said with
   ``say`` when it is needed. A test compares marked and said sentences with each table.
3. ``&`` in the words of a button marks its access key.
"""

from __future__ import annotations

import locale
import os
import sys
from collections.abc import Mapping

from pkcs11_driver.errors import DriverError, sentence
from pkcs11_driver.helper import german

LANGUAGES: Mapping[str, str] = {"en": "English", "de": "Deutsch"}
_TABLES: Mapping[str, Mapping[str, str]] = {"en": {}, "de": german.SENTENCES}

_chosen = "en"


def use(language: str) -> None:
    """Speak this language, one of ``LANGUAGES``, from now on in the whole program."""
    global _chosen
    if language not in LANGUAGES:
        raise ValueError(f"not one of {', '.join(LANGUAGES)}: {language}")
    _chosen = language


def in_use() -> str:
    """The language that is spoken now."""
    return _chosen


def later(sentence_in_english: str) -> str:
    """Mark a sentence that a table holds and ``say`` gets later."""
    return sentence_in_english


def say(sentence_in_english: str, **data: object) -> str:
    """The sentence in the chosen language, with its data."""
    return _translated(sentence_in_english).format(**data)


def of_error(error: DriverError) -> str:
    """The sentence of a driver error in the chosen language."""
    return sentence(error, _translated)


def of_person(environment: Mapping[str, str] = os.environ) -> str:
    """The person's language as the system tells it, English when it is another or unknown.

    The order of the variables is that of GNU gettext; ``C`` and ``POSIX`` are English.
    """
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        if environment.get(name):
            return _known(environment[name].partition(":")[0])
    if sys.platform == "win32":
        import ctypes

        number = ctypes.windll.kernel32.GetUserDefaultUILanguage()
        return _known(locale.windows_locale.get(number, ""))
    return _known(locale.getlocale()[0] or "")


def _known(name: str) -> str:
    code = name.replace("-", "_").partition("_")[0].partition(".")[0].lower()
    return code if code in LANGUAGES else "en"


def _translated(sentence_in_english: str) -> str:
    return _TABLES[_chosen].get(sentence_in_english, sentence_in_english)
