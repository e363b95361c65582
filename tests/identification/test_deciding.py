"""Who is identified: by whom, with which documents, and what it takes to take it back (KY1, KY2)."""

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import select, update

from payadmin.actions import identification, records
from payadmin.config import current_settings
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.models.access import StaffUser
from payadmin.models.identification import DocumentStatus
from payadmin.models.parties import Customer, CustomerKind, IdentificationStatus
from payadmin.permissions import Permission, Role
from payadmin.work import SYSTEM
from tests.identification.conftest import K, Office, picture
from tests.support.desk import trail

S, D = IdentificationStatus, DocumentStatus


def test_a_document_puts_a_customer_into_the_queue_and_the_newest_does_not_move_them_back(office: Office) -> None:
    officer, customer_id = office.officer(), office.customer()
    assert office.state(customer_id) is S.UNIDENTIFIED
    office.bring(officer, customer_id, K.PASSPORT)
    since = office.row(customer_id).identification_since
    assert office.state(customer_id) is S.IN_REVIEW
    office.bring(officer, customer_id, K.PROOF_OF_ADDRESS)
    assert office.row(customer_id).identification_since == since


@pytest.mark.parametrize("kind", CustomerKind)
def test_everything_on_the_checklist_must_be_there(office: Office, kind: CustomerKind) -> None:
    officer = office.officer()
    customer_id, documents = office.complete(officer, kind)
    for document_id in documents:
        office.look(officer, customer_id, document_id)
    identification.reject_document(
        officer, documents[0], customer_id=customer_id, version=office.version(customer_id), reason="Blurred"
    )
    with pytest.raises(Conflict, match="Still missing"):
        identification.identify(officer, customer_id, version=office.version(customer_id))
    assert office.state(customer_id) is S.IN_REVIEW
    office.bring(
        officer, customer_id, K.PASSPORT if kind is CustomerKind.INDIVIDUAL else K.REGISTRATION_EXTRACT, words="new"
    )
    identification.identify(officer, customer_id, version=office.version(customer_id))
    assert office.state(customer_id) is S.IDENTIFIED
    assert {each.status for each in office.documents(customer_id)} == {D.REJECTED, D.ACCEPTED}


def test_who_identifies_has_opened_a_document_themselves(office: Office) -> None:
    officer, other = office.officer(), office.officer()
    customer_id, documents = office.complete(officer)
    office.look(other, customer_id, documents[0])
    version = office.version(customer_id)
    with pytest.raises(Conflict, match="Open at least one"):
        identification.identify(officer, customer_id, version=version)
    with pytest.raises(Forbidden):
        identification.identify(SYSTEM, customer_id, version=version)
    assert office.version(customer_id) == version
    identification.identify(other, customer_id, version=version)
    entry = trail(event="identification.customer.identified")[-1]
    assert (entry.actor_name, entry.before, entry.after) == (
        other.name, {"identification": "IN_REVIEW"}, {"identification": "IDENTIFIED"}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "after", "events"),
    [
        ({"name": "Somebody Else"}, S.IN_REVIEW, ["customer.revoked", "customer.in_review"]),
        ({"kind": CustomerKind.MERCHANT}, S.IN_REVIEW, ["customer.revoked", "customer.in_review"]),
        ({"email": "new@example.com"}, S.IDENTIFIED, []),
    ],
)
def test_who_gets_another_name_or_kind_is_looked_at_again(
    office: Office, values: dict[str, Any], after: IdentificationStatus, events: list[str]
) -> None:
    """Documents of one person must not identify another."""
    officer, operator = office.officer(), office.officer(Role.PAYMENTS_OPERATOR)
    customer_id, documents = office.complete(officer)
    office.look(officer, customer_id, documents[0])
    identification.identify(officer, customer_id, version=office.version(customer_id))
    before = len(trail())

    def change(seen_version: int) -> None:
        records.update_record(
            operator,
            customer_id,
            permission=Permission.PARTIES_CUSTOMER_WRITE,
            scope=select(Customer),
            seen_version=seen_version,
            values=values,
        )

    with pytest.raises(Conflict):
        change(office.version(customer_id) - 1)
    assert office.state(customer_id) is S.IDENTIFIED
    change(office.version(customer_id))
    assert office.state(customer_id) is after
    said = [entry.event.removeprefix("identification.") for entry in trail()[before:]]
    assert [event for event in said if event.startswith("customer.")] == events
    if after is S.IN_REVIEW and "name" in values:
        with pytest.raises(Conflict, match="Open at least one"):
            identification.identify(officer, customer_id, version=office.version(customer_id))
        office.look(officer, customer_id, documents[0])
        identification.identify(officer, customer_id, version=office.version(customer_id))
        assert office.state(customer_id) is S.IDENTIFIED


def test_nobody_identifies_themselves(office: Office) -> None:
    officer = office.officer()
    customer_id, documents = office.complete(officer)
    office.look(officer, customer_id, documents[0])
    email = db.session.get_one(StaffUser, officer.staff_id).email
    change = update(Customer).where(Customer.id == customer_id).values(email=email, email_key=email)
    with db.engine.begin() as connection:
        connection.execute(change)
    db.session.rollback()
    with pytest.raises(Conflict, match="This is you"):
        identification.identify(officer, customer_id, version=office.version(customer_id))
    assert office.state(customer_id) is S.IN_REVIEW


def test_who_is_identified_without_documents_and_renamed_is_unidentified(office: Office) -> None:
    customer_id = office.customer(identification=S.IDENTIFIED)
    records.update_record(
        office.officer(Role.PAYMENTS_OPERATOR),
        customer_id,
        permission=Permission.PARTIES_CUSTOMER_WRITE,
        scope=select(Customer),
        seen_version=office.version(customer_id),
        values={"name": "Somebody Else"},
    )
    assert office.state(customer_id) is S.UNIDENTIFIED


def test_a_look_at_what_was_replaced_or_erased_does_not_count(office: Office) -> None:
    officer = office.officer()
    customer_id, documents = office.complete(officer)
    office.look(officer, customer_id, documents[0])
    office.bring(officer, customer_id, K.PASSPORT, words="newer")
    assert office.documents(customer_id)[0].status is D.REPLACED
    with pytest.raises(Conflict, match="Open at least one"):
        identification.identify(officer, customer_id, version=office.version(customer_id))


def test_a_document_that_came_meanwhile_is_not_accepted_unseen(office: Office) -> None:
    officer = office.officer()
    customer_id, documents = office.complete(officer)
    office.look(officer, customer_id, documents[0])
    shown = office.version(customer_id)
    office.bring(officer, customer_id, K.OTHER)
    with pytest.raises(Conflict, match="Somebody else worked"):
        identification.identify(officer, customer_id, version=shown)


def test_rejecting_and_revoking_need_a_reason_and_a_new_look(office: Office) -> None:
    officer = office.officer()
    customer_id, documents = office.complete(officer)
    office.look(officer, customer_id, documents[1])
    for act in (identification.reject_customer, identification.revoke_identification):
        with pytest.raises(Invalid) as refused:
            act(officer, customer_id, version=office.version(customer_id), reason=" ")
        assert refused.value.field == "reason"
    with pytest.raises(Conflict, match="cannot become"):
        identification.revoke_identification(
            officer, customer_id, version=office.version(customer_id), reason="Too early"
        )
    identification.identify(officer, customer_id, version=office.version(customer_id))
    with pytest.raises(Conflict, match="cannot become"):
        identification.reject_customer(officer, customer_id, version=office.version(customer_id), reason="Too late")
    identification.revoke_identification(officer, customer_id, version=office.version(customer_id), reason="A tip")
    assert office.state(customer_id) is S.UNIDENTIFIED
    assert trail(event="identification.customer.revoked")[-1].reason == "A tip"
    with pytest.raises(Conflict, match="Open at least one"):
        identification.identify(officer, customer_id, version=office.version(customer_id))
    office.look(officer, customer_id, documents[1])
    identification.identify(officer, customer_id, version=office.version(customer_id))
    assert office.state(customer_id) is S.IDENTIFIED


def test_a_rejected_customer_comes_back_with_a_new_document(office: Office) -> None:
    officer = office.officer()
    customer_id, _documents = office.complete(officer)
    identification.reject_customer(
        officer, customer_id, version=office.version(customer_id), reason="Not the same face"
    )
    assert office.state(customer_id) is S.REJECTED
    assert {(each.status, each.reason) for each in office.documents(customer_id)} == {(D.REJECTED, "Not the same face")}
    # The same file may come again: the rejected one no longer stands in its way.
    office.bring(officer, customer_id, K.PASSPORT)
    assert office.state(customer_id) is S.IN_REVIEW


def test_a_newer_passport_of_somebody_identified_takes_the_place_of_the_old_one(office: Office) -> None:
    officer = office.officer()
    customer_id, documents = office.complete(officer)
    office.look(officer, customer_id, documents[0])
    identification.identify(officer, customer_id, version=office.version(customer_id))
    new = office.bring(officer, customer_id, K.PASSPORT, words="renewed")[-1]
    assert office.state(customer_id) is S.IDENTIFIED
    with pytest.raises(Conflict, match="Open the document"):
        identification.accept_document(officer, new, customer_id=customer_id, version=office.version(customer_id))
    office.look(officer, customer_id, new)
    identification.accept_document(officer, new, customer_id=customer_id, version=office.version(customer_id))
    assert [each.status for each in office.documents(customer_id)] == [D.REPLACED, D.ACCEPTED, D.ACCEPTED]


def test_the_same_file_twice_is_one_document(office: Office) -> None:
    officer, customer_id = office.officer(), office.customer()
    sent = [identification.Sent(K.PASSPORT, "a.jpg", picture("once"), "files")]
    assert identification.receive(officer, customer_id, [*sent, *sent], current_settings()) == 1
    assert identification.receive(officer, customer_id, sent, current_settings()) == 0
    assert len(office.documents(customer_id)) == len(office.kept()) == 1
    other = [identification.Sent(K.PROOF_OF_ADDRESS, "a.jpg", picture("once"), "files")]
    with pytest.raises(Conflict, match="is here already, as: passport"):
        identification.receive(officer, customer_id, other, current_settings())
    assert len(office.kept()) == 1, "a refused file leaves nothing"


def test_every_look_and_download_is_an_entry_of_its_own(office: Office) -> None:
    officer = office.officer()
    customer_id, documents = office.complete(officer)
    for _ in range(3):
        office.look(officer, customer_id, documents[0])
    identification.download_document(officer, documents[1], customer_id=customer_id)
    assert [entry.entity_id for entry in trail(event="identification.document.looked_at")] == [str(documents[0])] * 3
    assert [entry.entity_id for entry in trail(event="identification.document.downloaded")] == [str(documents[1])]
    assert {entry.actor_id for entry in trail(event="identification.document.looked_at")} == {officer.staff_id}


def test_compliance_makes_support_managers_and_anti_fraud_only(office: Office) -> None:
    from payadmin.actions import access
    from payadmin.permissions import grantable_by

    officer = office.officer()
    allowed = {Role.SUPPORT_MANAGER, Role.ANTI_FRAUD}
    assert grantable_by({Role.COMPLIANCE}) == allowed
    for role in Role:
        facts = {"username": f"new{role.name.lower()}", "full_name": "New", "email": f"{role.name.lower()}@example.com"}
        if role in allowed:
            access.create_staff(officer, roles=[role], **facts)
        else:
            with pytest.raises(Forbidden):
                access.create_staff(officer, roles=[role], **facts)


def test_since_is_when_the_present_state_began(office: Office) -> None:
    before = utcnow() - dt.timedelta(seconds=1)
    officer = office.officer()
    customer_id, _documents = office.complete(officer)
    assert before < office.row(customer_id).identification_since <= utcnow()
    db.session.rollback()
