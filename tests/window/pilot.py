"""Run inside the program under test: does what a test says, by key and mouse events, and tells
what is seen. One JSON command a line on standard input, one JSON answer a line on standard output.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
import tkinter
import traceback
from collections.abc import Iterator
from typing import Any

COMMANDS: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()


def visible(widget: tkinter.Misc) -> Iterator[tkinter.Misc]:
    for child in widget.winfo_children():
        if child.winfo_ismapped():
            yield child
            yield from visible(child)


def text_of(widget: tkinter.Misc) -> str:
    try:
        return str(widget.cget("text"))
    except tkinter.TclError:
        return ""


class Piloted(tkinter.Tk):
    """The program's root window with the pilot in it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.after(10, self._begin)

    def _begin(self) -> None:
        # no window manager gives the focus here; the first page must be there
        if not self.winfo_viewable() or "–" not in self.title():
            self.after(10, self._begin)
            return
        (self.focus_lastfor() or self).focus_force()
        # the X server gives the focus when it comes to it
        self.after(100, self._next)

    def _next(self) -> None:
        try:
            command = COMMANDS.get_nowait()
        except queue.Empty:
            self.after(10, self._next)
            return
        self.after(10, self._next)
        try:
            answer = getattr(self, f"do_{command['do']}")(**command.get("with", {}))
        except Exception:  # noqa: BLE001 - the test that asked shows it
            answer = {"failed": traceback.format_exc()}
        print(json.dumps(answer), flush=True)

    def do_look(self) -> dict[str, Any]:
        """What a person sees."""
        self.update_idletasks()
        seen = list(visible(self))
        return {
            "title": self.title(),
            "texts": [text for widget in seen if (text := text_of(widget))],
            "fields": [w.get() for w in seen if w.winfo_class() == "TEntry"],
            "size": [self.winfo_width(), self.winfo_height()],
            "focus": self._name(self.focus_get()),
        }

    def _name(self, widget: tkinter.Misc | None) -> str:
        """The words on a widget, or those of the label before a field."""
        if widget is None:
            return ""
        if widget.winfo_class() == "TEntry":
            before = [w for w in widget.master.winfo_children() if w.winfo_class() == "TLabel"]
            above = [w for w in before if w.winfo_y() < widget.winfo_y()]
            return text_of(max(above, key=lambda w: w.winfo_y()))
        return text_of(widget)

    def do_press(self, key: str) -> None:
        """Press a key where the focus is."""
        (self.focus_get() or self).event_generate(f"<{key}>")

    def do_type(self, text: str) -> None:
        """Type into the field that has the focus."""
        names = {" ": "space", "-": "minus", "=": "equal", ":": "colon", "/": "slash"}
        for character in text:
            focused = self.focus_get()
            assert focused is not None
            key = names.get(character, "period" if character == "." else character)
            before, end = focused.get(), time.monotonic() + 10
            # Tk drops keys until the X server has told it that the window has the focus
            while focused.get() == before and time.monotonic() < end:
                focused.event_generate("<KeyPress>", keysym=key)
                focused.event_generate("<KeyRelease>", keysym=key)
                if focused.get() == before:
                    focused.focus_force()
                    self.update()
                    time.sleep(0.02)

    def do_click(self, words: str) -> None:
        """Click what shows these words."""
        (widget,) = [w for w in visible(self) if text_of(w) == words]
        x, y = widget.winfo_width() // 2, widget.winfo_height() // 2
        for event in ("<Enter>", "<ButtonPress-1>", "<ButtonRelease-1>"):
            widget.event_generate(event, x=x, y=y)

    def do_shape(self, width: int, height: int) -> None:
        """Make the window of this size."""
        self.geometry(f"{width}x{height}")

    def do_close(self) -> None:
        """What the cross of the window manager does."""
        self.after(1, lambda: self.tk.call(self.protocol("WM_DELETE_WINDOW")))

    def do_everything(self) -> list[str]:
        """All that any widget and any Tcl variable still holds."""
        held = [str(self.tk.globalgetvar(n)) for n in self.tk.call("info", "globals")
                if not self.tk.getboolean(self.tk.call("array", "exists", n))]  # fmt: skip

        def walk(widget: tkinter.Misc) -> Iterator[str]:
            for child in widget.winfo_children():
                yield text_of(child)
                if child.winfo_class() == "TEntry":
                    yield child.get()  # type: ignore[attr-defined]
                yield from walk(child)

        return [*held, *walk(self)]


def read_commands() -> None:
    for line in sys.stdin:
        COMMANDS.put(json.loads(line))


def main() -> int:
    from pkcs11_driver.helper import cli

    threading.Thread(target=read_commands, daemon=True).start()
    tkinter.Tk = Piloted  # type: ignore[misc]
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
