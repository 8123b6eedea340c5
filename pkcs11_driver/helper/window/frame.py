"""The window's frame: heading, the way, a page that scrolls where it must, a note, two buttons.

Keyboard: Tab in reading order, Enter presses the button that has the focus or else the main one,
Escape the other one, Alt with the underlined letter any; Control with plus, minus and 0 sets the
text size.
"""

from __future__ import annotations

import tkinter
from collections.abc import Callable, Sequence
from tkinter import ttk
from typing import Literal

from pkcs11_driver.helper.language import say
from pkcs11_driver.helper.window import look
from pkcs11_driver.helper.window.look import Look

Action = Callable[[], None]


class Frame:
    """One window; ``page`` empties it for the next page."""

    def __init__(self, root: tkinter.Tk) -> None:
        self.root = root
        self.look = Look(root)
        self._keys: list[str] = []
        self._main: Action | None = None
        self._other: Action | None = None
        self._way: tuple[Sequence[str], int, bool] = ((), 0, False)
        self._labels: list[tuple[ttk.Label, float]] = []
        self._build()
        root.bind("<Return>", self._on_return)
        root.bind("<KP_Enter>", self._on_return)
        root.bind("<Escape>", lambda _: self._other() if self._other else None)
        for key in ("plus", "KP_Add"):
            root.bind(f"<Control-{key}>", lambda _: self.zoom(1.15))
        for key in ("minus", "KP_Subtract"):
            root.bind(f"<Control-{key}>", lambda _: self.zoom(1 / 1.15))
        root.bind("<Control-Key-0>", lambda _: self.zoom(0))
        for key, lines in (("Up", -1), ("Down", 1), ("Prior", -8), ("Next", 8)):
            root.bind(f"<{key}>", lambda _, by=lines: self._scroll(by))  # type: ignore[misc]
        root.bind("<Button-4>", lambda _: self._scroll(-3))
        root.bind("<Button-5>", lambda _: self._scroll(3))
        root.bind("<MouseWheel>", lambda event: self._scroll(-1 if event.delta > 0 else 1))
        # shown before its first page, or Tk forgets which field has the focus
        root.update()

    def _build(self) -> None:
        root, em = self.root, self.look.em
        band = ttk.Frame(root, style="Band.TFrame", padding=(em(1.6), em(0.7)))
        band.pack(fill="x")
        self.name = ttk.Label(band, style="Band.TLabel")
        self.name.pack(side="left")
        self.place = ttk.Label(band, style="BandSoft.TLabel")
        self.place.pack(side="right")
        self._way_canvas = tkinter.Canvas(
            root, highlightthickness=0, background=look.PAGE, takefocus=False
        )
        self._way_canvas.pack(fill="x")
        self._way_canvas.bind("<Configure>", lambda _: self._draw_way())
        # packed before the page, so that a small window never loses its buttons
        self._foot = ttk.Frame(root, padding=(em(1.6), em(0.9)))
        self._foot.pack(side="bottom", fill="x")
        ttk.Separator(root).pack(side="bottom", fill="x")
        self._note = ttk.Label(root, style="Note.TLabel", padding=(em(1.6), em(0.7)))
        self._labels.append((self._note, 0))
        holder = ttk.Frame(root)
        holder.pack(fill="both", expand=True)
        self._canvas = tkinter.Canvas(
            holder, highlightthickness=0, background=look.PAGE, takefocus=False
        )
        self._canvas.configure(yscrollincrement=em(1.4))
        self._bar = ttk.Scrollbar(holder, command=self._canvas.yview)
        self._canvas.configure(yscrollcommand=self._bar.set)
        self._canvas.pack(side="left", fill="both", expand=True)
        self.body = ttk.Frame(self._canvas, padding=(em(1.6), em(0.6)))
        self._inside = self._canvas.create_window(0, 0, anchor="nw", window=self.body)
        self.body.bind("<Configure>", lambda _: self._fit())
        self._canvas.bind("<Configure>", lambda _: self._fit())
        root.bind("<FocusIn>", self._into_view)
        self._size()

    def _size(self) -> None:
        em, root = self.look.em, self.root
        wide = min(em(44), root.winfo_screenwidth())
        high = min(em(53), root.winfo_screenheight() - em(4))
        root.geometry(f"{wide}x{high}")
        root.minsize(min(em(26), wide), min(em(22), high))

    def zoom(self, times: float) -> None:
        """Change the size of all text, and the window with it."""
        self.look.zoom(times)
        self._size()
        self._draw_way()
        self._fit()

    def page(self, heading: str, way: Sequence[str], at: int, *, failed: bool = False) -> None:
        """Empty the page and give it a heading; ``at`` is the place on the way, from 0, and
        ``failed`` whether it ended there."""
        for child in self.body.winfo_children():
            child.destroy()
        for child in self._foot.winfo_children():
            child.destroy()
        for key in self._keys:
            self.root.unbind(key)
        self._keys.clear()
        self._labels = [(self._note, 0)]
        self._main = self._other = None
        self.note("")
        self.name.configure(text=say("Token helper"))
        # programs that read the screen aloud read the new title
        self.root.title(f"{heading} – {say('Token helper')}")
        self._way = (way, at, failed)
        self._draw_way()
        self._canvas.yview_moveto(0)
        self.text(heading, "Heading.TLabel", after=0.6)

    def text(self, words: str, style: str = "TLabel", *, after: float = 0.8) -> ttk.Label:
        """A paragraph that wraps with the window."""
        label = ttk.Label(self.body, text=words, style=style, justify="left")
        label.pack(anchor="w", fill="x", pady=(0, self.look.em(after)))
        self.wrap(label)
        return label

    def wrap(self, label: ttk.Label, beside: float = 0) -> None:
        """Wrap the label with the window; ``beside``: what else is in its line, in em."""
        self._labels.append((label, beside))
        self._fit()

    def box(
        self, words: str, style: str, *, anchor: Literal["center", "w"] = "center"
    ) -> ttk.Label:
        """A paragraph on a ground of its own."""
        label = self.text(words, style)
        label.configure(padding=self.look.em(1), anchor=anchor)
        self.wrap(label, 2)
        return label

    def field(self, words: str, *, secret: bool = False, letters: str = "text") -> ttk.Entry:
        """A named field; its access key moves the focus there."""
        shown, place = _access(words)
        label = ttk.Label(self.body, text=shown, underline=place, style="Field.TLabel")
        label.pack(anchor="w")
        # what is selected must not land in the clipboard of the X server by itself
        entry = ttk.Entry(self.body, font=self.look.fonts[letters], exportselection=not secret)
        if secret:
            entry.configure(show="●")
            for event in ("<<Copy>>", "<<Cut>>", "<<PasteSelection>>"):
                entry.bind(event, lambda _: "break")
        entry.pack(anchor="w", fill="x", pady=(self.look.em(0.2), self.look.em(0.8)))
        self._bind(shown, place, entry.focus_set)
        return entry

    def buttons(
        self,
        main: tuple[str, Action],
        other: tuple[str, Action] | None = None,
        *,
        deliberate: bool = False,
    ) -> None:
        """The main button on the right, the other one on its left; Enter and Escape.

        ``deliberate``: a question that must not be answered by an Enter too many.
        """
        self._main = None if deliberate else main[1]
        self._other = other[1] if other else None
        made = [self.button(self._foot, *pair) for pair in (other, main) if pair]
        made[-1].configure(style="Main.TButton")
        # packed from the right, made in the order of Tab
        for button in reversed(made):
            button.pack(side="right", padx=(self.look.em(0.7), 0))

    def button(self, where: tkinter.Misc, words: str, action: Action) -> ttk.Button:
        """A button with its access key, not yet packed."""
        shown, place = _access(words)
        button = ttk.Button(where, text=shown, underline=place, command=action)
        self._bind(shown, place, button.invoke)
        return button

    def check(self, words: str, changed: Callable[[bool], None]) -> None:
        """A box to tick, empty at first."""
        shown, place = _access(words)
        state = tkinter.BooleanVar(self.body, False)
        box = ttk.Checkbutton(
            self.body,
            text=shown,
            underline=place,
            variable=state,
            command=lambda: changed(state.get()),
        )
        box.pack(anchor="w", pady=(0, self.look.em(0.8)))
        self._bind(shown, place, box.invoke)

    def focus(self, field: ttk.Entry) -> None:
        """Let the person type here; the page must be complete."""
        # Tk does not give the focus to what it has not laid out yet
        self.root.update_idletasks()
        field.focus_set()

    def note(self, words: str) -> None:
        """A sentence above the buttons that the person must not miss; empty removes it."""
        self._note.configure(text=words)
        if words:
            self._note.pack(side="bottom", fill="x")
            self.root.bell()
        else:
            self._note.pack_forget()
        self._fit()

    def _bind(self, shown: str, place: int, action: Callable[[], object]) -> None:
        if place >= 0:
            key = f"<Alt-{shown[place].lower()}>"
            self.root.bind(key, lambda _: action())
            self._keys.append(key)

    def _on_return(self, _: object) -> None:
        focused = self.root.focus_get()
        if isinstance(focused, ttk.Button):
            focused.invoke()
        elif self._main:
            self._main()

    def _fit(self) -> None:
        wide, high = self._canvas.winfo_width(), self._canvas.winfo_height()
        if wide < 2:
            return
        self._canvas.itemconfigure(self._inside, width=wide)
        # a label is a little wider than its text
        space = wide - 2 * self.look.em(1.6) - self.look.em(0.4)
        for label, beside in self._labels:
            label.configure(wraplength=max(space - self.look.em(beside), 50))
        needed = self.body.winfo_reqheight()
        self._canvas.configure(scrollregion=(0, 0, wide, max(needed, high)))
        if needed > high:
            self._bar.pack(side="right", fill="y")
        else:
            self._bar.pack_forget()

    def _scroll(self, lines: int) -> None:
        if self.body.winfo_reqheight() > self._canvas.winfo_height():
            self._canvas.yview_scroll(lines, "units")

    def _into_view(self, event: tkinter.Event[tkinter.Misc]) -> None:
        widget, needed = event.widget, self.body.winfo_reqheight()
        if not str(widget).startswith(str(self.body)) or needed <= self._canvas.winfo_height():
            return
        top = widget.winfo_rooty() - self.body.winfo_rooty() - self.look.em(2)
        self._canvas.yview_moveto(max(top, 0) / needed)

    def _draw_way(self) -> None:
        canvas, (stations, at, failed) = self._way_canvas, self._way
        em, small = self.look.em, self.look.fonts["small"]
        canvas.delete("all")
        radius = em(0.75)
        top = em(1.0) + radius
        canvas.configure(height=top + radius + em(2.0) if stations else em(0.6))
        if not stations:
            return
        left, right = em(3.2), canvas.winfo_width() - em(3.2)
        gap = (right - left) / max(len(stations) - 1, 1)
        for number, words in enumerate(stations):
            x = left + gap * number
            done, here = number < at, number == at
            if number:
                ink = look.BAND if number <= at else look.LINE
                canvas.create_line(x - gap + radius, top, x - radius, top, fill=ink, width=2)
            now = look.BAD if failed else look.BAND
            fill = look.GOOD if done else now if here else look.PAGE
            rim = look.LINE if number > at else fill
            canvas.create_oval(
                x - radius, top - radius, x + radius, top + radius, fill=fill, outline=rim, width=2
            )
            mark = "✓" if done else "!" if here and failed else str(number + 1)
            ink = look.SOFT if number > at else look.PAGE
            canvas.create_text(x, top, text=mark, fill=ink, font=small)
            ink = look.INK if here else look.SOFT
            weight = self.look.fonts["bold" if here else "small"]
            canvas.create_text(x, top + radius + em(0.9), text=words, fill=ink, font=weight)


def _access(words: str) -> tuple[str, int]:
    """The words without ``&``, and the place of the letter behind it, -1 without one."""
    return words.replace("&", "", 1), words.find("&")
