"""The examples in ``deploy/``: units that systemd takes, settings that the service knows."""

from __future__ import annotations

import shutil
import subprocess
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


@pytest.mark.parametrize("embedded", [False, True])
def test_the_example_settings_lack_nothing_but_the_files(tmp_path: Path, embedded: bool) -> None:
    """Behind nginx, and with the listeners that stand there as a comment."""
    text = (DEPLOY / "service.toml").read_text()
    if embedded:
        text = text.replace('[proxy]\nsockets = "/run/token-reset"\n', "")
        before, _, rest = text.partition("# [listen]\n")
        listen, _, after = rest.partition("\n\n")
        text = f"{before}[listen]\n{listen.replace('# ', '')}\n\n{after}"
    (tmp_path / "service.toml").write_text(text)
    with pytest.raises(SettingsRefused) as refused:
        config.load(tmp_path / "service.toml")
    problems = refused.value.data["problems"]
    assert isinstance(problems, list)
    for problem in problems:  # a list of files of which none is there counts as empty
        assert "no such file" in problem or "at least 1 item" in problem
    assert any("listen.public_key" in problem for problem in problems) == embedded
