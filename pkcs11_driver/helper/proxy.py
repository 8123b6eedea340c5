"""Which proxy the system asks to use for a service, and what it needs to be told.

The settings are those that Python reads from environment, Windows registry or macOS preferences
(``urllib.request.getproxies``). The proxy sees the service's name and port and then passes TLS
through (CONNECT, RFC 9110 section 9.3.6): the certificate is checked end to end as without it.
Rules: this computer itself is never reached over a proxy; a proxy that is named but cannot be used
is an error, and nothing is sent around it.
"""

from __future__ import annotations

import base64
import ipaddress
import urllib.parse
import urllib.request
from dataclasses import dataclass, field

from pkcs11_driver.helper.language import say


@dataclass(frozen=True)
class Proxy:
    """Where it is, and the headers of CONNECT, which may hold its password."""

    host: str
    port: int
    headers: dict[str, str] = field(repr=False)


def for_host(host: str) -> Proxy | None:
    """The system's proxy for HTTPS to ``host``, None for the direct way.

    Raises ``ValueError`` with one line for the person.
    """
    if _is_this_computer(host) or urllib.request.proxy_bypass(host):
        return None
    named = urllib.request.getproxies()
    address = named.get("https") or named.get("all")
    return _parse(address) if address else None


def _is_this_computer(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _parse(address: str) -> Proxy:
    parts = urllib.parse.urlsplit(address if "://" in address else f"http://{address}")
    try:
        port = parts.port or 8080
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or not port:
        # never quoted whole: it may hold a password
        raise ValueError(
            say(
                "the system's proxy setting ({place}) cannot be used; it must be http://host:port",
                place=f"{parts.scheme}://{parts.hostname or ''}",
            )
        )
    headers = {}
    if parts.username is not None:
        who = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(who.encode()).decode()}"
    return Proxy(parts.hostname, port, headers)
