"""What every run says: the token modules that the tests could not run on."""

from __future__ import annotations

import pytest

from tests.devices.providers import PROVIDERS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name each provider that is not there; its tests were deselected, not skipped."""
    for provider in PROVIDERS:
        why = provider.missing()
        if why:
            terminalreporter.write_line(f"not run on {provider.title}: {why}", yellow=True)
