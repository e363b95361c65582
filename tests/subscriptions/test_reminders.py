"""A reminder tells the merchant, signed, and never charges."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from payadmin.actions.subscriptions import resend_delivery, save_endpoint
from payadmin.db import db
from payadmin.kernel.errors import Invalid
from payadmin.models.subscriptions import ChargeAttempt, ChargeStatus, DeliveryState, Purpose, WebhookDelivery
from tests.support.billing import Office
from tests.support.desk import told

Received = list[tuple[dict[str, str], bytes]]


@pytest.fixture
def merchant() -> Iterator[tuple[str, Received]]:
    """A merchant's endpoint: its address and what it received."""
    received: Received = []

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook", received
    server.shutdown()
    thread.join()
    server.server_close()


def endpoint(office: Office, url: str, merchant_id: int) -> str:
    keys = office.app.extensions["payadmin.settings"].totp_keys
    secret = save_endpoint(office.operator(), merchant_id=merchant_id, url=url, enabled=True, keys=keys)
    assert secret is not None
    return secret


def test_a_reminder_is_sent_signed_and_charges_nothing(office: Office, merchant: tuple[str, Received]) -> None:
    url, received = merchant
    subscription = office.subscription(schedule=None, purpose=Purpose.REMINDER)
    charge = office.due(subscription)
    secret = endpoint(office, url, subscription.merchant_id)
    with told(office.app, webhook_private_addresses=True):
        office.work()
        office.work()
    assert office.status(charge.id) is ChargeStatus.NOTIFIED
    [(headers, body)] = received
    stamp, _, mac = headers["Payadmin-Signature"].partition(",v1=")
    expected = hmac.new(secret.encode(), f"{stamp.removeprefix('t=')}.".encode() + body, hashlib.sha256).hexdigest()
    assert mac == expected
    assert json.loads(body)["invoice_number"] == charge.invoice_number
    assert db.session.query(WebhookDelivery).one().state is DeliveryState.DELIVERED
    assert office.simulator.stats()["posts_by_reference"] == {}
    assert office.payments() == []
    assert db.session.query(ChargeAttempt).count() == 0
    with told(office.app, webhook_private_addresses=True):
        resend_delivery(office.operator(), db.session.query(WebhookDelivery).one().id)
        office.work()
    assert [headers["Payadmin-Message"] for headers, _ in received] == ["msg_1", "msg_1"]


def test_a_private_address_is_never_called_unless_allowed(office: Office, merchant: tuple[str, Received]) -> None:
    url, received = merchant
    subscription = office.subscription(schedule=None, purpose=Purpose.REMINDER)
    office.due(subscription)
    endpoint(office, url, subscription.merchant_id)
    office.work()
    delivery = db.session.query(WebhookDelivery).one()
    assert (delivery.state, received) == (DeliveryState.DUE, [])
    assert delivery.answer == "The endpoint's address is private; it is not called."


@pytest.mark.parametrize(
    "url", ["ftp://x.example", "http://shop.example/hook", "https://u:p@shop.example", "https://", "x"]
)
def test_an_address_that_makes_no_sense_is_refused(office: Office, url: str) -> None:
    with pytest.raises(Invalid) as refused:
        endpoint(office, url, office.make.organization().id)
    assert refused.value.field == "url"


def test_a_reminder_without_an_endpoint_is_left_to_staff(office: Office) -> None:
    charge = office.due(office.subscription(schedule=None, purpose=Purpose.REMINDER))
    office.work()
    row = office.charge(charge.id)
    assert (row.status, row.needs_staff) == (ChargeStatus.FAILED, True)
