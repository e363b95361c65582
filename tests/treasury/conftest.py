"""The treasury room: a cash office."""

from tests.support.cash_office import CashOffice, office

__all__ = ["CashOffice", "office"]
