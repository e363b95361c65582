"""The checkout desk for every test here."""

import pytest
from flask import Flask

from tests.support.checkout import Counter
from tests.support.make import Make


@pytest.fixture
def counter(app: Flask, make: Make) -> Counter:
    """Provider methods, and somebody who may write rules."""
    return Counter(app, make)
