"""What a flow needs of the person: tell, ask, ask for a secret. A terminal, later a window."""

from __future__ import annotations

import getpass
import sys
import typing


class Refused(Exception):
    """The job ends here; the text is one line for the person."""


class Dialogue(typing.Protocol):
    """The person, as a flow sees her."""

    def tell(self, text: str) -> None:
        """Show something."""

    def ask(self, question: str) -> str:
        """Ask for a line. Raises ``Refused`` when no answer will come."""

    def ask_secret(self, question: str) -> str:
        """Ask for a PIN, never shown. Raises ``Refused`` when no answer will come."""


class Terminal:
    """The person at the terminal; without one, each answer is a line of standard input."""

    def tell(self, text: str) -> None:
        """Print, at once, so that progress is seen while it happens."""
        print(readable(text), flush=True)

    def ask(self, question: str) -> str:
        """Ask for a line. Raises ``Refused`` at the end of input."""
        if not sys.stdin.isatty():
            return self._line()
        try:
            return input(f"{question} ")
        except EOFError:
            raise Refused("Stopped: no answer was given.") from None

    def ask_secret(self, question: str) -> str:
        """Ask for a PIN without echo. Raises ``Refused`` at the end of input."""
        if not sys.stdin.isatty():
            return self._line()
        try:
            return getpass.getpass(f"{question} ")
        except EOFError:
            raise Refused("Stopped: no answer was given.") from None

    def _line(self) -> str:
        line = sys.stdin.readline()
        if not line:
            raise Refused("Stopped: no answer was given.")
        return line.rstrip("\r\n")


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
