"""Mail by SMTP (RFC 5321), one recipient a message."""

from __future__ import annotations

import logging
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from typing import Literal

from reset.errors import Unavailable

_log = logging.getLogger("reset.mail")
TIMEOUT = 20.0  # seconds for every step of the conversation


class SmtpMailer:
    """The Mailer port. ``security``: ``starttls`` or ``tls``, verified; ``none`` for loopback."""

    def __init__(
        self,
        host: str,
        port: int,
        security: Literal["starttls", "tls", "none"],
        sender: str,
        *,
        user: str = "",
        password: str = "",
        ca_file: str | None = None,
    ) -> None:
        self._host, self._port, self._security = host, port, security
        self._sender, self._user, self._password = sender, user, password
        self._context = ssl.create_default_context(cafile=ca_file)

    def send(self, to: str, subject: str, body: str, message_id: str) -> None:
        """Deliver one mail to one address. Raises ``Unavailable`` whatever goes wrong."""
        message = EmailMessage()
        try:
            message["From"] = self._sender
            message["To"] = to
            # what looks like an encoded word (RFC 2047) would be decoded, line breaks and all
            message["Subject"] = subject.replace("=?", "= ?")
            message["Date"] = formatdate()
            message["Message-ID"] = f"<{message_id}@{self._sender.rpartition('@')[2].rstrip('>')}>"
            message["Auto-Submitted"] = "auto-generated"
            message.set_content(body)
            if [a.addr_spec for a in message["To"].addresses] != [to]:
                raise ValueError("not one plain address")
            with self._connect() as server:
                if self._user:
                    server.login(self._user, self._password)
                server.send_message(message, to_addrs=[to])
        except Exception as error:  # noqa: BLE001 - the library's parsers raise anything
            # the type only: servers quote addresses and texts in their answers
            _log.warning("mail %s was not sent: %s", message_id, type(error).__name__)
            raise Unavailable(part="mail") from None

    def _connect(self) -> smtplib.SMTP:
        if self._security == "tls":
            return smtplib.SMTP_SSL(self._host, self._port, timeout=TIMEOUT, context=self._context)
        server = smtplib.SMTP(self._host, self._port, timeout=TIMEOUT)
        if self._security == "starttls":
            try:
                server.starttls(context=self._context)
            except BaseException:
                server.close()
                raise
        return server
