"""Figures and charts: Analytics, the same for other sites, the operational report, and one's own figures."""

from payadmin.views.reporting.analytics import init_analytics
from payadmin.views.reporting.embed import init_embed
from payadmin.views.reporting.operational import init_operational
from payadmin.views.reporting.pins import init_pins

__all__ = ["init_analytics", "init_embed", "init_operational", "init_pins"]
