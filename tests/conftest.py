"""What every run says: the token modules that the tests could not run on."""

from __future__ import annotations

import hypothesis
import pytest

from tests.devices.providers import PROVIDERS

# How long an example takes is no finding, and no run depends on what an earlier one has kept.
hypothesis.settings.register_profile(
    "steady",
    deadline=None,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("steady")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what cannot run; the summary of the run names it."""
    absent = {f"device_{each.name}" for each in PROVIDERS if each.missing()}
    out = [item for item in items if absent & {mark.name for mark in item.iter_markers()}]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name each provider that is not there; its tests were deselected, not skipped."""
    for provider in PROVIDERS:
        why = provider.missing()
        if why:
            terminalreporter.write_line(f"not run on {provider.title}: {why}", yellow=True)
