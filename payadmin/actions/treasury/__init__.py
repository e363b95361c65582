"""Treasury: cash desks and their days, what customers bring and take there, and what moves to and from the bank."""

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
from payadmin.actions.treasury.finding import find_by_codeword
from payadmin.actions.treasury.operations import pay_redeem, top_up, withdraw
from payadmin.actions.treasury.receipts import print_receipt
from payadmin.actions.treasury.system_operations import acknowledge, cancel, confirm, initiate, reject, reverse

__all__ = [
    "acknowledge",
    "alert_left_open",
    "assign",
    "cancel",
    "change_desk",
    "close_day",
    "close_desk",
    "confirm",
    "create_desk",
    "end_assignment",
    "find_by_codeword",
    "force_close",
    "initiate",
    "lock_desk",
    "open_day",
    "pay_redeem",
    "print_receipt",
    "reject",
    "request_close",
    "return_day",
    "reverse",
    "top_up",
    "unlock_desk",
    "withdraw",
]
