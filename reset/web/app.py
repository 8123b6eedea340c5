"""The two sites as two applications: no route of one exists on the other."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import jinja2
from flask import Blueprint, Flask, g, request
from flask_wtf.csrf import CSRFProtect
from markupsafe import Markup

from reset.flows.times import LocalTime
from reset.web import (
    approve,
    auditing,
    authenticator,
    certificate,
    enrol,
    error_pages,
    forms,
    guards,
    headers,
    health,
    helper_api,
    journal,
    operate,
    own_sessions,
    proxy,
    public,
    recover,
    rehearse,
    sessions,
    sign_on,
)
from reset.web.durations import span
from reset.web.error_texts import NOTICES
from reset.web.paths import RandomId
from reset.web.site import Flows, Site, SiteName, WebSettings
from reset.web.site import install as install_site

__all__ = ["Flows", "WebSettings", "create_certificate_site", "create_public_site"]


def create_public_site(flows: Flows, settings: WebSettings, templates: Path, static: Path) -> Flask:
    """The site for everybody: password login, the holder's way to a new PIN, the helper's API."""
    blueprints = (
        public.blueprint,
        sign_on.blueprint,
        recover.blueprint,
        own_sessions.blueprint("login"),
        helper_api.blueprint,
        health.blueprint,
        auditing.checkpoints_blueprint,
    )
    return _create("public", flows, settings, (templates, static), blueprints)


def create_certificate_site(
    flows: Flows, settings: WebSettings, templates: Path, static: Path
) -> Flask:
    """The site behind a TLS client certificate: profile, approvals, office, audit."""
    blueprints = (
        certificate.blueprint,
        enrol.blueprint,
        authenticator.blueprint,
        rehearse.blueprint,
        approve.blueprint,
        operate.blueprint,
        own_sessions.blueprint("certificate"),
        auditing.blueprint,
    )
    return _create("certificate", flows, settings, (templates, static), blueprints)


def _create(
    name: SiteName,
    flows: Flows,
    settings: WebSettings,
    folders: tuple[Path, Path],
    blueprints: tuple[Blueprint, ...],
) -> Flask:
    templates, static = folders
    app = Flask("reset.web", template_folder=str(templates), static_folder=str(static))
    app.config.update(
        SECRET_KEY=settings.secret_key,
        MAX_FORM_MEMORY_SIZE=forms.FORM_LIMIT,
        MAX_FORM_PARTS=100,
        WTF_CSRF_TIME_LIMIT=int(settings.policy.session_absolute.total_seconds()),
        WTF_CSRF_SSL_STRICT=False,  # headers.check_origin looks at Origin instead
    )
    app.session_interface = sessions.CookieSessions(name)
    app.url_map.merge_slashes = False
    app.url_map.converters.update(random=RandomId)
    app.jinja_env.undefined = jinja2.StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(when=partial(_when, settings.local), span=span)
    install_site(app, Site(name, flows, settings))
    journal.install(app)
    if settings.sockets:
        proxy.install(app)
    headers.install(app)
    sessions.install(app)
    app.before_request(guards.enforce)
    app.before_request(forms.check)
    CSRFProtect(app).exempt(helper_api.blueprint)
    app.context_processor(lambda: _context(settings, name))
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    error_pages.install(app)
    guards.check_declared(app)
    return app


def _when(local: LocalTime, at: datetime) -> Markup:
    """A time as an element of its own, which is not broken into lines; in UTC for programs."""
    read_by_programs = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Markup('<time datetime="{}">{}</time>').format(read_by_programs, local.show(at))


def _context(settings: WebSettings, name: SiteName) -> dict[str, object]:
    """What every template may use."""
    return {
        "site": name,
        "settings": settings,
        "policy": settings.policy,
        "person": g.get("person"),
        "notice": NOTICES.get(request.args.get("notice", ""), ""),
        "faults": (),
        "refresh": 0,
    }
