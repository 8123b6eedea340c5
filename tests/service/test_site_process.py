"""Where a site's socket may lie: nobody but the service and nginx's group gets there."""

from __future__ import annotations

from pathlib import Path

import pytest

from reset import site_process
from reset.errors import SettingsRefused


@pytest.mark.parametrize("mode", [0o700, 0o710, 0o750])
def test_a_closed_directory_is_taken(tmp_path: Path, mode: int) -> None:
    """A group may pass through it."""
    tmp_path.chmod(mode)
    site_process.check_directory(tmp_path)


@pytest.mark.parametrize("mode", [0o755, 0o751, 0o754, 0o770, 0o720, 0o777])
def test_an_open_directory_is_refused(tmp_path: Path, mode: int) -> None:
    """Others could connect, or the group could put another socket in its place."""
    tmp_path.chmod(mode)
    with pytest.raises(SettingsRefused, match="settings-refused") as refused:
        site_process.check_directory(tmp_path)
    assert "mode 0750" in str(refused.value.data["problems"])


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    """Neither a file, nor a link to a directory that somebody could change, nor nothing."""
    (tmp_path / "file").touch(mode=0o600)
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link", "absent"):
        with pytest.raises(SettingsRefused):
            site_process.check_directory(tmp_path / name)
