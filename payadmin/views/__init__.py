"""Pages: they parse, call and render; they decide nothing."""

from flask import Flask
from flask_wtf import CSRFProtect

from payadmin.config import Settings
from payadmin.models import load_models


def init_views(app: Flask, settings: Settings) -> None:
    """Plug the pages into `app`, in the order in which a request meets them."""
    load_models()
    # Imported here: what a page declares is read from the mapped models.
    from payadmin.views import (  # noqa: PLC0415
        account,
        all_report,  # noqa: F401 - marks its page
        attention,
        batches,
        cancel_scheduled,
        errors,
        exports_page,  # noqa: F401 - marks its pages
        gate,
        language,
        login,
        mailbox,  # noqa: F401 - marks its page
        orders,
        palette,
        parties,  # noqa: F401 - marks its pages
        payments,  # noqa: F401 - marks its page
        registry,
        retry_policies,  # noqa: F401 - marks its page
        scheduled,  # noqa: F401 - marks its page
        security,
        shell,
        subscriptions,
        texts,
        ui,
        webhooks,  # noqa: F401 - marks its pages
        workers,
    )

    app.config.update(
        WTF_CSRF_TIME_LIMIT=None,
        FLASK_ADMIN_RAISE_ON_VIEW_EXCEPTION=True,
        BABEL_DEFAULT_TIMEZONE=settings.business_tz,
    )
    security.init_security(app)
    language.init_language(app)
    CSRFProtect(app)
    ui.init_ui(app)
    errors.init_errors(app)
    gate.init_gate(app, settings)
    shell.init_shell(app)
    login.init_login(app)
    account.init_account(app)
    orders.init_orders(app)
    workers.init_workers(app)
    subscriptions.init_manage_recurring(app)
    subscriptions.init_hosted(app)
    cancel_scheduled.init_cancel_scheduled(app)
    attention.init_attention(app)
    batches.init_batch_transaction(app)
    texts.init_texts(app)
    palette.init_palette(app)
    registry.init_pages(app)
