"""The token is gone after the effect: a call did what it did, and answers CKR_DEVICE_REMOVED.

A whole reset by the real helper at the real service; then what a person does (plug it in again, a
new code, the helper again); then ``Scene.prove``.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.crash.scene import Scene
from tests.institution.tokens import arm_fault

REMOVED = "0x32"


@dataclass(frozen=True)
class Removal:
    """``calls`` of the module that answer so, in the retry module's words, and what the operation
    is after the run: ``unknown`` needs a second order."""

    calls: tuple[str, ...]
    says: str

    def __str__(self) -> str:
        return f"token gone: {', '.join(self.calls)}"


# the logins of one run: 1 as SO, 2 as user, 3 as SO, 4 as SO with the next SO PIN
CASES = (
    Removal(("before Login 1",), "unknown"),
    Removal(("after Login 1",), "unknown"),
    Removal(("before InitPIN 1",), "unknown"),
    Removal(("after InitPIN 1",), "unknown"),
    Removal(("before Login 2",), "unknown"),
    Removal(("after Login 2",), "unknown"),
    Removal(("before Login 3",), "unknown"),
    Removal(("after Login 3",), "unknown"),
    Removal(("before SetPIN 1",), "unknown"),
    Removal(("after SetPIN 1",), "done"),  # the login that follows proves it
    Removal(("before SetPIN 1", "before Login 4"), "unknown"),
    Removal(("after SetPIN 1", "before Login 4"), "unknown"),
    Removal(("after Login 4",), "unknown"),
)


def play(scene: Scene, case: Removal) -> None:
    """One case. Raises ``AssertionError``."""
    scene.restore("ready")
    scene.start()
    token = scene.here.tokens["holder"]
    for call in case.calls:
        arm_fault(token, f"{call} return {REMOVED}")
    done = case.says == "done"
    assert (scene.helper(), scene.state()) == (0 if done else 1, case.says)
    armed = (token.directory / "state" / "faults").read_text()
    assert armed == "", f"not reached: {armed}"
    assert scene.recover() == "done"
    assert scene.row("select epoch from operations") == (1 if done else 2,)
    scene.prove("done")
