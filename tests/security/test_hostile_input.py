"""What nobody types: NUL, huge numbers, endless text, other scripts' digits. Never a 500, never a stall."""

import time

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from payadmin.actions.access import plain_username
from payadmin.db import db
from payadmin.models.audit import AuditEvent
from payadmin.permissions import Role
from tests.support.make import Make

pytestmark = pytest.mark.usefixtures("no_csrf")
HUGE = "9" * 30
ODD_TEXTS = ("\x00", "a\x00b", "\ud7ff\u202e", "\x1b[31m", "٣٤", "' OR 1=1 --", "x" * 5_000)


@pytest.fixture
def operator(make: Make) -> FlaskClient:
    return make.browse(Role.PAYMENTS_OPERATOR, Role.ADMIN)


def test_text_that_no_database_holds_is_refused_everywhere(operator: FlaskClient, make: Make) -> None:
    payment = make.payment()
    place, broken = f"/transactions/{payment.id}", []
    for text in ODD_TEXTS:
        asked = [
            operator.get("/void/", query_string={"billing_number": text}),
            operator.get("/refund/", query_string={"approval_code": text, "invoice_number": text}),
            operator.get("/palette/", query_string={"q": text}),
            operator.get("/transactions/", query_string={"search": text}),
            operator.get("/transactions/lookup/", query_string={"field": "customer", "q": text}),
            operator.get("/transactions/run/" + text.replace("\x00", "%00") + "/"),
            operator.get("/transactions/run/" + text.replace("\x00", "%00") + "/status/"),
            operator.post("/transactions/run/" + text.replace("\x00", "%00") + "/again/"),
            operator.post("/transactions/action/", data={"action": text, "id": "1"}),
            operator.post("/transactions/action/", data={"action": "refund", "all": "1", "list": text}),
            operator.post("/transactions/action/", data={"action": "refund", "id": str(payment.id), "list": text}),
            operator.post("/transactions/columns/", data={"column": text, "list": text}),
            operator.post(f"{place}/notes/", data={"body": text, "key": text}),
            operator.post(f"{place}/notify/", data={"key": text}),
            operator.post(f"{place}/action/refund/", data={"key": text, "reason": text, "note": text, "amount": text}),
            operator.post(
                f"{place}/action/refund/",
                data={"key": "k" * 20, "reason": "OTHER", "note": text, "amount": "1", "offer": text, "code": text},
            ),
            operator.post(
                f"{place}/action/void/",
                data={"key": "k" * 20, "reason": "OTHER", "note": text, "offer": text, "code": text},
            ),
            operator.post("/mode", data={"mode": text, "next": text}),
            operator.post("/organizations/new/", data={"name": text, "kind": text, "status": text}),
            operator.post("/organizations/new/", data={"name": text, "kind": "MERCHANT", "status": "ACTIVE"}),
            operator.post(
                f"/customers/{payment.customer_id}/edit/",
                data={"name": text, "email": text, "phone": text, "locale": text, "organization": text,
                      "username": text, "kind": "INDIVIDUAL", "seen_version": text},
            ),
            operator.post("/account/password", data={"current": text, "password": text, "again": text}),
            operator.post("/account/recovery-codes", data={"code": text}),
            operator.post("/account/authenticator/start", data={"code": text}),
            operator.post("/account/authenticator/confirm", data={"code": text}),
        ]  # fmt: skip
        failed = [one for one in asked if one.status_code >= 500]
        broken += [(text[:9], one.request.method, one.request.path, one.status) for one in failed]
    assert broken == []


def test_strangers_cannot_break_the_sign_in(app: Flask) -> None:
    broken = []
    for text in ODD_TEXTS:
        answer = app.test_client().post("/login", data={"username": text, "password": text})
        broken += [(text[:9], answer.status)] if answer.status_code >= 500 else []
    assert broken == []


def test_numbers_that_no_column_holds_find_nothing(operator: FlaskClient, make: Make) -> None:
    payment = make.payment()
    for number in (HUGE, str(2**63), str(2**63 - 1), "0"):
        for path in (
            f"/transactions/{number}/",
            f"/transactions/{number}/progress/",
            f"/transactions/{number}/action/refund/",
            f"/customers/{number}/edit/",
        ):
            assert operator.get(path).status_code == 404, path
        for path in (
            f"/account/sessions/{number}/end",
            f"/transactions/{number}/notes/",
            f"/transactions/{number}/notify/",
            f"/transactions/{number}/invoice/",
        ):
            assert operator.post(path, data={"key": "k" * 20, "body": "x"}).status_code == 404, path
        answer = operator.post("/transactions/action/", data={"action": "invoices", "id": [number, str(payment.id)]})
        assert answer.status_code in {200, 400}


def test_a_hundred_thousand_ids_are_refused_before_the_database_sees_them(operator: FlaskClient, make: Make) -> None:
    make.payment()
    for action in ("refund", "invoices"):
        body = f"action={action}&" + "&".join(f"id={number}" for number in range(1, 70_000))
        answer = operator.post("/transactions/action/", data=body, content_type="application/x-www-form-urlencoded")
        assert answer.status_code in {400, 409, 413, 422}, (action, answer.status)
    many = "&".join(f"method=m{number}" for number in range(70_000))
    assert operator.get(f"/transactions/?{many}").status_code == 400
    answer = operator.post("/transactions/action/", data={"action": "refund", "all": "1", "list": many[:400_000]})
    assert answer.status_code in {400, 413}


def test_a_user_name_of_endless_accents_costs_nothing() -> None:
    """Composing accents is quadratic: half a megabyte of them held the interpreter for minutes."""
    began = time.perf_counter()
    assert len(plain_username("a" + "\u0300\u0316" * 60_000)) <= 64
    assert time.perf_counter() - began < 0.5


def test_a_megabyte_in_the_search_box_is_refused_at_once(operator: FlaskClient) -> None:
    began = time.perf_counter()
    for path in ("/transactions/", "/customers/", "/void/", "/palette/"):
        name = {"/void/": "billing_number", "/palette/": "q"}.get(path, "search")
        assert operator.get(path, query_string={name: "a" * 1_000_000}).status_code < 500
    assert time.perf_counter() - began < 5


@pytest.mark.once
def test_a_form_of_a_million_fields_is_not_even_read(app: Flask) -> None:
    began = time.perf_counter()
    body = b"a=&" * 1_500_000
    answer = app.test_client().post("/login", data=body, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 413
    assert time.perf_counter() - began < 1
    slow = app.test_client().post("/login", data={"username": "x" * 600_000, "password": "x"})
    assert slow.status_code == 413


def test_every_download_of_an_invoice_leaves_a_word_in_the_trail(operator: FlaskClient, make: Make) -> None:
    payment = make.payment()
    for _ in range(2):
        assert operator.post(f"/transactions/{payment.id}/invoice/").mimetype == "application/pdf"
    db.session.rollback()
    said = db.session.scalars(select(AuditEvent.event)).all()
    assert said.count("payments.invoice.issued") == 1
    assert said.count("payments.invoice.downloaded") == 2


@pytest.mark.parametrize("letter", ["\x00", "\x1b", "\x7f", "\u202e", "\u2066"])
def test_a_name_holds_no_controls_and_nothing_that_turns_it_round(letter: str, make: Make) -> None:
    customer = make.customer(name="Ada")
    operator = make.browse(Role.PAYMENTS_OPERATOR)
    form = {"name": f"Ada{letter}noryB", "kind": "INDIVIDUAL", "locale": "en", "seen_version": str(customer.version)}
    answer = operator.post(f"/customers/{customer.id}/edit/", data=form)
    assert answer.status_code == 422
    assert "cannot be stored" in answer.text


@pytest.mark.parametrize(
    "typed",
    ["\u0661\u0660", "\uff11\uff10", "1e2", "NaN", "-1", "+1", "1_0", "0x10", "10,5", "1.005", "\u202e10", "9" * 60],
)
def test_an_amount_is_written_in_plain_digits(typed: str, operator: FlaskClient, make: Make) -> None:
    payment = make.payment()
    form = {"key": "k" * 20, "reason": "DUPLICATE", "amount": typed, "code": "000000"}
    answer = operator.post(f"/transactions/{payment.id}/action/refund/", data=form)
    assert answer.status_code == 422
    assert 'id="amount-error" data-err>' in answer.text, "refused at the field"
