"""What a flow needs of the person: a protocol that a terminal and a window keep.

Each call is one thing between program and person, not one widget: the flows decide what is said
and asked, the terminal and the window how. A call raises ``Refused`` when no answer will come.
"""

from __future__ import annotations

import getpass
import sys
import typing
from collections.abc import Callable, Sequence

from pkcs11_driver.helper.language import later, say
from pkcs11_driver.wire import Kind, PinRules, broken_pin_rules

Stage = typing.Literal["code", "words", "token", "pin", "statement", "change", "report"]
Next = typing.Literal["", "again", "help-desk", "office", "wait"]

_PIN_RULES = {
    "too-short": later("it needs at least {minimum} characters"),
    "too-long": later("it may have at most {maximum} characters; letters such as ä count twice"),
    "classes": later(
        "it needs {classes} of these four: digits, capital letters, small letters, "
        "special characters"
    ),
    "forbidden": later("it may have none of {forbidden}"),
    "unprintable": later("it may have only characters that can be shown"),
}


class Refused(Exception):
    """The job ends here; the text is one line for the person, ``next`` what she does now."""

    def __init__(self, text: str, next: Next = "") -> None:
        super().__init__(text)
        self.next = next


class Dialogue(typing.Protocol):
    """The person, as a flow sees her."""

    def tell(self, text: str) -> None:
        """Say something that needs no answer."""

    def begins(self, kind: Kind) -> None:
        """The code has bought a job of this kind."""

    def stage(self, stage: Stage) -> None:
        """A part of the job begins; from ``change`` on, stopping would leave it half done."""

    def step(self, name: str, text: str) -> None:
        """A step of the change has happened."""

    def words(self, words: str) -> None:
        """Show the confirmation words. Raises ``Refused`` when the page shows others."""

    def plug_in(self, serial: str, seen: Sequence[str]) -> bool:
        """The token is not there, but these are; whether to look once more."""

    def found(self, label: str, owner: str, serial: str) -> None:
        """Show whose token it is; ``owner`` is empty where its certificate does not tell."""

    def new_pin(self, rules: PinRules) -> str:
        """Ask for the new PIN until it keeps the rules and was typed the same twice."""

    def agree(self, statement: str) -> bool:
        """Show the statement to be signed; whether the person wants to sign it."""

    def pin(self, label: str, notes: Sequence[str]) -> str:
        """Ask for the PIN of a token, with notes on its tries; empty to stop."""


class Terminal:
    """The person at the terminal; without one, each answer is a line of standard input."""

    def tell(self, text: str) -> None:
        """Print, at once, so that progress is seen while it happens."""
        print(readable(text), flush=True)

    def begins(self, kind: Kind) -> None:
        """What is printed next shows it."""

    def stage(self, stage: Stage) -> None:
        """What is printed next shows it."""

    def step(self, name: str, text: str) -> None:
        """Print the step."""
        self.tell(text)

    def words(self, words: str) -> None:
        """Print the words; who sees others stops the program."""
        self.tell(say("Words of this job: {words}", words=words))
        self.tell(say("Go on only if the page shows the same words."))

    def plug_in(self, serial: str, seen: Sequence[str]) -> bool:
        """Print what is there; the program is started again when the token is plugged in."""
        for line in seen:
            self.tell(say("  plugged in: {token}", token=line))
        return False

    def found(self, label: str, owner: str, serial: str) -> None:
        """Print whose token it is."""
        if owner:
            self.tell(say("The token of {owner}.", owner=owner))
        self.tell(
            say("Found: {label}. Leave it plugged in until this program says so.", label=label)
        )

    def new_pin(self, rules: PinRules) -> str:
        """Ask until the PIN is good (S1.12-S1.15). Raises ``Refused`` at the end of input."""
        while True:
            pin = self._secret(say("New PIN:"))
            broken = broken_pin_rules(pin, rules)
            if broken:
                reasons = "; ".join(broken_rule(name, rules) for name in broken)
                self.tell(say("This PIN cannot be used: {reasons}.", reasons=reasons))
            elif self._secret(say("The new PIN once more:")) != pin:
                self.tell(say("The two were not the same."))
            else:
                return pin

    def agree(self, statement: str) -> bool:
        """Print the statement; only the whole word counts. Raises ``Refused``."""
        self.tell(say("You are asked to sign this:") + "\n")
        self.tell(statement)
        yes = say("yes")
        typed = self.ask(say("Type {yes} to sign it:", yes=yes)).strip().lower()
        return typed in ("yes", yes)

    def pin(self, label: str, notes: Sequence[str]) -> str:
        """Ask for a PIN without echo. Raises ``Refused`` at the end of input."""
        for note in notes:
            self.tell(note)
        return self._secret(say("PIN of {label} (empty to stop):", label=label))

    def ask(self, question: str) -> str:
        """Ask for a line. Raises ``Refused`` at the end of input."""
        return self._line(question, input)

    def _secret(self, question: str) -> str:
        return self._line(question, getpass.getpass)

    def _line(self, question: str, read: Callable[[str], str]) -> str:
        if sys.stdin.isatty():
            try:
                return read(f"{question} ")
            except EOFError:
                raise Refused(say("Stopped: no answer was given.")) from None
        line = sys.stdin.readline()
        if not line:
            raise Refused(say("Stopped: no answer was given."))
        return line.rstrip("\r\n")


def broken_rule(name: str, rules: PinRules) -> str:
    """What a PIN that breaks the rule of this name lacks."""
    return say(
        _PIN_RULES[name],
        minimum=rules.minimum,
        maximum=rules.maximum,
        classes=rules.classes,
        forbidden=" ".join(rules.forbidden),
    )


def readable(text: str) -> str:
    """``text`` with everything but printable characters and line feeds escaped.

    Terminal codes and characters that reverse the reading order cannot hide a word from the
    person who reads before signing.
    """
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def one_line(text: str) -> str:
    """``text`` escaped and on one line, as error messages are."""
    return " ".join(readable(text).split())
