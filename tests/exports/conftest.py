import datetime as dt
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from payadmin.audit import Event
from payadmin.db import db, utcnow
from payadmin.jobs import runner
from payadmin.kernel import totp
from payadmin.models.access import SecondFactor
from payadmin.models.audit import AuditEvent
from payadmin.models.exports import Export, ExportSchedule
from payadmin.models.outbox import OutboxMessage
from payadmin.permissions import Role
from tests.support.desk import told
from tests.support.make import Make
from tests.support.signin import secret_of
from tests.support.workers import Valkey, WorkerProcess, ringing, valkey

JOB_ROWS = 3


class ExportRoom:
    """Lists with more rows than are streamed, people who export them, workers, and time that passes when told to."""

    def __init__(self, app: Flask, make: Make) -> None:
        self.app = app
        self.make = make

    @property
    def folder(self) -> Path:
        return Path(self.app.extensions["payadmin.settings"].files_folder) / "exports"

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.is_dir() else []

    def person(self, *roles: Role, **values: Any) -> FlaskClient:
        return self.make.browse(*(roles or (Role.PAYMENTS_OPERATOR,)), **values)

    def confirmed(self, client: Any, address: str, **data: Any) -> Any:
        """Open a form and send it with the code that the person's authenticator shows now."""
        with db.engine.begin() as connection:  # half a minute has passed since the last code
            connection.execute(update(SecondFactor).where(SecondFactor.staff_id == client.staff_id).values(last_step=0))
        page = client.get(address).text
        found = {name: re.search(rf'name="{name}"[^>]*value="([^"]*)"', page) for name in ("csrf_token", "offer")}
        hidden = {name: match[1] for name, match in found.items() if match}
        code = totp.code_at(secret_of(client.staff_id), utcnow())
        return client.post(address, data=hidden | {"code": code} | data)

    def post(self, client: Any, address: str, page: str) -> Any:
        """Press a button of a page."""
        token = re.search(r'name="csrf_token" value="([^"]*)"', client.get(page).text)
        assert token
        return client.post(address, data={"csrf_token": token[1]})

    def asked(self, client: Any, address: str = "/transactions/export/csv/") -> Export:
        """An export that the person has just asked for and that waits for a worker."""
        answer = self.confirmed(client, address)
        assert answer.status_code == 303, answer.text
        return self.export(int(answer.location.rstrip("/").rpartition("/")[2]))

    def export(self, export_id: int) -> Export:
        db.session.rollback()
        return db.session.get_one(Export, export_id, populate_existing=True)

    def exports(self) -> list[Export]:
        db.session.rollback()
        return list(db.session.scalars(select(Export).order_by(Export.id)))

    def work(self) -> None:
        runner.drain()
        db.session.rollback()

    def trail(self, event: Event) -> list[AuditEvent]:
        db.session.rollback()
        return list(db.session.scalars(select(AuditEvent).where(AuditEvent.event == event).order_by(AuditEvent.id)))


@contextmanager
def later(**span: float) -> Iterator[None]:
    """Let time pass for everything that is due, kept or leased."""
    ago = dt.timedelta(**span)
    with db.engine.begin() as connection:
        for model, names in (
            (Export, ("lease_until", "expires_at")),
            (ExportSchedule, ("next_at",)),
            (OutboxMessage, ("due_at",)),
        ):
            for row in connection.execute(select(model.id, *(getattr(model, name) for name in names))):
                moved = {name: moment - ago for name in names if (moment := getattr(row, name)) is not None}
                if moved:
                    connection.execute(update(model).where(model.id == row.id).values(**moved))
    db.session.rollback()
    yield


@pytest.fixture
def pass_time() -> Callable[..., None]:
    def passed(**span: float) -> None:
        with later(**span):
            pass

    return passed


@pytest.fixture
def room(app: Flask, make: Make, tmp_path: Path) -> Iterator[ExportRoom]:
    """Five payments, and a limit of three rows above which workers write the files."""
    with told(app, export_job_rows=JOB_ROWS, files_folder=tmp_path / "files", public_url="https://pay.example.com"):
        for _ in range(5):
            make.payment()
        yield ExportRoom(app, make)


@pytest.fixture(scope="session")
def valkey_process() -> Iterator[Valkey]:
    with valkey() as server:
        yield server


@pytest.fixture
def bell(room: ExportRoom, valkey_process: Valkey) -> Iterator[Valkey]:
    """An empty Valkey that the application rings through."""
    valkey_process.client.flushall()
    with ringing(room.app, valkey_process.url):
        yield valkey_process


@pytest.fixture
def start_worker(room: ExportRoom) -> Iterator[Callable[..., WorkerProcess]]:
    """Start `payadmin worker` processes; what a test leaves running is ended."""
    started: list[WorkerProcess] = []

    def start(*arguments: str, **changes: str) -> WorkerProcess:
        started.append(WorkerProcess(room.app, *arguments, **changes))
        return started[-1]

    yield start
    for worker in started:
        worker.end()
