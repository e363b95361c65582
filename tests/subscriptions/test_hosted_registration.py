"""Hosted registration over HTTP: staff invite, a payer without an account registers once, and no card number stays."""

import contextlib
import datetime as dt
import logging
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, text, update

from payadmin.db import Base, db, utcnow
from payadmin.jobs import runner
from payadmin.kernel.links import fingerprint_of, is_ours, new_nonce, token_of
from payadmin.models.access import LoginGuard
from payadmin.models.parties import Customer, CustomerStatus
from payadmin.models.payments import Notification, NotificationState
from payadmin.models.registrations import LinkStatus, RegistrationLink
from payadmin.models.subscriptions import Purpose, ScheduledCharge, Subscription, SubscriptionOrigin, SubscriptionStatus
from payadmin.permissions import Role
from payadmin.views.gate import limiter
from tests.support.billing import Office
from tests.support.desk import told, trail
from tests.support.mail import Inbox, MailServer, free_port
from tests.support.pages import post
from tests.support.pages import token_of as csrf_of

CARD, DECLINED, SLIP = "4242 4242 4242 4242", "4000 0000 0000 0002", "4242 4242 4242 4241"
HOSTILE = '<img src=x onerror="alert(1)">Zoë & Co'


@pytest.fixture(autouse=True)
def _unhurried(app: Flask) -> None:
    """Each test comes from an address that has asked nothing yet."""
    limiter.reset()


@pytest.fixture
def operator(office: Office) -> FlaskClient:
    return office.make.browse(Role.PAYMENTS_OPERATOR)


@pytest.fixture
def typed(office: Office) -> dict[str, Any]:
    """An invitation that is right in every field."""
    make = office.make
    make.unit("EUR")
    return {
        "customer": str(make.customer(name="Ann Payer", email="Ann@Example.com").id),
        "merchant": str(make.organization(HOSTILE).id),
        "email": "",
        "billing_number": "HOSTED-1",
        "purpose": "RECURRING",
        "amount": "12.34",
        "unit": "EUR",
        "method": make.method().code,
        "provider": "simulator",
        "kind": "DATE",
        "days": ["1", "15"],
        "all_months": "y",
        "start_date": office.today.isoformat(),
        "expiration_date": "",
        "works_for": "7",
    }


def invite(client: FlaskClient, typed: dict[str, Any], **changes: Any) -> int:
    """Make a link as staff do; its number."""
    answer = post(client, "/registration-links/new/", **typed | changes)
    assert answer.status_code == 303, answer.text
    return int(answer.location.rstrip("/").rpartition("/")[2])


def link_of(client: FlaskClient, link_id: int) -> str:
    """The address that staff copy."""
    page = post(client, f"/registration-links/{link_id}/show/").text
    found = re.search(r"/register/[\w.-]+", page)
    assert found, page
    return found[0]


def sign(client: FlaskClient, address: str, **changes: Any) -> Any:
    """Fill in the payer's form and send it."""
    filled = {"card_number": CARD, "card_expires_on": "09/31", "name": "Ann Payer", "agreed": "y"} | changes
    return post_to(client, address, **filled)


def post_to(client: FlaskClient, address: str, **data: Any) -> Any:
    return client.post(address, data={"csrf_token": csrf_of(client, address), **data})


@contextlib.contextmanager
def mail_server() -> Iterator[tuple[Inbox, str]]:
    """A mail server that takes everything, and its address."""
    inbox, port = Inbox(), free_port()
    server = MailServer(inbox, hostname="127.0.0.1", port=port)
    server.start()
    try:
        yield inbox, f"smtp://127.0.0.1:{port}"
    finally:
        server.stop()


def row(link_id: int) -> RegistrationLink:
    db.session.rollback()
    return db.session.get_one(RegistrationLink, link_id, populate_existing=True)


def registered() -> list[Subscription]:
    db.session.rollback()
    return list(db.session.scalars(select(Subscription)))


def error_at(page: str, field: str) -> str:
    mark = f'id="{field}-error">'
    assert mark in page, page
    return page.split(mark)[1].split("</span>", maxsplit=1)[0].rsplit("</svg>", maxsplit=1)[-1]


def everything() -> str:
    """All that the database holds, as text."""
    db.session.rollback()
    rows = [tuple(found) for table in Base.metadata.sorted_tables for found in db.session.execute(select(table))]
    return repr(rows)


# ---- registering -------------------------------------------------------------------------------------------------


def test_a_payer_without_an_account_registers_exactly_what_was_agreed(
    app: Flask, office: Office, operator: FlaskClient, typed: dict[str, Any]
) -> None:
    link_id = invite(operator, typed)
    address, payer = link_of(operator, link_id), app.test_client()

    page = payer.get(address)
    assert page.status_code == 200
    assert "On the 1st and 15th of every month" in page.text
    assert "12.34" in page.text
    assert "HOSTED-1" in page.text
    answer = sign(payer, address)

    assert answer.status_code == 303, answer.text
    [made] = registered()
    assert (made.origin, made.status, made.purpose) == (
        SubscriptionOrigin.HOSTED,
        SubscriptionStatus.ACTIVE,
        Purpose.RECURRING,
    )
    assert (made.billing_number, made.amount_minor, made.unit) == ("HOSTED-1", 12_34, "EUR")
    assert (made.card_last4, made.card_expires_on) == ("4242", dt.date(2031, 9, 30))
    assert made.card_token
    assert made.card_token.startswith("card_")
    assert (str(made.customer_id), str(made.merchant_id)) == (typed["customer"], typed["merchant"])
    assert str(made.schedule) == "On the 1st and 15th of every month"
    assert db.session.scalar(select(func.count()).select_from(ScheduledCharge)), "its dates are planned with it"
    link = row(link_id)
    assert (link.status, link.subscription_id, link.payer_name) == (LinkStatus.USED, made.id, "Ann Payer")
    assert "charges" in (link.consent or "")
    thanks = payer.get(answer.location)
    assert thanks.status_code == 200
    assert "Thank you" in thanks.text
    assert "ending in 4242" in thanks.text
    assert "Used" in operator.get(f"/registration-links/{link_id}/").text


def test_the_trail_says_who_invited_and_that_a_payer_registered(
    app: Flask, operator: FlaskClient, typed: dict[str, Any]
) -> None:
    link_id = invite(operator, typed)
    address = link_of(operator, link_id)
    sign(app.test_client(), address)

    story = [(entry.event, entry.actor_name == "payer") for entry in trail(entity="registration_link")]
    assert story == [
        ("subscriptions.link.made", False),
        ("subscriptions.link.shown", False),
        ("subscriptions.link.used", True),
    ]
    [entry] = trail(event="subscriptions.subscription.registered")
    assert (entry.actor_name, entry.actor_id, entry.ip) == ("payer", None, "127.0.0.1")


def test_somebody_new_becomes_a_customer_on_registering_and_not_before(
    app: Flask, operator: FlaskClient, typed: dict[str, Any]
) -> None:
    link_id = invite(operator, typed, customer="", email="New@Example.com")
    before = db.session.scalar(select(func.count()).select_from(Customer))
    sign(app.test_client(), link_of(operator, link_id), name="Nina New")

    [made] = registered()
    customer = db.session.get_one(Customer, made.customer_id)
    assert (customer.name, customer.email) == ("Nina New", "new@example.com")
    assert db.session.scalar(select(func.count()).select_from(Customer)) == (before or 0) + 1


def test_the_address_of_a_known_customer_is_that_customer(
    app: Flask, operator: FlaskClient, typed: dict[str, Any]
) -> None:
    link_id = invite(operator, typed, customer="", email="ann@example.com")
    sign(app.test_client(), link_of(operator, link_id))
    assert str(registered()[0].customer_id) == typed["customer"]


def test_a_reminder_asks_for_no_card(app: Flask, operator: FlaskClient, typed: dict[str, Any]) -> None:
    address, payer = link_of(operator, invite(operator, typed, purpose="REMINDER")), app.test_client()
    assert 'name="card_number"' not in payer.get(address).text
    assert post_to(payer, address, name="Ann Payer", agreed="y", card_number=CARD).status_code == 303
    [made] = registered()
    assert (made.purpose, made.card_token, made.card_last4) == (Purpose.REMINDER, None, None)


def test_dates_that_passed_while_the_payer_thought_are_not_charged(
    app: Flask, office: Office, operator: FlaskClient, typed: dict[str, Any]
) -> None:
    link_id = invite(operator, typed)
    address = link_of(operator, link_id)
    change(link_id, start_date=office.day(-20))
    assert sign(app.test_client(), address).status_code == 303
    assert registered()[0].start_date == office.today


# ---- the card ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filled", "field", "sentence"),
    [
        ({"card_number": SLIP}, "card_number", "This is not a card number. Check its digits."),
        ({"card_number": ""}, "card_number", "Write the number of your card."),
        ({"card_number": "1234"}, "card_number", "This is not a card number. Check its digits."),
        ({"card_expires_on": "01/20"}, "card_expires_on", "This card has expired."),
        ({"card_expires_on": "13/31"}, "card_expires_on", "Write it as on the card: 09/28."),
        ({"name": " "}, "name", "Write the name."),
        ({"name": f"Ann {CARD}"}, "name", "This holds a card number. Write its last four digits only."),
        ({"name": "\u202eAnn"}, "name", "This holds characters that cannot be stored."),
        ({"agreed": ""}, "agreed", "Tick this to agree; otherwise nothing is registered."),
        (
            {"card_number": DECLINED},
            "card_number",
            "Your card was declined. Nothing was registered. Check the number, or use another card.",
        ),
    ],
)
def test_what_is_wrong_stands_at_its_field_and_nothing_is_registered(
    app: Flask, operator: FlaskClient, typed: dict[str, Any], filled: dict[str, str], field: str, sentence: str
) -> None:
    link_id = invite(operator, typed)
    answer = sign(app.test_client(), link_of(operator, link_id), **filled)

    assert answer.status_code == 422
    assert error_at(answer.text, field).replace("&#39;", "'") == sentence
    assert registered() == []
    assert row(link_id).status is LinkStatus.OPEN
    for number in (CARD, SLIP, DECLINED):
        assert number not in answer.text.replace(f"Ann {number}", ""), "a card number is never shown again"


def test_after_a_declined_card_another_one_registers(app: Flask, operator: FlaskClient, typed: dict[str, Any]) -> None:
    link_id = invite(operator, typed)
    address, payer = link_of(operator, link_id), app.test_client()
    sign(payer, address, card_number=DECLINED)
    assert sign(payer, address).status_code == 303
    assert len(registered()) == 1
    [refused] = trail(event="subscriptions.link.card_refused")
    assert (refused.actor_name, refused.outcome, refused.reason) == ("payer", "failed", "Your card was declined.")


def test_a_provider_that_is_away_costs_no_try_and_registers_nothing(
    app: Flask, operator: FlaskClient, typed: dict[str, Any]
) -> None:
    link_id = invite(operator, typed)
    address, payer = link_of(operator, link_id), app.test_client()
    with told(app, simulator_url="http://127.0.0.1:9"):
        answer = sign(payer, address)
    assert answer.status_code == 409
    assert "cannot be reached at the moment" in answer.text
    assert registered() == []
    db.session.rollback()
    assert set(db.session.scalars(select(LoginGuard.fails))) == {0}
    assert sign(payer, address).status_code == 303


def test_a_card_number_is_in_no_table_no_log_and_no_trail(
    app: Flask, operator: FlaskClient, typed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    address, payer = link_of(operator, invite(operator, typed)), app.test_client()
    for number in (SLIP, DECLINED, CARD):
        sign(payer, address, card_number=number)
    assert len(registered()) == 1
    kept = everything() + caplog.text
    for number in (SLIP, DECLINED, CARD):
        assert number not in kept
        assert number.replace(" ", "") not in kept


# ---- the link ----------------------------------------------------------------------------------------------------


def test_twenty_at_once_register_one_subscription(app: Flask, operator: FlaskClient, typed: dict[str, Any]) -> None:
    address = link_of(operator, invite(operator, typed))
    clients = [app.test_client() for _ in range(20)]
    tokens = [csrf_of(client, address) for client in clients]
    db.session.remove()
    answers: list[int] = []
    start = threading.Barrier(20)

    def send(client: FlaskClient, token: str) -> None:
        filled = {"card_number": CARD, "card_expires_on": "09/31", "name": "Ann", "agreed": "y"}
        with app.app_context():
            start.wait()
            answers.append(client.post(address, data={"csrf_token": token, **filled}).status_code)
            db.session.remove()

    threads = [threading.Thread(target=send, args=pair) for pair in zip(clients, tokens, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(answers) <= {303, 410, 429}, answers
    assert answers.count(303) == 1
    assert len(registered()) == 1


def test_the_same_form_sent_twice_registers_once_and_says_so(
    app: Flask, operator: FlaskClient, typed: dict[str, Any]
) -> None:
    address, payer = link_of(operator, invite(operator, typed)), app.test_client()
    token = csrf_of(payer, address)
    filled = {"csrf_token": token, "card_number": CARD, "card_expires_on": "09/31", "name": "Ann", "agreed": "y"}
    assert payer.post(address, data=filled).status_code == 303
    assert "Thank you" in payer.post(address, data=filled).text
    stranger = app.test_client().get(address)
    assert stranger.status_code == 410
    assert "This registration is complete" in stranger.text
    assert "4242" not in stranger.text, "only the browser that registered sees what was registered"
    assert len(registered()) == 1


def test_a_link_that_was_changed_or_made_up_gets_one_answer_and_asks_no_database(
    app: Flask, operator: FlaskClient, typed: dict[str, Any]
) -> None:
    address, payer = link_of(operator, invite(operator, typed)), app.test_client()
    token = address.rpartition("/")[2]
    nonce, signature = token.split(".")
    other = "A" if signature[0] != "A" else "B"
    answers = {
        (answer.status_code, answer.text)
        for made_up in (
            f"{nonce}.{other}{signature[1:]}",
            f"{'A' * 22}.{signature}",
            nonce,
            f"{token}x",
            "x",
            "%00",
            "a" * 3000,
            token_of("another secret", "registration", nonce),
            token_of(app.config["SECRET_KEY"], "another purpose", nonce),
            token_of(app.config["SECRET_KEY"], "registration", new_nonce()),
        )
        if (answer := payer.get(f"/register/{made_up}"))
    }
    assert len(answers) == 1
    [(status, page)] = answers
    assert status == 404
    assert "This link opens nothing" in page
    assert "sign in" not in page.lower()


@pytest.mark.once
def test_a_signature_is_bound_to_its_secret_its_purpose_and_its_nonce() -> None:
    nonce = new_nonce()
    token = token_of("s" * 32, "registration", nonce)
    assert is_ours("s" * 32, "registration", token)
    assert not is_ours("t" * 32, "registration", token)
    assert not is_ours("s" * 32, "export", token)
    assert not is_ours("s" * 32, "registration", token.replace(nonce, new_nonce()))
    assert not is_ours("s" * 32, "registration", f"{token}\n")


@pytest.mark.parametrize(
    ("heading", "change_it"),
    [
        ("This link has expired", {"expires_at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}),
        ("This invitation was withdrawn", {"status": LinkStatus.REVOKED}),
    ],
)
def test_a_link_that_is_over_says_why_and_registers_nothing(
    app: Flask, operator: FlaskClient, typed: dict[str, Any], heading: str, change_it: dict[str, Any]
) -> None:
    link_id = invite(operator, typed)
    address, payer = link_of(operator, link_id), app.test_client()
    token = csrf_of(payer, address)
    change(link_id, **change_it)
    page = payer.get(address)
    assert (page.status_code, heading in page.text) == (410, True)
    filled = {"csrf_token": token, "card_number": CARD, "card_expires_on": "09/31", "name": "Ann", "agreed": "y"}
    assert payer.post(address, data=filled).status_code == 410
    assert registered() == []


def test_the_link_itself_is_nowhere_in_the_database(app: Flask, operator: FlaskClient, typed: dict[str, Any]) -> None:
    with told(app, public_url="https://pay.example.com"):
        link_id = invite(operator, typed, by_mail="y")
    token = link_of(operator, link_id).rpartition("/")[2]
    kept = everything()
    assert token not in kept
    assert token.partition(".")[2] not in kept
    assert row(link_id).token_hash == fingerprint_of(token)


def test_a_card_is_tried_ten_times_with_a_link_and_then_there_is_a_pause(
    app: Flask, operator: FlaskClient, typed: dict[str, Any]
) -> None:
    address, payer = link_of(operator, invite(operator, typed)), app.test_client()
    seen = [sign(payer, address, card_number=DECLINED).status_code for _ in range(11)]
    assert seen == [422] * 10 + [429]
    answer = sign(payer, address)
    assert answer.status_code == 429
    assert "Too many tries. Wait 30 minutes" in answer.text
    assert registered() == []


def test_payers_who_share_an_address_do_not_shut_each_other_out(
    app: Flask, operator: FlaskClient, typed: dict[str, Any]
) -> None:
    links = [link_of(operator, invite(operator, typed, billing_number=f"H-{number}")) for number in range(11)]
    declined = [sign(app.test_client(), link, card_number=DECLINED).status_code for link in links[:10]]
    assert declined == [422] * 10
    assert sign(app.test_client(), links[10]).status_code == 303


def test_what_is_not_the_payers_mistake_costs_no_try_and_names_nobody(
    app: Flask, operator: FlaskClient, typed: dict[str, Any]
) -> None:
    address, payer = link_of(operator, invite(operator, typed)), app.test_client()
    for status, codes in ((CustomerStatus.BLOCKED, [409] * 11), (CustomerStatus.ACTIVE, [303])):
        with db.engine.begin() as connection:
            connection.execute(update(Customer).values(status=status))
        answers = [sign(payer, address) for _ in codes]
        assert [answer.status_code for answer in answers] == codes
        assert "blocked" not in answers[0].text.lower()
    assert len(registered()) == 1


def test_who_is_blocked_does_not_come_back_as_somebody_new(
    app: Flask, office: Office, operator: FlaskClient, typed: dict[str, Any]
) -> None:
    somebody = typed | {"customer": "", "email": "bad@example.com"}
    address = link_of(operator, invite(operator, somebody))
    office.make.customer(name="Bad", email="Bad@example.com", status=CustomerStatus.BLOCKED)
    answer = sign(app.test_client(), address)
    assert answer.status_code == 409
    assert "can no longer be used, and nothing was registered" in answer.text
    assert registered() == []
    again = post(operator, "/registration-links/new/", **somebody | {"billing_number": "H-2"})
    assert error_at(again.text, "email").startswith("A customer with this address is blocked.")


def test_a_browsers_form_is_taken_over_https_too(app: Flask, operator: FlaskClient, typed: dict[str, Any]) -> None:
    address, payer, site = link_of(operator, invite(operator, typed)), app.test_client(), "https://localhost"
    page = payer.get(address, base_url=site)
    token = re.search(r'name="csrf_token"[^>]*value="([^"]*)"', page.text)
    assert token
    filled = {"csrf_token": token[1], "card_number": CARD, "card_expires_on": "09/31", "name": "Ann", "agreed": "y"}
    # What a browser sends is what the page tells it to: under "no-referrer" it would send nothing.
    told_of = {"Referer": f"{site}{address}"} if page.headers["Referrer-Policy"] == "same-origin" else {}
    assert payer.post(address, data=filled, base_url=site, headers=told_of).status_code == 303
    assert len(registered()) == 1


def test_an_address_that_hammers_the_page_waits(app: Flask) -> None:
    payer = app.test_client()
    assert {payer.get("/register/x").status_code for _ in range(121)} == {404, 429}


def test_the_page_tells_nobody_and_lets_nothing_in(app: Flask, operator: FlaskClient, typed: dict[str, Any]) -> None:
    link_id = invite(operator, typed)
    address, payer = link_of(operator, link_id), app.test_client()
    for answer in (payer.get(address), payer.get("/register/x"), sign(payer, address, name="")):
        headers = answer.headers
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        assert "noindex" in headers["X-Robots-Tag"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "nonce" not in headers["Content-Security-Policy"]
        assert 'content="noindex' in answer.text
        assert "<nav" not in answer.text
        assert "<img" not in answer.text, "names are text"
    assert "&lt;img src=x" in payer.get(address).text
    filled = {"card_number": CARD, "card_expires_on": "09/31", "name": "Ann", "agreed": "y"}
    forged = app.test_client().post(address, data=filled)
    assert (forged.status_code, "This form has expired" in forged.text) == (400, True)
    assert registered() == []


def test_a_payer_may_open_nothing_else(app: Flask, operator: FlaskClient, typed: dict[str, Any]) -> None:
    address, payer = link_of(operator, invite(operator, typed)), app.test_client()
    sign(payer, address)
    for path in ("/", "/registration-links/", "/registration/", "/subscriptions/1/"):
        assert payer.get(path).status_code == 302


def change(link_id: int, **values: Any) -> None:
    """Have the world move on under a link."""
    db.session.rollback()
    with db.engine.begin() as connection:
        connection.execute(update(RegistrationLink.__table__).where(RegistrationLink.id == link_id).values(**values))


# ---- staff -------------------------------------------------------------------------------------------------------


def test_sending_again_makes_a_new_link_and_the_old_one_opens_nothing(
    app: Flask, operator: FlaskClient, typed: dict[str, Any]
) -> None:
    link_id = invite(operator, typed)
    old, payer = link_of(operator, link_id), app.test_client()
    change(link_id, expires_at=utcnow() - dt.timedelta(days=1))
    assert "Expired" in operator.get(f"/registration-links/{link_id}/").text
    version = row(link_id).version
    answer = post(operator, f"/registration-links/{link_id}/renew/", version=version, works_for="3")
    assert answer.status_code == 303, answer.text
    new = link_of(operator, link_id)
    assert new != old
    assert payer.get(old).status_code == 404
    assert sign(payer, new).status_code == 303
    stale = post(operator, f"/registration-links/{link_id}/renew/", version=version, works_for="3")
    assert stale.status_code == 409


def test_revoking_closes_the_link_for_good(app: Flask, operator: FlaskClient, typed: dict[str, Any]) -> None:
    link_id = invite(operator, typed)
    address = link_of(operator, link_id)
    stale = post(operator, f"/registration-links/{link_id}/revoke/", version="0", reason="")
    assert stale.status_code == 409
    answer = post(operator, f"/registration-links/{link_id}/revoke/", version=row(link_id).version, reason="A mistake")
    assert answer.status_code == 303
    assert app.test_client().get(address).status_code == 410
    [entry] = trail(event="subscriptions.link.revoked")
    assert entry.reason == "A mistake"
    invite(operator, typed)


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"works_for": "31"}, "works_for", "A link works for 1 to 30 days."),
        ({"works_for": "0"}, "works_for", "A link works for 1 to 30 days."),
        ({"customer": ""}, "email", "Choose a customer, or write the e-mail address of somebody new."),
        ({"email": "no address"}, "email", "This is not an e-mail address."),
        ({"email": "a@example.com,b@example.com"}, "email", "This is not an e-mail address."),
        ({"days": []}, "days", "Choose at least one day of the month"),
        ({"by_mail": "y"}, "by_mail", "Links can be e-mailed once PUBLIC_URL"),
        ({"amount": "0"}, "amount", ""),
        ({"merchant": "999999"}, "merchant", "Choose one of the list."),
    ],
)
def test_an_invitation_that_makes_no_sense_is_refused_at_its_field(
    operator: FlaskClient, typed: dict[str, Any], changes: dict[str, Any], field: str, sentence: str
) -> None:
    answer = post(operator, "/registration-links/new/", **typed | changes)
    assert answer.status_code == 422
    mark = f'id="{field}-error"' if field != "days" else "err"
    assert mark in answer.text
    assert sentence in answer.text
    assert db.session.scalar(select(func.count()).select_from(RegistrationLink)) == 0


def test_a_billing_number_has_one_open_link_and_one_subscription(
    app: Flask, operator: FlaskClient, typed: dict[str, Any]
) -> None:
    link_id = invite(operator, typed)
    again = post(operator, "/registration-links/new/", **typed)
    assert (again.status_code, "Send that one again, or revoke it first" in again.text) == (409, True)
    sign(app.test_client(), link_of(operator, link_id))
    taken = post(operator, "/registration-links/new/", **typed)
    assert (taken.status_code, "has a subscription with this billing number already" in taken.text) == (409, True)


def test_an_agreement_that_was_taken_meanwhile_is_not_registered_twice(
    app: Flask, office: Office, operator: FlaskClient, typed: dict[str, Any]
) -> None:
    link_id = invite(operator, typed)
    office.make.subscription(billing_number="HOSTED-1", merchant_id=int(typed["merchant"]))
    answer = sign(app.test_client(), link_of(operator, link_id))
    assert answer.status_code == 409
    assert len(registered()) == 1
    assert row(link_id).status is LinkStatus.OPEN


def test_a_link_by_mail_holds_the_link_only_when_it_is_sent(
    app: Flask, operator: FlaskClient, typed: dict[str, Any]
) -> None:
    with mail_server() as (inbox, smtp), told(app, public_url="https://pay.example.com", smtp_url=smtp):
        link_id = invite(operator, typed, by_mail="y")
        runner.drain()
        token = link_of(operator, link_id).rpartition("/")[2]
        [mail] = inbox.mails
        assert f"https://pay.example.com/register/{token}" in mail.get_content()
    db.session.rollback()
    notification = db.session.scalars(select(Notification)).one()
    assert (notification.recipient, notification.state) == ("Ann@Example.com", NotificationState.SENT)
    assert token not in notification.body


def test_a_mail_whose_link_was_revoked_is_not_sent(app: Flask, operator: FlaskClient, typed: dict[str, Any]) -> None:
    with mail_server() as (inbox, smtp), told(app, public_url="https://pay.example.com", smtp_url=smtp):
        link_id = invite(operator, typed, by_mail="y")
        post(operator, f"/registration-links/{link_id}/revoke/", version=row(link_id).version, reason="")
        runner.drain()
        assert inbox.mails == []
    db.session.rollback()
    notification = db.session.scalars(select(Notification)).one()
    assert notification.state is NotificationState.FAILED


def test_who_may_not_write_sees_the_state_but_no_link(
    office: Office, operator: FlaskClient, typed: dict[str, Any]
) -> None:
    link_id = invite(operator, typed)
    reader = office.make.browse(Role.CFO)
    page = reader.get(f"/registration-links/{link_id}/")
    assert page.status_code == 200
    assert "Show the link" not in page.text
    assert post(reader, f"/registration-links/{link_id}/show/").status_code == 403
    assert reader.get("/registration-links/new/").status_code == 403
    assert office.make.browse(Role.CASHIER).get("/registration-links/").status_code == 403


def test_whatever_goes_wrong_a_payer_is_not_sent_to_the_sign_in_of_staff(
    app: Flask, operator: FlaskClient, typed: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    address, payer = link_of(operator, invite(operator, typed)), app.test_client()
    with db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE organization RENAME TO lost"))
    try:
        broken = payer.get(address)
    finally:
        db.session.rollback()
        with db.engine.begin() as connection:
            connection.execute(text("ALTER TABLE lost RENAME TO organization"))
    assert address.rpartition("/")[2] not in caplog.text
    answers = [
        (500, broken),
        (404, payer.get("/register/")),
        (404, payer.get("/register")),
        (404, payer.get(f"{address}/more")),
        (405, payer.put(address)),
        (413, payer.post(address, data={"name": "x" * 600_000})),
    ]
    for status, answer in answers:
        assert answer.status_code == status
        assert "hosted-foot" in answer.text
        assert not re.search("sign.?in|/login|home page", answer.text, re.IGNORECASE), answer.text
    assert "say this number" in broken.text
