"""How the window looks: colours, fonts that scale, widget styles.

Every pair of text and background keeps a contrast of 7:1 (WCAG 2.2, 1.4.6); a test computes it.
Sizes are in points or in widths of the text font, so that everything grows with the screen's
resolution and with the text size that the person chooses.
"""

from __future__ import annotations

import tkinter
from tkinter import font, ttk

INK = "#16212a"
SOFT = "#42515c"
PAGE = "#ffffff"
BAND = "#173f58"
BAND_INK = "#ffffff"
PALE = "#e9f1f5"
LINE = "#8496a3"
GOOD = "#0d5232"
GOOD_PALE = "#e7f4ed"
BAD = "#8a1a13"
BAD_PALE = "#fcecea"
FOCUS = "#b34f00"

PAIRS = (
    *((INK, PAGE), (SOFT, PAGE), (INK, PALE), (BAND_INK, BAND), (BAND, PAGE)),
    *(
        (GOOD, PAGE),
        (GOOD, GOOD_PALE),
        (BAD, PAGE),
        (BAD, BAD_PALE),
        (INK, BAD_PALE),
        (INK, GOOD_PALE),
    ),
)

_SIZES = {"text": 11, "small": 10, "heading": 18, "words": 22, "mono": 11, "code": 17, "bold": 11}
_BOLD = ("heading", "words", "bold")
_SMALLEST, _LARGEST = 0.8, 3.0


class Look:
    """The fonts and styles of one window, at one text size."""

    def __init__(self, root: tkinter.Tk) -> None:
        self._style = ttk.Style(root)
        # the other Unix themes draw with fixed pixels and grey on grey
        if root.tk.call("tk", "windowingsystem") == "x11":
            self._style.theme_use("clam")
        family = font.nametofont("TkDefaultFont", root).actual("family")
        fixed = font.nametofont("TkFixedFont", root).actual("family")
        self._factor = 1.0
        self.fonts = {
            name: font.Font(
                root,
                family=fixed if name in ("mono", "code") else family,
                size=size,
                weight="bold" if name in _BOLD else "normal",
            )
            for name, size in _SIZES.items()
        }
        root.configure(background=PAGE)
        self._apply()

    def zoom(self, times: float) -> None:
        """Make all text larger or smaller; 0 brings back the usual size."""
        wanted = self._factor * times if times else 1.0
        self._factor = min(max(wanted, _SMALLEST), _LARGEST)
        for name, size in _SIZES.items():
            self.fonts[name].configure(size=round(size * self._factor))
        self._apply()

    def em(self, number: float) -> int:
        """A length in pixels: so many times the height of a letter M."""
        return round(self.fonts["text"].metrics("ascent") * number)

    def _apply(self) -> None:
        style, fonts = self._style, self.fonts
        style.configure(".", font=fonts["text"], background=PAGE, foreground=INK)
        style.configure("Band.TFrame", background=BAND)
        for name, ink, paper, letters in (
            ("Band", BAND_INK, BAND, "bold"),
            ("BandSoft", BAND_INK, BAND, "small"),
            ("Heading", INK, PAGE, "heading"),
            ("Soft", SOFT, PAGE, "text"),
            ("Field", INK, PAGE, "bold"),
            ("Words", GOOD, GOOD_PALE, "words"),
            ("Host", INK, PALE, "words"),
            ("Card", INK, PALE, "text"),
            ("CardBold", INK, PALE, "bold"),
            ("Good", GOOD, PAGE, "text"),
            ("Bad", BAD, PAGE, "bold"),
            ("Note", BAD, BAD_PALE, "text"),
            ("GoodBox", GOOD, GOOD_PALE, "bold"),
            ("BadBox", INK, BAD_PALE, "text"),
        ):
            style.configure(f"{name}.TLabel", foreground=ink, background=paper, font=fonts[letters])
        style.configure("Card.TFrame", background=PALE)
        pad = (self.em(1.2), self.em(0.5))
        style.configure("TButton", padding=pad, font=fonts["text"])
        style.configure("Main.TButton", padding=pad, font=fonts["bold"])
        style.configure("TEntry", padding=self.em(0.45))
        style.configure("Plain.TButton", padding=(self.em(0.5), self.em(0.2)), font=fonts["small"])
        style.configure("TCheckbutton", padding=self.em(0.2))
        if style.theme_use() == "clam":
            self._clam()

    def _clam(self) -> None:
        style = self._style
        style.configure(
            "TButton",
            background=PAGE,
            foreground=BAND,
            bordercolor=BAND,
            lightcolor=PAGE,
            darkcolor=PAGE,
            focuscolor=FOCUS,
            focusthickness=2,
        )
        style.map("TButton", background=[("active", PALE)], bordercolor=[("focus", FOCUS)])
        style.configure("Plain.TButton", bordercolor=PAGE)
        style.configure(
            "Main.TButton",
            background=BAND,
            foreground=BAND_INK,
            lightcolor=BAND,
            darkcolor=BAND,
            focuscolor=BAND_INK,
        )
        style.map("Main.TButton", background=[("active", "#0f2f43")])
        style.configure("TEntry", bordercolor=LINE, fieldbackground=PAGE, insertcolor=INK)
        style.map("TEntry", bordercolor=[("focus", FOCUS)], lightcolor=[("focus", FOCUS)])
        style.configure("TCheckbutton", indicatorsize=self.em(1.0), focuscolor=FOCUS)
        style.map("TCheckbutton", background=[("active", PAGE)])
        style.configure(
            "TProgressbar",
            background=BAND,
            troughcolor=PALE,
            bordercolor=LINE,
            thickness=self.em(1),
        )
