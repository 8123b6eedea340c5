"""The wheel elsewhere: helper without the server's parts, server with its files; the lock files."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.driver.conftest import Holder
from tests.driver.program import ROOT

PIP = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check")
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


def pinned(name: str) -> set[str]:
    """The distributions that a lock file names."""
    return set(re.findall(r"(?m)^([a-z0-9-]+)==", (ROOT / name).read_text()))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this source, made without the network."""
    scratch = tmp_path_factory.mktemp("wheel")
    source = scratch / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    for name in ("reset", "pkcs11_driver", "templates", "static", "migrations"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    built = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", str(scratch), str(source)]
    subprocess.run(built, check=True, capture_output=True)
    (made,) = scratch.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def program(wheel: Path) -> Path:
    """``token-helper`` of the wheel in a new virtual environment."""
    fresh = wheel.parent / "venv"
    venv.create(fresh, symlinks=True)
    (site,) = fresh.glob("lib/python*/site-packages")
    for name in HELPER_NEEDS:
        for file in metadata.files(name) or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), site / file)
    install = [*PIP, "--python", str(fresh / "bin/python"), "install", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return fresh / "bin/token-helper"


def needs(extra: str = "") -> set[str]:
    """What the product needs with an extra, or the helper without one."""
    wanted = [Requirement(line) for line in metadata.requires("token-reset") or ()]
    found = [r.name for r in wanted if r.marker is None or r.marker.evaluate({"extra": extra})]
    return set().union(*map(closure, found))


def test_what_the_helper_needs_is_little() -> None:
    assert needs() == HELPER_NEEDS


def test_a_production_install_takes_what_it_needs_and_nothing_of_the_tests() -> None:
    """Besides only setuptools, which builds python-ldap there."""
    server, both = pinned("requirements.lock"), pinned("requirements-test.lock")
    assert needs("server") <= server
    assert not (needs("test") - needs("server") - {"setuptools"}) & server
    assert needs("test") <= server | both
    assert {"pytest", "cryptography-vectors", "pycryptodome-test-vectors"} <= both


def test_every_pin_is_the_same_in_every_lock() -> None:
    pins: dict[str, set[str]] = {}
    for file in (*ROOT.glob("requirements*.lock"), ROOT / "scripts" / "build-helper.txt"):
        for name, version in re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", file.read_text()):
            pins.setdefault(name, set()).add(version)
    assert {name: found for name, found in pins.items() if len(found) > 1} == {}


def test_the_server_has_its_pages_and_migrations_in_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """Every file of the source is there; an empty database is upgraded by what is there alone."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    for folder in ("templates", "static", "migrations"):
        files = [p for p in (ROOT / folder).rglob("*") if p.is_file() and p.suffix != ".pyc"]
        assert files
        for file in files:
            packed = tmp_path / "site" / "reset" / file.relative_to(ROOT)
            assert packed.read_bytes() == file.read_bytes()
    program = (
        "import sys, reset; from reset.db import migrate; migrate.upgrade(sys.argv[1]);"
        "assert migrate.current_is_head(sys.argv[1]); print(reset.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, f"sqlite:///{tmp_path}/new.sqlite"], cwd="/", check=True,
        env={"PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.startswith(str(tmp_path))


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


def test_the_server_says_what_it_lacks(program: Path) -> None:
    """Who installed the helper alone and calls the server's program."""
    server = [program.parent / "token-reset", "doctor"]
    done = subprocess.run(server, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "token-reset[server]" in done.stderr
