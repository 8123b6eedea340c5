"""Every sentence of the helper is there in every language, with the same data in it."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import pkcs11_driver.helper
from pkcs11_driver import errors
from pkcs11_driver.helper import german, language

HELPER = Path(pkcs11_driver.helper.__file__).parent


def said() -> Iterator[str]:
    """What ``say`` and ``later`` are called with, and the driver's sentences."""
    for file in HELPER.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("say", "later"):
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    yield str(first.value)
    yield from errors._SENTENCES.values()


def names(sentence: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_german_has_every_sentence_and_no_other() -> None:
    assert set(german.SENTENCES) == set(said())


@pytest.mark.parametrize("english", german.SENTENCES)
def test_the_same_data_and_a_key_where_there_is_one(english: str) -> None:
    translated = german.SENTENCES[english]
    assert names(translated) == names(english)
    assert translated.count("&") == english.count("&")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "de"),
        ({"LANG": "fr_FR.UTF-8"}, "en"),
        ({"LANG": "de_DE", "LC_ALL": "en_GB.UTF-8"}, "en"),
        ({"LANGUAGE": "de:en", "LANG": "en_US.UTF-8"}, "de"),
        ({"LC_MESSAGES": "de-AT"}, "de"),
    ],
)
def test_the_persons_language(environment: dict[str, str], expected: str) -> None:
    assert language.of_person(environment) == expected


def test_saying_it() -> None:
    try:
        language.use("de")
        assert language.say("New PIN:") == "Neue PIN:"
        assert language.say("Service: {server}", server="x") == "Dienst: x"
        assert language.of_error(errors.PinLocked("user")).startswith("Die PIN des Tokens")
        assert language.say("not in any table {a}", a=1) == "not in any table 1"
        with pytest.raises(ValueError, match="fr"):
            language.use("fr")
    finally:
        language.use("en")
