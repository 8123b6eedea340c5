"""Settings: one frozen object for the service, one for the custodian, checked once at start.

Each is a TOML file; relative paths are taken from the file's own directory. Unknown and missing
keys refuse to start, secrets are read from files of their own and kept out of every repr. There
are no default secrets.
"""

from __future__ import annotations

import os
import stat
import tomllib
import zoneinfo
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretBytes,
    SecretStr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from pkcs11_driver.wire import PinRules
from reset.core.assurance import LOGINS
from reset.core.deviations import Acceptance
from reset.core.identities import ROLES
from reset.core.policy import CodeBox, Policy
from reset.errors import SettingsRefused

SERVICE_VARIABLE = "TOKEN_RESET_CONFIG"
CUSTODIAN_VARIABLE = "TOKEN_RESET_CUSTODIAN_CONFIG"


def _from_here(path: Path, info: ValidationInfo) -> Path:
    base = info.context["base"] if info.context else Path()
    return Path(os.path.normpath(base / path))


def _existing(path: Path) -> Path:
    if not path.exists():
        raise ValueError("no such file or directory")
    return path


def _no_slash(url: str) -> str:
    if not url.startswith("https://") or url.count("/") > 2:
        raise ValueError("must be https://host or https://host:port, nothing behind")
    return url


def _role(name: str) -> str:
    if name not in ROLES:
        raise ValueError(f"roles are {', '.join(sorted(ROLES))}")
    return name


def _zone(name: str) -> str:
    # two of its files name no place: a placeholder, and whatever this machine has
    if name not in zoneinfo.available_timezones() - {"Factory", "localtime"}:
        raise ValueError("not the IANA name of a time zone, such as Europe/Berlin or UTC")
    return name


OurPath = Annotated[Path, AfterValidator(_from_here)]
OurFile = Annotated[OurPath, AfterValidator(_existing)]
SiteUrl = Annotated[str, AfterValidator(_no_slash)]
Address = Annotated[str, Field(pattern=r"^[^\s:]+:\d{1,5}$")]
Text = Annotated[str, Field(min_length=1, max_length=500)]
SourceUrl = Annotated[str, Field(pattern=r"^https?://[^\s@#/]+(/[^\s@#]*)?$")]
Dn = Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+ *=.+$", max_length=500)]
Attribute = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*$")]
NoAttribute = Annotated[str, Field(pattern=r"^$")]
Filter = Annotated[str, Field(pattern=r"^\(.+\)$", max_length=1000)]
Role = Annotated[str, AfterValidator(_role)]
TimeZone = Annotated[str, AfterValidator(_zone)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Listen(_Part):
    """The two TLS listeners: ``host:port``, certificate and key (PEM) of each."""

    public: Address
    public_certificate: OurFile
    public_key: OurFile
    certificate: Address
    certificate_certificate: OurFile
    certificate_key: OurFile


class Proxy(_Part):
    """nginx in front. ``sockets``: the directory of both sites' unix sockets, which lets nobody in
    but the service and nginx."""

    sockets: OurPath


class Trust(_Part):
    """What certificates of people are checked against (PEM or DER files).

    ``ocsp_issuers``: CAs whose certificates need an OCSP response in ``ocsp_responses``.
    """

    anchors: tuple[OurFile, ...] = Field(min_length=1)
    intermediates: tuple[OurFile, ...] = ()
    crls: tuple[OurFile, ...] = Field(min_length=1)
    ocsp_issuers: tuple[OurFile, ...] = ()
    ocsp_responses: OurFile | None = None
    policy_oid: str = ""

    @property
    def responses(self) -> tuple[Path, ...]:
        """Where OCSP responses are looked for."""
        return (self.ocsp_responses,) if self.ocsp_responses else ()

    @model_validator(mode="after")
    def _responses_somewhere(self) -> Self:
        if bool(self.ocsp_issuers) != bool(self.ocsp_responses):
            raise ValueError("ocsp_issuers and ocsp_responses belong together")
        return self


class FetchedCrl(_Part):
    """One of the trust table's ``crls``, and where the worker gets it."""

    file: OurFile
    url: SourceUrl


class Responder(_Part):
    """One of the trust table's ``ocsp_issuers``, and its OCSP responder."""

    issuer: OurFile
    url: SourceUrl


class Fetch(_Part):
    """What the worker fetches, how often, and when it warns."""

    crls: tuple[FetchedCrl, ...] = ()
    responders: tuple[Responder, ...] = ()
    minutes: int = Field(default=60, ge=5, le=1440)
    warn_hours: int = Field(default=24, ge=1, le=720)
    proxy: Annotated[str, Field(pattern=r"^(http://[^\s@/:]+:\d{1,5})?$")] = ""


class Mail(_Part):
    """The SMTP server; ``security`` ``none`` only to this very machine."""

    host: Text
    port: int = Field(gt=0, lt=65536)
    security: Literal["starttls", "tls", "none"]
    sender: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
    ca_file: OurFile | None = None
    user: str = ""
    password_file: OurFile | None = None

    @model_validator(mode="after")
    def _local_or_safe(self) -> Self:
        if self.security == "none" and self.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError("security none is allowed to this machine only: use starttls or tls")
        return self


class LocalPeople(_Part):
    """People come by ``people import``."""

    kind: Literal["local"] = "local"


class LdapEntry(_Part):
    """Where entries differ from the preset: the fields of ``adapters.ldap_entries.Schema``."""

    uid: Attribute | None = None
    login: Attribute | None = None
    name: Attribute | None = None
    mail: Attribute | None = None
    supervisor: Attribute | NoAttribute | None = None
    representative: Attribute | NoAttribute | None = None
    named_by: Literal["dn", "uid"] | None = None
    entry: Attribute | None = None
    active: Filter | None = None
    member: Attribute | None = None


class LdapPeople(_Part):
    """People are in an LDAP directory. There is no word for a connection without TLS.

    ``user``: DN of the service account; ``base``: below it are people; ``roles``: DN of a group.
    """

    kind: Literal["ldap"]
    preset: Literal["openldap", "active-directory"]
    servers: tuple[Address, ...] = Field(min_length=1, max_length=8)
    security: Literal["tls", "starttls"]
    ca_file: OurFile
    user: Dn
    password_file: OurFile
    base: Dn
    entry: LdapEntry = LdapEntry()
    roles: dict[Role, Dn] = Field(default_factory=dict)


class SingleSignOn(_Part):
    """The institution's OpenID Connect provider. ``name``: what people call it; ``pid_claim``: the
    claim that holds the login name; ``acr``: asked for and then demanded, empty for neither."""

    name: Text
    issuer: Annotated[str, Field(pattern=r"^https://[^\s?#]+[^\s?#/]$")]
    client_id: Text
    client_secret_file: OurFile
    pid_claim: Text = "preferred_username"
    acr: str = Field(default="", max_length=200)
    ca_file: OurFile | None = None

    def client_secret(self) -> SecretStr:
        """The client's secret. Raises ``SettingsRefused``."""
        return SecretStr(_secret(self.client_secret_file, 16).decode())


class PinSettings(_Part):
    minimum: int = PinRules.minimum
    maximum: int = PinRules.maximum
    classes: int = PinRules.classes
    forbidden: str = PinRules.forbidden


class AcceptanceSettings(_Part):
    """A deviation that the institution accepts: who, and the first and last day."""

    rule: Text
    who: Text
    on: date = Field(strict=True)
    until: date = Field(strict=True)


class PolicySettings(_Part):
    """The limits of ``core.policy.Policy`` that an institution may set; ages in the unit that the
    name says."""

    questions_minimum: int = Policy.questions_minimum
    questions_asked: int = Policy.questions_asked
    predefined_minimum: int = Policy.predefined_minimum
    own_questions_maximum: int = Policy.own_questions_maximum
    failed_rounds: int = Policy.failed_rounds
    code_digits: int = Policy.code_digits
    code_minutes: int = 10
    code_tries: int = Policy.code_tries
    code_sends_per_hour: int = Policy.code_sends_per_hour
    pairing_minutes: int = 10
    requests_per_day: int = Policy.requests_per_day
    delegations_per_day: int = Policy.delegations_per_day
    approval_hours: int = 72
    level: int = Policy.level
    code_box: CodeBox = Policy.code_box
    sign_on_level: int = LOGINS["sso"]
    acceptance: tuple[AcceptanceSettings, ...] = ()
    so_tries: int = Policy.so_tries
    lease_seconds: int = 120
    releases_per_hour: int = Policy.releases_per_hour
    session_idle_minutes: int = 15
    session_absolute_hours: int = 8
    pin: PinSettings = PinSettings()

    def policy(self) -> Policy:
        """The policy; it was judged when the settings were read."""
        return Policy(
            questions_minimum=self.questions_minimum,
            questions_asked=self.questions_asked,
            predefined_minimum=self.predefined_minimum,
            own_questions_maximum=self.own_questions_maximum,
            failed_rounds=self.failed_rounds,
            code_digits=self.code_digits,
            code_age=timedelta(minutes=self.code_minutes),
            code_tries=self.code_tries,
            code_sends_per_hour=self.code_sends_per_hour,
            pairing_age=timedelta(minutes=self.pairing_minutes),
            requests_per_day=self.requests_per_day,
            delegations_per_day=self.delegations_per_day,
            approval_age=timedelta(hours=self.approval_hours),
            level=self.level,
            code_box=self.code_box,
            logins={**LOGINS, "sso": self.sign_on_level},
            acceptances=tuple(Acceptance(**one.model_dump()) for one in self.acceptance),
            so_tries=self.so_tries,
            lease=timedelta(seconds=self.lease_seconds),
            releases_per_hour=self.releases_per_hour,
            session_idle=timedelta(minutes=self.session_idle_minutes),
            session_absolute=timedelta(hours=self.session_absolute_hours),
            pin=PinRules(**self.pin.model_dump()),
        )

    @model_validator(mode="after")
    def _acceptable(self) -> Self:
        problems = self.policy().problems(datetime.now(UTC).date())
        if problems:
            raise ValueError("; ".join(problems))
        return self


class Settings(_Part):
    """The service: web, worker and operator commands. It names no key of the HSM. ``time_zone``:
    of the clock that people read and of the days that they name."""

    institution: Text
    time_zone: TimeZone = "UTC"
    office: Text
    help_desk: Text
    public_url: SiteUrl
    certificate_url: SiteUrl
    database: SecretStr
    run_directory: OurPath
    secret_key_file: OurFile
    metrics_token_file: OurFile | None = None
    custodian_socket: OurPath
    log_number: int = Field(default=1, gt=0)
    mail_domains: tuple[Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")], ...] = ()
    listen: Listen | None = None
    proxy: Proxy | None = None
    trust: Trust
    fetch: Fetch = Fetch()
    mail: Mail
    directory: Annotated[LocalPeople | LdapPeople, Field(discriminator="kind")] = LocalPeople()
    single_sign_on: SingleSignOn | None = None
    policy: PolicySettings = PolicySettings()

    @model_validator(mode="after")
    def _fetches_what_is_read(self) -> Self:
        if not {one.file for one in self.fetch.crls} <= set(self.trust.crls):
            raise ValueError("fetch.crls: each file must be one of trust.crls")
        if not {one.issuer for one in self.fetch.responders} <= set(self.trust.ocsp_issuers):
            raise ValueError("fetch.responders: each issuer must be one of trust.ocsp_issuers")
        return self

    @model_validator(mode="after")
    def _sign_on_shows_its_level(self) -> Self:
        told = self.single_sign_on
        if self.policy.sign_on_level > LOGINS["sso"] and not (told and told.acr):
            raise ValueError("policy.sign_on_level: above 1 needs single_sign_on.acr, to be shown")
        return self

    @model_validator(mode="after")
    def _two_sites(self) -> Self:
        if self.public_url == self.certificate_url:
            raise ValueError("public_url and certificate_url must be two sites")
        return self

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if self.listen and self.proxy:
            raise ValueError("listen and proxy: the sites are served in one way, choose one")
        return self

    def secret_key(self) -> SecretBytes:
        """The key that signs form tokens. Raises ``SettingsRefused``."""
        return SecretBytes(_secret(self.secret_key_file, 32))

    def mail_password(self) -> SecretStr:
        """The password for the SMTP server, or empty."""
        file = self.mail.password_file
        return SecretStr(_secret(file, 1).decode() if file else "")

    def directory_password(self) -> SecretStr:
        """The password of the service account; ``RuntimeError`` without an LDAP directory."""
        if self.directory.kind != "ldap":
            raise RuntimeError("the local directory has no password")
        return SecretStr(_secret(self.directory.password_file, 1).decode())

    def metrics_token(self) -> SecretStr:
        """The bearer token for /metrics, or empty: loopback only."""
        file = self.metrics_token_file
        return SecretStr(_secret(file, 16).decode() if file else "")


class Hsm(_Part):
    """The custodian's HSM: PKCS#11 module, token label, file with the user PIN, and environment
    variables that the module reads (its own settings file, say; never a secret). ``generation``:
    the keys that seal, HMAC and sign now."""

    module: OurFile
    token_label: Text
    pin_file: OurFile
    environment: dict[str, str] = Field(default_factory=dict)
    generation: int = Field(default=1, gt=0, lt=65536)


class CustodianSettings(_Part):
    """The custodian. ``allowed_uids``: OS users that may talk to it."""

    socket: OurPath
    ledger: OurPath
    allowed_uids: tuple[int, ...] = Field(min_length=1)
    hsm: Hsm
    trust: Trust
    policy: PolicySettings = PolicySettings()

    def pin(self) -> SecretStr:
        """The HSM's user PIN. Raises ``SettingsRefused``."""
        return SecretStr(_secret(self.hsm.pin_file, 4).decode())


_Kind = TypeVar("_Kind", bound=BaseModel)


def load(path: Path | None) -> Settings:
    """The service settings at ``path`` or the variable. Raises ``SettingsRefused``."""
    return _load(Settings, path, SERVICE_VARIABLE)


def load_custodian(path: Path | None) -> CustodianSettings:
    """The custodian's settings. Raises ``SettingsRefused``."""
    return _load(CustodianSettings, path, CUSTODIAN_VARIABLE)


def named_file(path: Path | None, variable: str = SERVICE_VARIABLE) -> Path:
    """The settings file: ``path``, or what the variable names. Raises ``SettingsRefused``."""
    named = path or (Path(os.environ[variable]) if os.environ.get(variable) else None)
    if named is None:
        raise SettingsRefused(problems=[f"name the settings file by --config or {variable}"])
    return named


def _load(kind: type[_Kind], path: Path | None, variable: str) -> _Kind:
    named = named_file(path, variable)
    try:
        raw = tomllib.loads(named.read_text())
        made = kind.model_validate(raw, context={"base": named.resolve().parent})
        if urlsplit(str(raw.get("database", ""))).password:
            _private(named)
        return made
    except OSError as error:
        raise SettingsRefused(problems=[f"{named}: {error.strerror}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsRefused(problems=[f"{named}: not TOML: {error}"]) from None
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(p) for p in e['loc']) or named.name}: {e['msg']}"
            for e in error.errors(include_input=False, include_url=False)
        ]
        raise SettingsRefused(problems=lines) from None


def _private(path: Path) -> None:
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SettingsRefused(
            problems=[f"{path}: holds a secret and is open to others: chmod 600 {path.name}"]
        )


def _secret(path: Path, shortest: int) -> bytes:
    _private(path)
    value = path.read_bytes().strip()
    if len(value) < shortest:
        raise SettingsRefused(problems=[f"{path}: needs at least {shortest} bytes"])
    return value
