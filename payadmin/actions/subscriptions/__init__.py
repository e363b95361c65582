"""Subscriptions: register, edit, hold and end them; cancel, catch up and decide single dates; retry and remind."""

from payadmin.actions.subscriptions.late_success import book_as_paid, is_bookable
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
    MOST_AT_ONCE,
    REASON_LENGTH,
    Chosen,
    ask_again,
    cancel_scheduled,
    cancel_subject,
    catch_up,
    close_finding,
    declare_unpaid,
    let_go,
    why_not_caught_up,
)

__all__ = [
    "CANCEL_ACT",
    "CATCH_UP_MOST",
    "MOST_AT_ONCE",
    "REASON_LENGTH",
    "Chosen",
    "activate_subscription",
    "ask_again",
    "book_as_paid",
    "cancel_scheduled",
    "cancel_subject",
    "cancel_subscription",
    "catch_up",
    "change_purpose",
    "choose_retry_policy",
    "close_finding",
    "declare_unpaid",
    "delete_retry_policy",
    "delete_subscription",
    "edit_schedule",
    "inactivate_subscription",
    "is_bookable",
    "let_go",
    "register_subscription",
    "renew_secret",
    "resend_delivery",
    "resend_in_run",
    "save_endpoint",
    "save_retry_policy",
    "send_test",
    "why_not_caught_up",
]
