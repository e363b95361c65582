"""Reminder endpoints and deliveries over HTTP: a secret is shown once, private addresses are refused, tries seen."""

import re
import time
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from payadmin.actions.subscriptions import renew_secret, resend_in_run, save_endpoint
from payadmin.actions.subscriptions.reminders import REMINDER_EVENT, book_delivery, secret_of
from payadmin.db import db
from payadmin.jobs.subscriptions import WEBHOOK_WAIT_SECONDS, deliver_webhook
from payadmin.kernel.errors import Conflict
from payadmin.models.audit import AuditEvent
from payadmin.models.outbox import OutboxMessage
from payadmin.models.subscriptions import DeliveryState, WebhookDelivery, WebhookEndpoint
from payadmin.permissions import Role
from payadmin.providers.webhooks import TIMEOUT_SECONDS, signature
from payadmin.work import SYSTEM
from tests.support.desk import told
from tests.support.make import Make
from tests.support.pages import post, token_of
from tests.support.source import ROOT

URL = "https://shop.example/hooks/payadmin"
NEW = "/reminder-endpoints/new/"


@pytest.fixture
def operator(make: Make) -> FlaskClient:
    return make.browse(Role.PAYMENTS_OPERATOR)


@pytest.fixture
def endpoint(make: Make) -> WebhookEndpoint:
    keys = make.app.extensions["payadmin.settings"].totp_keys
    found, _ = save_endpoint(make.actor(), merchant_id=make.organization().id, url=URL, enabled=True, keys=keys)
    assert isinstance(found, WebhookEndpoint)
    return found


@pytest.fixture
def delivery(make: Make, endpoint: WebhookEndpoint) -> int:
    """A message that is on its way."""
    charge = make.scheduled_charge()
    payload = {"event": "reminder.due", "invoice_number": charge.invoice_number}
    values = {"endpoint_id": endpoint.id, "scheduled_charge_id": charge.id, "event": "reminder.due"}
    row_id: int = make._save(WebhookDelivery(**values, payload=payload)).id
    return row_id


def rows(model: Any) -> list[Any]:
    db.session.rollback()
    return list(db.session.query(model).order_by(model.id))


def create(client: FlaskClient, **values: Any) -> Any:
    form = {"url": URL, "enabled": "y", **values}
    return client.post(NEW, data={"csrf_token": token_of(client, NEW), **form})


def fails(delivery_id: int, *, times: int = 1, last: DeliveryState = DeliveryState.FAILED) -> None:
    for number in range(times):
        state = last if number == times - 1 else DeliveryState.DUE
        book_delivery(SYSTEM, delivery_id, state=state, answer=f"The endpoint answered 50{number}.")


# ---- endpoints -----------------------------------------------------------------------------------------------------


def test_a_new_endpoint_shows_its_secret_exactly_once(operator: FlaskClient, make: Make, app: Flask) -> None:
    merchant = make.organization()
    answer = create(operator, merchant=str(merchant.id), mails_customers="y")
    page = answer.get_data(as_text=True)
    [row] = rows(WebhookEndpoint)
    secret = secret_of(row, app.extensions["payadmin.settings"].totp_keys)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert secret.startswith("whsec_")
    assert secret in page
    assert (row.url, row.enabled, row.mails_customers, row.merchant_id) == (URL, True, True, merchant.id)
    assert secret not in row.sealed_secret
    for address in ("/reminder-endpoints/", f"/reminder-endpoints/{row.id}/", f"/reminder-endpoints/{row.id}/edit/"):
        again = operator.get(address).get_data(as_text=True)
        assert secret not in again
        assert row.sealed_secret not in again
    assert "whsec_" not in str([(entry.before, entry.after, entry.keys, entry.reason) for entry in rows(AuditEvent)])


def test_a_second_endpoint_of_a_merchant_is_refused_and_keeps_the_first(
    operator: FlaskClient, endpoint: WebhookEndpoint
) -> None:
    sealed, merchant_id = endpoint.sealed_secret, endpoint.merchant_id
    answer = create(operator, merchant=str(merchant_id), url="https://other.example/")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 409
    assert "has an endpoint already" in page[page.index('id="merchant-error"') :][:300]
    [row] = rows(WebhookEndpoint)
    assert (row.url, row.sealed_secret) == (URL, sealed)


@pytest.mark.parametrize(
    ("values", "field", "sentence"),
    [
        ({"url": ""}, "url", "This is needed."),
        ({"url": "ftp://shop.example"}, "url", "starts with https://"),
        ({"url": "http://shop.example"}, "url", "Use https://"),
        ({"url": "https://user:pass@shop.example"}, "url", "no password"),
        ({"url": "https://192.168.1.9/hook"}, "url", "private network"),
        ({"url": "https://127.0.0.1/hook"}, "url", "private network"),
        ({"url": "https://localhost/hook"}, "url", "private network"),
        ({"url": "https://shop.example/" + "x" * 500}, "url", "500"),
        ({"merchant": ""}, "merchant", "Choose a merchant."),
        ({"merchant": "999999"}, "merchant", "Choose one of the list."),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field(
    operator: FlaskClient, make: Make, values: dict[str, str], field: str, sentence: str
) -> None:
    answer = create(operator, **({"merchant": str(make.organization().id)} | values))
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422
    assert sentence in page[page.index(f'id="{field}-error"') :][:500]
    assert rows(WebhookEndpoint) == []


def test_private_addresses_are_accepted_where_the_setting_allows_them(
    operator: FlaskClient, make: Make, app: Flask
) -> None:
    with told(app, webhook_private_addresses=True):
        answer = create(operator, merchant=str(make.organization().id), url="http://127.0.0.1:9/hook")
    assert answer.status_code == 200
    assert rows(WebhookEndpoint)[0].url == "http://127.0.0.1:9/hook"


def test_an_edit_keeps_the_secret_and_a_stale_one_is_told(operator: FlaskClient, endpoint: WebhookEndpoint) -> None:
    address, sealed = f"/reminder-endpoints/{endpoint.id}/edit/", endpoint.sealed_secret
    form = {"url": "https://new.example/", "mails_customers": "y", "seen_version": str(endpoint.version)}
    token = token_of(operator, address)
    assert operator.post(address, data={"csrf_token": token, **form}).status_code == 302
    [row] = rows(WebhookEndpoint)
    assert (row.url, row.enabled, row.mails_customers) == ("https://new.example/", False, True)
    assert row.sealed_secret == sealed
    stale = operator.post(address, data={"csrf_token": token, **form, "url": "https://third.example/"})
    page = stale.get_data(as_text=True)
    assert stale.status_code == 409
    assert "https://new.example/" in page
    assert f'name="seen_version" type="hidden" value="{row.version}"' in page
    assert rows(WebhookEndpoint)[0].url == "https://new.example/"


def test_a_new_secret_is_asked_for_shown_once_and_replaces_the_old(
    operator: FlaskClient, endpoint: WebhookEndpoint, make: Make, app: Flask
) -> None:
    keys = app.extensions["payadmin.settings"].totp_keys
    address, before, version = f"/reminder-endpoints/{endpoint.id}/secret/", secret_of(endpoint, keys), endpoint.version
    asked = operator.get(address).get_data(as_text=True)
    assert "stops counting at once" in asked
    answer = post(operator, address, version=str(version))
    [row] = rows(WebhookEndpoint)
    after = secret_of(row, keys)
    assert after != before
    assert after in answer.get_data(as_text=True)
    assert answer.headers["Cache-Control"] == "no-store"
    again = post(operator, address, version=str(version))  # a second press of the same button
    assert again.status_code == 409
    assert "whsec_" not in again.get_data(as_text=True)
    assert secret_of(rows(WebhookEndpoint)[0], keys) == after
    with pytest.raises(Conflict):
        renew_secret(make.actor(), row.id, version=version, keys=keys)
    assert "whsec_" not in str([(entry.before, entry.after, entry.keys) for entry in rows(AuditEvent)])


def test_a_test_message_is_sent_signed_and_its_fate_is_shown(
    operator: FlaskClient, endpoint: WebhookEndpoint, merchant: tuple[str, list[Any]], app: Flask, make: Make
) -> None:
    url, received = merchant
    keys = app.extensions["payadmin.settings"].totp_keys
    endpoint_id = endpoint.id
    save_endpoint(
        make.actor(), merchant_id=endpoint.merchant_id, url=url, enabled=True, keys=keys, allow_private=True,
        version=endpoint.version,
    )  # fmt: skip
    answer = post(operator, f"/reminder-endpoints/{endpoint_id}/test/")
    [row] = rows(WebhookDelivery)
    assert answer.headers["Location"].endswith(f"/reminder-deliveries/{row.id}/")
    assert "On its way." in operator.get(f"/reminder-deliveries/{row.id}/").get_data(as_text=True)
    with told(app, webhook_private_addresses=True):
        deliver_webhook(delivery_id=row.id)
    [(headers, body)] = received
    assert headers["Payadmin-Message"] == f"msg_{row.id}"
    assert re.fullmatch(r"t=\d+,v1=[0-9a-f]{64}", headers["Payadmin-Signature"])
    assert b'"event":"endpoint.test"' in body
    page = operator.get(f"/reminder-deliveries/{row.id}/").get_data(as_text=True)
    assert "The endpoint answered 200." in page
    assert [message.job for message in rows(OutboxMessage)] == ["deliver_webhook"]


def test_a_switched_off_endpoint_gets_no_test(operator: FlaskClient, endpoint: WebhookEndpoint, make: Make) -> None:
    keys = make.app.extensions["payadmin.settings"].totp_keys
    endpoint_id, version = endpoint.id, endpoint.version
    save_endpoint(
        make.actor(), merchant_id=endpoint.merchant_id, url=URL, enabled=False, keys=keys, version=version
    )  # fmt: skip
    assert "Switched off." in operator.get(f"/reminder-endpoints/{endpoint_id}/").get_data(as_text=True)
    post(operator, f"/reminder-endpoints/{endpoint_id}/test/")
    assert rows(WebhookDelivery) == []


def test_the_receiver_of_the_documentation_accepts_what_is_sent_and_nothing_else() -> None:
    text = (ROOT / "docs" / "reminders.md").read_text(encoding="utf-8")
    code: dict[str, Any] = {}
    exec(text.split("```python")[1].split("```")[0], code)
    now, body = int(time.time()), b'{"event":"reminder.due"}'
    header = signature("whsec_x", now, body)
    accepts = code["is_from_payadmin"]
    assert accepts("whsec_x", header, body) is True
    assert accepts("whsec_y", header, body) is False
    assert accepts("whsec_x", header, body + b" ") is False
    assert accepts("whsec_x", signature("whsec_x", now - 301, body), body) is False
    for seconds in WEBHOOK_WAIT_SECONDS:
        words = f"{seconds} s" if seconds < 60 else f"{seconds // 60} min" if seconds < 3600 else f"{seconds // 3600} h"
        assert words in text
    assert f'"event":"{REMINDER_EVENT}"' in text
    assert TIMEOUT_SECONDS == 10
    assert "within ten seconds" in text


# ---- deliveries ----------------------------------------------------------------------------------------------------


def test_deliveries_are_filtered_by_endpoint_state_and_day(
    operator: FlaskClient, endpoint: WebhookEndpoint, delivery: int
) -> None:
    fails(delivery)
    here = f">{rows(WebhookDelivery)[0].answer}<"
    endpoint_id = rows(WebhookEndpoint)[0].id
    for query, found in (
        ("", True),
        ("?state=FAILED", True),
        ("?state=DELIVERED", False),
        (f"?endpoint={endpoint_id}", True),
        ("?created_at=2026-01-01..", True),
        ("?created_at=..2020-01-01", False),
    ):
        assert (here in operator.get(f"/reminder-deliveries/{query}").get_data(as_text=True)) is found, query
    assert operator.get("/reminder-deliveries/?state=NONSENSE").status_code == 400


def test_the_details_tell_every_try_with_its_answer(operator: FlaskClient, delivery: int) -> None:
    fails(delivery, times=3)
    page = operator.get(f"/reminder-deliveries/{delivery}/").get_data(as_text=True)
    assert "Given up after 3 tries." in page
    for words in ("answered 500.", "answered 501.", "answered 502.", "invoice_number", f"msg_{delivery}"):
        assert words in page


def test_a_message_that_was_given_up_is_sent_again_once_however_often_it_is_asked(
    operator: FlaskClient, delivery: int
) -> None:
    fails(delivery)
    address = f"/reminder-deliveries/{delivery}/resend/"
    post(operator, address)
    [row] = rows(WebhookDelivery)
    assert (row.state, row.tries) == (DeliveryState.DUE, 0)
    answer = operator.post(address, data={"csrf_token": token_of(operator)}, follow_redirects=True)
    assert "is being sent already" in answer.get_data(as_text=True)
    assert [message.args for message in rows(OutboxMessage)] == [{"delivery_id": delivery}]
    assert len([entry for entry in rows(AuditEvent) if entry.event == "subscriptions.webhook.resent"]) == 1


def test_many_are_sent_again_at_once_and_those_on_their_way_are_left_out(
    operator: FlaskClient, delivery: int, make: Make
) -> None:
    fails(delivery)
    first = rows(WebhookDelivery)[0]
    other = make._save(WebhookDelivery(endpoint_id=first.endpoint_id, event="endpoint.test", payload={})).id
    answer = post(operator, "/reminder-deliveries/action/", action="resend", id=[str(delivery), str(other)])
    page = operator.get(answer.headers["Location"]).get_data(as_text=True)
    assert "tried again by itself" in page
    assert "1 of 2 chosen rows are left out" in page


def test_a_chosen_message_is_sent_again_once_and_refused_while_it_is_on_its_way(make: Make, delivery: int) -> None:
    fails(delivery)
    asked: dict[str, Any] = {"key": "run:1", "run_data": {}, "row_data": {}}
    assert resend_in_run(make.actor(), delivery, **asked) == "On its way again."
    with pytest.raises(Conflict, match="being sent already"):
        resend_in_run(make.actor(), delivery, **asked)
    assert [message.args for message in rows(OutboxMessage)] == [{"delivery_id": delivery}]


def test_who_may_only_read_changes_nothing(make: Make, endpoint: WebhookEndpoint, delivery: int) -> None:
    fails(delivery)
    reader, endpoint_id = make.browse(Role.ADMIN), rows(WebhookEndpoint)[0].id
    page = reader.get(f"/reminder-endpoints/{endpoint_id}/").get_data(as_text=True)
    assert "/secret/" not in page
    assert "/test/" not in page
    assert "/resend/" not in reader.get(f"/reminder-deliveries/{delivery}/").get_data(as_text=True)
    for address in (NEW, f"/reminder-endpoints/{endpoint_id}/edit/", f"/reminder-endpoints/{endpoint_id}/secret/"):
        assert reader.get(address).status_code == 403
    assert make.browse(Role.CASHIER).get("/reminder-deliveries/").status_code == 403


def test_hostile_answers_of_an_endpoint_stay_text(operator: FlaskClient, delivery: int) -> None:
    book_delivery(SYSTEM, delivery, state=DeliveryState.FAILED, answer="<script>alert(1)</script>")
    for address in ("/reminder-deliveries/", f"/reminder-deliveries/{delivery}/"):
        assert "<script>alert" not in operator.get(address).get_data(as_text=True)


def test_empty_lists_say_what_to_do(operator: FlaskClient) -> None:
    assert "No reminder endpoints yet" in operator.get("/reminder-endpoints/").get_data(as_text=True)
    assert "No reminder deliveries yet" in operator.get("/reminder-deliveries/").get_data(as_text=True)
