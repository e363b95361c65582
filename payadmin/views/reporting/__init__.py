"""Figures and charts of payments: Analytics, the same for other sites, and the Billing dashboard."""

from payadmin.views.reporting.analytics import init_analytics
from payadmin.views.reporting.billing import init_billing
from payadmin.views.reporting.embed import init_embed

__all__ = ["init_analytics", "init_billing", "init_embed"]
