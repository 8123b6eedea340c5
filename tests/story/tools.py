"""What somebody who tries the demo by hand needs: block the token, read mail, a browser."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.institution.site import Institution
from tests.institution.tokens import wrong_logins


def block(institution: Institution) -> None:
    """Type ten wrong PINs into the holder's token."""
    print(wrong_logins(institution.tokens["holder"], 11)[-1])


def mail(institution: Institution, address: str = "") -> None:
    """Show the newest mail of all, or of one address, as a person reads it."""
    boxes = {file.parent.name for file in institution.mail_directory.glob("*/*.eml")}
    if address and address not in boxes:
        sys.exit(
            f"no mail for {address}; there is mail for: {', '.join(sorted(boxes)) or 'nobody'}"
        )
    files = sorted(institution.mail_directory.glob(f"{address or '*'}/*.eml"), key=lambda f: f.name)
    if not files:
        sys.exit("no mail yet")
    newest = institution.mails(files[-1].parent.name)[-1]
    print(f"To: {newest['To']}\nSubject: {newest['Subject']}\n\n{newest.get_content()}")


def browser(institution: Institution, part: str = "holder") -> None:
    """Chromium with a profile of its own that knows the CA and the person's token."""
    if part not in institution.tokens:
        sys.exit(f"no token of {part}; there are: {', '.join(institution.tokens)}")
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        sys.exit(
            "The browser needs a screen: run this in a graphical session (DISPLAY is not set)."
        )
    home = institution.root / "browsers" / part
    nss = home / ".pki" / "nssdb"
    if not nss.is_dir():
        nss.mkdir(parents=True)
        database = f"sql:{nss}"
        module = str(institution.tokens[part].module)
        anchors = str(institution.authority.anchors_pem)
        _run("certutil", "-N", "-d", database, "--empty-password")
        _run("certutil", "-A", "-d", database, "-n", "demo CA", "-t", "C,,", "-i", anchors)
        _run(
            *("modutil", "-force", "-dbdir", database, "-add", "token"),
            *("-libfile", module),
        )
    address = institution.public_url if part == "holder" else institution.certificate_url
    profile = f"--user-data-dir={home / 'profile'}"
    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
    os.execvpe(
        "chromium",
        ["chromium", profile, "--no-first-run", *sandbox, address],
        {**os.environ, "HOME": str(home)},
    )


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)


if __name__ == "__main__":
    words = sys.argv[3:]
    {"block": block, "mail": mail, "browser": browser}[sys.argv[1]](
        Institution.load(Path(sys.argv[2])), *words
    )
