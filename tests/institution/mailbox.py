"""An SMTP server of its own process that keeps every mail as a file: the demo's mailboxes.

``python -m tests.institution.mailbox PORT DIRECTORY``; one ``.eml`` file a mail, in a folder named
after the recipient's address.
"""

from __future__ import annotations

import email
import email.policy
import os
import sys
import threading
import time
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller


class _Keeper:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        for recipient in envelope.rcpt_tos:
            self._count += 1
            box = self._directory / str(recipient).replace("/", "_")
            box.mkdir(parents=True, exist_ok=True)
            name = f"{time.time_ns()}-{self._count}"
            part = box / f".{name}.part"
            part.write_bytes(envelope.content)
            part.rename(box / f"{name}.eml")
        return "250 Message accepted for delivery"


def mails(directory: Path, address: str) -> list[EmailMessage]:
    """The mails to ``address`` in the order of arrival."""
    box = directory / address
    files = sorted(box.glob("*.eml")) if box.is_dir() else []
    parse = email.policy.default
    return [
        message
        for file in files
        if isinstance(
            message := email.message_from_bytes(file.read_bytes(), policy=parse), EmailMessage
        )
    ]


def main() -> None:
    """Serve until the parent ends."""
    port, directory = int(sys.argv[1]), Path(sys.argv[2])
    directory.mkdir(parents=True, exist_ok=True)
    controller = Controller(_Keeper(directory), hostname="127.0.0.1", port=port, ready_timeout=60)
    controller.start()
    print("mailbox ready", flush=True)
    parent = os.getppid()
    while os.getppid() == parent:
        threading.Event().wait(1.0)


if __name__ == "__main__":
    main()
