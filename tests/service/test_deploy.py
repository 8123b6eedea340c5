"""The examples in ``deploy/``: units that systemd takes, settings that the service knows."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reset import config
from reset.errors import SettingsRefused

DEPLOY = Path(__file__).parents[2] / "deploy"
PROGRAM = "/opt/token-reset/bin/token-reset"


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
@pytest.mark.parametrize("embedded", [False, True])
def test_systemd_takes_the_units(tmp_path: Path, embedded: bool) -> None:
    """With and without the drop-in for a site without nginx."""
    units = sorted(DEPLOY.glob("*.service"))
    assert len(units) >= 2
    for unit in units:
        text = unit.read_text()
        assert PROGRAM in text
        (tmp_path / unit.name).write_text(text.replace(PROGRAM, "/bin/true"))
    if embedded:
        (tmp_path / "token-reset.service.d").mkdir()
        shutil.copy(DEPLOY / "embedded.conf", tmp_path / "token-reset.service.d")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / u.name) for u in units)],
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def _problems(load: Callable[[Path], object], path: Path, text: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(SettingsRefused) as refused:
        load(path)
    problems = refused.value.data["problems"]
    assert isinstance(problems, list)
    return problems


def _with_comments(name: str) -> str:
    """An example with every setting that stands there as a comment."""
    return re.sub(r"(?m)^# (?=\[|\w+ = )", "", (DEPLOY / name).read_text())


def _lacks_files_only(problems: list[str]) -> bool:
    # a list of files of which none is there counts as empty
    return all("no such file" in p or "at least 1 item" in p for p in problems)


@pytest.mark.parametrize("way", ["proxy", "listen"])
def test_the_example_settings_lack_nothing_but_the_files(tmp_path: Path, way: str) -> None:
    """Behind nginx, and with the service's own listeners; as they stand, and with all tables."""
    path, bare = tmp_path / "service.toml", (DEPLOY / "service.toml").read_text()
    assert _lacks_files_only(_problems(config.load, path, bare))
    text = re.sub(r'(?m)^database = "postgresql.*\n', "", _with_comments("service.toml"))
    other = {"proxy": "listen", "listen": "proxy"}[way]
    text, gone = re.subn(rf"(?m)^\[{other}\]\n(\w+ = .*\n)+", "", text)
    assert gone == 1
    problems = _problems(config.load, path, text)
    assert _lacks_files_only(problems), problems
    asked = {problem.partition(":")[0] for problem in problems}
    wanted = {"directory.ldap.ca_file", "single_sign_on.client_secret_file"}
    assert wanted <= asked, asked
    assert ("listen.public_key" in asked) == (way == "listen")


def test_the_custodians_example_lacks_nothing_but_the_files(tmp_path: Path) -> None:
    problems = _problems(
        config.load_custodian, tmp_path / "custodian.toml", _with_comments("custodian.toml")
    )
    assert _lacks_files_only(problems), problems
    assert any("hsm.module" in problem for problem in problems)
