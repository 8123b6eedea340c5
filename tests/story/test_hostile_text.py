"""The story of people whose names, reason and PIN are full of what shells, mails and pages read.

Peer failure 32: each is text everywhere. A line break in what a person types is folded, one in what
the directory tells is refused.
"""

from __future__ import annotations

import csv
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape

from reset.core.approvals import one_line
from tests.institution.site import Institution, Someone, staff
from tests.institution.visitors import TokenVisitor
from tests.story.story import STEPS, Step, Story

MADE = "made-by-text"  # the file that a shell would make
TOP = Path(__file__).parents[2]
NAMES = {"holder": f"Hanna;$(>{MADE})&'", "supervisor": f'S"`>{MADE}`|<b>{{0}}'}
REASON = (
    f"blocked; $(>{MADE}) `>{MADE}` | <b>%s {{name}}\r\n"
    "decision: deny\nBcc: olga@elsewhere.example\r\n\r\n.\r\nmore"
)


class OddNames(Institution):
    """The institution, whose people have such names."""

    @classmethod
    def build(
        cls, root: Path, *, people: Mapping[str, Someone] | None = None, **more: Any
    ) -> Institution:
        """As any other; ``people`` are those of the story."""
        named = {part: replace(p, name=NAMES.get(part, p.name)) for part, p in staff().items()}
        return super().build(root, people=people or named, **more)


INSTITUTION = OddNames


@pytest.mark.parametrize(("title", "step"), STEPS, ids=[title for title, _ in STEPS])
def test_step(story: Story, title: str, step: Step) -> None:
    """It works for them as for everybody."""
    story.reason, story.pin_begins = REASON, f"New;$(>{MADE})&`|1"
    assert step(story)


def test_no_shell_has_read_it(story: Story) -> None:
    """Neither where the service runs nor where its files are, nor where the helper ran."""
    found = [p for top in (story.institution.root, TOP) for p in top.rglob(MADE)]
    assert found == []


def test_a_statement_has_one_line_for_each_field(story: Story) -> None:
    """What the supervisor has signed says what it says, whatever the holder typed."""
    with closing(sqlite3.connect(story.institution.root / "service.sqlite")) as database:
        (raw,) = database.execute("select statement from approvals").fetchone()
    lines = bytes(raw).decode().splitlines()
    assert [line for line in lines if line.startswith("decision")] == ["decision: approve"]
    assert f"reason: {one_line(REASON)}" in lines
    assert not re.search("[\r\n]", one_line(REASON))
    for part, field in (("holder", "holder-name"), ("supervisor", "approver-name")):
        assert f"{field}: {NAMES[part]}" in lines


def test_mails_go_to_whom_they_should(story: Story) -> None:
    """No header, recipient or end of a mail comes from a name or a reason."""
    here = story.institution
    told = {p.mail for p in here.people.values()} | {p.recovery for p in here.people.values()}
    boxes = {file.parent.name for file in here.mail_directory.glob("*/*.eml")}
    assert boxes < told
    assert here.people["operator"].recovery not in boxes
    (asked,) = [
        mail
        for mail in here.mails(here.people["supervisor"].mail)
        if "asks you to approve" in str(mail["Subject"])
    ]
    assert str(asked["Subject"]).startswith(NAMES["holder"])
    assert asked.keys().count("To") == 1
    assert "Bcc" not in asked
    text = str(asked.get_content())
    assert f"Hello {NAMES['supervisor']}," in text
    assert here.certificate_url in text, "nothing cuts the end off"


def test_pages_show_it_as_text(story: Story) -> None:
    """Each of these characters, and no tag made of them."""
    here = story.institution
    uid = here.people["holder"].uid
    supervisor, operator = TokenVisitor(here, "supervisor"), TokenVisitor(here, "operator")
    operator.send("/office/", "/office/look", uid=uid)
    pages = {
        one_line(REASON): supervisor.get(f"/approvals/{story.request}").text,
        NAMES["holder"]: operator.get("/office/person").text,
        NAMES["supervisor"]: operator.get("/office/person").text,
    }
    for text, page in pages.items():
        assert escape(text) in page, text
        assert "<b>" not in page


@pytest.mark.parametrize(
    "name", ["Hanna\nBcc: olga@elsewhere.example", "Hanna\u2028Holder", "Han\0na"]
)
def test_a_line_break_in_the_directory_is_refused(story: Story, tmp_path: Path, name: str) -> None:
    here, holder = story.institution, story.institution.people["holder"]
    file = tmp_path / "people.csv"
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow("uid pid name mail supervisor representative roles password".split())
        writer.writerow((holder.uid, holder.pid, name, holder.mail, "1002", "", "", ""))
    done = here.try_command("people", "import", str(file))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    with closing(sqlite3.connect(here.root / "service.sqlite")) as database:
        query = "select name from people where uid = ?"
        assert database.execute(query, (holder.uid,)).fetchone() == (holder.name,)
