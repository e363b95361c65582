"""Figures and charts: Analytics, the same for other sites, the Billing dashboard, the operational report, pins."""

from payadmin.views.reporting.analytics import init_analytics
from payadmin.views.reporting.billing import init_billing
from payadmin.views.reporting.embed import init_embed
from payadmin.views.reporting.operational import init_operational
from payadmin.views.reporting.pins import init_pins

__all__ = ["init_analytics", "init_billing", "init_embed", "init_operational", "init_pins"]
