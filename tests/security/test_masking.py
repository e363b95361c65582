"""Personal data is masked by default; revealed one record at a time, for a reason, for a while; and never guessed."""

import csv
import datetime as dt
import io
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from payadmin.actions import reveals
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.models.access import StaffUser
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Customer
from payadmin.models.payments import Payment
from payadmin.models.system import Reveal
from payadmin.permissions import GRANTS, Permission, Role, permissions_of
from payadmin.work import Actor
from tests.support.make import Make, writing

MASKED = [role for role, granted in GRANTS.items() if Permission.PARTIES_PERSONAL_REVEAL in granted]


@pytest.fixture(autouse=True)
def _no_csrf(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)


@pytest.fixture
def ada(make: Make) -> Customer:
    return make.customer(
        external_id="C-ADA",
        name="Ada Lovelace",
        email="ada@example.com",
        phone="+441234567890",
        username="lovelace.ada",
    )


@pytest.fixture
def support(make: Make) -> FlaskClient:
    return make.browse(Role.SUPPORT_MANAGER, username="support")


def actor(name: str = "support", role: Role = Role.SUPPORT_MANAGER) -> Actor:
    db.session.rollback()
    number = db.session.scalars(select(StaffUser.id).where(StaffUser.username == name)).one()
    return Actor(number, name, frozenset({role}), permissions_of({role}))


def reveal(client: FlaskClient, address: str, **form: Any) -> Any:
    return client.post(f"{address}reveal/", data={"reason": "The customer is calling", "note": "ticket 7"} | form)


def shows(page: str) -> bool:
    """Whether a page tells any of it."""
    return any(
        word in page for word in ("Ada Lovelace", "Lovelace", "ada@example.com", "+441234567890", "lovelace.ada")
    )


@pytest.mark.parametrize("role", MASKED)
def test_nothing_that_a_masked_role_opens_tells_personal_data(make: Make, ada: Customer, role: Role) -> None:
    payment = make.payment(customer_id=ada.id, card_holder_name="ADA LOVELACE", card_holder_phone="+441234567890")
    client = make.browse(role)
    for path in ("/customers/", f"/customers/{ada.id}/", "/transactions/", f"/transactions/{payment.id}/"):
        page = client.get(path)
        assert page.status_code == 200
        assert not shows(page.text), path
        assert "ADA LOVELACE" not in page.text
    assert "A••• L•••" in client.get(f"/customers/{ada.id}/").text


@pytest.mark.parametrize("place", ["/customers/", "/transactions/"])
@pytest.mark.parametrize("term", ["Ada Love", "ada@exa", "+44123456789"])
def test_a_prefix_finds_no_person_for_who_sees_them_masked(
    make: Make, ada: Customer, support: FlaskClient, place: str, term: str
) -> None:
    make.payment(customer_id=ada.id, transaction_id="T-ADA")
    operator = make.browse(Role.PAYMENTS_OPERATOR)
    query = {"search": term}
    found = [client.get(place, query_string=query).text for client in (operator, support)]
    has = ["C-ADA" in page or "T-ADA" in page for page in found]
    known = place == "/customers/" or not term.startswith("+")  # payments are not searched by the payer's phone
    assert has == [known, False]


@pytest.mark.parametrize("term", ["Ada Lovelace", "ada@example.com", "+441234567890", "C-ADA", "C-A"])
def test_whole_values_and_what_is_not_personal_are_found(ada: Customer, support: FlaskClient, term: str) -> None:
    assert "C-ADA" in support.get("/customers/", query_string={"search": term}).text


@pytest.mark.parametrize(
    "path",
    [
        "/customers/?name=Ada*",
        "/customers/?email=ada*",
        "/customers/?phone=%2B44*",
        "/customers/?sort=username",
        "/transactions/?customer.find=Ada+L",
        "/customers/?sort=name",
    ],
)
def test_filters_and_orders_tell_nothing_letter_by_letter(ada: Customer, support: FlaskClient, path: str) -> None:
    assert support.get(path).status_code == 400


@pytest.mark.parametrize(("typed", "found"), [("Ada", 0), ("Ada Lovelace", 1), ("ada@", 0), ("C-AD", 1)])
def test_forms_and_filters_offer_nobody_by_a_prefix(
    ada: Customer, support: FlaskClient, typed: str, found: int
) -> None:
    offered = support.get("/transactions/lookup/", query_string={"field": "customer", "q": typed}).get_json()
    assert len(offered) == found


def test_a_whole_name_still_filters_for_who_sees_it_masked(make: Make, ada: Customer, support: FlaskClient) -> None:
    make.payment(customer_id=ada.id, transaction_id="T-ADA")
    page = support.get("/transactions/?customer.find=Ada+Lovelace", follow_redirects=True)
    assert "T-ADA" in page.text
    assert not shows(page.text)


def test_a_reveal_shows_one_record_to_one_person_and_says_why(make: Make, ada: Customer, support: FlaskClient) -> None:
    other = make.customer(name="Grace Hopper")
    colleague = make.browse(Role.SUPPORT_MANAGER)
    address = f"/customers/{ada.id}/"
    assert "Show personal data" in support.get(address).text
    assert reveal(support, address).location == address
    page = support.get(address).text
    assert shows(page)
    assert 'data-countdown="29' in page or 'data-countdown="300"' in page
    assert not shows(colleague.get(address).text)
    assert "Grace Hopper" not in support.get(f"/customers/{other.id}/").text
    assert not shows(support.get("/customers/").text), "lists stay masked"
    entry = db.session.scalars(select(AuditEvent).where(AuditEvent.event == "records.personal_data.revealed")).one()
    assert (entry.entity, entry.entity_id, entry.actor_name) == ("customer", str(ada.id), "support")
    assert entry.reason == "The customer is calling: ticket 7"
    assert entry.keys == {"external_id": "C-ADA"}


def test_a_revealed_payment_shows_its_customer_and_nobody_else(make: Make, ada: Customer, support: FlaskClient) -> None:
    payment = make.payment(customer_id=ada.id)
    reveal(support, f"/transactions/{payment.id}/")
    assert shows(support.get(f"/transactions/{payment.id}/").text)
    assert not shows(support.get(f"/customers/{ada.id}/").text)


def test_a_reveal_ends_with_its_time_or_before(ada: Customer, support: FlaskClient) -> None:
    address = f"/customers/{ada.id}/"
    reveal(support, address)
    support.post(f"{address}hide/")
    assert not shows(support.get(address).text)
    reveal(support, address)
    assert shows(support.get(address).text)
    writing()
    db.session.execute(update(Reveal).values(until=utcnow() - dt.timedelta(seconds=1)))
    db.session.commit()
    assert not shows(support.get(address).text)
    assert "Show personal data" in support.get(address).text


def test_a_reason_is_needed_and_other_needs_words(ada: Customer, support: FlaskClient) -> None:
    address = f"/customers/{ada.id}/"
    for form in ({"reason": ""}, {"reason": "Curiosity"}, {"reason": "Other", "note": ""}, {"note": "x" * 201}):
        answer = reveal(support, address, **form)
        assert answer.status_code == 422, form
    assert db.session.query(Reveal).count() == 0
    assert "Say why" in reveal(support, address, reason="Other", note=" ").text


def test_the_act_refuses_what_the_form_would_not_send(ada: Customer, support: FlaskClient) -> None:
    scope, who = select(Customer), actor()
    number = ada.id
    for reason, note in (("Curiosity", ""), ("Other", "x"), ("Other", "x" * 201)):
        with pytest.raises(Invalid):
            reveals.reveal_record(who, number, scope=scope, reason=reason, note=note)
    with pytest.raises(NotFound):
        reveals.reveal_record(who, 999, scope=scope, reason="Other", note="why not")
    nobody = Actor(None, "nobody", frozenset(), permissions_of({Role.SUPPORT_MANAGER}))
    with pytest.raises(Forbidden):
        reveals.reveal_record(nobody, number, scope=scope, reason="Other", note="why not")
    until = reveals.reveal_record(who, number, scope=scope, reason="Other", note="why not")
    again = reveals.reveal_record(who, number, scope=scope, reason="Other", note="why not")
    assert again == until, "while it lasts, asking again is the same"


def test_nobody_reveals_one_record_after_the_other(
    make: Make, support: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reveals, "MOST_AN_HOUR", 2)
    customers = [make.customer().id for _ in range(3)]
    who = actor()
    for number in customers[:2]:
        reveals.reveal_record(who, number, scope=select(Customer), reason=reveals.REASONS[0])
    with pytest.raises(Conflict):
        reveals.reveal_record(who, customers[2], scope=select(Customer), reason=reveals.REASONS[0])


def test_who_sees_everything_is_offered_no_reveal_and_who_may_not_gets_none(make: Make, ada: Customer) -> None:
    address = f"/customers/{ada.id}/"
    operator = make.browse(Role.PAYMENTS_OPERATOR)
    assert "personal data" not in operator.get(address).text
    assert operator.get(f"{address}reveal/").status_code == 403
    assert reveal(make.browse(Role.CASHIER), address).status_code == 403


def test_a_page_without_personal_data_offers_none(make: Make) -> None:
    admin = make.browse(Role.ADMIN, Role.SUPPORT_MANAGER)
    shop = make.organization()
    assert admin.get(f"/organizations/{shop.id}/reveal/").status_code == 409


def test_exports_stay_masked_although_a_record_is_revealed(
    make: Make, ada: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = GRANTS[Role.SUPPORT_MANAGER] | {Permission.PARTIES_CUSTOMER_EXPORT}
    monkeypatch.setitem(GRANTS, Role.SUPPORT_MANAGER, more)
    support = make.browse(Role.SUPPORT_MANAGER)
    reveal(support, f"/customers/{ada.id}/")
    masked = support.get("/customers/export/csv/").text
    assert not shows(masked)
    rows = list(csv.reader(io.StringIO(make.browse(Role.ADMIN).get("/customers/export/csv/").text)))
    assert any("Ada Lovelace" in row for row in rows)


def test_a_scope_is_kept_when_revealing(make: Make, ada: Customer, support: FlaskClient) -> None:
    from payadmin.models.payments import Mode

    payment: Payment = make.payment(customer_id=ada.id, mode=Mode.TEST)
    assert reveal(support, f"/transactions/{payment.id}/").status_code == 404
