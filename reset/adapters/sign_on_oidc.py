"""Single sign-on: who logged in at the institution's OpenID Connect provider, just now.

Rules (OpenID Connect Core 1.0 section 3.1, RFC 9700):

1. Authorization code flow with PKCE (S256), state and nonce of one browser's one attempt.
2. The provider is asked for a fresh login (``prompt=login``, ``max_age=0``); an ID token that does
   not tell when that was, or tells an old one, is refused.
3. Signed with an asymmetric algorithm by a key of the provider, for this client alone.
4. HTTPS only, no redirects, a time-out for every call; the browser carries nothing but the code.
5. A provider that does not answer is left alone for a while: it holds up one visitor, not all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from reset.errors import SignOnRefused, Unavailable
from reset.ports import Attempt

ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
SECONDS = 5  # for one call of the provider
METADATA_AGE = 600  # seconds
REST = 10.0  # seconds until a provider that did not answer is asked again
FRESH = timedelta(minutes=10)  # from the login at the provider to the ID token in our hands
SKEW = timedelta(minutes=1)  # between two clocks
_SILENT = (requests.ConnectionError, requests.Timeout)
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class OidcSignOn:
    """The SingleSignOn port.

    Parameters: ``issuer``, its exact URL; ``client_id`` and ``client_secret`` as registered there;
    ``redirect_uri``, where the browser comes back; ``pid_claim``, the claim that is the login name;
    ``acr``, the class of authentication that is demanded, empty for any; ``ca_file``, None for the
    system's authorities.
    """

    def __init__(
        self,
        issuer: str,
        client_id: str,
        client_secret: str,
        redirect_uri: str,
        *,
        pid_claim: str,
        acr: str = "",
        ca_file: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer, self._client_id, self._secret = issuer, client_id, client_secret
        self._redirect_uri, self._pid_claim = redirect_uri, pid_claim
        self._acr, self._ca_file = acr, ca_file
        self._lock = threading.Lock()
        self._clock = clock
        self._metadata: tuple[float, dict[str, str]] | None = None
        self._rests_until = clock()

    def address(self, attempt: Attempt) -> str:
        """Where the browser is sent. Raises ``Unavailable``."""
        with self._asking() as client:
            url, _ = client.create_authorization_url(
                self._known(client)["authorization_endpoint"],
                state=attempt.state,
                nonce=attempt.nonce,
                code_challenge=create_s256_code_challenge(attempt.verifier),
                code_challenge_method="S256",
                prompt="login",
                max_age="0",
                **({"acr_values": self._acr} if self._acr else {}),
            )
            return str(url)

    def redeem(self, code: str, attempt: Attempt, at: datetime) -> str:
        """The login name of who logged in, for the code that the browser brought back.

        Raises ``SignOnRefused`` with the rule that was broken, ``Unavailable``.
        """
        with self._asking() as client:
            known = self._known(client)
            try:
                told = client.fetch_token(
                    known["token_endpoint"], code=code, code_verifier=attempt.verifier
                )
            except AuthlibBaseError as error:
                raise SignOnRefused(rule="code") from error
            keys = self._json(client, known["jwks_uri"])
        return self._checked(told, keys, attempt, at)

    def check(self) -> Mapping[str, str]:
        """Ask the provider for its metadata. Raises ``Unavailable``."""
        with self._asking() as client:
            self._known(client)
        return {self._issuer: "ok"}

    def _checked(
        self, told: dict[str, Any], keys: dict[str, Any], attempt: Attempt, at: datetime
    ) -> str:
        try:
            token = jwt.decode(told["id_token"], KeySet.import_key_set(keys), ALGORITHMS)  # type: ignore[arg-type]
            claims = CodeIDToken(
                token.claims,
                token.header,
                {
                    "iss": {"essential": True, "value": self._issuer},
                    "aud": {"essential": True, "value": self._client_id},
                    "nonce": {"essential": True, "value": attempt.nonce},
                },
                {"client_id": self._client_id, "access_token": told.get("access_token")},
            )
            claims.validate(now=int(at.timestamp()), leeway=int(SKEW.total_seconds()))
        except (JoseError, AuthlibBaseError, KeyError, TypeError, ValueError) as error:
            raise SignOnRefused(rule="id-token") from error
        since = claims.get("auth_time")
        if not isinstance(since, int) or isinstance(since, bool):
            raise SignOnRefused(rule="no-time")
        earliest, latest = (at - FRESH).timestamp(), (at + SKEW).timestamp()
        if not earliest < since <= latest:
            raise SignOnRefused(rule="not-fresh")
        if self._acr and claims.get("acr") != self._acr:
            raise SignOnRefused(rule="acr")
        pid = claims.get(self._pid_claim)
        if not isinstance(pid, str) or not pid:
            raise SignOnRefused(rule="no-name")
        return pid

    # --- the provider --------------------------------------------------------------------
    @contextmanager
    def _asking(self) -> Iterator[OAuth2Session]:
        """A client for a few calls. Raises ``Unavailable`` for whatever the network does."""
        with OAuth2Session(
            self._client_id,
            self._secret,
            token_endpoint_auth_method="client_secret_basic",  # noqa: S106  a method's name
            scope="openid profile",
            redirect_uri=self._redirect_uri,
            default_timeout=SECONDS,
        ) as client:
            client.trust_env = False
            client.max_redirects = 0
            client.verify = self._ca_file or True
            try:
                yield client
            except requests.RequestException as error:
                if isinstance(error, _SILENT):
                    self._rests_until = self._clock() + REST
                raise Unavailable(part="single-sign-on") from error

    def _known(self, client: OAuth2Session) -> dict[str, str]:
        """The provider's metadata (OpenID Connect Discovery 1.0 section 4), kept for minutes."""
        with self._lock:
            if self._clock() < self._rests_until:
                raise Unavailable(part="single-sign-on", why="no answer")
            if self._metadata is None or self._clock() - self._metadata[0] > METADATA_AGE:
                self._rests_until = self._clock() + REST  # for those who wait for the lock
                told = self._json(client, f"{self._issuer}/.well-known/openid-configuration")
                if told.get("issuer") != self._issuer or not all(
                    urlsplit(str(told.get(name))).scheme == "https" for name in _ENDPOINTS
                ):
                    raise Unavailable(part="single-sign-on", why="metadata")
                self._rests_until = self._clock()
                self._metadata = (self._rests_until, {n: str(told[n]) for n in _ENDPOINTS})
            return self._metadata[1]

    def _json(self, client: OAuth2Session, url: str) -> dict[str, Any]:
        reply = client.get(url, withhold_token=True)
        found = reply.json() if reply.status_code == 200 else None
        if not isinstance(found, dict):
            raise Unavailable(part="single-sign-on", why="answer")
        return found
