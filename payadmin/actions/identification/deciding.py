"""Who is who: identified, rejected, and taken back (S3:130-138, KY1, KY2)."""

from collections.abc import Collection
from typing import Final

from payadmin.actions import records
from payadmin.actions.identification.documents import MOVED_ON, accept, given, keys_of, locked, reject, supersede
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Forbidden
from payadmin.kernel.text import Text, _
from payadmin.models.identification import DocumentStatus
from payadmin.models.parties import IDENTIFICATION_MACHINE, Customer, IdentificationStatus
from payadmin.permissions import Permission
from payadmin.queries import identification as queries
from payadmin.queries.blocks import oneself
from payadmin.work import Work, use_case

A_PERSON: Final = _("Only a person can say who somebody is.")
LOOK_FIRST: Final = _("Open at least one of the documents yourself before you identify.")
OTHER_NOW: Final = _("The name or the kind of the customer was changed.")
_S: Final = IdentificationStatus


@use_case(Permission.COMPLIANCE_CASE_DECIDE, about=Customer)
def identify(work: Work, customer_id: int, /, *, version: int) -> None:
    """Say that a customer is who they say they are; what was in review is accepted.

    Args:
        version: the customer's version that the form showed: it moves on whenever a document comes or is decided about.

    Raises:
        Conflict: a document that is needed is missing, the actor has opened none of them (KY2), or somebody else
            decided meanwhile, or the customer is the actor. Of two at once one wins.
    """
    if work.actor.staff_id is None:
        raise Forbidden(A_PERSON)
    customer = locked(work, customer_id, version)
    if (own := oneself(work.session, work.actor.staff_id, [customer_id])) is not None:
        raise own
    live = queries.live_documents(work.session, customer_id)
    missing = [line.need.label for line in queries.checklist(customer.kind, live) if not line.is_met]
    if missing:
        raise Conflict(_("Still missing: %(what)s.", what=Text(missing[0]).lower()), missing=missing)
    ids = [document.id for document in live]
    if not queries.opened_by(work.session, work.actor.staff_id, ids, customer.identification_since):
        raise Conflict(LOOK_FIRST)
    new = [document for document in live if document.status is DocumentStatus.RECEIVED]
    for document in live:
        if document.status is DocumentStatus.ACCEPTED and document.kind in {each.kind for each in new}:
            supersede(work, document)
    for document in new:
        accept(work, document)
    _move(work, customer, _S.IDENTIFIED, Event.IDENTIFICATION_GIVEN)


@use_case(Permission.COMPLIANCE_CASE_DECIDE, about=Customer)
def reject_customer(work: Work, customer_id: int, /, *, version: int, reason: str) -> None:
    """Say that what a customer sent does not show who they are; what was in review is rejected for the same reason.

    A new document puts them into the queue again.

    Args:
        version: the customer's version that the form showed.
        reason: why, in the actor's words.

    Raises:
        Invalid: no reason.
        Conflict: they are not in review, or somebody else decided meanwhile.
    """
    why = given(reason)
    customer = locked(work, customer_id, version)
    for document in queries.live_documents(work.session, customer_id):
        if document.status is DocumentStatus.RECEIVED:
            reject(work, document, why)
    _move(work, customer, _S.REJECTED, Event.IDENTIFICATION_REJECTED, why)


@use_case(Permission.COMPLIANCE_CASE_DECIDE, about=Customer)
def revoke_identification(work: Work, customer_id: int, /, *, version: int, reason: str) -> None:
    """Take an identification back: the customer is unidentified from now on.

    To identify them again somebody must open a document again.

    Args:
        version: the customer's version that the form showed.
        reason: why, in the actor's words (KY2).

    Raises:
        Invalid: no reason.
        Conflict: they are not identified, or somebody else decided meanwhile.
    """
    why = given(reason)
    _move(work, locked(work, customer_id, version), _S.UNIDENTIFIED, Event.IDENTIFICATION_REVOKED, why)


def doubt(work: Work, customer: Customer, changed: Collection[str]) -> None:
    """Within the use case that changed a customer: whoever got another name or kind has to be looked at again.

    The documents showed who they were. They are unidentified from now on, and in review where there are documents.
    """
    if customer.identification is not _S.IDENTIFIED or not {"name", "kind"} & set(changed):
        return
    _move(work, customer, _S.UNIDENTIFIED, Event.IDENTIFICATION_REVOKED, OTHER_NOW)
    if queries.live_documents(work.session, customer.id):
        _move(work, work.get(Customer, customer.id), _S.IN_REVIEW, Event.IDENTIFICATION_IN_REVIEW)


records.FOLLOWERS[Customer] = doubt


def _move(work: Work, customer: Customer, after: IdentificationStatus, event: Event, reason: str | None = None) -> None:
    before, version = customer.identification, customer.version
    if not IDENTIFICATION_MACHINE.allows(before, after):
        raise Conflict(
            _(
                "A customer who is %(before)s cannot become %(after)s.",
                before=Text(before.value).lower(),
                after=Text(after.value).lower(),
            )
        )
    won = work.change(
        Customer,
        customer.id,
        when=[Customer.version == version, Customer.identification == before],
        identification=after,
        identification_since=work.now,
    )
    if not won:
        raise Conflict(MOVED_ON)
    told: dict[str, object] = {"identification": after}
    work.record(event, customer, before={"identification": before}, after=told, reason=reason, **keys_of(customer))
