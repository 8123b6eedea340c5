"""What a site's views stand on: the flows, the settings, and which of the two sites it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast
from urllib.parse import urlsplit

from flask import Flask, current_app, g

from reset.core.identities import Person
from reset.core.policy import Policy
from reset.core.tokens import Token
from reset.flows.approve import Approve
from reset.flows.auditing import Auditing
from reset.flows.authenticators import Authenticators
from reset.flows.custody import Custody
from reset.flows.enrol import Enrol
from reset.flows.login import Login
from reset.flows.operate import Operate
from reset.flows.pairing import Pair
from reset.flows.recover import Recover
from reset.flows.rehearse import Rehearse
from reset.flows.revocation import RevocationKeeping
from reset.flows.sessions import Sessions
from reset.flows.times import UTC_TIME, LocalTime

SiteName = Literal["public", "certificate"]


@dataclass(frozen=True)
class Flows:
    """The flows that pages call. ``health`` raises ``Unavailable`` when a part is gone."""

    login: Login
    sessions: Sessions
    enrol: Enrol
    authenticators: Authenticators
    rehearse: Rehearse
    recover: Recover
    approve: Approve
    pair: Pair
    custody: Custody
    operate: Operate
    auditing: Auditing
    revocation: RevocationKeeping
    health: Callable[[], Mapping[str, str]]


@dataclass(frozen=True)
class WebSettings:
    """``public_url``, ``certificate_url``: the addresses of the sites, the only source of hosts.

    ``secret_key`` signs form tokens; ``institution`` is a name; ``office`` the address and opening
    hours of the registration office; ``help_desk`` how to reach it; ``metrics_token`` empty:
    metrics go to loopback only; ``sockets``: where the sites' unix sockets are behind a proxy;
    ``sign_on``: what people call their single sign-on, empty without; ``local``: the clock that
    people read.
    """

    public_url: str
    certificate_url: str
    secret_key: bytes = field(repr=False)
    institution: str
    office: str
    help_desk: str
    policy: Policy
    metrics_token: str = field(default="", repr=False)
    sockets: Path | None = None
    sign_on: str = ""
    local: LocalTime = UTC_TIME

    def __post_init__(self) -> None:
        if len(self.secret_key) < 32:
            raise RuntimeError("secret_key: at least 32 bytes")
        if self.public_url == self.certificate_url:
            raise RuntimeError("the two sites must differ")
        for url in (self.public_url, self.certificate_url):
            if urlsplit(url).scheme != "https":
                raise RuntimeError("sites are https only")


@dataclass(frozen=True)
class Site:
    """One of the two sites. ``origin`` is what a browser sends as ``Origin``; ``host`` as
    ``Host``."""

    name: SiteName
    flows: Flows
    settings: WebSettings

    @property
    def url(self) -> str:
        """The address of this site, without a slash at the end."""
        settings = self.settings
        return (settings.public_url if self.name == "public" else settings.certificate_url).rstrip(
            "/"
        )

    @property
    def host(self) -> str:
        """Host and port as a browser sends them: the default port is left out."""
        return urlsplit(self.url).netloc.lower().removesuffix(":443")

    @property
    def socket(self) -> Path | None:
        """The unix socket where the proxy hands over requests; None without a proxy."""
        sockets = self.settings.sockets
        return socket_in(sockets, self.name) if sockets else None

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"https://{self.host}"


def socket_in(sockets: Path, name: SiteName) -> Path:
    """The unix socket of a site in the directory ``sockets``."""
    return sockets / f"{name}.socket"


def install(app: Flask, site: Site) -> None:
    """Make ``site`` the site of ``app``."""
    app.extensions["reset-site"] = site


def site() -> Site:
    """The site that serves this request."""
    return cast(Site, current_app.extensions["reset-site"])


def flows() -> Flows:
    """The flows of this request's site."""
    return site().flows


def person() -> Person:
    """Who is logged in; a view behind a guard always has somebody."""
    found: Person | None = g.get("person")
    if found is None:
        raise RuntimeError("a view without a guard asked for the person")
    return found


def token() -> Token:
    """The token whose certificate the TLS connection showed (certificate site)."""
    found: Token | None = g.get("token")
    if found is None:
        raise RuntimeError("only the certificate site knows the token")
    return found
