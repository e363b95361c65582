"""Consumption of client services: how many operations each had on each day (S1)."""

from payadmin.actions.usage.counting import MOST_ENTRIES, Counted, report_usage
from payadmin.actions.usage.files import COLUMNS, Imported, import_usage, store_usage_file

__all__ = ["COLUMNS", "MOST_ENTRIES", "Counted", "Imported", "import_usage", "report_usage", "store_usage_file"]
