"""A backup is written beside running work, put back, and proven; nothing is overwritten by accident."""

import base64
import os
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from sqlalchemy import create_engine, make_url, select, text, update

from payadmin import backup
from payadmin.actions import system
from payadmin.audit import Event
from payadmin.cli import main
from payadmin.config import Settings
from payadmin.db import db, make_engine, utcnow
from payadmin.jobs.audit import keep_seals
from payadmin.jobs.runner import beat
from payadmin.migrations import upgrade
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Customer
from payadmin.models.payments import Payment
from payadmin.models.system import Backup
from payadmin.permissions import Permission
from payadmin.work import SYSTEM, use_case
from tests.conftest import SECRET
from tests.support.desk import trail
from tests.support.make import Make

Run = Callable[..., Result]


@pytest.fixture
def filled(app: Flask, make: Make, settings: Settings) -> None:
    """Payments, a customer, a file, and a sealed trail."""
    for _ in range(3):
        make.payment()
    make.customer(email="ada@example.org")
    for _ in range(5):
        use_case(Permission.SYSTEM_JOB_RUN)(lambda work: work.record(Event.INVOICES_DOWNLOADED, rows=1) and None)(
            SYSTEM
        )
    keep_seals(settings)
    for name in ("invoices/2026/one.pdf", "exports/gone.csv"):
        path = settings.files_folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%PDF kept" * 100)
    db.session.rollback()


def environment(settings: Settings, **changes: str) -> dict[str, str]:
    return {
        "DATABASE_URL": settings.database_url,
        "SECRET_KEY": SECRET,
        "TOTP_KEYS": base64.urlsafe_b64encode(settings.totp_keys[0]).decode(),
        "FILES_FOLDER": str(settings.files_folder),
        **changes,
    }


@pytest.fixture
def run(settings: Settings) -> Run:
    def call(*arguments: str, **changes: str) -> Result:
        return CliRunner().invoke(main, list(arguments), env=environment(settings, **changes))

    return call


@pytest.fixture
def elsewhere(settings: Settings, tmp_path: Path, dialect: str) -> Iterator[str]:
    """The address of another database, which does not exist yet (SQLite) or is empty."""
    if dialect == "sqlite":
        yield f"sqlite:///{tmp_path / 'other.db'}"
        return
    name = f"{make_url(settings.database_url).database}_other"
    admin = create_engine(make_url(settings.database_url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(settings.database_url).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def rows(url: str, *what: Any) -> list[Any]:
    engine = make_engine(url)
    with engine.connect() as connection:
        found = list(connection.execute(select(*what).order_by(what[0].class_.id)).all())
    engine.dispose()
    return found


def test_what_was_saved_is_restored_and_proven(
    filled: None, run: Run, elsewhere: str, settings: Settings, tmp_path: Path
) -> None:
    written = run("backup", str(tmp_path))
    assert written.exit_code == 0, written.output
    [file] = tmp_path.glob("payadmin-*.tar")
    assert (file.stat().st_mode & 0o777) == 0o600
    [kept] = db.session.scalars(select(Backup)).all()
    assert (kept.file, kept.size) == (str(file), file.stat().st_size)
    assert kept.sha256 in written.output
    assert kept.head.startswith("1:")
    assert [entry.outcome for entry in trail(event=Event.SYSTEM_BACKUP_WRITTEN)] == ["done"]

    files = tmp_path / "files"
    answer = run("restore", str(file), DATABASE_URL=elsewhere, FILES_FOLDER=str(files))
    assert answer.exit_code == 0, answer.output
    assert "The trail is whole: 5 sealed events." in answer.output
    assert rows(elsewhere, Payment.transaction_id, Payment.amount_minor) == rows(
        settings.database_url, Payment.transaction_id, Payment.amount_minor
    )
    assert ("ada@example.org",) in rows(elsewhere, Customer.email)
    assert (files / "invoices/2026/one.pdf").read_bytes() == b"%PDF kept" * 100
    assert not (files / "exports").exists()
    restored = [files / "invoices/2026/one.pdf", *tmp_path.glob("other.db")]
    assert {path.stat().st_mode & 0o777 for path in restored} == {0o600}, "personal data is its owner's to read"
    assert rows(elsewhere, AuditEvent.event)[-1] == (Event.SYSTEM_DATABASE_RESTORED,)
    refused = make_engine(elsewhere)
    with pytest.raises(Exception, match="append-only"), refused.begin() as connection:
        connection.execute(text("UPDATE audit_event SET reason = 'nicer'"))
    refused.dispose()
    proven = run("verify", "audit", DATABASE_URL=elsewhere)
    assert (proven.exit_code, "5 events under 1 seals" in proven.output) == (0, False), proven.output
    checked = run("db", "check", DATABASE_URL=elsewhere)
    assert checked.exit_code == 0, checked.output


def test_a_database_that_is_not_empty_is_overwritten_only_when_it_is_named(
    filled: None, run: Run, settings: Settings, tmp_path: Path, make: Make
) -> None:
    file = tmp_path / "one.tar"
    assert run("backup", str(file)).exit_code == 0
    make.payment(transaction_id="T-LATER")
    for word in ("", "yes", "everything"):
        answer = run("restore", str(file), "--replace", word)
        assert answer.exit_code == 1
        assert "not empty" in answer.output
    db.session.rollback()
    assert db.session.query(Payment).count() == 4
    db.session.rollback()
    db.engine.dispose()
    answer = run("restore", str(file), "--replace", backup.database_name(settings.database_url))
    assert answer.exit_code == 0, answer.output
    db.session.rollback()
    assert db.session.query(Payment).count() == 3


def test_a_database_that_somebody_works_on_is_not_overwritten(
    filled: None, run: Run, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "one.tar"
    assert run("backup", str(file)).exit_code == 0
    beat("worker 1", "worker")
    answer = run("restore", str(file), "--replace", backup.database_name(settings.database_url))
    assert (answer.exit_code, "Stop them" in answer.output) == (1, True)


def test_a_damaged_archive_is_refused_before_anything_is_touched(
    filled: None, run: Run, elsewhere: str, tmp_path: Path, dialect: str
) -> None:
    file = tmp_path / "one.tar"
    assert run("backup", str(file)).exit_code == 0
    whole = file.read_bytes()
    with tarfile.open(file) as archive:
        at = archive.getmember("database").offset_data + 500
    for name, damaged in {
        "flipped": whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
        "cut": whole[: len(whole) // 2],
        "other": b"not a backup",
        "empty": b"",
    }.items():
        bad = tmp_path / f"{name}.tar"
        bad.write_bytes(damaged)
        answer = run("restore", str(bad), DATABASE_URL=elsewhere)
        assert answer.exit_code == 1, name
        assert not isinstance(answer.exception, OSError)
    if dialect == "sqlite":
        assert not Path(make_url(elsewhere).database or "").exists()


def test_a_backup_never_overwrites_a_file_and_says_where_it_cannot_be_written(
    filled: None, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "one.tar"
    file.write_text("mine")
    assert "exists already" in run("backup", str(file)).output
    assert file.read_text() == "mine"
    assert "no folder" in run("backup", str(tmp_path / "no" / "one.tar")).output
    assert list(tmp_path.iterdir()) == [file]


def test_a_backup_of_another_kind_of_database_or_a_newer_schema_is_refused(
    filled: None, run: Run, settings: Settings, tmp_path: Path, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "one.tar"
    assert run("backup", str(file)).exit_code == 0
    other = "sqlite:////nowhere/x.db" if dialect == "postgresql" else "postgresql+psycopg://nobody@127.0.0.1:1/x"
    assert "DATABASE_URL of" in run("restore", str(file), DATABASE_URL=other).output
    monkeypatch.setattr(backup, "head", lambda: "0000")
    assert "newer than this payadmin" in run("restore", str(file)).output


def test_an_older_schema_is_restored_and_then_upgraded(
    run: Run, elsewhere: str, tmp_path: Path, dialect: str, app: Flask
) -> None:
    upgrade(elsewhere, "0003")
    file = tmp_path / "old.tar"
    engine = make_engine(elsewhere)
    settings = app.extensions["payadmin.settings"]
    written = backup.write(
        Settings(**{**vars(settings), "database_url": elsewhere}), file, environ=os.environ, say=lambda _: None
    )
    engine.dispose()
    assert written.head == ""
    answer = run("restore", str(file), DATABASE_URL=elsewhere)
    assert (answer.exit_code, "payadmin db upgrade" in answer.output) == (0, True), answer.output
    upgrade(elsewhere)
    assert run("verify", "audit", DATABASE_URL=elsewhere).exit_code == 0


def test_sqlite_is_saved_while_somebody_writes(filled: None, settings: Settings, tmp_path: Path, dialect: str) -> None:
    if dialect != "sqlite":
        pytest.skip("PostgreSQL exports a snapshot")
    engine = make_engine(settings.database_url)
    with engine.connect().execution_options(immediate=True) as connection, connection.begin():
        connection.execute(update(Payment).values(description="half done"))
        written = backup.write(settings, tmp_path / "one.tar", environ={}, say=lambda _: None)
    engine.dispose()
    with tarfile.open(written.file) as archive:
        found = archive.extractfile("database")
        assert found is not None
        (tmp_path / "database").write_bytes(found.read())
    saved = sqlite3.connect(tmp_path / "database")
    assert saved.execute("SELECT count(*) FROM payment WHERE description IS NULL").fetchone() == (3,)
    saved.close()


def test_a_verification_by_command_names_what_was_touched_and_keeps_the_head_outside(
    filled: None, run: Run, tmp_path: Path, settings: Settings
) -> None:
    keep = tmp_path / "head.txt"
    whole = run("verify", "audit", "--keep", str(keep))
    assert whole.exit_code == 0, whole.output
    assert keep.read_text().partition(":")[0].isdigit()
    assert run("verify", "audit", "--json").output.count('"whole": true') == 1
    with db.engine.begin() as connection:
        connection.execute(
            AuditEvent.__table__.insert(), [{"at": utcnow(), "actor_name": "x", "event": "a.b.c", "signature": "bad"}]
        )
    broken = run("verify", "audit", "--head", "99:zz")
    assert broken.exit_code == 1
    assert "was not written by payadmin" in broken.output
    assert "Seal 99 was kept outside" in broken.output


def test_the_restored_trail_says_that_it_was_restored(app: Flask) -> None:
    system.note_restore(SYSTEM, file="one.tar", made_at="2026-11-22T10:00:00+00:00")
    [entry] = trail(event=Event.SYSTEM_DATABASE_RESTORED)
    assert entry.keys == {"file": "one.tar", "made_at": "2026-11-22T10:00:00+00:00"}
