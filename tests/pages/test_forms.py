"""Forms: typed fields, refusals at the field, stale saves refused with the input kept, every change explained."""

import re

from sqlalchemy import select

from payadmin.audit import Event
from payadmin.db import db
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Customer
from payadmin.permissions import Permission

GOOD = {
    "code": "N-1",
    "name": "  New one ",
    "colour": "DEEP_BLUE",
    "price": "1,234.50",
    "unit": "EUR",
    "weight": "-7",
    "customer": "",
    "sold_at": "2026-07-01T00:30",
    "made_on": "2026-07-01",
    "is_fine": "y",
    "settings": '{"a": [1]}',
    "note": "",
}


def last_event() -> AuditEvent:
    return db.session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()


def test_a_record_is_created_typed_and_explained(admin, lab):
    lab.make.unit("EUR")
    owner = lab.make.customer(name="Ada")
    answer = admin.post("/gadgets/new/", data=GOOD | {"customer": str(owner.id)})
    assert answer.status_code == 302, answer.text[-2500:]
    row = db.session.scalars(select(lab.Gadget)).one()
    assert answer.location == f"/gadgets/{row.id}/"
    assert (row.name, row.colour, row.price_minor, row.weight) == ("New one", lab.Colour.DEEP_BLUE, 1234_50, -7)
    assert row.sold_at.isoformat() == "2026-06-30T23:30:00+00:00", "typed in London's summer"
    assert (row.made_on.isoformat(), row.is_fine, row.settings, row.note) == ("2026-07-01", True, {"a": [1]}, None)
    assert (row.customer_id, row.token) == (owner.id, None)
    assert last_event().event == Event.RECORD_CREATED
    assert last_event().after["code"] == "N-1"


SENSELESS = [
    ("price", "NaN", "is not an amount"),
    ("price", "1e30", "is not an amount"),
    ("price", "-5", "is not an amount"),
    ("price", "1.005", "too many decimals"),
    ("price", "١٢", "is not an amount"),
    ("colour", "PINK", "Choose one of the list"),
    ("unit", "XXX", "Not a valid choice"),
    ("weight", "999999999999999999999", "whole number"),
    ("weight", "9999999999999999999", "too large"),
    ("weight", "1.5", "whole number"),
    ("customer", "77", "Choose one of the list"),
    ("customer", "x", "Choose one of the list"),
    ("sold_at", "yesterday", "Not a valid"),
    ("sold_at", "0001-01-01T00:00", "this century"),
    ("settings", "{", "not JSON"),
    ("settings", "NaN", "not JSON"),
    ("code", "x" * 41, "At most 40"),
    ("code", "a\x00b", "cannot be stored"),
    ("code", "", "This is needed"),
    ("name", "   ", "This is needed"),
]


def test_what_makes_no_sense_is_refused_at_the_field(admin, lab):
    lab.make.unit("EUR")
    for field, value, sentence in SENSELESS:
        answer = admin.post("/gadgets/new/", data=GOOD | {field: value})
        assert answer.status_code == 422, (field, value)
        assert re.search(rf'id="{field}-error">.*?{sentence}', answer.text, re.DOTALL), (field, value)
    assert db.session.scalars(select(lab.Gadget)).all() == []


def test_amounts_have_the_decimals_of_their_unit(admin, lab):
    lab.make.unit("JPY")
    assert admin.post("/gadgets/new/", data=GOOD | {"unit": "JPY", "price": "12.50"}).status_code == 422
    assert admin.post("/gadgets/new/", data=GOOD | {"unit": "JPY", "price": "1250"}).status_code == 302
    assert db.session.scalars(select(lab.Gadget.price_minor)).one() == 1250


def test_what_the_database_refuses_is_said_in_words(admin, lab, gadgets):
    gadgets(1)
    answer = admin.post("/gadgets/new/", data=GOOD | {"code": "G-00000"})
    assert answer.status_code == 422
    assert "Another record already has this Code." in answer.text
    assert "UNIQUE" not in answer.text
    assert 'value="G-00000"' in answer.text, "the input is kept"


def edit_form(admin, row_id: int) -> dict[str, str]:
    text = admin.get(f"/gadgets/{row_id}/edit/").text
    seen = re.search(r'name="seen_version"[^>]*value="(\d+)"', text)[1]
    return GOOD | {"code": "G-00000", "seen_version": seen}


def test_a_change_is_saved_with_before_and_after(admin, lab, gadgets):
    (row,) = gadgets(1)
    answer = admin.post(f"/gadgets/{row.id}/edit/", data=edit_form(admin, row.id) | {"name": "Renamed", "price": "2"})
    assert answer.status_code == 302, answer.text[-2000:]
    event = last_event()
    assert event.event == Event.RECORD_UPDATED
    assert (event.before["name"], event.after["name"]) == ("Gadget 0", "Renamed")
    assert (event.before["price_minor"], event.after["price_minor"]) == (100, 200)
    assert "code" not in event.after, "only what changed"
    db.session.refresh(row)
    assert row.token == "very-secret-token", "what is not on the form stays"
    assert "<del>Gadget 0</del> → Renamed" in admin.get(f"/gadgets/{row.id}/").text


def test_a_stale_form_is_refused_with_what_changed_and_its_input_kept(admin, lab, gadgets):
    (row,) = gadgets(1)
    mine, theirs = edit_form(admin, row.id), edit_form(admin, row.id)
    assert admin.post(f"/gadgets/{row.id}/edit/", data=theirs | {"name": "Theirs"}).status_code == 302
    stale = admin.post(f"/gadgets/{row.id}/edit/", data=mine | {"name": "Mine"})
    assert stale.status_code == 409
    assert "Somebody else changed this record" in stale.text
    assert "Theirs" in stale.text
    assert 'value="Mine"' in stale.text
    db.session.refresh(row)
    assert row.name == "Theirs"
    seen = re.search(r'name="seen_version"[^>]*value="(\d+)"', stale.text)[1]
    assert admin.post(f"/gadgets/{row.id}/edit/", data=mine | {"name": "Mine", "seen_version": seen}).status_code == 302
    for missing in ("", "x", "-1", "999999999999999999999"):
        assert admin.post(f"/gadgets/{row.id}/edit/", data=mine | {"seen_version": missing}).status_code == 409


def test_saving_what_is_there_changes_nothing(admin, lab, gadgets):
    (row,) = gadgets(1)
    form = edit_form(admin, row.id)
    admin.post(f"/gadgets/{row.id}/edit/", data=form)
    form = edit_form(admin, row.id)
    admin.post(f"/gadgets/{row.id}/edit/", data=form)
    events = db.session.scalars(select(AuditEvent).where(AuditEvent.event == Event.RECORD_UPDATED)).all()
    assert len(events) == 1


def test_fields_that_are_not_on_the_form_cannot_be_set(admin, lab, gadgets):
    (row,) = gadgets(1)
    admin.post(
        f"/gadgets/{row.id}/edit/", data=edit_form(admin, row.id) | {"token": "stolen", "id": "99", "version": "7"}
    )
    db.session.expire_all()
    kept = db.session.get(lab.Gadget, row.id)
    assert (kept.token, kept.version) == ("very-secret-token", 2)


def test_related_rows_are_looked_up_a_few_at_a_time(admin, lab):
    for number in range(25):
        lab.make.customer(name=f"Ada {number:02}")
    found = admin.get("/gadgets/lookup/?field=customer&q=Ada").json
    assert len(found) == 20
    assert found[0]["text"].startswith("Ada 00")
    assert admin.get("/gadgets/lookup/?field=customer&q=").json == []
    assert admin.get("/gadgets/lookup/?field=customer&q=%25").json == []
    assert admin.get("/gadgets/lookup/?field=code&q=a").status_code == 404
    assert admin.get("/gadgets/lookup/?field=token&q=a").status_code == 404
    assert admin.get("/gadgets/lookup/?field=customer&q=Ada&limit=100000").json == found


def test_unknown_rows_are_not_there(admin, gadgets):
    gadgets(1)
    for address in ("999", "0", "99999999999999999999", "abc", "1,2", "-1"):
        assert admin.get(f"/gadgets/{address}/").status_code == 404, address
        assert admin.get(f"/gadgets/{address}/edit/").status_code == 404, address


def test_nothing_is_deleted_unless_the_page_says_so(admin, gadgets):
    (row,) = gadgets(1)
    assert admin.post(f"/gadgets/{row.id}/delete/").status_code == 403


def test_what_may_be_deleted_is_unless_something_points_to_it(lab, admin, gadgets, monkeypatch):
    view = lab.app.extensions["payadmin.page_of"][lab.Gadget]
    monkeypatch.setitem(view.permissions, "delete", Permission.WALLETS_UNIT_WRITE)
    free, used = (row.id for row in gadgets(2))
    lab.make._save(lab.Widget(code="W", price_minor=1, unit="EUR", gadget_id=used))
    assert (
        admin.post(f"/gadgets/{used}/delete/", follow_redirects=True).text.count("Other records point to this one") == 1
    )
    assert admin.post(f"/gadgets/{free}/delete/").location == "/gadgets/"
    assert admin.post(f"/gadgets/{free}/delete/").status_code == 404
    assert db.session.scalars(select(lab.Gadget.id)).all() == [used]
    event = last_event()
    deleted = db.session.scalars(select(AuditEvent).where(AuditEvent.event == Event.RECORD_DELETED)).one()
    assert (deleted.entity_id, deleted.before["code"]) == (str(free), "G-00000")
    assert "very-secret-token" not in str(deleted.before)
    assert event.outcome == "refused"


def test_related_rows_out_of_scope_have_no_name_and_cannot_be_chosen(lab, admin, monkeypatch):
    """A page's scope holds for whoever points to its rows: in cells, filters, look-ups, forms and files."""
    lab.make.unit("EUR")
    hidden = lab.make.customer(name="Zacharias Hidden")
    seen = lab.make.customer(name="Zacharias Seen")
    for place, owner in enumerate((hidden, seen)):
        lab.make._save(lab.Gadget(code=f"G-{place:05}", name="x", price_minor=1, unit="EUR", customer_id=owner.id))
    hidden_id, seen_id = hidden.id, seen.id
    view = lab.app.extensions["payadmin.page_of"][Customer]
    monkeypatch.setattr(view, "get_query", lambda: select(Customer).where(Customer.id != hidden_id))
    pages = [
        admin.get("/gadgets/"),
        admin.get(f"/gadgets/?customer={hidden_id}"),
        admin.get("/gadgets/1/"),
        admin.get("/gadgets/1/edit/"),
        admin.get("/gadgets/export/csv/"),
        admin.get("/gadgets/lookup/?field=customer&q=Zacharias"),
        admin.get("/gadgets/?customer.find=Zacharias", follow_redirects=True),
    ]
    for page in pages:
        assert page.status_code == 200
        assert "Hidden" not in page.text
    assert "Zacharias Seen" in pages[0].text
    assert [found["id"] for found in pages[5].json] == [seen_id]
    chosen = admin.post("/gadgets/new/", data=GOOD | {"customer": str(hidden_id)})
    assert chosen.status_code == 422
