"""Customer support: clients, tickets, and the SCC who work for a manager."""

from flask import Flask

from payadmin.views.support import tickets  # noqa: F401 - marks its page
from payadmin.views.support.clients import init_clients
from payadmin.views.support.scc import init_scc

__all__ = ["init_support"]


def init_support(app: Flask) -> None:
    """Add the addresses that are no page of a model."""
    init_clients(app)
    init_scc(app)
