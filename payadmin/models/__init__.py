"""Rows, relations, constraints, states and questions: what is true."""

import importlib
import pkgutil

from sqlalchemy.orm import configure_mappers


def load_models() -> None:
    """Map every model of every room: what migrations, workers and pages need before they start."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
    configure_mappers()
