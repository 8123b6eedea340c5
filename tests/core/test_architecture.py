"""The borders of the house (design section 2)."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = sorted((ROOT / "reset" / "core").glob("*.py"))
NAMES = [path.stem for path in CORE]
OWN = ("reset.core", "reset.errors", "pkcs11_driver.wire", "pkcs11_driver.families")
# reading or changing the world, or knowing what time it is
WORLD = frozenset(
    "asyncio http logging multiprocessing os pathlib random secrets select shutil signal socket "
    "sqlite3 ssl subprocess sys tempfile threading time urllib uuid".split()
)
CLOCKS = frozenset({"now", "utcnow", "today", "open", "print", "input", "eval", "exec"})


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their module in full"
            name = node.module or ""
            # "from reset import errors" imports reset.errors
            whole = name in ("reset", "pkcs11_driver", "reset.core")
            yield from (f"{name}.{alias.name}" if whole else name for alias in node.names)


def belongs(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("path", CORE, ids=NAMES)
def test_core_imports_the_standard_library_and_itself(path: Path) -> None:
    for name in imported(tree(path)):
        standard = name.partition(".")[0] in sys.stdlib_module_names
        assert standard or belongs(name, OWN), name


@pytest.mark.parametrize("path", CORE, ids=NAMES)
def test_core_reads_neither_the_world_nor_the_clock(path: Path) -> None:
    """Time is an argument; so is chance."""
    module = tree(path)
    assert [name for name in imported(module) if name.partition(".")[0] in WORLD] == []
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            assert name not in CLOCKS, f"line {node.lineno}"


def test_errors_import_nothing() -> None:
    names = set(imported(tree(ROOT / "reset" / "errors.py")))
    assert names <= {"__future__"}


def test_the_messages_of_the_helper_need_the_standard_library_only() -> None:
    for name in imported(tree(ROOT / "pkcs11_driver" / "wire.py")):
        assert name.partition(".")[0] in sys.stdlib_module_names, name


@pytest.mark.parametrize("package", ["reset", "pkcs11_driver"])
def test_no_module_is_a_drawer_for_everything(package: str) -> None:
    names = {path.stem for path in (ROOT / package).rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "common", "manager", "misc"}


def test_the_import_contracts_hold() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    if not tool.exists():
        pytest.fail("import-linter is not installed beside this interpreter")
    done = subprocess.run(
        [tool, "--config", "setup.cfg", "--no-cache"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
