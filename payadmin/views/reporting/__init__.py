"""Figures and charts of payments: Analytics, and the same for other sites."""

from payadmin.views.reporting.analytics import init_analytics

__all__ = ["init_analytics"]
