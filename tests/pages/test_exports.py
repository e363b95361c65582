"""Exports equal the list: same rows, order and columns; typed, defused, audited, and never cut off silently."""

import csv
import datetime as dt
import hashlib
import io
import json

import openpyxl
import pytest
import tablib
from sqlalchemy import select

from payadmin.audit import Event
from payadmin.db import db
from payadmin.models.audit import AuditEvent

UTC = dt.UTC
LIVE = ["=1+1", "+1", "-1+2", "@SUM(A1)", "\tx", "\uff1d1", '=HYPERLINK("http://x","y")']


def trail(event: Event) -> list[AuditEvent]:
    return list(db.session.scalars(select(AuditEvent).where(AuditEvent.event == event).order_by(AuditEvent.id)))


def test_the_file_holds_the_filtered_rows_in_the_order_of_the_screen(admin, lab, gadgets):
    gadgets(30)
    gadgets(5, colour=lab.Colour.GREEN)
    text = admin.get("/gadgets/export/csv/?colour=GREEN&sort=code").text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["Code"] for row in rows] == [f"G-{place:05}" for place in range(30, 35)]
    assert rows[0] | {"Created (UTC)": ""} == {
        "Code": "G-00030",
        "Name": "Gadget 30",
        "Colour": "Green",
        "Price": "1.30",
        "Price currency": "EUR",
        "Weight": "",
        "Owner": "",
        "Sold at (UTC)": "",
        "Made on": "",
        "Is fine": rows[0]["Is fine"],
        "Created (UTC)": "",
    }
    assert "token" not in text.lower()
    assert "very-secret" not in text


def test_the_trail_says_what_left_the_building(admin, gadgets):
    gadgets(3)
    data = admin.get("/gadgets/export/csv/?code=G-0*").data
    (started,), (finished,) = trail(Event.EXPORT_STARTED), trail(Event.EXPORT_FINISHED)
    assert started.keys["filter"] == finished.keys["filter"] == "code=G-0*"
    assert finished.keys["rows"] == 3
    assert finished.keys["sha256"] == hashlib.sha256(data).hexdigest()
    assert finished.keys["bytes"] == len(data)
    assert finished.keys["columns"][:2] == ["code", "name"]
    assert finished.keys["started"] == started.id


@pytest.mark.parametrize("kind", ["csv", "xlsx", "ods", "json"])
def test_cells_that_look_like_formulas_are_text_in_every_file(admin, gadgets, kind):
    for place, live in enumerate(LIVE):
        gadgets(1, code=f"C{place}", name=live)
    data = admin.get(f"/gadgets/export/{kind}/?sort=code").data
    if kind == "xlsx":
        sheet = openpyxl.load_workbook(io.BytesIO(data)).active
        cells = [row[1] for row in sheet.iter_rows(min_row=2)]
        assert [cell.data_type for cell in cells] == ["s"] * len(LIVE)
        assert [cell.value for cell in cells] == LIVE
        price = sheet.cell(2, 4)
        assert (price.data_type, price.value) == ("n", 1), "amounts are numbers"
    elif kind == "json":
        assert [row["Name"] for row in json.loads(data)] == LIVE
    else:
        table = tablib.Dataset().load(data if kind == "ods" else data.decode(), format=kind)
        assert all(str(name).startswith("'") for name in table["Name"]), table["Name"]


def test_types_survive_in_a_workbook(admin, lab, gadgets):
    owner = lab.make.customer(name="Ada")
    gadgets(
        1,
        weight=-12,
        customer_id=owner.id,
        sold_at=dt.datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
        made_on=dt.date(2026, 2, 3),
        price_minor=1234567,
    )
    sheet = openpyxl.load_workbook(io.BytesIO(admin.get("/gadgets/export/xlsx/").data)).active
    row = dict(zip([c.value for c in sheet[1]], [c.value for c in sheet[2]], strict=True))
    assert row["Weight"] == -12
    assert row["Price"] == pytest.approx(12345.67)
    assert row["Sold at (UTC)"] == dt.datetime(2026, 3, 1, 12, 30)  # noqa: DTZ001 - a workbook knows no zone
    assert row["Made on"] in (dt.datetime(2026, 2, 3), dt.date(2026, 2, 3))  # noqa: DTZ001 - a workbook knows no zone
    assert row["Owner"] == "Ada"


def test_a_large_export_asks_for_a_code_and_then_streams_everything(admin, lab, gadgets):
    from payadmin.db import utcnow
    from payadmin.kernel import totp
    from tests.support.signin import secret_of

    gadgets(1_001)
    page = admin.get("/gadgets/export/csv/")
    assert page.status_code == 200
    assert "Authenticator code" in page.text
    offer = page.text.split('name="offer" value="')[1].split('"')[0]
    wrong = admin.post("/gadgets/export/csv/", data={"offer": offer, "code": "000000"})
    assert wrong.status_code == 422
    assert trail(Event.EXPORT_STARTED) == []
    offer = wrong.text.split('name="offer" value="')[1].split('"')[0]
    done = admin.post(
        "/gadgets/export/csv/", data={"offer": offer, "code": totp.code_at(secret_of(admin.staff_id), utcnow())}
    )
    assert len(done.text.splitlines()) == 1_002
    assert trail(Event.EXPORT_FINISHED)[0].keys["rows"] == 1_001


def test_a_file_that_cannot_hold_all_rows_is_refused_not_cut(admin, gadgets, monkeypatch):
    from payadmin.views import exports

    monkeypatch.setattr(exports, "SMALL", 2)
    monkeypatch.setattr(exports, "TABLIB_CAP", 3)
    gadgets(4)
    answer = admin.get("/gadgets/export/ods/")
    assert answer.status_code == 413
    assert "at most 3 rows" in answer.text
    assert trail(Event.EXPORT_STARTED) == []


def test_an_export_that_is_broken_off_is_known_to_have_begun(admin, gadgets):
    gadgets(900)
    answer = admin.get("/gadgets/export/csv/", buffered=False)
    next(iter(answer.response))
    answer.close()
    assert len(trail(Event.EXPORT_STARTED)) == 1
    assert trail(Event.EXPORT_FINISHED) == []


def test_only_who_may_export_can(lab, gadgets):
    from payadmin.permissions import Role

    gadgets(1)
    assert lab.make.browse(Role.SUPPORT_AGENT).get("/gadgets/export/csv/").status_code == 403
