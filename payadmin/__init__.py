"""payadmin: a low-code payments back office on Flask-Admin."""

import os
from pathlib import Path

from flask import Flask

from payadmin.config import Settings

_PACKAGE = Path(__file__).resolve().parent
# In a checkout the templates stand beside the package; an installed wheel carries them inside it.
TEMPLATES = next(path for path in (_PACKAGE.parent / "templates", _PACKAGE / "templates") if path.is_dir())


def create_app(settings: Settings) -> Flask:
    """The web application: a list of what is plugged in, in order, and nothing else.

    Args:
        settings: everything the application is told; nothing else is read from the environment.
    """
    from payadmin.views import init_views  # noqa: PLC0415 - workers and `payadmin --help` must not pay for Flask-Admin

    app = create_worker_app(settings)
    init_views(app, settings)
    return app


def create_app_from_env() -> Flask:
    """The web application with the settings of this process's environment: what gunicorn calls."""
    from payadmin import logs  # noqa: PLC0415

    settings = Settings.from_env(os.environ)
    logs.set_up(settings)
    logs.report_errors(settings)
    return create_app(settings)


def create_worker_app(settings: Settings) -> Flask:
    """The application as workers and commands need it: settings, database, trail and doorbell, no pages."""
    from payadmin import audit, jobs  # noqa: PLC0415
    from payadmin.db import db, engine_options, prepare  # noqa: PLC0415
    from payadmin.kernel.masks import guard_logs  # noqa: PLC0415
    from payadmin.kernel.seals import seal_keys  # noqa: PLC0415
    from payadmin.models.audit import SIGNING_KEY  # noqa: PLC0415

    app = Flask("payadmin", static_folder=str(_PACKAGE / "static"), template_folder=str(TEMPLATES))
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(settings.database_url),
        MAX_CONTENT_LENGTH=16 * 1024 * 1024,
        MAX_FORM_PARTS=5_000,
    )
    app.extensions["payadmin.settings"] = settings
    db.init_app(app)
    with app.app_context():
        prepare(db.engine)
        # Every act that this process writes into the trail is signed.
        db.engine.update_execution_options(**{SIGNING_KEY: seal_keys(settings.totp_keys)[0]})
    audit.guard()
    guard_logs()
    jobs.init_doorbell(app, settings)
    return app
