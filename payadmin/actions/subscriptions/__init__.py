"""Subscriptions: register, edit, hold and end them; cancel, catch up and decide single dates; retry and remind."""

from payadmin.actions.subscriptions.manage import (
    activate_subscription,
    cancel_subscription,
    change_purpose,
    choose_retry_policy,
    delete_subscription,
    edit_schedule,
    inactivate_subscription,
    register_subscription,
)
from payadmin.actions.subscriptions.policies import delete_retry_policy, save_retry_policy
from payadmin.actions.subscriptions.reminders import (
    renew_secret,
    resend_delivery,
    resend_in_run,
    save_endpoint,
    send_test,
)
from payadmin.actions.subscriptions.scheduled import (
    CANCEL_ACT,
    CATCH_UP_MOST,
    Chosen,
    ask_again,
    cancel_scheduled,
    cancel_subject,
    catch_up,
    declare_unpaid,
    let_go,
)

__all__ = [
    "CANCEL_ACT",
    "CATCH_UP_MOST",
    "Chosen",
    "activate_subscription",
    "ask_again",
    "cancel_scheduled",
    "cancel_subject",
    "cancel_subscription",
    "catch_up",
    "change_purpose",
    "choose_retry_policy",
    "declare_unpaid",
    "delete_retry_policy",
    "delete_subscription",
    "edit_schedule",
    "inactivate_subscription",
    "let_go",
    "register_subscription",
    "renew_secret",
    "resend_delivery",
    "resend_in_run",
    "save_endpoint",
    "save_retry_policy",
    "send_test",
]
