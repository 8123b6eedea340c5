"""The page for the new PIN: typed twice, the rules ticked off as one types.

The two fields are read, never bound to a variable, and emptied before the page goes: no copy of
the PIN stays in Tk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from tkinter import ttk

from pkcs11_driver.helper.dialogue import broken_rule
from pkcs11_driver.helper.language import say
from pkcs11_driver.helper.window import look, person
from pkcs11_driver.helper.window.frame import Frame
from pkcs11_driver.wire import PinRules, broken_pin_rules

_DONE, _OPEN = "✓", "○"


class NewPinPage:
    """Built once, gone when answered."""

    def __init__(
        self,
        frame: Frame,
        way: Sequence[str],
        about: person.NewPin,
        token: person.Found | None,
        answer: Callable[[str | bool | None], None],
    ) -> None:
        self._frame, self._rules, self._answer = frame, about.rules, answer
        frame.page(say("Choose the new PIN"), way, 3)
        if token:
            self._card(token)
        self._first = frame.field(say("&New PIN"), secret=True)
        self._second = frame.field(say("The new PIN &once more"), secret=True)
        frame.check(say("Sho&w what I type"), self._show)
        self._rows = [
            (test, frame.text(text, "Soft.TLabel", after=0.15), text)
            for text, test in _tests(about.rules)
        ]
        for entry in (self._first, self._second):
            entry.bind("<KeyRelease>", lambda _: self._tick())
        self._first.bind("<Return>", self._on_first)
        self._tick()
        frame.buttons((say("&Set this PIN"), self._submit), (say("S&top"), self._stop))
        self._frame.focus(self._first)

    def _card(self, token: person.Found) -> None:
        who = (
            say("The token of {owner}", owner=token.owner)
            if token.owner
            else say("The token “{label}”", label=token.label)
        )
        details = say("{label}, number {serial}", label=token.label, serial=token.serial)
        self._frame.box(f"{who}\n{details}", "Card.TLabel", anchor="w")

    def _show(self, shown: bool) -> None:
        for entry in (self._first, self._second):
            entry.configure(show="" if shown else "●")

    def _tick(self) -> None:
        first, second = self._first.get(), self._second.get()
        for test, label, text in self._rows:
            kept = bool(first) and test(first, second)
            mark, style = (_DONE, "Good.TLabel") if kept else (_OPEN, "Soft.TLabel")
            label.configure(text=f"{mark}  {text}", style=style)

    def _on_first(self, _: object) -> str:
        self._frame.focus(self._second)
        return "break"

    def _submit(self) -> None:
        first, second = self._first.get(), self._second.get()
        broken = broken_pin_rules(first, self._rules)
        if broken:
            reasons = "; ".join(broken_rule(name, self._rules) for name in broken)
            self._frame.note(say("This PIN cannot be used: {reasons}.", reasons=reasons))
            self._frame.focus(self._first)
        elif first != second:
            self._frame.note(say("The two were not the same."))
            self._frame.focus(self._second)
        else:
            self._empty()
            self._answer(first)

    def _stop(self) -> None:
        self._empty()
        self._answer(None)

    def _empty(self) -> None:
        self._first.delete(0, "end")
        self._second.delete(0, "end")


def _tests(rules: PinRules) -> list[tuple[str, Callable[[str, str], bool]]]:
    def keeps(*names: str) -> Callable[[str, str], bool]:
        return lambda pin, _: not set(names) & set(broken_pin_rules(pin, rules))

    lengths = (
        say("exactly {minimum} characters", minimum=rules.minimum)
        if rules.minimum == rules.maximum
        else say("{minimum} to {maximum} characters", minimum=rules.minimum, maximum=rules.maximum)
    )
    return [
        (lengths, keeps("too-short", "too-long")),
        (
            say(
                "at least {classes} of these four: digits, capital letters, small letters, "
                "special characters",
                classes=rules.classes,
            ),
            keeps("classes"),
        ),
        (
            say("none of {forbidden}", forbidden="  ".join(rules.forbidden)),
            keeps("forbidden", "unprintable"),
        ),
        (say("the same in both fields"), lambda first, second: first == second),
    ]


class ChangePage:
    """The steps of the change, ticked off as they happen."""

    _USUAL = (
        *("so-login", "user-pin-set", "user-login", "challenge-signed"),
        *("so-pin-set", "so-pin-proven"),
    )

    def __init__(self, frame: Frame, way: Sequence[str], texts: Callable[[str], str]) -> None:
        self._frame = frame
        frame.page(say("The token is being changed"), way, 4)
        frame.text(say("Leave the token plugged in. This takes seconds."), "Field.TLabel")
        self._rows = {
            name: frame.text(f"{_OPEN}  {texts(name)}", "Soft.TLabel", after=0.25)
            for name in self._USUAL
        }
        self._last: ttk.Label | None = None
        self._bar = ttk.Progressbar(frame.body, mode="indeterminate")
        self._bar.pack(fill="x", pady=frame.look.em(0.8))
        self._bar.start(40)

    def tick(self, step: str, text: str) -> None:
        """This step has happened; one that is not usual gets a line of its own."""
        label = self._rows.get(step)
        if label is None:
            label = self._rows[step] = self._frame.text("", after=0.25)
            mark, style = "!", "Bad.TLabel"
        else:
            mark, style = _DONE, "Good.TLabel"
        label.configure(text=f"{mark}  {text}", style=style)

    def say(self, text: str) -> None:
        """A sentence below the steps; the newest replaces the one before."""
        if self._last is None:
            self._last = self._frame.text("", "Soft.TLabel")
        self._last.configure(text=text, foreground=look.INK)
