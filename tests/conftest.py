"""Fixtures: an application on a real database per test, factories, browsers signed in as a role, a provider process."""

import contextlib
import os
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, create_engine, event, make_url, text

from payadmin import create_app
from payadmin.config import Settings
from payadmin.db import db
from payadmin.migrations import upgrade
from tests.support.make import Make
from tests.support.signin import TestBrowser

SECRET = "test-secret-that-is-long-enough-for-signing"

# How long an example takes says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile("payadmin", deadline=None)
hypothesis.settings.load_profile("payadmin")


@event.listens_for(Engine, "connect")
def _in_no_order(connection: Any, _record: Any) -> None:
    """SQLite gives rows backwards where no order was asked for: PostgreSQL gives them in any, once space is reused."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA reverse_unordered_selects = ON")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--db", default="sqlite", choices=("sqlite", "postgresql"), help="database of this run")
    parser.addoption("--renew-golden", action="store_true", help="write the files of tests/golden anew")
    parser.addoption("--pg-url", default=None, help="a PostgreSQL server to use instead of the embedded one")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--db") == "sqlite":
        return
    # What no database can change is tested once, in the SQLite run.
    kept = [item for item in items if not (item.get_closest_marker("once") or item.get_closest_marker("browser"))]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


@pytest.fixture(scope="session")
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--db"))


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="payadmin-test-", ignore_cleanup_errors=True) as name:
        yield Path(name)


class SqliteBox:
    """A migrated file, copied over the test's file before each test."""

    def __init__(self, folder: Path) -> None:
        self.template = folder / "template.db"
        self.file = folder / "payadmin.db"
        self.url = f"sqlite:///{self.file}"
        upgrade(f"sqlite:///{self.template}")
        engine = create_engine(f"sqlite:///{self.template}")
        with engine.connect() as connection:
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        engine.dispose()

    def renew(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.file}{suffix}").unlink(missing_ok=True)
        shutil.copyfile(self.template, self.file)


class PostgresBox:
    """A migrated template database; each test gets a fresh copy under the same name."""

    def __init__(self, server: str, worker: str) -> None:
        self.admin = create_engine(server, isolation_level="AUTOCOMMIT")
        self.name = f"payadmin_{worker}"
        self.template = f"{self.name}_template"
        self._run(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)", f"DROP DATABASE IF EXISTS {self.template}")
        self._run(f"CREATE DATABASE {self.template}")
        address = make_url(server)
        self.url = address.set(database=self.name).render_as_string(hide_password=False)
        upgrade(address.set(database=self.template).render_as_string(hide_password=False))

    def _run(self, *statements: str) -> None:
        with self.admin.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def renew(self) -> None:
        self._run(
            f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)",
            f"CREATE DATABASE {self.name} TEMPLATE {self.template}",
        )


@pytest.fixture(scope="session")
def box(request: pytest.FixtureRequest, dialect: str, folder: Path) -> Iterator[SqliteBox | PostgresBox]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    if dialect == "sqlite":
        yield SqliteBox(folder)
        return
    url = request.config.getoption("--pg-url")
    with contextlib.ExitStack() as stack:
        if url is None:
            from tests.support.postgres import embedded_postgres

            url = stack.enter_context(embedded_postgres())
        found = PostgresBox(url, worker)
        stack.callback(found.admin.dispose)
        yield found


@pytest.fixture(scope="session")
def settings(box: SqliteBox | PostgresBox, folder: Path) -> Settings:
    return Settings(
        database_url=box.url,
        secret_key=SECRET,
        totp_keys=(b"k" * 32,),
        files_folder=folder / "files",
        secure_cookies=False,
        simulator_url="http://127.0.0.1:9",  # discard: a test that needs a provider starts one
        provider_timeout_seconds=2,
    )


@pytest.fixture(scope="session")
def whole_app(settings: Settings) -> Flask:
    app = create_app(settings)
    app.testing = True
    app.test_client_class = TestBrowser
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app


@pytest.fixture
def app(whole_app: Flask, box: SqliteBox | PostgresBox) -> Iterator[Flask]:
    """The application on a fresh, migrated, empty database."""
    with whole_app.app_context():
        db.engine.dispose()
    box.renew()
    with whole_app.app_context():
        yield whole_app
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def make(app: Flask) -> Make:
    """Factories for rows: `make.payment(amount_minor=100_00)`."""
    return Make(app)


@pytest.fixture
def browse(app: Flask, make: Make) -> Callable[..., FlaskClient]:
    """`browse(Role.PAYMENTS_OPERATOR)` is a client signed in as a new member of staff with that role."""
    return make.browse


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in a test talks to the world."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple):
            assert address[0] in ("127.0.0.1", "::1", "localhost"), f"a test connected to {address}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
