"""Approvals: decide what waits for a second person, and keep the table that says what waits."""

from payadmin.actions.approvals.policies import save_policy
from payadmin.actions.approvals.requests import (
    ACT,
    REASON_LENGTH,
    Decision,
    approve_in_run,
    approve_request,
    cancel_request,
    confirmed_facts,
    expire_request,
    model_of,
    reject_request,
    why_not_decide,
    why_over,
)

__all__ = [
    "ACT",
    "REASON_LENGTH",
    "Decision",
    "approve_in_run",
    "approve_request",
    "cancel_request",
    "confirmed_facts",
    "expire_request",
    "model_of",
    "reject_request",
    "save_policy",
    "why_not_decide",
    "why_over",
]
