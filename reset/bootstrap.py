"""Picks the service's adapters and puts it together; the custodian has ``bootstrap_custodian``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from flask import Flask

import reset
from reset.adapters import armour
from reset.adapters.certificates import CertificateVerifier
from reset.adapters.custodian_client import CustodianClient
from reset.adapters.directory_local import LocalDirectory
from reset.adapters.hasher_argon2 import Argon2Hasher, Slots
from reset.adapters.mail_smtp import SmtpMailer
from reset.adapters.revocation_files import FetchedRevocation
from reset.adapters.sign_on_oidc import OidcSignOn
from reset.adapters.signatures_cms import CmsVerifier
from reset.adapters.system import SystemClock, SystemRandom
from reset.adapters.trust import TrustStore
from reset.config import Settings
from reset.db import migrate
from reset.db.store import SqlStore
from reset.errors import SettingsRefused, Unavailable
from reset.flows.adoption import Adoption
from reset.flows.approve import Approve
from reset.flows.auditing import Auditing
from reset.flows.authenticators import Authenticators
from reset.flows.checkpointing import Checkpointing
from reset.flows.custody import Custody
from reset.flows.enrol import Enrol
from reset.flows.escrow import EscrowKeeping
from reset.flows.importing import Importing
from reset.flows.login import Login
from reset.flows.operate import Operate
from reset.flows.pairing import Pair
from reset.flows.parts import Parts
from reset.flows.recover import Recover
from reset.flows.rehearse import Rehearse
from reset.flows.revocation import RevocationKeeping
from reset.flows.sessions import Sessions
from reset.flows.times import LocalTime
from reset.flows.upkeep import Upkeep
from reset.ports import Directory
from reset.web import sign_on
from reset.web.app import Flows, WebSettings, create_certificate_site, create_public_site


@dataclass(frozen=True)
class Service:
    """Everything that the web sites, the worker and the operator commands call."""

    settings: Settings
    parts: Parts
    flows: Flows
    upkeep: Upkeep
    escrow: EscrowKeeping
    importing: Importing
    adoption: Adoption
    checkpointing: Checkpointing
    revocation: RevocationKeeping


def service(settings: Settings) -> Service:
    """The service with its real adapters. Raises what an unusable part raises: fail closed."""
    policy, clock = settings.policy.policy(), SystemClock()
    store = SqlStore(
        settings.database.get_secret_value(), clock, policy.login_slow_after,
        policy.login_slow_longest,
    )  # fmt: skip
    hasher = Argon2Hasher(Slots(settings.run_directory / "hashing"))
    directory, hash_password = _directory(settings, store, hasher)
    trust = settings.trust
    trusted = TrustStore(
        trust.anchors, trust.crls, trust.intermediates,
        ocsp_issuers=trust.ocsp_issuers, responses=trust.responses,
    )  # fmt: skip
    oid = trust.policy_oid or None
    parts = Parts(
        policy=policy,
        clock=clock,
        random=SystemRandom(),
        store=store,
        directory=directory,
        hasher=hasher,
        certificates=CertificateVerifier(trusted, policy_oid=oid),
        signatures=CmsVerifier(trusted, policy_oid=oid),
        custodian=CustodianClient(settings.custodian_socket),
        mailer=_mailer(settings),
        public_url=settings.public_url,
        certificate_url=settings.certificate_url,
        mail_domains=frozenset(settings.mail_domains),
        log_number=settings.log_number,
        institution=settings.institution,
        sign_on=_sign_on(settings),
        local=_local(settings),
    )
    revocation = _revocation(parts, settings, trusted)
    flows = _flows(parts, settings, revocation)
    return Service(
        settings=settings,
        parts=parts,
        flows=flows,
        upkeep=Upkeep(parts),
        escrow=EscrowKeeping(parts),
        importing=Importing(
            parts,
            hash_password,
            lambda name: armour.certificate(Path(name).read_bytes()),
            revocation.ask_about,
        ),
        adoption=Adoption(parts),
        checkpointing=Checkpointing(parts),
        revocation=revocation,
    )


def _revocation(parts: Parts, settings: Settings, trusted: TrustStore) -> RevocationKeeping:
    fetch = settings.fetch
    files = FetchedRevocation(
        trusted,
        {one.file: one.url for one in fetch.crls},
        {one.issuer: one.url for one in fetch.responders},
        settings.trust.ocsp_responses,
        proxy=fetch.proxy,
    )
    every, notice = timedelta(minutes=fetch.minutes), timedelta(hours=fetch.warn_hours)
    return RevocationKeeping(parts, files, every=every, notice=notice)


def _directory(
    settings: Settings, store: SqlStore, hasher: Argon2Hasher
) -> tuple[Directory, Callable[[str], str] | None]:
    """The directory, and what hashes passwords for it if they are kept here."""
    named = settings.directory
    if named.kind == "local":
        local = LocalDirectory(store, hasher)
        return local, local.hash_password
    try:
        # imported here: python-ldap is installed only where a directory is asked
        from reset.adapters.directory_ldap import LdapDirectory
        from reset.adapters.ldap_entries import PRESETS
        from reset.adapters.ldap_servers import Servers
    except ImportError:
        raise SettingsRefused(problems=["directory: kind ldap needs python-ldap"]) from None
    password = settings.directory_password().get_secret_value()
    servers = Servers(named.servers, named.security, named.ca_file, named.user, password)
    schema = replace(PRESETS[named.preset], **named.entry.model_dump(exclude_none=True))
    return LdapDirectory(servers, schema, named.base, named.roles, store), None


def _mailer(settings: Settings) -> SmtpMailer:
    mail = settings.mail
    return SmtpMailer(
        mail.host,
        mail.port,
        mail.security,
        mail.sender,
        user=mail.user,
        password=settings.mail_password().get_secret_value(),
        ca_file=str(mail.ca_file) if mail.ca_file else None,
    )


def _sign_on(settings: Settings) -> OidcSignOn | None:
    told = settings.single_sign_on
    if told is None:
        return None
    return OidcSignOn(
        told.issuer,
        told.client_id,
        told.client_secret().get_secret_value(),
        settings.public_url + sign_on.BACK,
        pid_claim=told.pid_claim,
        acr=told.acr,
        ca_file=str(told.ca_file) if told.ca_file else None,
    )


def _local(settings: Settings) -> LocalTime:
    return LocalTime(ZoneInfo(settings.time_zone))


def _flows(parts: Parts, settings: Settings, revocation: RevocationKeeping) -> Flows:
    recover, approve = Recover(parts), Approve(parts)
    return Flows(
        login=Login(parts),
        sessions=Sessions(parts),
        enrol=Enrol(parts),
        authenticators=Authenticators(parts),
        rehearse=Rehearse(parts),
        recover=recover,
        approve=approve,
        pair=Pair(parts, recover, approve),
        custody=Custody(parts, approve),
        operate=Operate(parts),
        auditing=Auditing(parts),
        revocation=revocation,
        health=lambda: _health(parts, settings),
    )


def _health(parts: Parts, settings: Settings) -> Mapping[str, str]:
    """Facts when everything that a request needs answers. Raises ``Unavailable``."""
    if not migrate.current_is_head(settings.database.get_secret_value()):
        raise Unavailable(part="database", why="not migrated")
    with parts.store.read() as uow:
        waiting = uow.outbox.waiting()
    parts.custodian.health()
    return {"database": "ok", "custodian": "ok", "outbox": str(waiting)}


def web_settings(settings: Settings) -> WebSettings:
    """What the pages need of the settings."""
    return WebSettings(
        public_url=settings.public_url,
        certificate_url=settings.certificate_url,
        secret_key=settings.secret_key().get_secret_value(),
        institution=settings.institution,
        office=settings.office,
        help_desk=settings.help_desk,
        policy=settings.policy.policy(),
        metrics_token=settings.metrics_token().get_secret_value(),
        sockets=settings.proxy.sockets if settings.proxy else None,
        sign_on=settings.single_sign_on.name if settings.single_sign_on else "",
        local=_local(settings),
    )


def public_site(made: Service) -> Flask:
    """The WSGI application of the public site."""
    return create_public_site(
        made.flows, web_settings(made.settings), resource("templates"), resource("static")
    )


def certificate_site(made: Service) -> Flask:
    """The WSGI application of the certificate site."""
    return create_certificate_site(
        made.flows, web_settings(made.settings), resource("templates"), resource("static")
    )


def resource(name: str) -> Path:
    """A directory that travels inside the wheel and stands at the top of a checkout."""
    package = Path(reset.__file__).parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name
