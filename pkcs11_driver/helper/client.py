"""The helper's side of the helper API (``wire``), over HTTPS.

Rules:

1. HTTPS only, TLS 1.2 or later, the server's certificate is always verified, and no redirect is
   followed: the pairing code and the PIN proof go to the address that the person gave, or nowhere.
2. ``claim`` is sent once, as it spends the code; the calls that the service answers alike when
   they are repeated are repeated when the connection is lost or a part of the service is away.
3. The system's proxy is used where there is one (``proxy``); TLS goes through it unopened.
4. A service of another protocol version is refused before anything but the code was sent.
5. A refusal is problem JSON (RFC 9457); its ``type`` is the code, its ``title`` the sentence.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import time
import typing
import urllib.parse
from collections.abc import Callable, Mapping

from pkcs11_driver.helper import proxy
from pkcs11_driver.helper.dialogue import one_line
from pkcs11_driver.helper.language import say
from pkcs11_driver.wire import (
    PROTOCOL,
    Claim,
    Claimed,
    JobState,
    PinRules,
    Release,
    Released,
    Report,
    WireError,
    from_json,
    to_json,
)

TIMEOUT = 15.0
SIZE_LIMIT = 256 * 1024
BACK_OFF = (1.0, 2.0, 4.0)

_LONGEST_WAIT = 86_400  # seconds
_PART_AWAY = "unavailable"  # often a restart: over before a person could take a new code
T = typing.TypeVar("T")


class ServiceError(Exception):
    """The service did not do what was asked; the text is one line for the person."""


class ServiceRefused(ServiceError):
    """The service's own answer. ``code`` is stable, ``data`` what came beside the sentence."""

    def __init__(
        self, code: str, title: str, detail: str, data: Mapping[str, object], status: int
    ) -> None:
        super().__init__(one_line(detail or title or code))
        self.code = code
        self.title = title
        self.detail = detail
        self.data = data
        self.status = status

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait before the same call is worth repeating, where the service said so."""
        value = self.data.get("retry_after")
        known = isinstance(value, int | float) and 0 <= value < _LONGEST_WAIT
        return float(value) if known else None  # type: ignore[arg-type]


class ServiceUnreachable(ServiceError):
    """No answer: no connection, connection lost, or too slow."""


class CertificateRefused(ServiceError):
    """The server could not show that it is the service."""


class ProtocolDiffers(ServiceError):
    """Helper and service do not speak the same version of the protocol."""


class AnswerGarbled(ServiceError):
    """An answer that is not of the helper API."""


class Client:
    """Calls of the helper API at one service."""

    def __init__(
        self, server: str, ca: str | None = None, *, pause: Callable[[float], None] = time.sleep
    ) -> None:
        """``server``: the service's https address; ``ca``: a PEM file of the only certificate
        authorities to trust, the system's when None; ``pause``: waits for seconds.

        Raises ``ValueError`` with one line for the person.
        """
        parts = urllib.parse.urlsplit(server)
        if parts.scheme != "https":
            raise ValueError(say("the service's address must begin with https://"))
        if not parts.hostname or parts.username or parts.query or parts.fragment:
            raise ValueError(
                say("the service's address must be like https://host or https://host:port")
            )
        self._host = parts.hostname
        self._port = parts.port or 443
        self._prefix = parts.path.rstrip("/")
        self._pause = pause
        self._proxy = proxy.for_host(self._host)
        try:
            self._tls = ssl.create_default_context(cafile=ca)
        except OSError as error:
            raise ValueError(
                say("cannot read the certificates in {file}: {reason}", file=ca, reason=error)
            ) from None
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2

    @property
    def host(self) -> str:
        """The service's name, with its port where that is not the usual one."""
        name = f"[{self._host}]" if ":" in self._host else self._host
        return name if self._port == 443 else f"{name}:{self._port}"

    @property
    def proxy(self) -> str:
        """The proxy on the way to it; empty for the direct way."""
        return self._proxy.host if self._proxy else ""

    def check(self) -> None:
        """Ask which protocol the service speaks; spends nothing. Raises ``ServiceError``."""
        try:
            status, _, body = self._exchange("GET", "/helper/v1/openapi.json", None, None)
            theirs = json.loads(body)["info"]["version"] if status == 200 else None
        except (ValueError, RecursionError, TypeError, LookupError):
            theirs = None
        if not isinstance(theirs, str):
            raise AnswerGarbled(_not_understood("openapi.json"))
        _check_protocol(theirs)

    def claim(self, message: Claim) -> Claimed:
        """Trade a pairing code for a job; sent once. Raises ``ServiceError``."""
        claimed = self._call("POST", "/helper/v1/claim", Claimed, message)
        _check_protocol(claimed.protocol)
        # both go into a request line or header; what they may be is checked before, not quoted
        if not all(re.fullmatch(r"[A-Za-z0-9._~+/=-]{1,512}", v) for v in _parts(claimed)):
            raise AnswerGarbled(_not_understood("job, secret"))
        if not re.fullmatch(r"([0-9a-f]{2}){0,64}", claimed.key_id):
            raise AnswerGarbled(_not_understood("key_id"))
        rules, floor = claimed.pin_rules, PinRules()
        weaker = rules.minimum < floor.minimum or rules.classes < floor.classes
        # so many forbidden characters or so short a maximum would leave few PINs; some cards take 8
        if weaker or rules.maximum < rules.minimum or len(rules.forbidden) > 16:
            raise AnswerGarbled(say("The service asks for a weaker PIN than this program accepts."))
        return claimed

    def release(self, claimed: Claimed, message: Release) -> Released:
        """Ask for the sealed order; repeated with the same nonce. Raises ``ServiceError``."""
        return self._repeated("POST", _path(claimed, "/release"), Released, message, claimed.secret)

    def report(self, claimed: Claimed, message: Report) -> JobState:
        """Say what happened; repeated. Raises ``ServiceError``."""
        return self._repeated("POST", _path(claimed, "/report"), JobState, message, claimed.secret)

    def state(self, claimed: Claimed) -> JobState:
        """The state of the job; repeated. Raises ``ServiceError``."""
        return self._repeated("GET", _path(claimed, ""), JobState, None, claimed.secret)

    def _repeated(self, method: str, path: str, kind: type[T], message: object, secret: str) -> T:
        for seconds in BACK_OFF:
            try:
                return self._call(method, path, kind, message, secret)
            except ServiceUnreachable:
                pass
            except ServiceRefused as error:
                if error.code != _PART_AWAY:
                    raise
            self._pause(seconds)
        return self._call(method, path, kind, message, secret)

    def _call(
        self, method: str, path: str, kind: type[T], message: object, secret: str | None = None
    ) -> T:
        status, content_type, body = self._exchange(method, path, message, secret)
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if 200 <= status < 300 and content_type == "application/json":
            try:
                return from_json(kind, answer, "answer")
            except WireError as error:
                reason = one_line(f"{error.field} {error.rule}")
                raise AnswerGarbled(_not_understood(reason)) from None
        if content_type == "application/problem+json" and isinstance(answer, dict):
            raise _refusal(answer, status)
        if 300 <= status < 400:
            raise AnswerGarbled(
                say("The service sent the helper elsewhere, which is never followed.")
            )
        if status in (502, 503, 504):
            raise ServiceUnreachable(
                say("The service is not available now (HTTP {status}).", status=status)
            )
        raise AnswerGarbled(
            say("The address does not answer like the service (HTTP {status}).", status=status)
        )

    def _connection(self) -> http.client.HTTPSConnection:
        if self._proxy is None:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=TIMEOUT, context=self._tls
            )
        connection = http.client.HTTPSConnection(
            self._proxy.host, self._proxy.port, timeout=TIMEOUT, context=self._tls
        )
        # the TLS context checks the certificate against the name given here, not the proxy's
        connection.set_tunnel(self._host, self._port, self._proxy.headers)
        return connection

    def _exchange(
        self, method: str, path: str, message: object, secret: str | None
    ) -> tuple[int, str, bytes]:
        headers = {"Accept": "application/json, application/problem+json"}
        body = None
        if message is not None:
            body = json.dumps(to_json(message)).encode()
            headers["Content-Type"] = "application/json"
        if secret is not None:
            headers["Authorization"] = f"Bearer {secret}"
        connection = self._connection()
        try:
            connection.request(method, self._prefix + path, body, headers)
            response = connection.getresponse()
            received = response.read(SIZE_LIMIT + 1)
        except ssl.SSLCertVerificationError as error:
            raise CertificateRefused(
                say(
                    "{host} could not show that it is the service ({reason}). Nothing was sent.",
                    host=self._host,
                    reason=one_line(error.verify_message),
                )
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise ServiceUnreachable(
                say(
                    "The service at {host} does not answer ({reason}).",
                    host=self._host,
                    reason=one_line(_why(error)),
                )
            ) from None
        finally:
            connection.close()
        if len(received) > SIZE_LIMIT:
            raise AnswerGarbled(say("The service's answer is too long."))
        return response.status, response.headers.get_content_type(), received


def _check_protocol(theirs: str) -> None:
    if theirs == PROTOCOL:
        return
    if theirs.isdecimal() and int(theirs) > int(PROTOCOL):
        raise ProtocolDiffers(
            say("The service needs a newer helper. Install the one that your institution offers.")
        )
    raise ProtocolDiffers(
        say("The service speaks a protocol that is too old to be safe. Tell the help desk.")
    )


def _not_understood(reason: str) -> str:
    return say("The service's answer is not understood ({reason}).", reason=reason)


def _parts(claimed: Claimed) -> tuple[str, str]:
    return claimed.job, claimed.secret


def _path(claimed: Claimed, call: str) -> str:
    return f"/helper/v1/jobs/{urllib.parse.quote(claimed.job, safe='')}{call}"


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _refusal(answer: Mapping[str, object], status: int) -> ServiceRefused:
    known = ("type", "title", "detail", "status", "instance")
    code, title, detail = (str(answer.get(name, ""))[:2000] for name in known[:3])
    data = {name: value for name, value in answer.items() if name not in known}
    return ServiceRefused(code, title, detail, data, status)
