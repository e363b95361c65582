"""Two reviewers at once: one decision stands, and the documents agree with it."""

import pytest
from flask import Flask

from payadmin.actions import identification
from payadmin.config import current_settings
from payadmin.db import db
from payadmin.kernel.errors import Conflict
from payadmin.models.identification import DocumentStatus
from payadmin.models.parties import IdentificationStatus
from tests.identification.conftest import K, Office, picture
from tests.support.desk import trail
from tests.support.races import together

S, D = IdentificationStatus, DocumentStatus


@pytest.mark.parametrize("_again", range(4))
def test_of_identify_and_reject_at_once_one_wins(app: Flask, office: Office, _again: int) -> None:
    one, two = office.officer(), office.officer()
    customer_id, documents = office.complete(one)
    for officer in (one, two):
        office.look(officer, customer_id, documents[0])
    version = office.version(customer_id)
    db.session.remove()
    done, refused = together(
        app,
        lambda: identification.identify(one, customer_id, version=version),
        lambda: identification.reject_customer(two, customer_id, version=version, reason="Not the same face"),
    )
    assert (len(done), [type(error) for error in refused]) == (1, [Conflict])
    state = office.state(customer_id)
    statuses = {document.status for document in office.documents(customer_id)}
    assert (state, statuses) in ((S.IDENTIFIED, {D.ACCEPTED}), (S.REJECTED, {D.REJECTED}))
    decided = ["identification.customer.identified", "identification.customer.rejected"]
    assert sum(len(trail(event=event, outcome="done")) for event in decided) == 1


def test_a_document_that_arrives_while_somebody_identifies_is_never_accepted_unseen(app: Flask, office: Office) -> None:
    officer = office.officer()
    customer_id, documents = office.complete(officer)
    office.look(officer, customer_id, documents[0])
    version = office.version(customer_id)
    told = current_settings()
    sent = [identification.Sent(K.OTHER, "x.jpg", picture("late"), "files")]
    db.session.remove()
    together(
        app,
        lambda: identification.identify(officer, customer_id, version=version),
        lambda: identification.receive(officer, customer_id, sent, told),
    )
    late = office.documents(customer_id)[-1]
    assert (late.kind, late.status) == (K.OTHER, D.RECEIVED)
    assert office.state(customer_id) in {S.IDENTIFIED, S.IN_REVIEW}


def test_the_same_file_from_many_hands_at_once_is_one_document(app: Flask, office: Office) -> None:
    officer, customer_id = office.officer(), office.customer()
    told = current_settings()
    sent = [identification.Sent(K.PASSPORT, "a.jpg", picture(), "files")]
    db.session.remove()
    done, refused = together(app, *[lambda: identification.receive(officer, customer_id, sent, told)] * 5)
    assert (sorted(done), refused) == ([0, 0, 0, 0, 1], [])
    assert len(office.documents(customer_id)) == len(office.kept()) == 1


def test_two_requests_at_once_leave_one_open_link(app: Flask, office: Office) -> None:
    from payadmin.queries.identification import links_of

    officer, customer_id = office.officer(), office.customer()
    told = current_settings()
    db.session.remove()

    def ask() -> int:
        return identification.request_documents(
            officer, customer_id, asked_for=["address"], message=None, days=3, by_mail=False, settings=told
        )

    done, refused = together(app, *[ask] * 4)
    assert (len(done), refused) == (4, [])
    states = sorted(link.status.name for link in links_of(db.session(), customer_id))
    assert states == ["OPEN", "REVOKED", "REVOKED", "REVOKED"]


def test_erasing_and_identifying_at_once_never_rests_on_a_missing_file(app: Flask, office: Office) -> None:
    officer = office.officer()
    customer_id, documents = office.complete(officer)
    office.look(officer, customer_id, documents[0])
    version = office.version(customer_id)
    db.session.remove()
    together(
        app,
        lambda: identification.identify(officer, customer_id, version=version),
        lambda: identification.erase_document(officer, documents[1], customer_id=customer_id, reason="Asked for it"),
    )
    bill = office.documents(customer_id)[1]
    assert bill.file is None
    identified = office.state(customer_id) is S.IDENTIFIED
    assert identified is (bill.status is D.ACCEPTED), "who was identified was so before the file went"
