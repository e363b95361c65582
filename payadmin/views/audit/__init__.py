"""The trail's pages: User actions, User activity, and Audit verification."""

from payadmin.views.audit import pages
from payadmin.views.audit.verification import init_verification

__all__ = ["init_verification", "pages"]
