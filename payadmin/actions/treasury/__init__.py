"""Treasury: cash desks and who works at them, their days, and what is done for customers over the counter."""

from payadmin.actions.treasury.days import (
    alert_left_open,
    close_day,
    force_close,
    open_day,
    request_close,
    return_day,
)
from payadmin.actions.treasury.desks import (
    assign,
    change_desk,
    close_desk,
    create_desk,
    end_assignment,
    lock_desk,
    unlock_desk,
)
from payadmin.actions.treasury.operations import pay_redeem, top_up, withdraw

__all__ = [
    "alert_left_open",
    "assign",
    "change_desk",
    "close_day",
    "close_desk",
    "create_desk",
    "end_assignment",
    "force_close",
    "lock_desk",
    "open_day",
    "pay_redeem",
    "request_close",
    "return_day",
    "top_up",
    "unlock_desk",
    "withdraw",
]
