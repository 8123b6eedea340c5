"""The link from the page: read strictly, confirmed, and opened by this program once registered."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkcs11_driver.helper import link, registering
from pkcs11_driver.helper.dialogue import Refused
from tests.driver.conftest import NEW_PIN, Holder
from tests.driver.program import ROOT, Office, helper, job
from tests.driver.service import problem, serve

SERVER = "https://reset.example.org"
GOOD = "token-reset://pair?code=ABCD-EFGH&server=https%3A%2F%2Freset.example.org"


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "token-reset://pair/?server=https://reset.example.org&code=ABCDEFGH",
        link.make("ABCD-EFGH", SERVER),
        link.make("ABCD-EFGH", SERVER + "/"),
    ],
)
def test_good_links(text: str) -> None:
    assert link.parse(text) == link.Link("ABCDEFGH", SERVER)
    assert link.parse(text, SERVER + "/").server == SERVER
    assert "ABCDEFGH" not in repr(link.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "token-reset:pair?code=ABCD-EFGH&server=https://reset.example.org",
        "token-reset://other?code=ABCD-EFGH&server=https://reset.example.org",
        "token-reset://pair/x?code=ABCD-EFGH&server=https://reset.example.org",
        "token-reset://user@pair?code=ABCD-EFGH&server=https://reset.example.org",
        "https://pair?code=ABCD-EFGH&server=https://reset.example.org",
        GOOD + "#x",
        GOOD + "&module=/tmp/evil.so",
        GOOD + "&code=ABCD-EFGH",
        GOOD + "\n",
        GOOD + " --module /tmp/evil.so",
        "token-reset://pair?code=ABCD-EFGH",
        "token-reset://pair?server=https://reset.example.org",
        "token-reset://pair?code=ABCD-EFG1&server=https://reset.example.org",
        "token-reset://pair?code=&server=https://reset.example.org",
        link.make("ABCD-EFGH", "http://reset.example.org"),
        link.make("ABCD-EFGH", "https://user:pw@reset.example.org"),
        link.make("ABCD-EFGH", "https://reset.example.org/path"),
        link.make("ABCD-EFGH", "https://reset.example.org?x=1"),
        link.make("ABCD-EFGH", "https://reset.example.org:port"),
        link.make("ABCD-EFGH", "https://ręset.example.org"),
        link.make("ABCD-EFGH", "https://-a.example.org"),
        link.make("ABCD-EFGH", "https://reset.example.org\n.evil.test"),
        link.make("ABCD-EFGH", "https://" + "a" * 600),
        "token-reset://pair?code=ABCD%ZZEFGH&server=https://reset.example.org",
        "",
    ],
)
def test_bad_links(text: str) -> None:
    with pytest.raises(Refused):
        link.parse(text)


@given(st.text(max_size=600) | st.text(max_size=60).map(lambda tail: GOOD + tail))
def test_anything_is_refused_or_good(text: str) -> None:
    try:
        found = link.parse(text)
    except Refused:
        return
    assert found.server.startswith("https://")


def test_a_registered_helper_serves_its_own_service_only() -> None:
    with pytest.raises(Refused, match=r"works with https://other\.example\.org only"):
        link.parse(GOOD, "https://other.example.org")


def test_the_server_is_confirmed_in_the_terminal() -> None:
    ran = helper(GOOD, "--module", "none.so", lines=("no",))
    assert ran.code == 1
    assert "A link asks this program to work with: https://reset.example.org" in ran.out
    assert helper(GOOD, "--server", "https://other.example.org").code == 1


def test_a_confirmed_link_does_the_job(blocked: Holder, tmp_path: Path) -> None:
    with serve(tmp_path, Office(blocked.made.serial)) as service:
        at = ("--ca", str(service.ca), "--module", blocked.at[0])
        ran = helper(
            *at, "--", link.make("ABCD-EFGH", service.url), lines=("yes", NEW_PIN, NEW_PIN)
        )
    assert ran.code == 0, ran.err


def test_a_code_works_once(blocked: Holder, tmp_path: Path) -> None:
    """A link that was followed before, by whomever, opens nothing."""

    class Once(Office):
        def claim(self, body: object) -> object:
            if self.key:
                return problem(403, "pairing-code-refused", "This code was used already.")
            return super().claim(body)

    office = Once(blocked.made.serial)
    assert job(blocked, office, tmp_path, NEW_PIN, NEW_PIN).code == 0
    ran = job(blocked, office, tmp_path, NEW_PIN, NEW_PIN)
    assert (ran.code, len(office.nonces)) == (1, 1)
    assert "used already" in ran.reason


class Noted:
    """A registry that remembers."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], str] = {}

    def write(self, key: str, name: str, value: str) -> None:
        self.values[key, name] = value

    def remove(self, key: str) -> None:
        assert not [k for k, _ in self.values if k.startswith(key + "\\")], "not the innermost"
        self.values = {at: value for at, value in self.values.items() if at[0] != key}


def test_what_is_written_on_windows() -> None:
    noted = Noted()
    start = [r"C:\Program Files\Token Helper\token-helper.exe", "--window", "--"]
    registering.write_keys(noted, start)
    assert noted.values == {
        (r"Software\Classes\token-reset", ""): "URL:Token reset",
        (r"Software\Classes\token-reset", "URL Protocol"): "",
        (
            r"Software\Classes\token-reset\shell\open\command",
            "",
        ): r'"C:\Program Files\Token Helper\token-helper.exe" --window -- "%1"',
    }
    registering.remove_keys(noted)
    assert noted.values == {}


def test_what_is_said_on_macos() -> None:
    (kind,) = registering.info_plist("1.0")["CFBundleURLTypes"]  # type: ignore[misc]
    assert kind["CFBundleURLSchemes"] == ["token-reset"]


def test_registering_on_linux_for_real(tmp_path: Path) -> None:
    """In a home of its own xdg-mime names our entry, and then no longer."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
        )

    def default() -> str:
        return run("xdg-mime", "query", "default", "x-scheme-handler/token-reset").stdout.strip()

    ours = (sys.executable, "-m", "pkcs11_driver.helper")
    done = run(*ours, "register-link", "--server", SERVER)
    assert done.returncode == 0, done.stderr
    assert default() == "token-helper.desktop"
    entry = home / ".local/share/applications/token-helper.desktop"
    assert f'"--window" "--server" "{SERVER}" "--" %u' in entry.read_text()
    if shutil.which("desktop-file-validate"):
        assert run("desktop-file-validate", str(entry)).returncode == 0
    assert run(*ours, "unregister-link").returncode == 0
    assert (default(), entry.exists()) == ("", False)


@pytest.mark.parametrize("awkward", ["/opt/a b", '/opt/"x"', "/opt/$x`y`", "/opt/50%", "/opt/a\\b"])
def test_a_desktop_entry_quotes_its_program(awkward: str) -> None:
    """Peer failure 32."""
    text = registering.desktop_entry([awkward, "--"])
    (line,) = [line for line in text.splitlines() if line.startswith("Exec=")]
    # as desktops read it: escapes of the file, then quotes, then field codes
    unescaped = line.removeprefix("Exec=").replace("\\\\", "\\")
    words = [a or b for a, b in re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', unescaped)]
    plain = [re.sub(r"\\(.)", r"\1", word).replace("%%", "%") for word in words]
    assert plain == [awkward, "--", "%u"]
