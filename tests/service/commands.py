"""Operator commands as an operator runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """``token-reset`` with these words, to its end, whatever that is."""
    return subprocess.run(
        [sys.executable, "-m", "reset.cli", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
