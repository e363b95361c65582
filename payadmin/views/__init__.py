"""Pages: they parse, call and render; they decide nothing."""

from flask import Flask
from flask_babel import Babel
from flask_wtf import CSRFProtect

from payadmin.config import Settings
from payadmin.models import load_models
from payadmin.views import account, errors, gate, login, security, shell, ui


def init_views(app: Flask, settings: Settings) -> None:
    """Plug the pages into `app`, in the order in which a request meets them."""
    load_models()
    app.config.update(
        WTF_CSRF_TIME_LIMIT=None,
        FLASK_ADMIN_RAISE_ON_VIEW_EXCEPTION=True,
        BABEL_DEFAULT_TIMEZONE=settings.business_tz,
    )
    security.init_security(app)
    Babel(app)
    CSRFProtect(app)
    gate.init_gate(app, settings)
    ui.init_ui(app)
    errors.init_errors(app)
    shell.init_shell(app)
    login.init_login(app)
    account.init_account(app)
