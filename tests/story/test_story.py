"""The story as the end-to-end test, and what must hold of the processes after it."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.institution.site import Institution
from tests.institution.visitors import TokenVisitor, Visitor
from tests.story.story import BAD_PIN, STEPS, Step, Story, set_new_pin, so_pin_in_escrow


@pytest.fixture(scope="module")
def relayed() -> list[bytes]:
    """The memory of the web process right after it has relayed the sealed order."""
    return []


@pytest.mark.parametrize(("title", "step"), STEPS, ids=[title for title, _ in STEPS])
def test_step(story: Story, relayed: list[bytes], title: str, step: Step) -> None:
    """Each step of the story, in order; a step that fails fails those that stand on it.

    T7: a token that is blocked by wrong PINs works again, without a way to the office.
    """
    serving = story.institution.process("serve").pid
    assert step(story)
    if step is set_new_pin:  # before the next step restarts the service
        assert story.institution.process("serve").pid == serving
        relayed.append(_memory(serving))


def _memory(pid: int) -> bytes:
    """All readable memory of a process."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            area = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if area and "[v" not in line:
                memory.seek(int(area[1], 16))
                try:
                    found.append(memory.read(int(area[2], 16) - int(area[1], 16)))
                except OSError:
                    continue
    return b"".join(found)


def _so_pins(institution: Institution) -> list[bytes]:
    """The holder's SO PINs: the first one, and the one that the reset has set."""
    token = institution.tokens["holder"]
    return [token.so_pin.encode(), so_pin_in_escrow(institution, token.serial).encode()]


def test_the_web_process_cannot_read_an_so_pin(story: Story, relayed: list[bytes]) -> None:
    """Memory, files and database of the web process hold no SO PIN (promise 2)."""
    here = story.institution
    (memory,) = relayed
    for known in (here.people["holder"].uid, here.tokens["holder"].serial, story.request):
        assert known.encode() in memory, "what the process has handled is found"
    pins = _so_pins(here)
    assert len(set(pins)) == 2
    for pin in pins:
        assert pin not in memory
    service = here.config.read_text()
    for name in ("hsm", "custodian.toml", "ledger", "pin_file"):
        assert name not in service
    for file in (here.root / "service.sqlite", here.config, here.log):
        assert not any(pin in file.read_bytes() for pin in pins), file


def test_no_secret_of_the_story_lies_anywhere(story: Story) -> None:
    """PINs, answers, passwords and codes are in no log, mail, audit entry or database field."""
    here = story.institution
    token = here.tokens["holder"]
    secrets = {
        "new PIN": story.new_pin,
        "old PIN": story.old_pin,
        "bad PIN": BAD_PIN,
        "SO PIN": token.so_pin,
        "supervisor's PIN": here.tokens["supervisor"].user_pin,
        "HSM PIN": (here.root / "secrets" / "hsm-pin").read_text(),
        "form key": (here.root / "secrets" / "form-key").read_text(),
        **{f"password of {part}": p.password for part, p in here.people.items()},
        **{f"answer to {q}": a for q, a in story.answers.items()},
    }
    stored = _stored(here.root / "service.sqlite")
    mails = "".join(f.read_text() for f in here.mail_directory.glob("*/*.eml"))
    codes = set(re.findall(r"your code is: (\d{8})", mails))
    assert codes
    for name, secret in secrets.items():
        raw, as_hex = secret.encode(), secret.encode().hex().encode()
        for place, held in (
            ("log", here.log.read_bytes()), ("database", stored), ("mail", mails.encode()),
        ):  # fmt: skip
            assert raw not in held, f"{name} is in the {place}"
            assert as_hex not in held.lower(), f"{name} is in the {place}, as hex"
    for code in codes:
        assert code not in here.log.read_text()
        assert code.encode() not in stored


def _stored(file: Path) -> bytes:
    """Every value of every table as it is; a dump writes bytes as hex, which is full of digits."""
    with closing(sqlite3.connect(file)) as db:
        tables = [n for (n,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        rows = [row for name in tables for row in db.execute(f'SELECT * FROM "{name}"')]
    assert len(rows) > 50
    values = [value for row in rows for value in row]
    return b"\n".join(v if isinstance(v, bytes) else str(v).encode() for v in values)


def test_no_secret_on_a_command_line(story: Story) -> None:
    """Peer failure 32, T13: no process shows a secret in its arguments or environment."""
    here = story.institution
    secret = [p.password for p in here.people.values()] + [story.new_pin]
    secret += [(here.root / "secrets" / "hsm-pin").read_text()]
    serving = here.process("serve").pid
    pids = [str(serving)]
    tasks = Path(f"/proc/{serving}/task")
    for children in tasks.glob("*/children"):
        with suppress(OSError):  # a thread that has ended since
            pids += children.read_text().split()
    assert len(pids) == 3, "serve, custodian, worker"
    for pid in pids:
        for name in ("cmdline", "environ"):
            raw = Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
            assert not any(word in raw for word in secret), (pid, name)


def test_the_public_site_never_leads_to_the_certificate_site(story: Story) -> None:
    """T21. No link, redirect or sub-resource of the public site points there (design section 6)."""
    here = story.institution
    visitor = Visitor(here)
    pages = [visitor.get("/").text, visitor.get("/login").text]
    visitor.log_in("holder")
    pages += [visitor.get("/").text, visitor.get(story.page).text]
    port = str(here.ports["certificate"])
    for page in pages:
        for target in re.findall(r'(?:href|src|action|content)="([^"]*)"', page):
            assert port not in target, target


def test_auditor_and_office_pages_answer(story: Story) -> None:
    """The operator finds the holder and reads the log; the holder may not."""
    operator = TokenVisitor(story.institution, "operator")
    uid = story.institution.people["holder"].uid
    operator.send("/office/", "/office/look", uid=uid)
    assert story.institution.people["holder"].name in operator.get("/office/person").text
    assert "reset-done" in operator.get("/audit").text
    supervisor = TokenVisitor(story.institution, "supervisor")
    assert supervisor.get("/audit").status == 403
    assert supervisor.get("/office/person").status == 403
