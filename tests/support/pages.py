"""Forms as a browser fills them: with the token that the page carries."""

import re
from typing import Any

from flask.testing import FlaskClient


def token_of(client: FlaskClient, address: str = "/") -> str:
    """The CSRF token of a page."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(address).get_data(as_text=True))
    assert found is not None, f"{address} has no form"
    return found[1]


def post(client: FlaskClient, address: str, **data: Any) -> Any:
    """Post a form of this site."""
    return client.post(address, data={"csrf_token": token_of(client), **data})
