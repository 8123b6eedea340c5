"""The person at the window, as the flow sees her: calls of one thread become questions of another.

The flow runs in a thread of its own and blocks in these calls; the window's thread, the only one
that touches Tk, takes the messages and answers. A PIN passes through a queue once and is in no
text form of these objects.
"""

from __future__ import annotations

import queue
from collections.abc import Sequence
from dataclasses import dataclass, field

from pkcs11_driver import wire
from pkcs11_driver.helper.dialogue import Next, Refused, Stage
from pkcs11_driver.helper.language import say


@dataclass(frozen=True)
class Told:
    """A sentence; ``step`` is the name of the step that it is about, where it is one."""

    text: str
    step: str = ""


@dataclass(frozen=True)
class Begun:
    """A part of the job began; ``kind`` where that became known."""

    stage: Stage | None = None
    kind: wire.Kind | None = None


@dataclass(frozen=True)
class Found:
    """The token is there."""

    label: str
    owner: str
    serial: str


@dataclass(frozen=True)
class Question:
    """Something to be answered, once; ``None`` stops the job."""

    about: object
    answers: queue.SimpleQueue[str | bool | None] = field(repr=False)


@dataclass(frozen=True)
class Words:
    """Whether the page shows these words."""

    words: str


@dataclass(frozen=True)
class PlugIn:
    """Whether to look again for the token; ``serial`` is empty for the person's own."""

    serial: str
    seen: tuple[str, ...]


@dataclass(frozen=True)
class NewPin:
    """A new PIN that keeps the rules."""

    rules: wire.PinRules


@dataclass(frozen=True)
class Agree:
    """Whether to sign the statement."""

    statement: str


@dataclass(frozen=True)
class Pin:
    """The PIN of this token."""

    label: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Ended:
    """The job is over: done when ``reason`` is empty."""

    kind: wire.Kind | None
    reason: str = ""
    next: Next = ""


class Person:
    """Keeps ``Dialogue``; ``messages`` is what the window's thread takes."""

    def __init__(self) -> None:
        self.messages: queue.SimpleQueue[object] = queue.SimpleQueue()

    def tell(self, text: str) -> None:
        """Show the sentence."""
        self.messages.put(Told(text))

    def begins(self, kind: wire.Kind) -> None:
        """Show what kind of job it is."""
        self.messages.put(Begun(kind=kind))

    def stage(self, stage: Stage) -> None:
        """Show how far the job is."""
        self.messages.put(Begun(stage))

    def step(self, name: str, text: str) -> None:
        """Tick the step."""
        self.messages.put(Told(text, name))

    def words(self, words: str) -> None:
        """Ask whether the page shows the same. Raises ``Refused``."""
        if not self._ask(Words(words)):
            raise Refused(
                say(
                    "The page showed other words. Nothing was changed. Close every helper that "
                    "you did not start yourself, and tell the help desk."
                ),
                "help-desk",
            )

    def plug_in(self, serial: str, seen: Sequence[str]) -> bool:
        """Ask for the token. Raises ``Refused``."""
        return bool(self._ask(PlugIn(serial, tuple(seen))))

    def found(self, label: str, owner: str, serial: str) -> None:
        """Show whose token it is."""
        self.messages.put(Found(label, owner, serial))

    def new_pin(self, rules: wire.PinRules) -> str:
        """Ask for the new PIN. Raises ``Refused``."""
        return str(self._ask(NewPin(rules)))

    def agree(self, statement: str) -> bool:
        """Ask whether to sign. Raises ``Refused``."""
        return bool(self._ask(Agree(statement)))

    def pin(self, label: str, notes: Sequence[str]) -> str:
        """Ask for the PIN. Raises ``Refused``."""
        return str(self._ask(Pin(label, tuple(notes))))

    def _ask(self, about: object) -> str | bool:
        answers: queue.SimpleQueue[str | bool | None] = queue.SimpleQueue()
        self.messages.put(Question(about, answers))
        answer = answers.get()
        if answer is None:
            raise Refused(say("Stopped. Nothing was changed."), "again")
        return answer
