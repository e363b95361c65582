"""Use cases: what can be done. The only code that writes, each verb a function behind a permission."""

import importlib
import pkgutil


def load_actions() -> None:
    """Import every room's actions, so that each use case is known by its name."""
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        importlib.import_module(module.name)
