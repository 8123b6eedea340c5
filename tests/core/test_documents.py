"""Documents that are made from the code are up to date."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_tables(root: Path, *words: str, script: str = "tables") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", str(root / "scripts" / script), *words],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def copied(root: Path) -> Path:
    """What the generator reads, somewhere else; the place of the documents there."""
    for name in ("reset", "templates", "static"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    documents = ("docs/custody.md", "docs/assurance.md", "docs/tokens.md", "docs/identity.md")
    for name in ("scripts/tables", *documents):
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
        ("tokens.md", "| `piv` |"),
        ("identity.md", "| `first-phone` |"),
        ("identity.md", "| `/helper/v1/claim` |"),
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


# --- evidence ------------------------------------------------------------------------
def test_every_row_that_is_due_is_cited_by_a_test() -> None:
    done = run_tables(ROOT, "--check", script="evidence")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_row_without_a_test_and_a_test_without_a_row_are_told(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "evidence", tmp_path / "scripts")
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_one.py").write_text(
        'def test_it() -> None:\n    """Peer failures 1, 2 and 99, T3-T4."""\n', encoding="utf-8"
    )
    done = run_tables(tmp_path, "--check", script="evidence")
    assert done.returncode == 1
    for told in ("no test cites peer 3", "peer 99 is no row: test_one.py::test_it"):
        assert told in done.stderr
    for cited in ("peer 1\n", "peer 2\n", "story 3\n", "story 4\n"):
        assert f"no test cites {cited}" not in done.stderr
