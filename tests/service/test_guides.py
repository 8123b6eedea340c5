"""What the documents say is so: links, commands with their options, settings with defaults."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from pkcs11_driver.helper import cli as helper_cli
from reset import cli, config
from reset.web.error_texts import WORDS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
GUIDE = (ROOT / "docs" / "guides" / "administrator.md").read_text(encoding="utf-8")
SPOKEN = [*DOCUMENTS, *sorted((ROOT / "deploy").iterdir()), *sorted((ROOT / "templates").iterdir())]
CITING = ("reset", "pkcs11_driver", "tests", "templates", "migrations", "deploy", "benchmarks")
TEXT = (".py", ".md", ".html", ".toml", ".sql", ".c")


@cache
def anchors(document: Path) -> set[str]:
    """The names of its headings, as code hosts make them."""
    found = re.findall(r"(?m)^#+ (.*)$", document.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-") for words in found}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem[:24])
def test_links_and_paths_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        there = (document.parent / path).resolve() if path else document
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target
    for path in re.findall(
        r"`((?:reset|pkcs11_driver|tests|scripts|deploy|benchmarks)/[\w./-]+)`", text
    ):
        assert (ROOT / path).exists(), path


def test_numbers_that_are_cited_are_explained() -> None:
    """Requirements and rotation rules, in whatever file; and none is listed that nobody cites."""
    document = ROOT / "docs" / "requirements.md"
    listed = set(re.findall(r"(?m)^\| ([SR]\d+(?:\.\d+)?) ", document.read_text(encoding="utf-8")))
    texts = [p for folder in CITING for p in (ROOT / folder).rglob("*") if p.suffix in TEXT]
    cited: set[str] = set()
    for path in {*texts, *DOCUMENTS} - {document}:
        cited |= set(re.findall(r"\bS[1-5]\.\d+\b", path.read_text(encoding="utf-8")))
    assert cited == {number for number in listed if number[0] == "S"}
    assert {f"R{n}" for n in range(1, 10)} <= listed


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Each command of ``token-reset`` by its words."""
    found, open_ = {}, [("", cli._parser())]
    while open_:
        words, parser = open_.pop()
        groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        open_ += [(f"{words} {n}".strip(), p) for g in groups for n, p in g.choices.items()]
        if not groups:
            found[words] = parser
    return found


def written(program: str) -> Iterator[tuple[str, str]]:
    """Where a document writes the program with something behind it, and what; lines are joined."""
    for document in SPOKEN:
        text = document.read_text(encoding="utf-8").replace("\\\n", " ")
        lines = [line for line in text.splitlines() if re.match(r"(    |ExecStart=)", line)]
        for piece in [*re.findall(r"`([^`\n]+)`", text), *lines]:
            for said in re.findall(rf"(?:^|[\s/])(?:{program}) ((?:--)?[a-z][^|>]*)", piece):
                yield document.name, said


def test_every_command_is_written_as_it_is() -> None:
    """Its name, and each option; none is left out."""
    known, found = parsers(), set()
    for where, said in written("token-reset|run"):
        if said.startswith("token-reset"):  # of two units, for systemctl
            continue
        words = re.sub(r"^(--version|--help)$|^--log-level \S+ ", "", said)
        named = [n for n in known if re.match(rf"{n}(?![\w-])", words)]
        assert named or not words, (where, said)
        if not named:
            continue
        found.add(named[0])
        options = set(re.findall(r"(?<!\S)--[a-z-]+", words))
        assert options <= set(known[named[0]]._option_string_actions), (where, said)
    assert found == set(known)


def test_every_option_of_the_helper_is_written_as_it_is() -> None:
    known = set(helper_cli._parser()._option_string_actions)
    said = [(where, words) for where, words in written("token-helper")]
    assert len(said) > 5
    for where, words in said:
        assert set(re.findall(r"(?<!\S)--[a-z-]+", words)) <= known, (where, words)


def test_the_kinds_of_errors_that_the_help_desk_reads_of_are_there() -> None:
    guide = (ROOT / "docs" / "guides" / "help-desk.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| (`[^|]*`) \|", guide)
    kinds = [kind for row in rows for kind in re.findall(r"`([^`]+)`", row)]
    assert len(kinds) > 6
    assert set(kinds) <= {name.partition(":")[0] for name in WORDS}


def settings(model: type[BaseModel]) -> Iterator[tuple[type[BaseModel], str]]:
    """Every key of a settings file, with those of its tables."""
    for name, about in model.model_fields.items():
        yield model, name
        open_ = [about.annotation]
        while open_:
            kind = open_.pop()
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from settings(kind)
            open_ += get_args(kind)


def test_every_key_of_the_settings_is_explained_with_its_default() -> None:
    rows = dict(re.findall(r"(?m)^\| `([\w.]+)` \| ([^|]*) \|", GUIDE))
    explained = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", GUIDE))))
    for top in (config.Settings, config.CustodianSettings):
        for model, name in settings(top):
            assert name in explained, (model, name)
            default = model.model_fields[name].default
            if model is config.PolicySettings and isinstance(default, int | str):
                assert rows[name].strip("`") == str(default), name
