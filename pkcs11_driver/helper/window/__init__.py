"""The helper in a window, with the same flows as in the terminal.

Rules:

1. Only the main thread touches Tk; only the job's thread touches tokens and network.
2. Closing is refused while the token changes. While the report is on its way the person is told
   what closing means and may close on the second try. Before that, closing changes nothing.
3. One job at a time; each has a thread, and the next begins when it has ended.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import sys
import threading
import tkinter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pkcs11_driver import wire
from pkcs11_driver.helper import language, reset, work
from pkcs11_driver.helper.client import Client
from pkcs11_driver.helper.dialogue import Refused, one_line
from pkcs11_driver.helper.language import say
from pkcs11_driver.helper.window import newpin, person, screens
from pkcs11_driver.helper.window.frame import Frame

_POLL = 30
_PLACES = {"code": 0, "words": 1, "token": 2, "statement": 2, "pin": 3, "change": 4, "report": 4}


@dataclass(frozen=True)
class Start:
    """How the window begins: with an address, a code, or neither; ``by_link`` asks whether the
    address is the right one, ``refused`` says why a link is not followed. ``ca``: the only
    certificate authorities to trust."""

    server: str
    code: str = field(repr=False)
    ca: str | None
    modules: tuple[str, ...]
    by_link: bool = False
    refused: str = ""


class Window:
    """Shows the pages of one job after the other; ``succeeded`` tells how the last one ended."""

    def __init__(self, root: tkinter.Tk, start: Start) -> None:
        self._root, self._start = root, start
        self._frame = Frame(root)
        self._server = start.server
        self._person = person.Person()
        self._kind: wire.Kind | None = None
        self._stage = "code"
        self._running = False
        self._asked_to_close = False
        self._token: person.Found | None = None
        self._answers: queue.SimpleQueue[str | bool | None] | None = None
        self._change: newpin.ChangePage | None = None
        self.succeeded = False
        self._frame.place.configure(text=start.server)
        root.protocol("WM_DELETE_WINDOW", self.close)
        self._first_page()
        root.after(_POLL, self._poll)

    # --- pages ---------------------------------------------------------------------
    def _way(self) -> list[str]:
        third = say("Statement") if self._kind == "approve" else say("Token")
        fourth = say("PIN") if self._kind == "approve" else say("New PIN")
        return [say("Code"), say("Words"), third, fourth, say("Done")]

    def _first_page(self) -> None:
        start = self._start
        if start.refused:
            self._end(person.Ended(None, start.refused))
        elif start.by_link:
            host = Client(start.server, start.ca).host
            screens.trust(
                self._frame,
                self._way(),
                host,
                lambda: self._begin(start.code, start.server),
                self.close,
            )
        elif start.server and wire.is_code(wire.tidy_code(start.code)):
            self._begin(wire.tidy_code(start.code), start.server)
        else:
            self._code_page(start.code)

    def _code_page(self, typed: str = "") -> None:
        self._kind, self._stage, self._token = None, "code", None
        screens.code(
            self._frame, self._way(), self._server, typed, self._begin, self._other_language
        )

    def _other_language(self) -> None:
        other = next(key for key in language.LANGUAGES if key != language.in_use())
        language.use(other)
        self._code_page()

    def _begin(self, code: str, server: str) -> None:
        try:
            client = Client(server, self._start.ca)
        except ValueError as error:
            self._frame.note(one_line(str(error)))
            return
        self._server = server
        self._frame.place.configure(text=server)
        self._running, self._asked_to_close = True, False
        screens.busy(self._frame, self._way(), 0, say("Asking the service …"))
        threading.Thread(target=self._work, args=(client, code), daemon=True).start()

    def _work(self, client: Client, code: str) -> None:
        messages = self._person.messages
        try:
            kind = work.do(client, code, self._start.modules, self._person)
        except Refused as error:
            messages.put(person.Ended(None, work.reason(error), error.next))
        except work.EXPECTED as error:
            messages.put(person.Ended(None, work.reason(error)))
        except BaseException:
            messages.put(person.Ended(None, say("This program failed. Look at the page.")))
            raise
        else:
            messages.put(person.Ended(kind))

    # --- what the job says -----------------------------------------------------------
    def _poll(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._take(self._person.messages.get_nowait())
        self._root.after(_POLL, self._poll)

    def _take(self, message: object) -> None:
        match message:
            case person.Begun():
                self._kind = message.kind or self._kind
                if message.stage:
                    self._enter(message.stage)
            case person.Told() if self._change and message.step:
                self._change.tick(message.step, message.text)
            case person.Told() if self._change:
                self._change.say(message.text)
            case person.Found():
                self._token = message
            case person.Question():
                self._answers = message.answers
                self._ask(message.about)
            case person.Ended():
                self._end(message)

    def _enter(self, stage: str) -> None:
        self._stage = stage
        if stage == "change":
            self._change = newpin.ChangePage(
                self._frame, self._way(), lambda name: say(reset.STEPS[name])
            )
        elif stage == "token":
            screens.busy(self._frame, self._way(), 2, say("Looking for the token …"))
        elif stage == "report" and not self._change:
            screens.busy(self._frame, self._way(), 4, say("Telling the service …"))

    def _ask(self, about: object) -> None:
        frame, way = self._frame, self._way()
        match about:
            case person.Words():
                screens.words(frame, way, about, self._answer)
            case person.PlugIn():
                screens.plug_in(frame, way, 2, about, self._answer)
            case person.NewPin():
                newpin.NewPinPage(frame, way, about, self._token, self._answer)
            case person.Agree():
                screens.statement(frame, way, about, self._answer)
            case person.Pin():
                screens.pin(frame, way, about, self._answer)

    def _answer(self, answer: str | bool | None) -> None:
        answers, self._answers = self._answers, None
        if answers is not None:
            at = _PLACES[self._stage]
            screens.busy(self._frame, self._way(), at, say("One moment …"))
            answers.put(answer)

    def _end(self, ended: person.Ended) -> None:
        self._running, self._change = False, None
        self.succeeded = not ended.reason
        if self.succeeded:
            screens.good(self._frame, self._way(), ended.kind, self.close)
        else:
            screens.bad(
                self._frame,
                self._way(),
                _PLACES[self._stage],
                ended,
                (self._code_page, self.close),
            )

    # --- closing -----------------------------------------------------------------------
    def close(self) -> None:
        """Close, or say why not."""
        if self._running and self._stage == "change":
            self._frame.note(
                say(
                    "Not now: the token is being changed, and closing could leave it half done. "
                    "It takes seconds."
                )
            )
            return
        if self._running and self._stage == "report" and not self._asked_to_close:
            self._asked_to_close = True
            self._frame.note(
                say(
                    "The service has not answered yet. If you close now, it finds out by itself, "
                    "but later. Close once more to do so."
                )
            )
            return
        if self._answers is not None:
            self._answers.put(None)
        self._root.destroy()


def run(start: Start) -> int:
    """Show the window until it is closed. Returns the exit code.

    Raises ``Refused`` where there is no screen, ``ValueError`` for an address that is none.
    """
    if start.server:
        Client(start.server, start.ca)
    _sharp_on_windows()
    try:
        root = tkinter.Tk(className="Token-helper")
    except tkinter.TclError:
        raise Refused(
            say("There is no screen for a window here. Start without --window.")
        ) from None
    window = Window(root, start)
    with _closed_by_signals(window.close):
        root.mainloop()
    return 0 if window.succeeded else 1


@contextlib.contextmanager
def _closed_by_signals(close: Callable[[], None]) -> Iterator[None]:
    """A signal that would end the program asks to close it, as the person does."""
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, lambda *_: close()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _sharp_on_windows() -> None:
    """Windows enlarges a program as a blurred picture unless it says that it does so itself."""
    if sys.platform == "win32":
        import ctypes

        with contextlib.suppress(AttributeError, OSError):
            ctypes.windll.shcore.SetProcessDpiAwareness(1)
