"""Treasury: cash desks and their days, what customers bring and take there, and what moves to and from the bank."""

from payadmin.actions.treasury.system_operations import acknowledge, cancel, confirm, initiate, reject, reverse

__all__ = [
    "acknowledge",
    "cancel",
    "confirm",
    "initiate",
    "reject",
    "reverse",
]
