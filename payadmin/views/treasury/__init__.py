"""Treasury: desks, days, what customers bring and take, and what moves between desks and the bank."""

from payadmin.views.treasury import days, desks, operations
from payadmin.views.treasury.report import init_cash_report
from payadmin.views.treasury.system_operations import SystemOperationsPage, init_system_operations

__all__ = ["SystemOperationsPage", "days", "desks", "init_cash_report", "init_system_operations", "operations"]
