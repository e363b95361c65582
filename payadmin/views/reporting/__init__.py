"""Figures and charts of payments: Analytics, and the same for other sites."""

from payadmin.views.reporting.analytics import init_analytics
from payadmin.views.reporting.embed import init_embed

__all__ = ["init_analytics", "init_embed"]
