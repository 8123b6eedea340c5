"""Each promise runs on each provider; those that lack something are deselected by their marker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.devices.device import Device, Provider
from tests.devices.providers import PROVIDERS


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One case a provider, marked ``device_<name>``."""
    if "provider" in metafunc.fixturenames:
        cases = [
            pytest.param(each, id=each.name, marks=getattr(pytest.mark, f"device_{each.name}"))
            for each in PROVIDERS
        ]
        metafunc.parametrize("provider", cases)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what cannot run; the summary of the run names it."""
    absent = {f"device_{each.name}" for each in PROVIDERS if each.missing()}
    out = [item for item in items if absent & {mark.name for mark in item.iter_markers()}]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


@pytest.fixture
def device(provider: Provider, tmp_path: Path) -> Iterator[Device]:
    """A fresh token of the provider."""
    with provider.make(tmp_path) as made:
        yield made
