"""The machine's pages and doors: Monitoring, health, readiness, metrics, and the count of what pages answered."""

from payadmin.views.system.monitoring import init_monitoring
from payadmin.views.system.probes import init_probes
from payadmin.views.system.requests import init_requests

__all__ = ["init_monitoring", "init_probes", "init_requests"]
