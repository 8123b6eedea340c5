"""The pages of the window, each built from what it shows; none of them knows the job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from tkinter import ttk

from pkcs11_driver import wire
from pkcs11_driver.helper import language
from pkcs11_driver.helper.dialogue import Next
from pkcs11_driver.helper.language import later, say
from pkcs11_driver.helper.window import person
from pkcs11_driver.helper.window.frame import Action, Frame

Answer = Callable[[str | bool | None], None]

_HEADINGS = {
    "again": later("Please start again"),
    "help-desk": later("Tell the help desk"),
    "office": later("The registration office has to help"),
    "wait": later("The service goes on by itself"),
    "": later("This did not work"),
}


def code(
    frame: Frame,
    way: Sequence[str],
    server: str,
    typed: str,
    go_on: Callable[[str, str], None],
    other_language: Action,
) -> None:
    """Ask for the pairing code, and for the service's address where it is not known."""
    frame.page(say("Type the code from the page"), way, 0)
    frame.text(say("Plug your token in. The page of the service shows you a code."), "Soft.TLabel")
    entry = frame.field(say("&Code"), letters="code")
    entry.insert(0, typed)
    if server:
        frame.text(say("Service: {server}", server=server), "Soft.TLabel")
        address = None
    else:
        address = frame.field(say("&Address of the service"))
        address.insert(0, "https://")

    def submit() -> None:
        tidied = wire.tidy_code(entry.get())
        if wire.is_code(tidied):
            go_on(tidied, server or (address.get().strip() if address else ""))
        else:
            frame.note(
                say(
                    "A code has {length} letters and digits, as the page shows it.",
                    length=wire.CODE_LENGTH,
                )
            )
            frame.focus(entry)

    other = next(name for key, name in language.LANGUAGES.items() if key != language.in_use())
    button = frame.button(frame.body, other, other_language)
    button.configure(style="Plain.TButton", width=0)
    button.pack(anchor="w")
    frame.buttons((say("&Go on"), submit))
    frame.focus(entry)


def trust(frame: Frame, way: Sequence[str], host: str, go_on: Action, stop: Action) -> None:
    """A link started the program: whether its service is the person's own."""
    frame.page(say("Is this your institution's service?"), way, 0)
    frame.text(say("A link asks this program to work with:"))
    frame.box(host, "Host.TLabel")
    frame.text(
        say(
            "Go on only if you clicked the link on the page of your institution just now, and "
            "the address above is the one that your institution gave you."
        )
    )
    frame.buttons((say("&Yes, go on"), go_on), (say("&No, stop"), stop), deliberate=True)


def busy(frame: Frame, way: Sequence[str], at: int, heading: str) -> None:
    """Something goes on that needs no answer."""
    frame.page(heading, way, at)
    bar = ttk.Progressbar(frame.body, mode="indeterminate")
    bar.pack(fill="x", pady=frame.look.em(0.5))
    bar.start(40)


def words(frame: Frame, way: Sequence[str], about: person.Words, answer: Answer) -> None:
    """Compare the words."""
    frame.page(say("Compare these three words"), way, 1)
    frame.text(say("Look at the page in your browser now. It must show:"))
    frame.box(about.words, "Words.TLabel")
    frame.text(
        say(
            "The same words show that the page and this program speak of the same thing. Other "
            "words mean that somebody may be between you and the service."
        ),
        "Soft.TLabel",
    )
    frame.buttons(
        (say("&Yes, the same words"), lambda: answer(True)),
        (say("&No, other words"), lambda: answer(False)),
        deliberate=True,
    )


def plug_in(
    frame: Frame, way: Sequence[str], at: int, about: person.PlugIn, answer: Answer
) -> None:
    """Ask for the token."""
    if about.serial:
        frame.page(say("Plug in the token"), way, at)
        frame.text(say("This is about the token with the number"))
        frame.box(about.serial, "CardBold.TLabel")
    else:
        frame.page(say("Plug in your own token, and no other"), way, at)
    if about.seen:
        frame.text(say("Plugged in now:"))
        for line in about.seen:
            frame.text(line, "Soft.TLabel", after=0.3)
    else:
        frame.text(say("No token is seen now. Wait until its light is on, then look again."))
    frame.buttons((say("&Look again"), lambda: answer(True)), (say("&Stop"), lambda: answer(None)))


def statement(frame: Frame, way: Sequence[str], about: person.Agree, answer: Answer) -> None:
    """Show the statement, line by line, exactly as it will be signed."""
    frame.page(say("Read what you are asked to sign"), way, 2)
    frame.text(
        say(
            "Call the person on a number that you know, or meet them: did they ask for this? "
            "In doubt, do not sign."
        )
    )
    lines = [line for line in about.statement.split("\n") if line.strip()]
    card = ttk.Frame(frame.body, style="Card.TFrame", padding=frame.look.em(0.9))
    card.pack(fill="x")
    card.columnconfigure(1, weight=1)
    pad = frame.look.em(0.12)
    for row, line in enumerate(lines):
        name, colon, value = line.partition(": ")
        if not colon:
            ttk.Label(card, text=line, style="Card.TLabel").grid(
                row=row, column=0, columnspan=2, sticky="w", pady=pad
            )
            continue
        ttk.Label(card, text=name, style="Card.TLabel").grid(
            row=row, column=0, sticky="nw", pady=pad
        )
        told = ttk.Label(card, text=value, style="CardBold.TLabel")
        told.grid(row=row, column=1, sticky="nw", padx=(frame.look.em(1), 0), pady=pad)
        frame.wrap(told, 12)
    frame.buttons(
        (say("&Go on to sign"), lambda: answer(True)),
        (say("Do &not sign"), lambda: answer(False)),
        deliberate=True,
    )


def pin(frame: Frame, way: Sequence[str], about: person.Pin, answer: Answer) -> None:
    """Ask for the PIN of the person's own token."""
    frame.page(say("The PIN of your token"), way, 3)
    frame.text(
        say("Token: {label}. The PIN goes to this token and nowhere else.", label=about.label),
        "Soft.TLabel",
    )
    entry = frame.field(say("&PIN"), secret=True)

    def submit() -> None:
        typed = entry.get()
        if not typed:
            frame.note(say("Type the PIN, or stop."))
            frame.focus(entry)
            return
        entry.delete(0, "end")
        answer(typed)

    def stop() -> None:
        entry.delete(0, "end")
        answer("")

    frame.buttons((say("&Sign"), submit), (say("S&top"), stop))
    if about.notes:
        frame.note(" ".join(about.notes))
    frame.focus(entry)


def good(frame: Frame, way: Sequence[str], kind: wire.Kind | None, close: Action) -> None:
    """It worked."""
    if kind == "approve":
        frame.page(say("Signed"), way, len(way))
        done = say("The service has your approval. You can unplug your token.")
        frame.box(f"✓  {done}", "GoodBox.TLabel", anchor="w")
    else:
        frame.page(say("Your token works again"), way, len(way))
        done = say("Use the new PIN from now on. Nobody else knows it.")
        frame.box(f"✓  {done}", "GoodBox.TLabel", anchor="w")
        frame.text(
            say(
                "Close your browser and your mail program once: programs that had the token open "
                "before may keep the old state until then."
            ),
            "Soft.TLabel",
        )
    frame.buttons((say("&Close"), close))


def bad(
    frame: Frame,
    way: Sequence[str],
    at: int,
    ended: person.Ended,
    actions: tuple[Action, Action],
) -> None:
    """It did not work, or is not at its end yet; what to do next."""
    again, close = actions
    failed = ended.next != "wait"
    frame.page(say(_HEADINGS[_known(ended.next)]), way, at, failed=failed)
    style = "BadBox.TLabel" if failed else "Card.TLabel"
    frame.box("\n".join(_sentences(ended.reason)), style, anchor="w")
    if ended.next in ("help-desk", "office", "wait"):
        frame.buttons((say("&Close"), close))
    else:
        frame.buttons((say("&Start again with a new code"), again), (say("&Close"), close))


def _known(next_word: Next) -> Next:
    return next_word if next_word in _HEADINGS else ""


def _sentences(text: str) -> list[str]:
    return [part if part.endswith(".") else part + "." for part in text.split(". ") if part]
