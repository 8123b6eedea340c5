"""The wheel in a fresh environment: the helper runs without the server's dependencies."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.driver.conftest import Holder
from tests.driver.program import ROOT

HELPER_NEEDS = {"asn1crypto", "cffi", "cryptography", "pycparser", "python-pkcs11"}


def closure(name: str) -> set[str]:
    """A distribution and all it needs, without extras."""
    found, open_ = set(), [name]
    while open_:
        one = re.sub(r"[-_.]+", "-", open_.pop()).lower()
        if one in found:
            continue
        found.add(one)
        wanted = [Requirement(line) for line in metadata.requires(one) or ()]
        open_ += [r.name for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``token-helper`` of a wheel in a new virtual environment, made without the network."""
    scratch = tmp_path_factory.mktemp("wheel")
    source = scratch / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    for name in ("reset", "pkcs11_driver", "templates", "static", "migrations"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    built = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(scratch), str(source)]
    subprocess.run(built, check=True, capture_output=True)
    (wheel,) = scratch.glob("*.whl")
    fresh = scratch / "venv"
    venv.create(fresh, symlinks=True)
    (site,) = fresh.glob("lib/python*/site-packages")
    for name in HELPER_NEEDS:
        for file in metadata.files(name) or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), site / file)
    install = [*pip, "--python", str(fresh / "bin/python"), "install", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return fresh / "bin/token-helper"


def test_what_the_helper_needs_is_little() -> None:
    needs = set()
    for requirement in metadata.requires("token-reset") or ():
        if "extra" not in requirement:
            needs |= closure(Requirement(requirement).name)
    assert needs == HELPER_NEEDS


def test_it_lists_a_token(program: Path, holder: Holder) -> None:
    done = subprocess.run(
        [program, "list", "--module", holder.at[0]],
        cwd="/",
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert holder.made.serial in done.stdout


def test_nothing_of_the_server_is_there(program: Path) -> None:
    done = subprocess.run(
        [program.parent / "python", "-c", "import flask"], capture_output=True, check=False
    )
    assert done.returncode != 0
    window = "import pkcs11_driver.helper.window"
    subprocess.run([program.parent / "python", "-c", window], check=True)
