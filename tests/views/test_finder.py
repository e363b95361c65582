"""The search over everything: by any ID, only what one may read, with status and actions, through indexes, bounded."""

import re
import time
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from payadmin.db import db
from payadmin.models.access import StaffUser
from payadmin.models.batches import Batch, BatchKind
from payadmin.models.exports import Export, FileKind
from payadmin.models.payments import Invoice, Mode, PaymentStatus, Refund, RefundReason, VoidRequest
from payadmin.permissions import Role
from payadmin.views import finder
from tests.support.make import Make


@pytest.fixture
def operator(make: Make) -> FlaskClient:
    return make.browse(Role.PAYMENTS_OPERATOR, username="operator")


def found(client: FlaskClient, term: str) -> list[tuple[str, str]]:
    answer = client.get("/palette/", query_string={"q": term})
    assert answer.status_code == 200
    return [(hit["group"], hit["title"]) for hit in answer.get_json() if hit["group"] != "Pages"]


def order_of(payment: Any, reference: str) -> dict[str, Any]:
    given = {"key": f"key-{reference}", "provider_key": f"p-{reference}", "reference": reference}
    return given | {"payment_id": payment.id, "reason": RefundReason.OTHER, "requested_by": "operator"}


def test_every_id_leads_to_its_record(operator: FlaskClient, make: Make) -> None:
    customer = make.customer(external_id="C-FIND", name="Ada Lovelace", email="ada@example.com", phone="+441234567890")
    payment = make.payment(
        transaction_id="T-FIND",
        invoice_number="I-FIND",
        billing_number="B-FIND",
        approval_code="A-FIND",
        card_last4="4711",
        card_holder_name="GRACE HOPPER",
        customer_id=customer.id,
    )
    make._save(Refund(amount_minor=1, unit="EUR", **order_of(payment, "RF-FIND")))
    make._save(VoidRequest(**order_of(payment, "VO-FIND")))
    make._save(Invoice(number="INV-2026-FIND", payment_id=payment.id))
    subscription = make.subscription(subscription_id="S-FIND", billing_number="SB-FIND")
    charge = make.scheduled_charge(subscription, invoice_number="R-FIND")
    make.charge_attempt(charge, reference="AT-FIND")
    make._save(
        Batch(
            kind=BatchKind.SINGLE_PAYMENT, file_name="march.csv", format="csv", content_hash="x", rows_total=0,
            merchant_id=make.organization().id, method=make.method().code, provider="simulator",
            uploaded_by="operator", columns=[],
        )
    )  # fmt: skip
    mine = db.session.query(StaffUser.id).filter_by(username="operator").scalar()
    make._save(
        Export(
            requester_id=mine, page="transactions", page_title="Transactions", kind=FileKind.CSV, list_args="",
            criteria={}, columns=[], needs=[], mode=Mode.LIVE, name="transactions-2026-11-22.csv",
        )
    )  # fmt: skip
    in_payments = {"T-FIND", "I-FIND", "B-FIND", "A-FIND", "4711", "GRACE HOPPER", "RF-FIND", "VO-FIND", "INV-2026-F"}
    for term in in_payments:
        assert ("Payments", "T-FIND") in found(operator, term), term
    for term in ("C-FIND", "ada@example.com", "ADA@EXAMPLE.COM", "+44 1234 567890", "ada love", "Ada"):
        assert ("Customers", "Ada Lovelace") in found(operator, term), term
    for term in ("S-FIND", "SB-FI"):
        assert ("Subscriptions", "S-FIND") in found(operator, term), term
    for term in ("R-FIND", "r-find", "AT-FIND"):
        assert [group for group, _ in found(operator, term)] == ["Scheduled charges"], term
    assert found(operator, "march") == [("Batches", "march.csv")]
    assert found(operator, "transactions-2026-11-22.csv") == [("Exports", "transactions-2026-11-22.csv")]
    assert ("Organizations", "Corner Shop") in found(operator, "Corner")


def test_a_full_card_number_finds_by_its_end_and_is_repeated_nowhere(operator: FlaskClient, make: Make) -> None:
    make.payment(transaction_id="T-CARD", card_last4="1111")
    assert ("Payments", "T-CARD") in found(operator, "4111 1111 1111 1111")
    assert "4111 1111 1111 1111" not in operator.get("/search/?q=4111+1111+1111+1111").text


def test_exact_ones_come_first_and_few_of_a_kind(operator: FlaskClient, make: Make) -> None:
    for number in range(30):
        make.payment(transaction_id=f"T-{number:03}")
    make.payment(transaction_id="T-0")
    hits = found(operator, "T-0")
    assert hits[0] == ("Payments", "T-0")
    assert len(hits) == finder.MOST_OF_A_KIND
    page = operator.get("/search/?q=T-0").text
    assert page.count('class="link"') == finder.MOST_SHOWN
    assert "/transactions/?search=T-0" in page


def test_hits_say_status_amount_and_what_can_be_done(operator: FlaskClient, make: Make) -> None:
    make.payment(transaction_id="T-PAID", amount_minor=12_50)
    make.payment(transaction_id="T-FAILED", status=PaymentStatus.FAILED)
    paid, failed = (operator.get(f"/palette/?q={term}").get_json()[-1] for term in ("T-PAID", "T-FAILED"))
    assert (paid["status"], paid["end"]) == ({"word": "Paid", "tone": "ok"}, "12.50 EUR")
    assert {action["label"] for action in paid["actions"]} >= {"Refund…", "Void…", "Invoice…"}
    assert {action["label"] for action in failed["actions"]} & {"Refund…", "Void…", "Invoice…"} == set()
    support = make.browse(Role.SUPPORT_MANAGER)
    assert support.get("/palette/?q=T-PAID").get_json()[-1]["actions"] == []


def test_nobody_finds_what_they_may_not_read(make: Make) -> None:
    make.payment(transaction_id="T-1", mode=Mode.TEST)
    make.subscription(subscription_id="S-1000")
    assert found(make.browse(Role.PAYMENTS_OPERATOR), "T-1") == []
    assert found(make.browse(Role.CASHIER), "S-1000") == []
    assert found(make.browse(Role.SUPPORT_MANAGER), "S-1000") == []


def test_who_sees_people_masked_finds_them_only_by_whole_values(make: Make) -> None:
    make.customer(name="Ada Lovelace", email="ada@example.com", phone="+441234567890", external_id="C-ADA")
    support = make.browse(Role.SUPPORT_MANAGER)
    for term in ("Ada Lovelace", "ada@example.com", "+441234567890", "C-AD"):
        assert found(support, term) == [("Customers", "A••• L•••")], term
    for term in ("Ada Love", "ada@", "+4412345"):
        assert found(support, term) == [], term
    page = support.get("/search/?q=C-ADA").text
    assert "Lovelace" not in page
    assert "ada@example.com" not in page


def test_too_short_empty_and_unknown_terms_say_what_to_do(operator: FlaskClient, make: Make) -> None:
    make.payment(transaction_id="T-123")
    assert found(operator, "T-") == []
    assert "at least 3 characters" in operator.get("/search/?q=T-").text
    assert "Search everything" in operator.get("/search/").text
    assert "Nothing found" in operator.get("/search/?q=nothing+like+it").text
    assert found(operator, "") == []


@pytest.mark.parametrize("term", ["%", "_" * 50, "'; DROP TABLE payment; --", "\x00\x01", "é" * 300, "🙈" * 40, "*"])
def test_hostile_terms_find_nothing_and_break_nothing(operator: FlaskClient, make: Make, term: str) -> None:
    make.payment()
    assert operator.get("/search/", query_string={"q": term}).status_code == 200
    assert found(operator, term) == []


def test_a_search_asks_few_questions_and_scans_nothing(operator: FlaskClient, make: Make, app: Flask) -> None:
    for number in range(40):
        make.payment(transaction_id=f"T-{number:05}", customer_id=make.customer(external_id=f"T-{number}").id)
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        seen.append((statement, parameters))

    operator.get("/palette/?q=T-0")
    event.listen(db.engine, "before_cursor_execute", note)
    try:
        operator.get("/search/?q=T-0")
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    assert len(seen) <= 10, [statement[:80] for statement, _ in seen]
    statement, values = next(each for each in seen if "UNION ALL" in each[0])
    connection = db.session.connection()
    if db.engine.dialect.name == "sqlite":
        steps = [str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
        scans = [step for step in steps if step.startswith("SCAN ") and not re.match(r"SCAN (\(subquery|anon_)", step)]
    else:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # few rows: what could be used
        steps = [str(row[0]) for row in connection.exec_driver_sql(f"EXPLAIN {statement}", values)]
        scans = [step for step in steps if "Seq Scan" in step]
    assert scans == [], scans


def test_a_search_is_quick(operator: FlaskClient, make: Make) -> None:
    for number in range(50):
        make.payment(transaction_id=f"T-{number:05}")
    operator.get("/palette/?q=T-0")
    times = []
    for _ in range(7):
        began = time.perf_counter()
        operator.get("/palette/?q=T-0")
        times.append(time.perf_counter() - began)
    assert sorted(times)[3] < 0.25, "typically far below 50 ms; a loaded machine is given more"


def test_the_page_says_what_pages_are_called_too(operator: FlaskClient) -> None:
    hits = operator.get("/palette/?q=transact").get_json()
    assert ("Pages", "Transactions") in [(hit["group"], hit["title"]) for hit in hits]
