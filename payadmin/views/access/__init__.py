"""User management, and the pages of links that were mailed to staff."""

from payadmin.views.access.forgotten import init_forgotten
from payadmin.views.access.pages import StaffPage

__all__ = ["StaffPage", "init_forgotten"]
