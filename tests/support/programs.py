"""Programs that use the API: a key as an administrator makes it, and what is asked with it."""

import datetime as dt
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from payadmin.db import utcnow
from payadmin.kernel.bearers import Bearer, new_bearer
from payadmin.models.api import ApiKey
from payadmin.permissions import ApiScope
from tests.support.make import Make


class Program:
    """A program with a key of its own."""

    def __init__(self, app: Flask, key_id: int, bearer: Bearer) -> None:
        self.client: FlaskClient = app.test_client()
        self.key_id = key_id
        self.bearer = bearer

    def ask(self, path: str, method: str = "GET", *, key: str | None = None, **given: Any) -> Any:
        """One request with the key, or with another one."""
        headers = {"Authorization": f"Bearer {self.bearer if key is None else key}"} | given.pop("headers", {})
        return self.client.open(f"/api/v1{path}", method=method, headers=headers, **given)

    def post(self, path: str, body: Any, **given: Any) -> Any:
        """Send a document."""
        return self.ask(path, "POST", json=body, **given)


def make_program(
    app: Flask, make: Make, *scopes: ApiScope, organization_id: int | None = None, **values: Any
) -> Program:
    """A program whose key is written straight into the database."""
    bearer = new_bearer()
    now = utcnow()
    key = make._save(
        ApiKey(
            **{
                "name": "Metering",
                "organization_id": organization_id or make.organization().id,
                "prefix": bearer.prefix,
                "secret_hash": bearer.secret_hash,
                "scopes": sorted(scopes),
                "made_by": "admin",
                "created_at": now - dt.timedelta(days=1),
                "expires_at": now + dt.timedelta(days=30),
            }
            | values
        )
    )
    return Program(app, key.id, bearer)
