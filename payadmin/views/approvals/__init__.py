"""Approvals: the inbox of what waits for a second person, one request, and the table that says what waits."""

from payadmin.views.approvals.pages import init_approvals
from payadmin.views.approvals.policies import PoliciesPage

__all__ = ["PoliciesPage", "init_approvals"]
