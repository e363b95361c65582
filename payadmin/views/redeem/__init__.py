"""The pages of redeem requests."""

from payadmin.views.redeem import pages

__all__ = ["pages"]
