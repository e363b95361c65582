"""Every list and every details page asks the database the same number of questions, however many rows there are."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from payadmin.db import db
from payadmin.permissions import Role
from payadmin.views.core import PAGE_OF
from tests.support.make import Make
from tests.support.rows import one

pytestmark = pytest.mark.once


@contextlib.contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that run meanwhile."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(db.engine, "before_cursor_execute", note)


def asked(client: FlaskClient, path: str) -> list[str]:
    """The statements behind one page, once everything that is kept between requests is warm."""
    client.get(path)
    with counted() as seen:
        response = client.get(path)
    assert response.status_code == 200, path
    return seen


def test_the_number_of_questions_does_not_grow_with_the_rows(app: Flask, make: Make) -> None:
    client = make.browse(*Role)
    pages = app.extensions[PAGE_OF]
    rows = {model: [one(make, model) for _ in range(2)] for model in pages}
    lists = {model: f"/{page.slug_}/" for model, page in pages.items()}
    details = {model: f"/{page.slug_}/{rows[model][0].id}/" for model, page in pages.items()}
    few = {path: asked(client, path) for path in (*lists.values(), *details.values())}
    for model in pages:
        for _ in range(8):
            one(make, model)
    for path, before in few.items():
        after = asked(client, path)
        assert len(after) == len(before), f"{path}: {len(before)} questions, then {len(after)}"
        # Organizations and wallets are pointed to from a dozen rooms, and whoever asks here may enter all of them.
        assert len(after) <= 36, f"{path} asks {len(after)} questions"
