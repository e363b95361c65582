"""Large exports: promised, written by workers with the requester's rights of the moment, served once made, and gone."""

import csv
import hashlib
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from sqlalchemy import select, update

from payadmin.actions import exports
from payadmin.audit import Event
from payadmin.db import db
from payadmin.jobs import Later
from payadmin.jobs.exports import keep_exports, sweep_files, why_not_written, write_export
from payadmin.models.access import StaffRole, StaffStatus, StaffUser
from payadmin.models.exports import Export, ExportStatus
from payadmin.models.payments import Notification
from payadmin.models.system import NoticeKind, StaffNotice
from payadmin.permissions import GRANTS, Permission, Role
from payadmin.work import SYSTEM
from tests.support.desk import told
from tests.support.make import writing

PassTime = Callable[..., None]


def rows_of(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode())))


def test_a_small_list_is_streamed_at_once_as_before(room: Any) -> None:
    client = room.person()
    answer = client.get("/transactions/export/csv/?search=T-000001")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert len(rows_of(answer.data)) == 1
    assert room.exports() == []


def test_a_large_list_asks_for_a_code_and_becomes_a_file_of_the_exports_page(room: Any) -> None:
    client = room.person()
    page = client.get("/transactions/export/csv/")
    assert "written in the background" in page.text
    assert room.exports() == [], "nothing begins before the code"
    export = room.asked(client)
    assert (export.status, export.requester_id, export.page) == (ExportStatus.QUEUED, client.staff_id, "transactions")
    assert "Waiting" in client.get(f"/exports/{export.id}/").text
    room.work()
    export = room.export(export.id)
    assert (export.status, export.rows_done, export.rows_total) == (ExportStatus.READY, 5, 5)
    answer = client.get(f"/exports/{export.id}/download/")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="transactions-')
    assert hashlib.sha256(answer.data).hexdigest() == export.sha256
    assert len(answer.data) == export.bytes
    assert room.export(export.id).downloads == 1


@pytest.mark.parametrize("language", ["en", "it"])
def test_the_file_is_what_the_list_streams_row_for_row(room: Any, language: str) -> None:
    client = room.person(language=language)
    room.make.payment(amount_minor=77_00, transaction_id="=cmd()")
    address = "/transactions/export/csv/?status=PAID&sort=transaction_id"
    export = room.asked(client, address)
    room.work()
    with told(room.app, export_job_rows=50):
        streamed = client.get(address).data
    assert client.get(f"/exports/{export.id}/download/").data == streamed
    assert "'=cmd()" in streamed.decode()


def test_who_asked_is_told_by_mail_how_it_ended_and_never_gets_the_file_by_mail(room: Any) -> None:
    client = room.person()
    ready = room.asked(client)
    room.work()
    failed = room.asked(client)
    exports.claim_export(SYSTEM, failed.id)
    settings = room.app.extensions["payadmin.settings"]
    assert exports.fail_export(SYSTEM, failed.id, attempt=1, reason="The disk is full.", settings=settings)
    db.session.rollback()
    [done, broken] = db.session.scalars(select(Notification).order_by(Notification.id))
    assert done.recipient == broken.recipient == db.session.get_one(StaffUser, client.staff_id).email
    assert "is ready" in done.subject
    assert f"https://pay.example.com/exports/{ready.id}/" in done.body
    assert "The disk is full." in broken.body


def test_a_workbook_is_written_by_a_worker_too(room: Any) -> None:
    client = room.person()
    export = room.asked(client, "/transactions/export/xlsx/")
    room.work()
    data = client.get(f"/exports/{export.id}/download/").data
    assert openpyxl.load_workbook(io.BytesIO(data)).active.max_row == 6


def test_the_trail_follows_a_file_from_its_request_to_each_download(room: Any) -> None:
    client = room.person()
    export = room.asked(client, "/transactions/export/csv/?status=PAID")
    room.work()
    client.get(f"/exports/{export.id}/download/")
    [requested], [started] = room.trail(Event.EXPORT_REQUESTED), room.trail(Event.EXPORT_STARTED)
    [finished], [fetched] = room.trail(Event.EXPORT_FINISHED), room.trail(Event.EXPORT_DOWNLOADED)
    assert {entry.entity_id for entry in (requested, started, finished, fetched)} == {str(export.id)}
    assert requested.keys["filter"] == "status=PAID"
    assert requested.keys["scope"] == ["mode=LIVE"]
    assert finished.keys["rows"] == 5
    assert finished.keys["sha256"] == fetched.keys["sha256"] == room.export(export.id).sha256
    assert finished.keys["columns"] == requested.keys["columns"]
    assert fetched.actor_id == client.staff_id


def test_the_file_is_private_and_its_name_cannot_be_guessed(room: Any) -> None:
    export = room.asked(room.person())
    room.work()
    [name] = room.files()
    assert name == room.export(export.id).file
    assert len(name) >= 36
    assert stat.S_IMODE((room.folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(room.folder.stat().st_mode) == 0o700


def test_a_wrong_code_promises_nothing(room: Any) -> None:
    answer = room.confirmed(room.person(), "/transactions/export/csv/", code="000000")
    assert answer.status_code == 422
    assert room.exports() == []


def test_one_person_has_at_most_five_files_being_written(room: Any) -> None:
    client = room.person()
    for _ in range(5):
        room.asked(client)
    answer = room.confirmed(client, "/transactions/export/csv/")
    assert answer.status_code == 409
    assert "5 of your exports" in answer.text
    assert len(room.exports()) == 5


def test_who_cannot_open_the_exports_page_is_told_before_anything_begins(room: Any) -> None:
    client = room.person(menu_access=["transactions"])
    answer = client.get("/transactions/export/csv/")
    assert answer.status_code == 409
    assert "Exports page" in answer.text


# ---- whose rights --------------------------------------------------------------------------------------------------


def demote(staff_id: int, **values: Any) -> None:
    writing()
    db.session.execute(
        update(StaffUser).where(StaffUser.id == staff_id).values(**values).execution_options(explained=True)
    )
    db.session.commit()


def give_role(staff_id: int, role: Role) -> None:
    writing()
    statement = update(StaffRole).where(StaffRole.staff_id == staff_id).values(role=role)
    db.session.execute(statement.execution_options(explained=True))
    db.session.commit()


def test_a_right_that_was_lost_before_the_worker_came_fails_the_export_with_that_reason(room: Any) -> None:
    client = room.person()
    export = room.asked(client)
    give_role(client.staff_id, Role.SUPPORT_AGENT)
    room.work()
    export = room.export(export.id)
    assert export.status is ExportStatus.FAILED
    assert "may no longer export this list" in (export.reason or "")
    assert room.files() == []


def test_a_locked_account_gets_no_file(room: Any) -> None:
    client = room.person()
    export = room.asked(client)
    demote(client.staff_id, status=StaffStatus.LOCKED)
    room.work()
    assert "may no longer sign in" in (room.export(export.id).reason or "")


def test_personal_data_is_masked_by_the_rights_of_the_run(room: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = room.person()
    room.make.customer(name="Ada Lovelace")
    shown, masked = (room.asked(client, "/customers/export/csv/") for _ in range(2))
    write_export(export_id=shown.id)
    less = GRANTS[Role.PAYMENTS_OPERATOR] - {Permission.PARTIES_PERSONAL_READ}
    with monkeypatch.context() as patch:
        patch.setitem(GRANTS, Role.PAYMENTS_OPERATOR, less)
        write_export(export_id=masked.id)
        assert client.get(f"/exports/{shown.id}/download/").status_code == 403, "made when more could be seen"
        assert "A••• L•••" in client.get(f"/exports/{masked.id}/download/").text
    assert (room.export(shown.id).is_personal, room.export(masked.id).is_personal) == (True, False)
    assert "Ada Lovelace" in client.get(f"/exports/{shown.id}/download/").text


def test_a_file_with_personal_data_is_for_who_may_still_read_them(room: Any) -> None:
    client = room.person()
    export = room.asked(client)
    room.work()
    assert room.export(export.id).is_personal
    give_role(client.staff_id, Role.SUPPORT_AGENT)
    assert client.get(f"/exports/{export.id}/download/").status_code == 403
    assert room.export(export.id).downloads == 0


def test_others_do_not_see_an_export_and_administrators_see_all(room: Any) -> None:
    export = room.asked(room.person())
    room.work()
    stranger, admin = room.person(), room.person(Role.ADMIN)
    for path in ("", "download/", "progress/"):
        assert stranger.get(f"/exports/{export.id}/{path}").status_code == 404
    assert room.post(stranger, f"/exports/{export.id}/discard/", "/account/").status_code == 404
    assert export.name not in stranger.get("/exports/").text
    assert export.name in admin.get("/exports/").text
    assert admin.get(f"/exports/{export.id}/download/").status_code == 200


# ---- ends ----------------------------------------------------------------------------------------------------------


def test_a_waiting_export_can_be_cancelled_and_is_then_never_written(room: Any) -> None:
    client = room.person()
    export = room.asked(client)
    answer = room.post(client, f"/exports/{export.id}/cancel/", f"/exports/{export.id}/")
    assert answer.status_code == 303
    room.work()
    assert room.export(export.id).status is ExportStatus.CANCELLED
    assert room.files() == []
    assert room.post(client, f"/exports/{export.id}/cancel/", "/account/").status_code == 409


def test_an_export_that_is_cancelled_while_it_is_written_leaves_no_file(room: Any) -> None:
    export = room.asked(room.person())
    claimed = exports.claim_export(SYSTEM, export.id)
    assert isinstance(claimed, exports.Claimed)
    exports.cancel_export(SYSTEM, export.id)
    assert not exports.note_progress(SYSTEM, export.id, attempt=claimed.attempt, rows=1, total=5)
    assert not deliver(claimed, room)
    assert room.export(export.id).status is ExportStatus.CANCELLED


def deliver(claimed: exports.Claimed, room: Any) -> bool:
    return exports.deliver_export(
        SYSTEM,
        claimed.export_id,
        attempt=claimed.attempt,
        rows=5,
        size=1,
        sha256="0" * 64,
        is_personal=False,
        recorded="",
        criteria={},
        scope=[],
        settings=room.app.extensions["payadmin.settings"],
    )


def test_a_ready_file_can_be_deleted_before_its_time(room: Any) -> None:
    client = room.person()
    export = room.asked(client)
    room.work()
    assert room.post(client, f"/exports/{export.id}/discard/", f"/exports/{export.id}/").status_code == 303
    assert room.export(export.id).status is ExportStatus.EXPIRED
    assert room.files() == []
    assert client.get(f"/exports/{export.id}/download/").status_code == 409


def test_files_are_deleted_when_their_time_is_over(room: Any, pass_time: PassTime) -> None:
    client = room.person()
    export = room.asked(client)
    room.work()
    settings = room.app.extensions["payadmin.settings"]
    pass_time(days=6, hours=23)
    keep_exports(settings)
    assert room.export(export.id).status is ExportStatus.READY
    pass_time(hours=1, minutes=1)
    assert client.get(f"/exports/{export.id}/download/").status_code == 409, "even before the sweep"
    keep_exports(settings)
    assert room.export(export.id).status is ExportStatus.EXPIRED
    assert room.files() == []
    assert len(room.trail(Event.EXPORT_EXPIRED)) == 1


def test_files_that_nobody_can_fetch_are_swept_and_no_others(room: Any) -> None:
    client = room.person()
    room.asked(client)
    room.work()
    settings = room.app.extensions["payadmin.settings"]
    (room.folder / "left-behind.csv").write_bytes(b"x")
    assert sweep_files(settings) == 0, "what is fresh may just be begun"
    for name in room.files():
        os.utime(room.folder / name, (0, 0))
    assert sweep_files(settings) == 1
    assert len(room.files()) == 1


def test_a_file_that_vanished_is_said_and_not_counted(room: Any) -> None:
    client = room.person()
    export = room.asked(client)
    room.work()
    (room.folder / room.files()[0]).unlink()
    answer = client.get(f"/exports/{export.id}/download/")
    assert answer.status_code == 409
    assert "no longer there" in answer.text
    assert room.export(export.id).downloads == 0


# ---- what goes wrong -----------------------------------------------------------------------------------------------


def test_while_a_live_worker_writes_nobody_else_begins(room: Any) -> None:
    export = room.asked(room.person())
    assert isinstance(exports.claim_export(SYSTEM, export.id), exports.Claimed)
    answer = write_export(export_id=export.id)
    assert isinstance(answer, Later)
    assert 1 <= answer.seconds <= 61
    assert room.export(export.id).attempt == 1


def test_after_a_crash_the_file_begins_anew_and_only_the_second_is_served(room: Any, pass_time: PassTime) -> None:
    client = room.person()
    export = room.asked(client)
    dead = exports.claim_export(SYSTEM, export.id)
    assert isinstance(dead, exports.Claimed)
    room.folder.mkdir(parents=True)
    (room.folder / dead.file).write_bytes(b"half a fi")
    pass_time(seconds=61)
    write_export(export_id=export.id)
    export = room.export(export.id)
    assert (export.status, export.attempt) == (ExportStatus.READY, 2)
    assert export.file != dead.file
    # The first worker was only frozen: it comes back, and its word no longer counts.
    assert not exports.note_progress(SYSTEM, export.id, attempt=dead.attempt, rows=5, total=5)
    assert not deliver(dead, room)
    assert len(rows_of(client.get(f"/exports/{export.id}/download/").data)) == 5


def test_an_export_that_is_interrupted_again_and_again_is_given_up(room: Any, pass_time: PassTime) -> None:
    export = room.asked(room.person())
    for _ in range(5):
        assert isinstance(exports.claim_export(SYSTEM, export.id), exports.Claimed)
        pass_time(seconds=61)
    assert write_export(export_id=export.id) is None
    export = room.export(export.id)
    assert export.status is ExportStatus.FAILED
    assert "interrupted" in (export.reason or "")


def test_a_folder_that_cannot_be_written_is_told(room: Any, tmp_path: Path) -> None:
    export = room.asked(room.person())
    (tmp_path / "a-file").write_text("")
    with told(room.app, files_folder=tmp_path / "a-file"):
        write_export(export_id=export.id)
    export = room.export(export.id)
    assert export.status is ExportStatus.FAILED
    assert "ENOTDIR" in (export.reason or "")


def test_a_full_disk_is_told() -> None:
    with pytest.raises(OSError, match="No space left") as full, Path("/dev/full").open("wb", buffering=0) as device:
        device.write(b"x")
    assert "disk for exported files is full" in why_not_written(full.value)


def test_a_column_that_the_list_lost_fails_the_export(room: Any) -> None:
    export = room.asked(room.person())
    writing()
    db.session.execute(
        update(Export).where(Export.id == export.id).values(columns=["gone"]).execution_options(explained=True)
    )
    db.session.commit()
    room.work()
    assert "no longer has the column" in (room.export(export.id).reason or "")


def test_the_page_says_how_far_a_file_is_and_when_it_is_done(room: Any) -> None:
    client = room.person()
    export = room.asked(client)
    claimed = exports.claim_export(SYSTEM, export.id)
    assert isinstance(claimed, exports.Claimed)
    exports.note_progress(SYSTEM, export.id, attempt=1, rows=2, total=5)
    for path in ("/exports/progress/", f"/exports/{export.id}/progress/"):
        answer = client.get(path, headers={"X-Partial": "status"}).text
        assert 'data-done="0"' in answer
        assert "2 of 5 rows" in answer
    assert "2 of 5 rows" in client.get("/exports/").text
    deliver(claimed, room)
    assert 'data-done="1"' in client.get("/exports/progress/").text


def test_without_exports_the_page_says_what_to_do(room: Any) -> None:
    page = room.person().get("/exports/").text
    assert "No exports yet" in page


def test_the_bell_tells_the_requester_when_a_file_is_ready_or_failed(room: Any) -> None:
    client, other = room.person(), room.person()
    ready = room.asked(client)
    room.work()
    assert client.get("/notices/count/").text == "1"
    [notice] = db.session.scalars(select(StaffNotice))
    assert (notice.kind, notice.page, notice.row_id) == (NoticeKind.READY, "exports", ready.id)
    assert client.get(f"/notices/{notice.id}/").location == f"/exports/{ready.id}/"
    failed = room.asked(client)
    give_role(client.staff_id, Role.SUPPORT_AGENT)
    room.work()
    kinds = db.session.scalars(select(StaffNotice.kind).where(StaffNotice.row_id == failed.id)).all()
    assert kinds == [NoticeKind.FAILED]
    assert other.get("/notices/count/").text == ""
