"""A running institution for each module of tests, built with real parts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.institution.site import Institution
from tests.story.story import Story


@pytest.fixture(scope="module")
def story(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    """The story before its first step; the institution runs, under the module's ``POLICY``.

    A module may name another kind of ``INSTITUTION``.
    """
    policy: str = getattr(request.module, "POLICY", "")
    kind: type[Institution] = getattr(request.module, "INSTITUTION", Institution)
    institution = kind.build(tmp_path_factory.mktemp("institution"), policy=policy)
    try:
        institution.start()
        yield Story(institution)
    finally:
        institution.stop()
