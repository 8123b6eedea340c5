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


@pytest.fixture
def device(provider: Provider, tmp_path: Path) -> Iterator[Device]:
    """A fresh token of the provider."""
    with provider.make(tmp_path) as made:
        yield made
