"""The story with a restart of the whole service between every two steps."""

from __future__ import annotations

import pytest

from tests.story.story import STEPS, Step, Story


@pytest.mark.parametrize(("title", "step"), STEPS, ids=[title for title, _ in STEPS])
def test_step_after_a_restart(story: Story, title: str, step: Step) -> None:
    """Nothing of a request lives in a process."""
    if step is not STEPS[0][1]:
        before = story.institution.process("serve").pid
        story.institution.restart()
        assert story.institution.process("serve").pid != before
    assert step(story)
