"""Each refusal has one stable code of its own, and carries facts, not sentences."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from reset import errors
from reset.errors import BadInput, CodeWrong, ResetError


def below(kind: type[ResetError]) -> list[type[ResetError]]:
    return [k for sub in kind.__subclasses__() for k in (sub, *below(sub))]


# those of this module; a test elsewhere may make one of its own
TREE: list[type[ResetError]] = [ResetError, *below(ResetError)]
KINDS = [kind for kind in TREE if kind.__module__ == errors.__name__]


def test_every_failure_has_a_code_of_its_own() -> None:
    assert len(KINDS) > 20
    assert [code for code, n in Counter(k.code for k in KINDS).items() if n > 1] == []
    assert [k for k in KINDS if "code" not in vars(k)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_code_can_stand_in_an_address(kind: type[ResetError]) -> None:
    """It is the ``type`` of a problem document (RFC 9457)."""
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code)


def test_every_failure_of_the_module_is_one_tree() -> None:
    defined = {v for v in vars(errors).values() if isinstance(v, type)}
    assert defined == set(KINDS)


def test_a_failure_carries_its_facts() -> None:
    error = BadInput(field="code", rule="digits", limit=8)
    assert error.data == {"field": "code", "rule": "digits", "limit": 8}
    assert str(error) == "bad-input (field=code, limit=8, rule=digits)"
    assert str(CodeWrong()) == "code-wrong"
