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
        access,
        account,
        all_report,  # noqa: F401 - marks its page
        api,
        approvals,
        attention,
        audit,
        banking,  # noqa: F401 - marks its pages
        batches,
        bell,
        cancel_scheduled,
        changes,
        charts,
        checkout,  # noqa: F401 - marks its pages
        errors,
        exports_page,  # noqa: F401 - marks its pages
        finder,
        gate,
        guide,
        identification,
        language,
        ledger,
        login,
        mailbox,  # noqa: F401 - marks its page
        notes,
        notices,
        orders,
        palette,
        parties,  # noqa: F401 - marks its pages
        payments,  # noqa: F401 - marks its page
        products,  # noqa: F401 - marks its pages
        redeem,  # noqa: F401 - marks its pages
        registry,
        reporting,
        retry_policies,  # noqa: F401 - marks its page
        risk,
        scheduled,  # noqa: F401 - marks its page
        security,
        shell,
        subscriptions,
        support,
        system,
        tariffs,  # noqa: F401 - marks its pages
        texts,
        treasury,
        ui,
        usage,
        wallets,  # noqa: F401 - marks its pages
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
    # Programs show a key with each request; no browser sends one by itself, so there is nothing to forge.
    CSRFProtect(app).exempt(api.api)
    ui.init_ui(app)
    changes.init_changes(app)
    system.init_requests(app)
    errors.init_errors(app)
    gate.init_gate(app, settings)
    shell.init_shell(app)
    bell.init_bell(app)
    login.init_login(app)
    account.init_account(app)
    access.init_forgotten(app)
    orders.init_orders(app)
    workers.init_workers(app)
    audit.init_verification(app)
    ledger.init_health(app)
    ledger.init_trial_balance(app)
    system.init_monitoring(app)
    system.init_probes(app)
    subscriptions.init_manage_recurring(app)
    subscriptions.init_hosted(app)
    identification.init_sending(app)
    cancel_scheduled.init_cancel_scheduled(app)
    support.init_support(app)
    attention.init_attention(app)
    approvals.init_approvals(app)
    batches.init_batch_transaction(app)
    texts.init_texts(app)
    api.init_api(app)
    charts.init_charts(app)
    usage.init_home(app)
    treasury.init_system_operations(app)
    treasury.init_cash_report(app)
    reporting.init_analytics(app)
    reporting.init_billing(app)
    reporting.init_embed(app)
    reporting.init_operational(app)
    reporting.init_pins(app)
    risk.init_summary(app)
    palette.init_palette(app)
    notes.init_notes(app)
    notices.init_notices(app)
    finder.init_finder(app)
    guide.init_guide(app)
    registry.init_pages(app)
