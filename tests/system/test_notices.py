"""The bell: told in the transaction it is about, once for a key, read by its owner, and forgotten in time."""

import datetime as dt
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, select

from payadmin.actions import notices as acts
from payadmin.db import db, utcnow
from payadmin.kernel.errors import NotFound
from payadmin.models.access import StaffUser
from payadmin.models.system import NoticeKind, StaffNotice
from payadmin.notices import KEPT, MOST_COUNTED, notify, staff_named
from payadmin.permissions import Role, permissions_of
from payadmin.work import Actor
from tests.support.make import Make, writing


@pytest.fixture(autouse=True)
def _no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


@pytest.fixture
def ann(make: Make) -> FlaskClient:
    return make.browse(Role.PAYMENTS_OPERATOR, username="ann")


def staff_id(name: str = "ann") -> int:
    return db.session.scalars(select(StaffUser.id).where(StaffUser.username == name)).one()


def tell(title: str = "A file is ready.", *, name: str = "ann", **more: Any) -> None:
    number = staff_id(name)
    writing()
    notify(db.session(), number, NoticeKind.READY, title, **more)
    db.session.commit()


def every() -> list[StaffNotice]:
    db.session.rollback()
    return list(db.session.scalars(select(StaffNotice).order_by(StaffNotice.id)))


def test_the_bell_counts_what_is_unread_and_opening_reads(ann: FlaskClient, make: Make) -> None:
    payment = make.payment()
    tell(page="transactions", row_id=payment.id)
    tell("Another.")
    assert ann.get("/notices/count/").text == "2"
    assert 'aria-label="Notifications, 2 unread"' in ann.get("/transactions/").text
    assert "A file is ready." in ann.get("/notices/bell/").text
    first = every()[0]
    assert ann.get(f"/notices/{first.id}/").location == f"/transactions/{payment.id}/"
    assert ann.get("/notices/count/").text == "1"
    assert ann.get(f"/notices/{every()[1].id}/").location == "/notices/", "one that leads nowhere"
    assert ann.get("/notices/count/").text == ""


def test_all_that_the_page_showed_is_read_and_nothing_newer(ann: FlaskClient) -> None:
    tell("First.")
    seen = every()[0].id
    tell("Second.")
    assert "Mark all as read" in ann.get("/notices/").text
    ann.post("/notices/read/", data={"newest": seen})
    assert [notice.read_at is None for notice in every()] == [False, True]


def test_nobody_reads_what_others_are_told(ann: FlaskClient, make: Make) -> None:
    bob = make.browse(Role.ADMIN, username="bob")
    tell("For Ann.")
    number = every()[0].id
    assert bob.get("/notices/count/").text == ""
    assert "For Ann" not in bob.get("/notices/").text
    assert bob.get(f"/notices/{number}/").status_code == 404
    role = Role.ADMIN
    with pytest.raises(NotFound):
        acts.read_notice(Actor(staff_id("bob"), "bob", frozenset({role}), permissions_of({role})), number)
    bob.post("/notices/read/", data={"newest": number})
    assert every()[0].read_at is None


def test_a_key_tells_once_and_a_rollback_tells_nobody(ann: FlaskClient) -> None:
    tell(key="export:1")
    tell("Again.", key="export:1")
    assert len(every()) == 1
    number = staff_id()
    writing()
    notify(db.session(), number, NoticeKind.DONE, "Never.")
    db.session.rollback()
    notify(db.session(), None, NoticeKind.DONE, "Nobody.")
    assert len(every()) == 1
    assert staff_named(db.session(), "ann") == number
    assert staff_named(db.session(), None) is None


def test_titles_are_one_short_line_without_card_numbers(ann: FlaskClient) -> None:
    tell("Card 4111 1111 1111 1111\nwas <b>refused</b> " + "x" * 300)
    title = every()[0].title
    assert len(title) == 200
    assert title.startswith("Card 411111••••••1111 was <b>")
    assert "<b>refused" not in ann.get("/notices/").text


def test_only_the_newest_are_kept_and_for_a_while(ann: FlaskClient) -> None:
    number = staff_id()
    writing()
    rows = [StaffNotice(staff_id=number, kind=NoticeKind.DONE, title=f"No. {n}") for n in range(KEPT + 5)]
    rows[-1].created_at = utcnow() - dt.timedelta(days=91)
    db.session.add_all(rows)
    db.session.commit()
    tell("The newest.")
    titles = [notice.title for notice in every()]
    assert len(titles) == KEPT
    assert titles[-1] == "The newest."
    assert "No. 204" not in titles
    assert "No. 0" not in titles


def test_the_count_ends_at_a_hundred(ann: FlaskClient) -> None:
    number = staff_id()
    writing()
    db.session.add_all(StaffNotice(staff_id=number, kind=NoticeKind.DONE, title="x") for _ in range(MOST_COUNTED + 9))
    db.session.commit()
    assert ann.get("/notices/count/").text == "99+"


def test_asking_again_and_again_costs_one_look(ann: FlaskClient) -> None:
    tell()
    ann.get("/notices/count/")
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        ann.get("/notices/count/", headers={"X-Partial": "status"})
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    about = [statement for statement in seen if "staff_notice" in statement]
    assert len(about) == 1
