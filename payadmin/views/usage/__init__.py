"""Consumption (S1): client services and their usage, Home's figures, and the API by which counts come in."""

from payadmin.views.usage import api, pages  # noqa: F401 - mark their endpoint and their pages
from payadmin.views.usage.home import init_home

__all__ = ["init_home"]
