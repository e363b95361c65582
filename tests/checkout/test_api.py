"""`POST /api/v1/checkout/methods`: the active rules decide, and what makes no sense is refused at its place."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from payadmin.db import db
from payadmin.models.audit import AuditEvent
from payadmin.permissions import ApiScope
from tests.support.checkout import CARD, PAYPAL, WEB, WIRE, Counter, over
from tests.support.make import Make
from tests.support.programs import Program, make_program

PATH = "/checkout/methods"
BODY = {"amount_minor": 50_00, "unit": "EUR", "channel": "WEB"}


@pytest.fixture
def shop(app: Flask, make: Make) -> Program:
    return make_program(app, make, ApiScope.CHECKOUT_READ)


def test_the_active_version_decides(counter: Counter, shop: Program) -> None:
    active = counter.active(
        ("large", (over(100_00),), (WIRE,)), ("web", (WEB,), (PAYPAL, CARD)), ("default", (), (WIRE,))
    )
    answer = shop.post(PATH, BODY)
    assert answer.status_code == 200
    assert answer.json == {"rule": "web", "version": active, "methods": [dict(PAYPAL), dict(CARD)]}
    assert shop.post(PATH, BODY | {"amount_minor": 100_01}).json["rule"] == "large"
    assert shop.post(PATH, BODY | {"channel": "API"}).json["rule"] == "default"
    counter.disable("simulator", "paypal")
    assert shop.post(PATH, BODY).json["methods"] == [dict(CARD)]


def test_the_next_version_decides_from_the_next_request_on(counter: Counter, shop: Program) -> None:
    first = counter.active(("default", (), (WIRE,)))
    assert shop.post(PATH, BODY).json["version"] == first
    draft_id = counter.draft(first)
    counter.rule(draft_id, "web", 5, (WEB,), (CARD,))
    assert shop.post(PATH, BODY).json["rule"] == "default"
    counter.activate(draft_id)
    assert shop.post(PATH, BODY).json == {"rule": "web", "version": draft_id, "methods": [dict(CARD)]}


def test_before_any_version_nothing_is_offered(counter: Counter, shop: Program) -> None:
    assert shop.post(PATH, BODY).json == {"rule": None, "version": None, "methods": []}


def test_what_is_left_out_satisfies_no_condition(counter: Counter, shop: Program) -> None:
    merchants = {"key": "user_type", "operator": "not_equal", "value": "INDIVIDUAL"}
    books = {"key": "product_category", "operator": "equal", "value": "Books"}
    counter.active(("merchants", (merchants,), (WIRE,)), ("books", (books,), (CARD,)), ("default", (), (PAYPAL,)))
    assert shop.post(PATH, BODY).json["rule"] == "default"
    assert shop.post(PATH, BODY | {"user_type": None}).json["rule"] == "default"
    assert shop.post(PATH, BODY | {"user_type": "MERCHANT"}).json["rule"] == "merchants"
    assert shop.post(PATH, BODY | {"product_category": "books"}).json["rule"] == "books"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"amount_minor": 0}, "#/amount_minor"),
        ({"amount_minor": "5000"}, "#/amount_minor"),
        ({"amount_minor": 10**20}, "#/amount_minor"),
        ({"unit": "XXX"}, "#/unit"),
        ({"unit": 5}, "#/unit"),
        ({"channel": "Web"}, "#/channel"),
        ({"channel": ["WEB"]}, "#/channel"),
        ({"user_type": "ALIEN"}, "#/user_type"),
        ({"product_category": "x" * 65}, "#/product_category"),
        ({"colour": "red"}, "#/colour"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_place(
    counter: Counter, shop: Program, changes: dict[str, Any], pointer: str
) -> None:
    answer = shop.post(PATH, BODY | changes)
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]


def test_what_is_needed_is_asked_for(counter: Counter, shop: Program) -> None:
    pointers = {error["pointer"] for error in shop.post(PATH, {}).json["errors"]}
    assert pointers == {"#/amount_minor", "#/unit", "#/channel"}
    assert shop.post(PATH, {"amount_minor": 1.5}).status_code == 400


def test_a_key_for_something_else_is_shut_out(counter: Counter, app: Flask, make: Make) -> None:
    assert make_program(app, make, ApiScope.USAGE_WRITE).post(PATH, BODY).status_code == 403
    assert app.test_client().post(f"/api/v1{PATH}", json=BODY).status_code == 401


def test_asking_changes_nothing_and_is_a_handful_of_questions(counter: Counter, shop: Program) -> None:
    counter.active(("default", (), (WIRE,)))
    shop.post(PATH, BODY)
    before = db.session.scalar(select(func.count()).select_from(AuditEvent))
    db.session.rollback()
    shop.post(PATH, BODY)
    assert db.session.scalar(select(func.count()).select_from(AuditEvent)) == before
