"""A program with a key, in every test of the API."""

from collections.abc import Callable

import pytest
from flask import Flask

from payadmin.permissions import ApiScope
from tests.support.make import Make
from tests.support.programs import Program, make_program


@pytest.fixture
def program(app: Flask, make: Make) -> Program:
    """A program of Corner Shop that may report usage."""
    return make_program(app, make, ApiScope.USAGE_WRITE)


@pytest.fixture
def another(app: Flask, make: Make) -> Callable[..., Program]:
    """`another(revoked_at=…)`: a program whose key differs."""
    return lambda *scopes, **values: make_program(app, make, *scopes, **values)
