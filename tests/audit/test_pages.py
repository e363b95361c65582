"""The trail's pages: found by user, by activity, by data and by time; read by few; and every look is written down."""

import datetime as dt
from typing import Any

import pytest
from flask import Flask

from payadmin.audit import Event
from payadmin.config import Settings
from payadmin.db import db, utcnow
from payadmin.jobs import runner
from payadmin.jobs.audit import keep_seals
from payadmin.models.audit import AuditEvent
from payadmin.models.payments import Payment, PaymentStatus
from payadmin.permissions import Permission, Role
from payadmin.work import SYSTEM, Actor, Work, use_case
from tests.support.desk import trail
from tests.support.make import Make
from tests.support.pages import post

ADA = Actor(staff_id=7, name="ada", permissions=frozenset(Permission), ip="10.0.0.9", request_id="r-77")


def happen(actor: Actor = ADA, event: Event = Event.INVOICES_DOWNLOADED, subject: Any = None, **told: Any) -> None:
    def act(work: Work) -> None:
        row = None if subject is None else work.get(type(subject), subject.id)
        work.record(event, row, **told)

    use_case(Permission.SYSTEM_JOB_RUN)(act)(actor)


def found(client: Any, query: str, page: str = "user-actions") -> list[str]:
    """The data of the acts that a page shows, newest first."""
    response = client.get(f"/{page}/?{query}")
    assert response.status_code == 200, response.text
    marks = [part.partition("<")[0] for part in response.text.split("Mark ")[1:]]
    return [mark.partition(" ")[0] for mark in marks]


@pytest.fixture
def acts(make: Make) -> None:
    happen(mark="m1", invoice_number="INV-1", customer_id=5)
    happen(mark="m2", invoice_number="INV-2")
    happen(SYSTEM, Event.EXPORT_FINISHED, mark="m3", invoice_number="INV-2")
    happen(SYSTEM, Event.EXPORT_FINISHED, mark="m4", outcome="failed", billing_number="inv-77")


@pytest.mark.parametrize(
    ("query", "marks"),
    [
        ("", ["m4", "m3", "m2", "m1"]),
        ("actor_name=ada", ["m2", "m1"]),
        ("actor_name=ADA", ["m2", "m1"]),
        ("event=reporting.export.finished", ["m4", "m3"]),
        ("event=reporting.export.finished&event=payments.invoice.downloaded", ["m4", "m3", "m2", "m1"]),
        ("data=INV-2", ["m3", "m2"]),
        ("data=INV-*", ["m3", "m2", "m1"]),
        ("data=5", ["m1"]),
        ("data=INV-2&actor_name=ada", ["m2"]),
        ("data=nothing", []),
        ("outcome=failed", ["m4"]),
        ("outcome=done", ["m3", "m2", "m1"]),
        ("search=INV-1", ["m1"]),
        ("search=ada", ["m2", "m1"]),
        ("record=payment:17", []),
    ],
)
def test_acts_are_found_by_user_activity_data_and_outcome(acts: None, make: Make, query: str, marks: list[str]) -> None:
    assert found(make.browse(Role.ADMIN), query) == marks


def test_acts_are_found_by_the_day_they_happened_on(acts: None, make: Make) -> None:
    client, today = make.browse(Role.CFO), utcnow().date()
    assert found(client, f"date={today - dt.timedelta(days=1)}..{today + dt.timedelta(days=1)}&data=INV-1") == ["m1"]
    assert found(client, f"date=..{today - dt.timedelta(days=2)}") == []


@pytest.mark.parametrize(
    "query", ["event=DROP TABLE", "outcome=maybe", "record=payment", "record=nothing:1", "data=*", "data=" + "x" * 101]
)
def test_a_question_that_makes_no_sense_is_refused(make: Make, query: str) -> None:
    assert make.browse(Role.ADMIN).get(f"/user-actions/?{query}").status_code == 400


def test_user_activity_shows_what_people_did_by_the_three_searches_of_the_source(acts: None, make: Make) -> None:
    client = make.browse(Role.ADMIN)
    assert found(client, "", "user-activity") == ["m2", "m1"]
    text = client.get("/user-activity/").text
    for name in ("actor_name", "event", "data", "date.from", "date.to"):
        assert f'name="{name}"' in text
    typed = client.get("/user-activity/?actor_name=ada&event=&data=INV-1&date.from=&date.to=")
    assert typed.status_code == 302
    assert typed.location.endswith("/user-activity/?actor_name=ada&data=INV-1")


def test_only_administrators_and_the_cfo_read_the_trail(acts: None, make: Make) -> None:
    for role in Role:
        client = make.browse(role)
        for path in ("/user-actions/", "/user-activity/", "/user-actions/1/", "/audit-verification/"):
            expected = 200 if role in {Role.ADMIN, Role.CFO} else 403
            assert client.get(path).status_code == expected, (role, path)


def test_looking_for_something_in_the_trail_is_itself_in_the_trail(acts: None, make: Make) -> None:
    client = make.browse(Role.ADMIN)
    client.get("/user-actions/?data=INV-1")
    [entry] = trail(event=Event.TRAIL_READ)
    assert entry.keys == {"page": "user_actions", "criteria": "?data=INV-1"}
    assert "INV-1" in client.get("/user-actions/export/csv/?data=INV-1").text
    assert trail(event=Event.EXPORT_FINISHED)[-1].outcome == "done"


def test_an_act_shows_what_changed_in_words_with_amounts_and_days(make: Make) -> None:
    payment = make.payment(amount_minor=12_34)

    def change(work: Work) -> None:
        row = work.get(Payment, payment.id)
        work.record(
            Event.RECORD_UPDATED,
            row,
            before={
                "amount_minor": 12_34,
                "status": PaymentStatus.PENDING,
                "created_at": dt.datetime(2026, 7, 1, 22, 30, tzinfo=dt.UTC),
            },
            after={"amount_minor": 99_00, "status": PaymentStatus.PAID, "card_token": "tok_secret", "made_up": [1, 2]},
            transaction_id=payment.transaction_id,
        )

    use_case(Permission.SYSTEM_JOB_RUN)(change)(ADA)
    [entry] = trail(event=Event.RECORD_UPDATED)
    client = make.browse(Role.ADMIN)
    text = client.get(f"/user-actions/{entry.id}/").text
    for words in (
        "<del>12.34 EUR</del>",
        "<ins>99.00 EUR</ins>",
        "01 Jul 2026, 23:30",
        "<ins>Paid</ins>",
        "10.0.0.9",
        "r-77",
        "1, 2",
    ):
        assert words in text, words
    assert "tok_secret" not in text
    history = client.get(f"/transactions/{payment.id}/").text
    assert "<del>12.34 EUR</del> → 99.00 EUR" in history
    assert f"/user-actions/?record=payment:{payment.id}" in history
    assert (
        f"record=payment:{payment.id}"
        not in make.browse(Role.PAYMENTS_OPERATOR).get(f"/transactions/{payment.id}/").text
    )
    assert str(entry.id) in client.get(f"/user-actions/?record=payment:{payment.id}").text


def test_hostile_words_in_the_trail_stay_words(make: Make) -> None:
    evil = "<script>alert(1)</script>"
    happen(reason=evil, before={evil: evil}, after={evil: evil}, invoice_number=evil, mark="x")
    [entry] = trail()
    client = make.browse(Role.ADMIN)
    for path in ("/user-actions/", "/user-activity/", f"/user-actions/{entry.id}/"):
        assert evil not in client.get(path).text


def test_the_verification_page_says_whole_running_and_broken(
    acts: None, make: Make, settings: Settings, app: Flask
) -> None:
    client = make.browse(Role.ADMIN)
    assert "never verified" in client.get("/audit-verification/").text
    keep_seals(settings)
    assert post(client, "/audit-verification/").status_code == 303
    assert "under way" in client.get("/audit-verification/status/").text
    assert "being verified already" in client.get(post(client, "/audit-verification/").location).text
    runner.drain()
    db.session.rollback()
    assert "The trail is whole" in client.get("/audit-verification/").text
    with db.engine.begin() as connection:
        connection.execute(
            AuditEvent.__table__.insert(), [{"at": utcnow(), "actor_name": "x", "event": "a.b.c", "signature": "bad"}]
        )
    post(client, "/audit-verification/")
    runner.drain()
    db.session.rollback()
    text = client.get("/audit-verification/").text
    assert "The trail is broken in 1 place" in text
    assert "was not written by payadmin" in text
