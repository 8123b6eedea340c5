"""Documents that are made from the code are up to date."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_tables(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", str(root / "scripts" / "tables"), *words],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def copied(root: Path) -> Path:
    """What the generator reads, somewhere else; the place of the documents there."""
    shutil.copytree(ROOT / "reset" / "core", root / "reset" / "core")
    documents = ("docs/custody.md", "docs/assurance.md", "docs/identity.md")
    for name in ("reset/__init__.py", "reset/errors.py", "scripts/tables", *documents):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    return root / "docs"


def test_the_tables_in_the_document_are_those_of_the_code() -> None:
    done = run_tables(ROOT, "--check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("custody.md", "| **ready** |"),
        ("assurance.md", "| phishing |"),
        ("identity.md", "| `first-phone` |"),
    ],
)
def test_a_changed_table_is_found_and_made_anew(tmp_path: Path, name: str, cell: str) -> None:
    document = copied(tmp_path) / name
    good = document.read_text(encoding="utf-8")
    assert cell in good
    document.write_text(good.replace(cell, "| steady |"), encoding="utf-8")
    found = run_tables(tmp_path, "--check")
    assert found.returncode == 1
    assert f"{name} is out of date: run scripts/tables" in found.stderr
    assert "steady" in document.read_text(encoding="utf-8")  # a check changes nothing
    assert run_tables(tmp_path).returncode == 0
    assert document.read_text(encoding="utf-8") == good


def test_a_document_without_its_marks_is_refused(tmp_path: Path) -> None:
    document = copied(tmp_path) / "custody.md"
    text = document.read_text(encoding="utf-8")
    document.write_text(text.replace("<!-- end custody -->", ""), encoding="utf-8")
    done = run_tables(tmp_path)
    assert done.returncode == 1
    assert "begin custody" in done.stderr
