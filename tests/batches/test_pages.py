"""Batches over HTTP: templates, uploads of both kinds, every row with what is wrong with it, and what is done then."""

import csv
import datetime as dt
import gzip
import io
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g
from flask.testing import FlaskClient
from sqlalchemy import event, func, select, update
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from payadmin.audit import Event
from payadmin.db import db, utcnow
from payadmin.kernel import totp
from payadmin.models.access import SecondFactor
from payadmin.models.batches import Batch, BatchKind, BatchRow, BatchStatus
from payadmin.models.parties import OrganizationKind
from payadmin.permissions import GRANTS, Permission, Role
from payadmin.views.batches import preview
from tests.support.batches import COLUMNS, BatchRoom, csv_file, xlsx_file
from tests.support.desk import told, trail
from tests.support.make import Make
from tests.support.signin import secret_of

PAYMENT, REGISTRATION = BatchKind.SINGLE_PAYMENT, BatchKind.REGISTRATION
S = BatchStatus
DATA = Path(__file__).parents[1] / "data"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def _no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


@pytest.fixture
def operator(make: Make) -> FlaskClient:
    return make.browse(Role.PAYMENTS_OPERATOR)


def send(client: FlaskClient, room: BatchRoom, data: bytes, name: str = "file.csv", **values: Any) -> Any:
    """Send a file with the form, as a browser without scripts does."""
    kind, replaces = values.pop("kind", "single-payment"), values.pop("replaces", None)
    address = f"/batch-transaction/?kind={kind}" + (f"&replaces={replaces}" if replaces else "")
    form = {"merchant": str(room.merchant_id), "method": "card", "provider": "simulator"} | values
    fields = form | {"file": FileStorage(io.BytesIO(data), name)}
    boundary, body = encode_multipart(fields)
    return client.post(address, data=body, content_type=f"multipart/form-data; boundary={boundary}")


def uploaded(answer: Any) -> int:
    assert answer.status_code == 303, answer.text
    found = re.search(r"/batches/(\d+)/", answer.location)
    assert found is not None
    return int(found[1])


def code_of(client: FlaskClient) -> str:
    """The code that the operator's app shows, half a minute after the last one."""
    staff_id: int = client.staff_id  # type: ignore[attr-defined]
    db.session.rollback()
    with db.engine.begin() as connection:
        connection.execute(update(SecondFactor).where(SecondFactor.staff_id == staff_id).values(last_step=0))
    found = totp.code_at(secret_of(staff_id), utcnow())
    db.session.rollback()
    return found


def hidden(page: str) -> dict[str, str]:
    """What a confirmation carries unseen."""
    names = ("version", "valid", "skipped", "offer")
    found = {name: re.search(rf'name="{name}"[^>]*value="([^"]*)"', page) for name in names}
    return {name: match[1] for name, match in found.items() if match}


def process(client: FlaskClient, batch_id: int, **changes: str) -> Any:
    page = client.get(f"/batches/{batch_id}/process/").text
    return client.post(f"/batches/{batch_id}/process/", data=hidden(page) | {"code": code_of(client)} | changes)


def set_batch(batch_id: int, **values: Any) -> None:
    db.session.rollback()
    with db.engine.begin() as connection:
        connection.execute(update(Batch.__table__).where(Batch.__table__.c.id == batch_id).values(values))


def count_of(model: Any) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(model)) or 0


# --- templates and the form -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slug", "kind"),
    [("registration", REGISTRATION), ("single-payment", PAYMENT), ("mass-payment", BatchKind.MASS_PAYMENT)],
)
def test_each_kind_has_templates_and_names_its_columns(
    operator: FlaskClient, room: BatchRoom, slug: str, kind: BatchKind
) -> None:
    page = operator.get(f"/batch-transaction/?kind={slug}").text
    for key in COLUMNS[kind]:
        assert key in page
    for form in ("csv", "xlsx"):
        address = f"/batch-transaction/template/{slug}.{form}"
        assert address in page
        answer = operator.get(address)
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{slug}-template.{form}"'
        if form == "csv":
            assert tuple(next(csv.reader(io.StringIO(answer.text.lstrip("\ufeff"))))) == COLUMNS[kind]
        else:
            assert answer.data.startswith(b"PK")


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_template_can_be_sent_as_it_is_and_becomes_a_batch(operator: FlaskClient, room: BatchRoom, form: str) -> None:
    data = operator.get(f"/batch-transaction/template/registration.{form}").data

    batch_id = uploaded(send(operator, room, data, f"template.{form}", kind="registration"))
    room.office.work()

    batch = room.batch(batch_id)
    assert batch.problems is None
    assert batch.rows_total == 2


@pytest.mark.parametrize(
    ("data", "name", "sentence"),
    [
        (b"", "empty.csv", "The file is empty."),
        (b"billing_number,invoice_number,amount,currency,card_no,execute_date\n", "head.csv", "no rows"),
        (b"<html><table><tr><td>1</td></tr></table></html>", "report.xls", ""),
        (b"%PDF-1.7\n\xff\xfe\x00\x01", "file.pdf", ""),
        (b"a" * (10 * 2**20 + 1), "large.csv", "at most"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_at_its_field_and_the_rest_of_the_form_stays(
    operator: FlaskClient, room: BatchRoom, data: bytes, name: str, sentence: str
) -> None:
    answer = send(operator, room, data, name)

    assert answer.status_code == 422
    said = re.search(r'id="file-error" data-drop-problem>.*?data-drop-sentence>([^<]+)<', answer.text, re.DOTALL)
    assert said is not None, "the field says nothing"
    assert sentence in said[1]
    assert 'name="file"' in answer.text
    assert 'aria-describedby="file-hint file-error" aria-invalid="true"' in answer.text
    assert f'value="{room.merchant_id}"' in answer.text
    assert count_of(Batch) == 0


def test_a_body_beyond_every_limit_is_not_read_and_the_page_says_so_at_the_file(
    operator: FlaskClient, room: BatchRoom
) -> None:
    answer = send(operator, room, b"a" * (17 * 2**20))
    page = operator.get(answer.location).text

    assert answer.status_code == 303
    assert "kind=single-payment" in answer.location
    assert "The file is too large: at most 10 MB are read." in page
    assert count_of(Batch) == 0


def test_an_uploaded_file_never_touches_a_disk(
    operator: FlaskClient, room: BatchRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/no-file-can-be-made-here")
    rows = [room.payment(1 + n % 20, invoice_number=f"M-{n}", description="x" * 200) for n in range(3_000)]
    data = csv_file(rows, COLUMNS[PAYMENT])
    assert len(data) > 800_000

    batch_id = uploaded(send(operator, room, data))

    assert room.batch(batch_id).rows_total == 3_000


def test_a_form_without_a_file_or_without_a_merchant_says_so_at_the_field(
    operator: FlaskClient, room: BatchRoom
) -> None:
    bank = room.make.organization("A bank", kind=OrganizationKind.ISSUER).id
    data = csv_file([room.payment()], COLUMNS[PAYMENT])

    no_file = operator.post("/batch-transaction/?kind=single-payment", data={"merchant": str(room.merchant_id)})
    no_merchant = send(operator, room, data, merchant="")
    no_such = send(operator, room, data, merchant=str(bank))

    assert no_file.status_code == no_merchant.status_code == no_such.status_code == 422
    assert "Choose a file." in no_file.text
    assert "merchant-error" in no_merchant.text
    assert "Choose an active merchant." in no_such.text
    assert count_of(Batch) == 0


def test_when_the_provider_cannot_store_cards_nothing_is_taken_in(operator: FlaskClient, room: BatchRoom) -> None:
    data = csv_file([room.payment()], COLUMNS[PAYMENT])
    with told(operator.application, simulator_url="http://127.0.0.1:9"):
        answer = send(operator, room, data)

    assert answer.status_code == 422
    assert "cannot store cards at the moment" in answer.text
    assert count_of(Batch) == 0


def test_the_same_content_twice_leads_to_the_earlier_batch(operator: FlaskClient, room: BatchRoom) -> None:
    rows = [room.payment(1), room.payment(2)]
    first = uploaded(send(operator, room, csv_file(rows, COLUMNS[PAYMENT])))

    again = send(operator, room, xlsx_file(rows, COLUMNS[PAYMENT]), "other.xlsx")

    assert again.status_code == 409
    assert "This file says the same as" in again.text
    assert f'href="/batches/{first}/">Open that batch' in again.text
    assert count_of(Batch) == 1


def test_real_workbooks_of_others_are_read_shown_and_recognised_by_their_content(
    operator: FlaskClient, room: BatchRoom
) -> None:
    data = [gzip.decompress((DATA / f"birmingham_upload_dup_{name}.xls.gz").read_bytes()) for name in "ab"]
    first = uploaded(send(operator, room, data[0], "a.xls"))
    room.office.work()

    page = operator.get(f"/batches/{first}/").text
    again = send(operator, room, data[1], "b.xls")

    assert "The columns are not those of the template" in page
    assert page.count('<tr id="row-') == preview.SIZE
    assert data[0] != data[1]
    assert again.status_code == 409
    assert f'href="/batches/{first}/"' in again.text


def test_the_latest_uploads_of_the_kind_stand_below_the_form_and_its_terms_are_offered_again(
    operator: FlaskClient, room: BatchRoom
) -> None:
    room.make.organization("Another merchant")
    for number in range(1, 8):
        data = csv_file([room.payment(number)], COLUMNS[PAYMENT])
        uploaded(send(operator, room, data, f"file-{number}.csv"))

    page = operator.get("/batch-transaction/?kind=single-payment").text
    other = operator.get("/batch-transaction/?kind=registration").text

    assert re.findall(r">(file-\d\.csv)<", page) == [f"file-{number}.csv" for number in (7, 6, 5, 4, 3)]
    assert f'value="{room.merchant_id}"' in page
    assert "No uploads yet" in other


# --- the page of a batch ----------------------------------------------------------------------------------------------


def test_a_payment_file_with_an_error_shows_every_row_and_offers_no_processing(
    operator: FlaskClient, room: BatchRoom
) -> None:
    bad = room.payment(2, amount="12O.50", billing_number="NOBODY")
    data = csv_file([room.payment(1), bad, room.payment(3, description=SCRIPT)], COLUMNS[PAYMENT])
    batch_id = uploaded(send(operator, room, data))
    waiting = operator.get(f"/batches/{batch_id}/").text
    room.office.work()

    page = operator.get(f"/batches/{batch_id}/").text
    only = operator.get(f"/batches/{batch_id}/?only=errors").text

    assert f'data-poll="/batches/{batch_id}/progress/?seen=UPLOADED"' in waiting
    assert "data-poll" not in page
    assert page.count('<tr id="row-') == 3
    assert only.count('<tr id="row-') == 1
    assert "1 of 3 rows needs fixing." in page
    assert '<td class="right num key cellbad" data-label="Amount">12O.50<span class="cellerr">' in page
    assert "is not an amount" in page
    assert "2 errors" in page
    assert '<span class="mono">NOBODY</span>' in page, "the invalid billing numbers (S2:72)"
    assert f"/batches/{batch_id}/process/" not in page
    assert f"/batch-transaction/?replaces={batch_id}" in page
    assert "4242424242424242" not in page
    assert "•••4242" in page
    assert SCRIPT not in page
    refused = operator.get(f"/batches/{batch_id}/process/").text
    assert "1 row has an error." in refused
    assert 'name="code"' not in refused


def test_a_corrected_file_replaces_the_batch_and_is_processed_while_one_watches(
    operator: FlaskClient, room: BatchRoom
) -> None:
    later = (room.today + dt.timedelta(days=5)).isoformat()
    first = uploaded(send(operator, room, csv_file([room.payment(1, amount="-1")], COLUMNS[PAYMENT])))
    room.office.work()
    form = operator.get(f"/batch-transaction/?replaces={first}").text
    data = csv_file([room.payment(1), room.payment(2, execute_date=later)], COLUMNS[PAYMENT])
    second = uploaded(send(operator, room, data, "fixed.csv", replaces=first, version=hidden(form)["version"]))
    room.office.work()

    assert "This upload replaces" in form
    assert room.batch(first).status is S.REPLACED
    assert f"/batches/{second}/" in operator.get(f"/batches/{first}/").text
    assert f"/batches/{first}/" in operator.get(f"/batches/{second}/").text

    confirmation = operator.get(f"/batches/{second}/process/").text
    assert "Process 2 payments" in confirmation
    assert "<b>1 is charged at once</b>" in confirmation
    assert "1 is scheduled for a later day" in confirmation
    answer = process(operator, second)
    assert answer.status_code == 303, answer.text
    watching = operator.get(f"/batches/{second}/").text
    assert f'data-live="/batches/{second}/live/"' in watching
    assert f'data-poll="/batches/{second}/progress/?seen=PROCESSING"' in watching
    assert "Waiting" in watching

    room.office.work()
    live = operator.get(f"/batches/{second}/live/").text
    assert "Succeeded" in live
    assert "Scheduled" in live
    assert "/transactions/" in live
    assert "data-live-end" in live
    assert 'data-done="1"' in operator.get(f"/batches/{second}/progress/?seen=PROCESSING").text
    assert room.batch(second).status is S.PROCESSED
    gone = operator.get(f"/batch-transaction/?replaces={second}").text
    assert "cannot be replaced any more" in gone


def test_a_registration_is_processed_only_with_the_counts_that_were_shown(
    operator: FlaskClient, room: BatchRoom
) -> None:
    rows = [room.registration(1), room.registration(2, customer_id="C-NOBODY"), room.registration(3)]
    batch_id = uploaded(send(operator, room, csv_file(rows, COLUMNS[REGISTRATION]), kind="registration"))
    room.office.work()

    page = operator.get(f"/batches/{batch_id}/").text
    confirmation = operator.get(f"/batches/{batch_id}/process/").text
    assert "Process 2 valid, skip 1 invalid…" in page
    assert "Process 2 valid, skip 1 invalid" in confirmation
    assert "<b>1 invalid row is left out</b>" in confirmation

    for changes in ({"skipped": "0"}, {"valid": "3"}, {"version": "1"}, {"valid": "x"}):
        answer = process(operator, batch_id, **changes)
        assert answer.status_code == 409, changes
        assert f"/batches/{batch_id}/check-again/" in answer.text
    wrong = process(operator, batch_id, code="000000")
    assert wrong.status_code == 422
    assert 'id="code-error"' in wrong.text
    assert room.batch(batch_id).status is S.HAS_ERRORS

    assert process(operator, batch_id).status_code == 303
    room.office.work()
    done = operator.get(f"/batches/{batch_id}/").text
    assert len(room.subscriptions(batch_id)) == 2
    assert done.count(": the subscription of row ") == 2
    assert "1 invalid row was left out." in done
    assert operator.get(f"/batches/{batch_id}/?only=errors").text.count('<tr id="row-') == 1
    assert process(operator, batch_id).status_code == 409, "a second confirmation changes nothing"
    assert len(room.subscriptions(batch_id)) == 2


def test_wrong_columns_are_said_above_the_rows_and_nothing_but_another_file_is_offered(
    operator: FlaskClient, room: BatchRoom
) -> None:
    batch_id = uploaded(send(operator, room, f"billing_number,{SCRIPT}\nBN-1,5\n".encode()))
    room.office.work()

    page = operator.get(f"/batches/{batch_id}/").text

    assert "The column amount is missing." in page
    assert 'class="colbad"' in page.replace(' class=" colbad"', ' class="colbad"')
    assert "Not checked" in page
    assert SCRIPT not in page
    assert f"/batches/{batch_id}/process/" not in page
    assert f"/batches/{batch_id}/check-again/" not in page
    assert "Re-upload file" in page

    operator.post(f"/batches/{batch_id}/discard/", data={"version": str(room.batch(batch_id).version)})
    gone = operator.get(f"/batches/{batch_id}/").text

    assert "Nothing of this file was processed." in gone
    assert "upload it again" not in gone


def test_only_an_upload_may_be_as_large_as_a_file(operator: FlaskClient) -> None:
    boundary, body = encode_multipart({"current": "x", "file": FileStorage(io.BytesIO(b"a" * 600_000), "f.csv")})
    answer = operator.post("/account/password", data=body, content_type=f"multipart/form-data; boundary={boundary}")
    assert answer.status_code == 413


def test_rows_are_paged_by_their_number_and_any_row_can_be_gone_to(
    operator: FlaskClient, room: BatchRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "SIZE", 3)
    rows = [room.payment(1 + n % 20, invoice_number=f"I-{n}") for n in range(8)]
    batch_id = uploaded(send(operator, room, csv_file(rows, COLUMNS[PAYMENT])))
    room.office.work()

    def shown(query: str = "") -> list[int]:
        page = operator.get(f"/batches/{batch_id}/{query}").text
        return [int(number) for number in re.findall(r'<tr id="row-(\d+)"', page)]

    assert shown() == [2, 3, 4]
    assert shown("?after=4") == [5, 6, 7]
    assert shown("?after=7") == [8, 9]
    assert shown("?before=8") == [5, 6, 7]
    assert shown("?before=4") == [2, 3, 4]
    assert shown("?row=6") == [6, 7, 8]
    assert shown("?after=9") == []
    for nonsense in ("?after=x", "?after=-1", "?after=99999999999", "?only=all", "?after=1&before=3", "?x=1"):
        assert operator.get(f"/batches/{batch_id}/{nonsense}").status_code == 400, nonsense


def test_the_page_asks_as_many_questions_for_fifty_rows_as_for_one(operator: FlaskClient, room: BatchRoom) -> None:
    def questions(many: int) -> int:
        rows = [room.payment(1 + n % 20, invoice_number=f"I-{many}-{n}") for n in range(many)]
        batch_id = uploaded(send(operator, room, csv_file(rows, COLUMNS[PAYMENT])))
        room.office.work()
        operator.get(f"/batches/{batch_id}/")
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            seen.append(statement)

        event.listen(db.engine, "before_cursor_execute", note)
        try:
            assert operator.get(f"/batches/{batch_id}/").status_code == 200
        finally:
            event.remove(db.engine, "before_cursor_execute", note)
        return len(seen)

    assert questions(50) == questions(1) <= 20


def test_the_rows_with_errors_are_a_file_without_card_numbers_and_the_trail_knows_of_it(
    operator: FlaskClient, room: BatchRoom
) -> None:
    bad = room.payment(2, amount="x", description="=1+1")
    batch_id = uploaded(send(operator, room, csv_file([room.payment(1), bad], COLUMNS[PAYMENT]), "we ird ü.csv"))
    room.office.work()

    answer = operator.get(f"/batches/{batch_id}/errors.csv")

    rows = list(csv.DictReader(io.StringIO(answer.text.lstrip("\ufeff"))))
    assert [(row["row"], row["invoice_number"]) for row in rows] == [("3", "INV-2")]
    assert "amount: " in rows[0]["errors"]
    assert rows[0]["card_no"] == "•••4242"
    assert rows[0]["description"] == "'=1+1"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="errors-we-ird--.csv"'
    assert trail(event=Event.EXPORT_FINISHED)[-1].keys["rows"] == 1


def test_a_batch_can_be_checked_again_and_discarded_unless_it_has_moved_on(
    operator: FlaskClient, room: BatchRoom
) -> None:
    batch_id = uploaded(send(operator, room, csv_file([room.payment(1)], COLUMNS[PAYMENT])))
    room.office.work()
    old = {"version": "1"}
    new = {"version": str(room.batch(batch_id).version)}

    refused = operator.post(f"/batches/{batch_id}/discard/", data=old, follow_redirects=True).text
    assert "Somebody else changed this batch meanwhile." in refused
    assert operator.post(f"/batches/{batch_id}/check-again/", data=new).status_code == 303
    assert room.batch(batch_id).status is S.VALIDATING
    room.office.work()
    assert room.batch(batch_id).status is S.READY
    new = {"version": str(room.batch(batch_id).version)}
    assert operator.post(f"/batches/{batch_id}/discard/", data=new).status_code == 303
    assert room.batch(batch_id).status is S.DISCARDED
    page = operator.get(f"/batches/{batch_id}/").text
    assert "Nothing of this file was processed." in page
    assert "Re-upload" not in page


def test_a_batch_that_stands_still_can_be_resumed(operator: FlaskClient, room: BatchRoom) -> None:
    batch_id = uploaded(send(operator, room, csv_file([room.payment(1)], COLUMNS[PAYMENT])))
    room.office.work()
    assert process(operator, batch_id).status_code == 303
    assert "/resume/" not in operator.get(f"/batches/{batch_id}/").text
    set_batch(batch_id, updated_at=utcnow() - dt.timedelta(minutes=5))

    assert 'data-done="1"' in operator.get(f"/batches/{batch_id}/progress/?seen=PROCESSING").text
    page = operator.get(f"/batches/{batch_id}/").text
    assert "The processing stands still." in page
    assert operator.post(f"/batches/{batch_id}/resume/").status_code == 303
    room.office.work()
    assert room.batch(batch_id).status is S.PROCESSED
    assert len(room.charges(batch_id)) == 1
    again = operator.post(f"/batches/{batch_id}/resume/", follow_redirects=True).text
    assert "there is nothing to go on with" in again


def test_who_may_only_read_sees_the_rows_and_no_way_to_change_them(make: Make, room: BatchRoom) -> None:
    batch_id = room.upload([room.payment(1), room.payment(2, amount="x")])
    room.office.work()
    reader = make.browse(Role.CFO)

    page = reader.get(f"/batches/{batch_id}/").text

    assert page.count('<tr id="row-') == 2
    for word in ("Re-upload", "Discard", "Check again", "/process/"):
        assert word not in page
    assert reader.get("/batch-transaction/").status_code == 403
    for address in ("process", "discard", "check-again", "resume"):
        assert reader.post(f"/batches/{batch_id}/{address}/").status_code == 403
    assert make.browse(Role.CASHIER).get("/batches/").status_code == 403


def test_personal_data_in_cells_is_hidden_from_who_may_not_read_it(app: Flask, make: Make) -> None:
    columns, cells = ("card_holder_name", "card_holder_phone", "amount"), ("Ana Lopez", "+44 7700 900123", "5")
    with app.test_request_context():
        g.actor = make.actor()
        assert preview.Shown(columns).cells(cells) == list(cells)
        g.actor = make.actor_without(Permission.PARTIES_PERSONAL_READ)
        assert preview.Shown(columns).cells(cells) == ["A••• L•••", "•••23", "5"]


def test_what_stands_in_unknown_columns_or_makes_no_sense_is_hidden_too(app: Flask, make: Make) -> None:
    columns, cells = ("E-mail address", "currency", "amount"), ("ana@example.com", "ana@example.com", "5")
    errors = [{"column": "currency", "sentence": '"ana@example.com" is not a currency that is taken here: EUR.'}]
    with app.test_request_context():
        g.actor = make.actor()
        assert preview.Shown(columns).cells(cells, errors) == list(cells)
        assert preview.Shown(columns).errors(errors) == errors
        g.actor = make.actor_without(Permission.PARTIES_PERSONAL_READ)
        assert preview.Shown(columns).cells(cells, errors) == ["•••", "•••", "5"]
        [error] = preview.Shown(columns).errors(errors)
        assert error["sentence"] == '"•••" is not a currency that is taken here: EUR.'


def test_pages_and_error_files_of_a_batch_hide_what_may_be_personal(
    room: BatchRoom, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GRANTS, Role.CFO, GRANTS[Role.CFO] - {Permission.PARTIES_PERSONAL_READ})
    unknown = room.checked(csv_file([{"E-mail address": "ana@example.com", "Card holder": "Ana Lopez"}]))
    wrong = room.checked([room.payment(1, currency="ana@example.com")])
    reader = make.browse(Role.CFO)
    for batch in (unknown, wrong):
        for address in (f"/batches/{batch.id}/", f"/batches/{batch.id}/errors.csv"):
            answer = reader.get(address)
            assert answer.status_code == 200
            assert "ana@example.com" not in answer.text
            assert "Ana Lopez" not in answer.text
    assert "E-mail address" not in str([entry.keys for entry in trail(event=Event.EXPORT_STARTED)])


def test_an_error_file_of_many_rows_asks_for_a_code(operator: FlaskClient, room: BatchRoom) -> None:
    batch = room.checked([room.payment(1, invoice_number=f"X-{n}", amount="x") for n in range(1_001)])
    address = f"/batches/{batch.id}/errors.csv"

    asked = operator.get(address)

    assert asked.status_code == 200
    assert "1,001 rows go into one file" in asked.text
    assert trail(event=Event.EXPORT_STARTED) == []
    assert f'href="{address}" download' not in operator.get(f"/batches/{batch.id}/").text
    offer = re.search(r'name="offer" value="([^"]+)"', asked.text)
    assert offer is not None
    assert operator.post(address, data={"offer": offer[1], "code": "000000"}).status_code == 422
    assert trail(event=Event.EXPORT_STARTED) == []
    answer = operator.post(address, data={"offer": offer[1], "code": code_of(operator)})
    assert answer.text.count("X-") == 1_001
    assert trail(event=Event.EXPORT_FINISHED)[-1].keys["rows"] == 1_001


# --- the report -------------------------------------------------------------------------------------------------------


def test_the_report_lists_uploads_latest_first_with_their_totals_by_currency(
    operator: FlaskClient, room: BatchRoom
) -> None:
    room.upload([room.payment(1), room.payment(2, currency="JPY", amount="500")], name="first.csv")
    room.upload([room.registration(1), room.registration(2, amount="x")], kind=REGISTRATION, name="second.csv")
    room.office.work()

    page = operator.get("/batches/").text
    payments = operator.get("/batches/?kind=SINGLE_PAYMENT").text
    found = operator.get("/batches/?search=seco").text
    answer = operator.get("/batches/export/csv/")

    assert re.findall(r">(first|second)\.csv<", page) == ["second", "first"]
    assert re.findall(r">(first|second)\.csv<", payments) == ["first"]
    assert re.findall(r">(first|second)\.csv<", found) == ["second"]
    for word in ("Total Data", "Total Amount", "Invalid Data", "Has errors", "Ready to process"):
        assert word in page
    assert "12.50 <small>EUR</small>" in page
    assert "500 <small>JPY</small>" in page
    rows = list(csv.DictReader(io.StringIO(answer.text.lstrip("\ufeff"))))
    assert [row["Total Amount"] for row in rows] == ["9.90 EUR", "12.50 EUR; 500 JPY"]
    assert [row["Invalid Data"] for row in rows] == ["1", "0"]


def test_a_batch_nobody_has_checked_yet_shows_that_it_waits(operator: FlaskClient, room: BatchRoom) -> None:
    batch_id = room.upload([room.payment(1)])

    page = operator.get(f"/batches/{batch_id}/").text
    set_batch(batch_id, updated_at=utcnow() - dt.timedelta(minutes=5))
    still = operator.get(f"/batches/{batch_id}/").text

    assert "Waiting for a worker" in page
    assert "No row is checked yet" in page
    assert count_of(BatchRow) == 0
    assert "The check stands still." in still
    assert operator.get("/batches/999999/").status_code == 404
