"""Files over time: destroyed by policy, erased for a reason, swept when nobody names them, never lost by a crash."""

import datetime as dt
import os
import time
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from payadmin import backup
from payadmin.actions import identification
from payadmin.actions.identification import documents as acts
from payadmin.actions.identification import files
from payadmin.config import current_settings
from payadmin.db import db, utcnow
from payadmin.jobs.identification import destroy_documents, sweep_documents
from payadmin.jobs.sweeping import FORGET_FILES_SECONDS
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.models.identification import DocumentStatus, IdentityDocument
from payadmin.permissions import Permission
from payadmin.work import Actor
from tests.identification.conftest import K, Office, picture
from tests.support.crash import Crash
from tests.support.desk import told, trail
from tests.support.make import writing


def ended(document_id: int, days: float) -> None:
    """Let a document have ended so long ago."""
    writing()
    statement = update(IdentityDocument).where(IdentityDocument.id == document_id)
    older = statement.values(ended_at=utcnow() - dt.timedelta(days=days))
    db.session.execute(older.execution_options(explained=True, synchronize_session=False))
    db.session.commit()


def older(seconds: float) -> None:
    """Let every file have been written so long ago."""
    moment = time.time() - seconds
    for path in (current_settings().files_folder / "documents").glob("*/*"):
        os.utime(path, (moment, moment))


def test_files_of_rejected_and_replaced_documents_go_when_their_time_is_over(app: Flask, office: Office) -> None:
    officer = office.officer()
    customer_id, [passport, bill] = office.complete(officer)
    office.bring(officer, customer_id, K.PROOF_OF_ADDRESS, words="newer")
    identification.reject_document(
        officer, passport, customer_id=customer_id, version=office.version(customer_id), reason="Blurred"
    )
    assert destroy_documents(current_settings()) == 0
    ended(passport, 91)
    ended(bill, 89)
    assert destroy_documents(current_settings()) == 1
    [first, second, third] = office.documents(customer_id)
    assert (first.file, first.status, first.reason) == (None, DocumentStatus.REJECTED, "Blurred")
    assert first.erased_reason == "Kept for 90 days, as DOCUMENT_DAYS says."
    assert len(first.sha256) == 64
    assert office.kept() == sorted([str(second.file), str(third.file)])
    with told(app, document_days=30):
        assert destroy_documents(current_settings()) == 1
    assert office.kept() == [str(third.file)]
    assert [entry.entity_id for entry in trail(event="identification.document.destroyed")] == [str(passport), str(bill)]
    assert destroy_documents(current_settings()) == 0
    with pytest.raises(Conflict, match="only its entry is left"):
        office.look(officer, customer_id, passport)


def test_erasing_takes_a_right_and_a_reason_and_leaves_the_entry(office: Office) -> None:
    officer = office.officer()
    customer_id, [passport, _bill] = office.complete(officer)
    may_not = Actor(officer.staff_id, "half", permissions=frozenset({Permission.COMPLIANCE_CASE_DECIDE}))
    with pytest.raises(Forbidden):
        identification.erase_document(may_not, passport, customer_id=customer_id, reason="Asked for it")
    with pytest.raises(Invalid):
        identification.erase_document(officer, passport, customer_id=customer_id, reason="")
    file = identification.erase_document(officer, passport, customer_id=customer_id, reason="Asked for it")
    identification.drop(current_settings(), [file])
    document = office.documents(customer_id)[0]
    assert (document.file, document.erased_reason, document.is_live) == (None, "Asked for it", False)
    assert file not in office.kept()
    [entry] = trail(event="identification.document.erased")
    assert (entry.reason, entry.actor_name) == ("Asked for it", officer.name)
    with pytest.raises(Conflict):
        identification.erase_document(officer, passport, customer_id=customer_id, reason="Again")
    office.look(officer, customer_id, office.documents(customer_id)[1].id)
    with pytest.raises(Conflict, match="Still missing: proof of identity"):
        identification.identify(officer, customer_id, version=office.version(customer_id))


@pytest.mark.parametrize("moment", ["before the row", "in the transaction", "after the row"])
def test_whoever_dies_between_file_and_row_loses_nothing_and_leaves_nothing(
    office: Office, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    officer, customer_id = office.officer(), office.customer()
    sent = [identification.Sent(K.PASSPORT, "a.jpg", picture(), "files")]

    def die(*_: Any, **__: Any) -> None:
        raise Crash

    place = {"before the row": "file_documents", "in the transaction": "_into_review", "after the row": "drop"}[moment]
    with monkeypatch.context() as patched:
        patched.setattr(acts, place, die)
        with pytest.raises(Crash):
            identification.receive(officer, customer_id, sent, current_settings())
    db.session.rollback()
    assert len(office.kept()) == 1
    named = [document.file for document in office.documents(customer_id)]
    assert bool(named) is (moment == "after the row")
    assert sweep_documents(current_settings()) == 0, "it may still be on its way"
    older(FORGET_FILES_SECONDS + 1)
    assert sweep_documents(current_settings()) == (0 if named else 1)
    assert office.kept() == named
    assert identification.receive(officer, customer_id, sent, current_settings()) == (0 if named else 1)
    assert len(office.documents(customer_id)) == len(office.kept()) == 1


def test_a_death_between_the_end_of_a_row_and_of_its_file_is_swept(office: Office) -> None:
    officer = office.officer()
    customer_id, [passport, _bill] = office.complete(officer)
    identification.erase_document(officer, passport, customer_id=customer_id, reason="Asked for it")
    assert len(office.kept()) == 2
    older(FORGET_FILES_SECONDS + 1)
    assert sweep_documents(current_settings()) == 1
    assert office.kept() == [str(office.documents(customer_id)[1].file)]


def test_a_refusal_after_the_file_leaves_nothing(office: Office) -> None:
    officer, customer_id = office.officer(), office.customer()
    sent = [identification.Sent(K.PASSPORT, "a.jpg", picture(), "files")]
    nobody = Actor(officer.staff_id, "nobody")
    with pytest.raises(Forbidden):
        identification.receive(nobody, customer_id, sent, current_settings())
    assert office.kept() == []


def test_files_are_private_sealed_and_open_with_an_older_key(app: Flask, office: Office) -> None:
    officer = office.officer()
    customer_id, [passport, _bill] = office.complete(officer)
    file = str(office.documents(customer_id)[0].file)
    path = files.path_of(current_settings(), file)
    assert path.parent.stat().st_mode & 0o077 == 0
    keys = current_settings().totp_keys
    with told(app, totp_keys=(b"n" * 32, *keys)):
        assert identification.page_of(current_settings(), file, 1).startswith(b"\xff\xd8\xff")
    with told(app, totp_keys=(b"n" * 32,)), pytest.raises(Conflict, match="cannot be opened"):
        identification.page_of(current_settings(), file, 1)
    assert office.look(officer, customer_id, passport) == file


@pytest.mark.once
def test_a_file_that_is_destroyed_while_a_backup_is_written_does_not_spoil_it(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.complete(office.officer())
    gone, stays = office.kept()
    db.session.rollback()
    facts = backup._facts

    def late(path: Path) -> dict[str, Any]:
        found = facts(path)
        if path.name == gone:
            path.unlink()
        return found

    monkeypatch.setattr(backup, "_facts", late)
    made = backup.write(current_settings(), tmp_path, environ={}, say=lambda _word: None)
    members = backup.check(made.file)["members"]
    assert f"files/documents/{stays[:2]}/{stays}" in members
    assert f"files/documents/{gone[:2]}/{gone}" not in members
