"""Products of service providers, and what was sold of them."""

from payadmin.views.products import pages, sales

__all__ = ["pages", "sales"]
