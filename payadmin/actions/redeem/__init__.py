"""Redeem requests: submitted, approved, cancelled; and what the bank says about transfers."""

from payadmin.actions.redeem.requests import (
    approve,
    approve_in_run,
    cancel,
    failed,
    paid_by_bank,
    returned,
    reveal_account,
    sent,
    submit,
)

__all__ = [
    "approve",
    "approve_in_run",
    "cancel",
    "failed",
    "paid_by_bank",
    "returned",
    "reveal_account",
    "sent",
    "submit",
]
