"""Tariffs: contracts, cashback profiles, exchange rates, the Financial specialists' requests, and units."""

from payadmin.views.tariffs import cashback, contracts, rates, requests, units

__all__ = ["cashback", "contracts", "rates", "requests", "units"]
