"""The Transactions page and S2's search pages, over HTTP on a real database."""

import csv
import io

import pytest
from flask.testing import FlaskClient

from payadmin.models.payments import Mode, PaymentStatus
from payadmin.permissions import Role
from tests.support.make import Make
from tests.support.pages import post

S = PaymentStatus


@pytest.fixture
def operator(make: Make) -> FlaskClient:
    return make.browse(Role.PAYMENTS_OPERATOR)


def test_the_usual_export_holds_the_columns_of_the_source(operator: FlaskClient, make: Make) -> None:
    customer = make.customer(name="Ada Byron", email="ada@example.com")
    make.payment(transaction_id="T-77", customer_id=customer.id, status=S.PAID)

    answer = operator.get("/transactions/export/csv/")

    [row] = csv.DictReader(io.StringIO(answer.get_data(as_text=True)))
    assert row["Transaction ID"] == "T-77"
    assert row["Customer"] == "Ada Byron"
    assert row["E-mail"] == "ada@example.com"
    assert {"Status", "Date (UTC)", "Amount", "Refunded amount", "Method", "Provider", "Channel"} <= row.keys()


def test_support_sees_masked_people_and_no_way_to_refund(make: Make) -> None:
    customer = make.customer(name="Ada Byron", email="ada@example.com", phone="+393331234567")
    payment = make.payment(customer_id=customer.id)
    support = make.browse(Role.SUPPORT_AGENT)

    page = support.get(f"/transactions/{payment.id}/").get_data(as_text=True)

    assert "ada@example.com" not in page
    assert "Byron" not in page
    assert "1234567" not in page
    assert "/action/refund/" not in page
    assert support.get(f"/transactions/{payment.id}/action/refund/").status_code == 403
    assert support.post(f"/transactions/{payment.id}/action/void/").status_code in {400, 403}
    assert support.get("/transactions/export/csv/").status_code == 403


def test_live_and_test_payments_never_mix(operator: FlaskClient, make: Make) -> None:
    live = make.payment(transaction_id="T-LIVE")
    test = make.payment(transaction_id="T-TEST", mode=Mode.TEST)

    page = operator.get("/transactions/").get_data(as_text=True)

    assert "T-LIVE" in page
    assert "T-TEST" not in page
    assert operator.get(f"/transactions/{test.id}/").status_code == 404
    assert operator.get(f"/transactions/{live.id}/").status_code == 200
    assert operator.get("/palette/?q=T-TEST").get_json() == []


@pytest.mark.parametrize("key", ["billing_number", "invoice_number", "approval_code"])
@pytest.mark.parametrize("place", ["void", "refund"])
def test_the_search_pages_find_by_each_key_and_say_why_not(
    operator: FlaskClient, make: Make, key: str, place: str
) -> None:
    make.payment(transaction_id="T-FOUND", **{key: "X-1"})
    make.payment(transaction_id="T-SPENT", status=S.VOIDED, **{key: "X-1"})
    make.payment(transaction_id="T-OTHER", **{key: "X-11"})

    page = operator.get(f"/{place}/?{key}=X-1").get_data(as_text=True)

    assert "T-FOUND" in page
    assert "T-SPENT" in page
    assert "voided" in page.lower()
    assert "T-OTHER" not in page
    assert page.count(f"/action/{place}/") == 1


@pytest.mark.parametrize("junk", ["%00", "x" * 100, "%27%3B--", "%F0%9F%92%A9"])
def test_junk_in_the_search_pages_finds_nothing_and_breaks_nothing(operator: FlaskClient, junk: str) -> None:
    assert operator.get(f"/refund/?invoice_number={junk}").status_code in {200, 400}


def test_a_payment_that_does_not_recur_has_no_subscription_to_go_to(operator: FlaskClient, make: Make) -> None:
    single = make.payment()
    subscription = make.subscription()
    recurring = make.payment(subscription_id=subscription.id)

    assert operator.get(f"/transactions/{single.id}/subscription/").status_code == 409
    answer = operator.get(f"/transactions/{recurring.id}/subscription/")
    assert answer.headers["Location"].endswith(f"/subscriptions/{subscription.id}/")


def test_the_palette_finds_a_payment_by_every_number_it_has(operator: FlaskClient, make: Make) -> None:
    make.payment(transaction_id="T-1", invoice_number="I-1", billing_number="B-1", approval_code="A-1")

    for term in ("T-1", "I-1", "B-1", "A-1"):
        found = operator.get(f"/palette/?q={term}").get_json()
        assert [hit["title"] for hit in found if hit["group"] == "Payments"] == ["T-1"], term


def test_hostile_text_stays_text_on_the_page(operator: FlaskClient, make: Make) -> None:
    customer = make.customer(name="<script>alert(1)</script>")
    payment = make.payment(customer_id=customer.id, description="<img src=x onerror=alert(2)>")

    for address in ("/transactions/", f"/transactions/{payment.id}/", "/customers/", f"/customers/{customer.id}/"):
        page = operator.get(address).get_data(as_text=True)
        assert "<script>alert" not in page
        assert "<img src=x" not in page


def test_an_other_reason_without_its_note_is_refused_at_the_note(operator: FlaskClient, make: Make) -> None:
    payment = make.payment()
    address = f"/transactions/{payment.id}/action/refund/"
    answer = post(operator, address, amount="1.00", reason="OTHER", note="", code="123456")
    assert answer.status_code == 422
    assert "Say here what the other reason is." in answer.text
