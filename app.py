"""WSGI entry: ``gunicorn app:app`` for the public site, ``app:certificate_app`` for the other.

``token-reset serve`` starts both by itself. Who starts gunicorn by hand binds each application to
its own socket in the directory that ``[proxy]`` names: on any other connection it answers nothing.
"""

import logging

from reset import bootstrap, config

logging.basicConfig(level=logging.INFO)
_service = bootstrap.service(config.load(None))
app = bootstrap.public_site(_service)
certificate_app = bootstrap.certificate_site(_service)
