"""The pages of cash: desks, the day of a desk with everything a cashier does in it, and the operations."""

from payadmin.views.treasury import days, desks, operations

__all__ = ["days", "desks", "operations"]
