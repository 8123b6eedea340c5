"""The crash points by themselves: nothing unless told, then exactly what was told."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pkcs11_driver.crashpoints import NAMES, crashpoint

ROOT = Path(__file__).resolve().parents[2]
POINT = "helper.step"
PROGRAM = (
    "from pkcs11_driver.crashpoints import crashpoint\n"
    f"for n in range(3): crashpoint({POINT!r}); print(n, flush=True)"
)


def passing(**environment: str) -> subprocess.CompletedProcess[str]:
    """A process that passes the point three times."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_nothing_happens_untold() -> None:
    done = passing()
    assert (done.returncode, done.stdout) == (0, "0\n1\n2\n")


def test_it_dies_at_the_pass_that_is_named_and_only_once(tmp_path: Path) -> None:
    told = {"FAILPOINTS": f"{POINT}:2", "FAILPOINTS_FIRED": str(tmp_path / "fired")}
    died, again = passing(**told), passing(**told)
    assert (died.returncode, died.stdout) == (-signal.SIGKILL, "0\n")
    assert again.returncode == 0


def test_the_trace_has_every_pass(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    passing(FAILPOINTS_TRACE=str(trace))
    assert trace.read_text().split() == [POINT] * 3


def test_an_unknown_name_is_our_own_bug() -> None:
    with pytest.raises(ValueError, match="no such crash point: nowhere"):
        crashpoint("nowhere")


def test_every_name_in_the_code_is_in_the_table_and_the_other_way_round() -> None:
    files = [*(ROOT / "pkcs11_driver").rglob("*.py"), *(ROOT / "reset").rglob("*.py")]
    text = "\n".join(f.read_text() for f in files if f.name != "crashpoints.py")
    pairs = set(re.findall(r'\b(?:calling|committing)\("([^"]+)"', text))
    found = {f"{name}.{side}" for name in pairs for side in ("before", "after")}
    found |= set(re.findall(r'\bcrashpoint\("([^"]+)"\)', text))
    # one line of resetting.py names the call that it stands before
    found |= {f"token.{call}.before" for call in re.findall(r'\b_before\("([^"]+)"', text)}
    assert found == set(NAMES)
