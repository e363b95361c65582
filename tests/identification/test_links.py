"""Requests for documents: the mail in the customer's language, the link that works once, and who may not use it."""

import datetime as dt
import io
import re
import threading
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from payadmin.actions import identification
from payadmin.config import current_settings
from payadmin.db import db, utcnow
from payadmin.jobs import runner
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.models.identification import DocumentOrigin, UploadLink, UploadLinkStatus
from payadmin.models.parties import IdentificationStatus
from payadmin.models.payments import Notification, NotificationState
from payadmin.models.system import StaffNotice
from payadmin.permissions import Role
from tests.identification.conftest import Office, pdf, picture
from tests.support.desk import told, trail
from tests.support.mail import Inbox, MailServer, free_port
from tests.support.pages import token_of


def ask(office: Office, customer_id: int, *needs: str, **values: Any) -> int:
    given = {"message": None, "days": 3, "by_mail": False, "settings": current_settings()} | values
    actor = given.pop("actor", None) or office.officer()
    return identification.request_documents(actor, customer_id, asked_for=list(needs or ("address",)), **given)


def address_of(office: Office, link_id: int, customer_id: int) -> str:
    token = identification.show_upload_link(
        office.officer(), link_id, customer_id=customer_id, settings=current_settings()
    )
    return f"/send-documents/{token}"


def send(client: FlaskClient, address: str, **fields: Any) -> Any:
    """Send files by the form of a link: a field's bytes become a file."""
    data: dict[str, Any] = {"csrf_token": token_of(client, address)}
    for key, value in fields.items():
        many = value if isinstance(value, list) else [value]
        data[key] = [(io.BytesIO(each), f"{key}.pdf") if isinstance(each, bytes) else each for each in many]
    return client.post(address, data=data, content_type="multipart/form-data")


def link_row(link_id: int) -> UploadLink:
    db.session.rollback()
    return db.session.get_one(UploadLink, link_id, populate_existing=True)


def test_a_customer_sends_what_was_asked_for_once(app: Flask, office: Office) -> None:
    officer = office.officer()
    customer_id = office.customer(name="Ann Secret", email="ann.secret@example.com")
    link_id = ask(office, customer_id, "identity", "address", actor=officer, message="Both sides, please <3")
    address, customer = address_of(office, link_id, customer_id), app.test_client()
    page = customer.get(address)
    assert page.status_code == 200
    assert "Both sides, please &lt;3" in page.text
    for personal in ("Ann", "Secret", "ann.secret", officer.name):
        assert personal not in page.text, "whoever finds the link learns nothing about whose it is"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
    assert page.headers["X-Robots-Tag"].startswith("noindex")
    answer = send(
        customer, address, identity_kind="IDENTITY_CARD", identity_files=[picture("front"), picture("back")],
        address_files=pdf(),
    )  # fmt: skip
    assert answer.status_code == 303, answer.text
    assert "Your documents have arrived" in customer.get(answer.location).text
    documents = office.documents(customer_id)
    assert [(each.kind.name, each.origin, each.pages) for each in documents] == [
        ("IDENTITY_CARD", DocumentOrigin.CUSTOMER, 1),
        ("IDENTITY_CARD", DocumentOrigin.CUSTOMER, 1),
        ("PROOF_OF_ADDRESS", DocumentOrigin.CUSTOMER, 2),
    ]
    assert office.state(customer_id) is IdentificationStatus.IN_REVIEW
    assert link_row(link_id).status is UploadLinkStatus.USED
    again = app.test_client().get(address)
    assert again.status_code == 410
    assert "works only once" in again.text
    [notice] = db.session.scalars(select(StaffNotice)).all()
    assert (notice.staff_id, notice.page, notice.row_id) == (officer.staff_id, "identification", customer_id)
    [used] = trail(event="identification.link.used")
    assert (used.actor_name, used.actor_id, used.ip) == ("customer", None, "127.0.0.1")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "Choose a file."),
        ({"address_files": b"<html>"}, "not a PDF"),
        ({"address_files": [pdf(), b"PK\x03\x04"]}, "archive or an office document"),
    ],
)
def test_a_refusal_keeps_nothing_and_the_link_still_works(
    app: Flask, office: Office, fields: dict[str, Any], sentence: str
) -> None:
    customer_id = office.customer()
    link_id = ask(office, customer_id)
    address, customer = address_of(office, link_id, customer_id), app.test_client()
    answer = send(customer, address, **fields)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert (office.kept(), office.documents(customer_id)) == ([], [])
    assert send(customer, address, address_files=pdf()).status_code == 303
    assert len(office.kept()) == 1


def test_what_was_not_asked_for_is_not_taken(app: Flask, office: Office) -> None:
    customer_id = office.customer()
    link_id = ask(office, customer_id, "identity")
    address, customer = address_of(office, link_id, customer_id), app.test_client()
    for fields in (
        {"identity_kind": "PROOF_OF_ADDRESS", "identity_files": pdf()},
        {"address_files": pdf(), "identity_kind": "PASSPORT"},
    ):
        assert send(customer, address, **fields).status_code == 422
    assert office.documents(customer_id) == []
    assert office.kept() == []


def test_only_whole_unspent_links_of_ours_open_anything(app: Flask, office: Office) -> None:
    customer_id = office.customer()
    link_id = ask(office, customer_id)
    address, stranger = address_of(office, link_id, customer_id), app.test_client()
    token = address.rpartition("/")[2]
    forged = [token[:-1] + ("A" if token[-1] != "A" else "B"), token.partition(".")[0], "x", "a" * 22 + "." + "b" * 43]
    for wrong in forged:
        assert stranger.get(f"/send-documents/{wrong}").status_code == 404
        assert stranger.get(f"/register/{token}").status_code == 404, "a link for documents registers nothing"
    ask(office, customer_id)
    assert link_row(link_id).status is UploadLinkStatus.REVOKED, "a newer request takes the place of the old one"
    assert stranger.get(address).status_code == 410
    newer = db.session.scalars(select(UploadLink).where(UploadLink.status == UploadLinkStatus.OPEN)).one().id
    address = address_of(office, newer, customer_id)
    db.session.rollback()
    db.session.connection(execution_options={"immediate": True})
    link = db.session.get_one(UploadLink, newer)
    link.expires_at = utcnow() - dt.timedelta(seconds=1)
    db.session.flush()
    db.session.info.pop("payadmin.changed", None)
    db.session.commit()
    expired = stranger.get(address)
    assert expired.status_code == 410
    assert "has expired" in expired.text
    identification.revoke_upload_link(office.officer(), newer, customer_id=customer_id)
    with pytest.raises(Conflict):
        identification.revoke_upload_link(office.officer(), newer, customer_id=customer_id)


def test_a_link_is_no_way_to_keep_the_machine_busy(app: Flask, office: Office) -> None:
    customer_id = office.customer()
    link_id = ask(office, customer_id)
    address, customer = address_of(office, link_id, customer_id), app.test_client()
    answers = [send(customer, address, address_files=b"<html>").status_code for _ in range(12)]
    assert answers == [422] * 10 + [429] * 2


def test_two_at_once_send_once(app: Flask, office: Office) -> None:
    customer_id = office.customer()
    address = address_of(office, ask(office, customer_id), customer_id)
    clients = [app.test_client() for _ in range(4)]
    tokens = [token_of(client, address) for client in clients]
    db.session.remove()
    answers: list[int] = []
    start = threading.Barrier(len(clients))

    def work(number: int) -> None:
        with app.app_context():
            start.wait()
            data = {"csrf_token": tokens[number], "address_files": (io.BytesIO(pdf(1, f"no. {number}")), "a.pdf")}
            answer = clients[number].post(address, data=data, content_type="multipart/form-data")
            answers.append(answer.status_code)
            db.session.remove()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [303, 410, 410, 410]
    assert len(office.documents(customer_id)) == len(office.kept()) == 1


def test_the_mail_speaks_the_customers_language_and_keeps_the_link_to_itself(app: Flask, office: Office) -> None:
    inbox, port = Inbox(), free_port()
    server = MailServer(inbox, hostname="127.0.0.1", port=port)
    server.start()
    try:
        with told(app, smtp_url=f"smtp://127.0.0.1:{port}", public_url="https://pay.example.com"):
            customer_id = office.customer(name="Zoë & Co", locale="it")
            ask(office, customer_id, "identity", message="Fronte e retro", by_mail=True, settings=current_settings())
            kept = db.session.scalars(select(Notification)).one()
            assert "send-documents" not in kept.body
            assert "[personal link" in kept.body
            runner.drain()
    finally:
        server.stop()
    [mail] = inbox.mails
    body = mail.get_content()
    found = re.search(r"https://pay\.example\.com(/send-documents/\S+)", body)
    assert found
    assert "Fronte e retro" in body
    assert app.test_client().get(found[1]).status_code == 200
    # The day is said in Italian even before the sentences are.
    assert re.search(
        r"gennaio|febbraio|marzo|aprile|maggio|giugno|luglio|agosto|settembre|ottobre|novembre|dicembre", body
    )


def test_a_mail_whose_link_was_taken_back_is_not_sent(app: Flask, office: Office) -> None:
    with told(app, smtp_url="smtp://127.0.0.1:9", public_url="https://pay.example.com"):
        customer_id = office.customer()
        link_id = ask(office, customer_id, by_mail=True, settings=current_settings())
        identification.revoke_upload_link(office.officer(), link_id, customer_id=customer_id)
        runner.drain()
        db.session.rollback()
        assert db.session.scalars(select(Notification)).one().state is NotificationState.FAILED


def test_a_request_says_what_is_wrong_with_it(office: Office) -> None:
    customer_id = office.customer(email=None)
    for needs, values, field in (
        (["nothing"], {}, "asked_for"),
        (["extract"], {}, "asked_for"),
        (["other"], {}, "message"),
        (["address"], {"days": 31}, "works_for"),
        (["address"], {"by_mail": True}, "by_mail"),
    ):
        with pytest.raises(Invalid) as refused:
            ask(office, customer_id, *needs, **values)
        assert refused.value.field == field
    assert db.session.scalars(select(UploadLink)).all() == []


def test_asking_over_http_shows_the_link_only_to_who_asks_for_it(app: Flask, office: Office) -> None:
    from tests.support.pages import post

    client, customer_id = office.make.browse(Role.COMPLIANCE), office.customer()
    address = f"/identification/{customer_id}/"
    assert 'value="identity"' in client.get(f"{address}request/").text
    answer = post(client, f"{address}request/", asked_for=["identity", "address"], works_for="3", message="")
    assert answer.status_code == 303, answer.text
    page = client.get(address).text
    assert "send-documents" not in page
    link_id = db.session.scalars(select(UploadLink.id)).one()
    shown = post(client, f"{address}links/{link_id}/show/").text
    found = re.search(r"/send-documents/[\w.-]+", shown)
    assert found
    assert app.test_client().get(found[0]).status_code == 200
    assert post(client, f"{address}links/{link_id}/revoke/").status_code == 303
    assert app.test_client().get(found[0]).status_code == 410
