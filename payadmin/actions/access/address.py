"""Another e-mail address: asked for with a code, and counted once both mailboxes have said yes (SE7)."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import select, update

from payadmin import step_up
from payadmin.actions.access import letters
from payadmin.actions.access.details import change_details, plain_email
from payadmin.actions.access.links import GONE, LASTS, end_links, link_of, make_link, use_link
from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel.errors import Conflict, Invalid, NotFound
from payadmin.kernel.text import _
from payadmin.models.access import AccountLink, EmailChange, LinkPurpose, StaffUser
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

NO_LINKS: Final = _("Confirmation links cannot be mailed here (PUBLIC_URL is not set). An administrator can change it.")
BOTH: Final = (LinkPurpose.OLD_ADDRESS, LinkPurpose.NEW_ADDRESS)


@dataclass(frozen=True)
class AddressStep:
    """What the page behind one of the two links shows."""

    username: str
    new_email: str
    is_old: bool
    other_has_confirmed: bool


@use_case(Permission.ACCOUNT_SELF_EDIT)
def request_email_change(work: Work, *, email: str, code: str) -> None:
    """Ask both mailboxes whether the actor's mail may go to `email`; an earlier wish is dropped.

    Args:
        code: a fresh code of the actor's authenticator.

    Raises:
        Invalid: no address, the present one, or a wrong code; `field` says which.
        Conflict: another account has the address, or links cannot be mailed.
    """
    staff = work.get(StaffUser, work.actor.staff_id, lock=True)
    if not current_settings().public_url:
        raise Conflict(NO_LINKS)
    address = plain_email(work, email, but=staff)
    if address == staff.email:
        raise Invalid("This is your address already.", field="email")
    if not step_up.prove(work, code):
        raise Invalid(step_up.WRONG_CODE, field="code")
    _close(work, staff.id)
    change = work.add(
        EmailChange(staff_id=staff.id, new_email=address, expires_at=work.now + LASTS[LinkPurpose.NEW_ADDRESS])
    )
    for purpose, to in zip(BOTH, (staff.email, address), strict=True):
        link = make_link(work, staff.id, purpose, email_change_id=change.id)
        letter = "old_address" if purpose is LinkPurpose.OLD_ADDRESS else "new_address"
        letters.write(work, staff, letter, link=link, to=to, address=address)
    work.record(Event.ACCESS_EMAIL_CHANGE_BEGUN, staff, after={"email": address}, username=staff.username)


@use_case(Permission.ACCOUNT_SELF_EDIT)
def withdraw_email_change(work: Work) -> None:
    """Drop one's own wish for another address. Again changes nothing."""
    staff = work.get(StaffUser, work.actor.staff_id)
    if _close(work, staff.id):
        reason = "Withdrawn by its owner."
        work.record(Event.ACCESS_EMAIL_CHANGE_STOPPED, staff, reason=reason, username=staff.username)


@use_case(Permission.ACCESS_SESSION_START)
def address_step(work: Work, *, token: str) -> AddressStep:
    """What one of the two links is about.

    Raises:
        NotFound: it opens nothing (any more).
    """
    link = link_of(work, token, *BOTH)
    change, staff = work.get(EmailChange, link.email_change_id), work.get(StaffUser, link.staff_id)
    return AddressStep(
        username=staff.username,
        new_email=change.new_email,
        is_old=link.purpose is LinkPurpose.OLD_ADDRESS,
        other_has_confirmed=_other_is_used(work, link),
    )


@use_case(Permission.ACCESS_SESSION_START)
def confirm_email_change(work: Work, *, token: str) -> bool:
    """One mailbox says yes; whether that was the second yes, so that the address counts now.

    Raises:
        NotFound: the link opens nothing (any more).
        Conflict: another account has got the address meanwhile.
    """
    link = link_of(work, token, *BOTH)
    # Two yeses at once must see one another.
    change = work.get(EmailChange, link.email_change_id, lock=True)
    staff = work.get(StaffUser, link.staff_id)
    if change.closed_at is not None or not staff.may_sign_in:
        raise NotFound(GONE)
    use_link(work, link)
    work.record(Event.ACCESS_EMAIL_CHANGE_CONFIRMED, staff, reason=f"{link.purpose.value}.", username=staff.username)
    if not _other_is_used(work, link):
        return False
    _close(work, staff.id)
    address = plain_email(work, change.new_email, but=staff)
    work.record(Event.ACCESS_EMAIL_CHANGED, staff, username=staff.username)
    change_details(work, staff, {"email": address})
    return True


@use_case(Permission.ACCESS_SESSION_START)
def stop_email_change(work: Work, *, token: str) -> None:
    """The old mailbox says no: nothing changes, and neither link opens anything any more.

    Raises:
        NotFound: the link opens nothing (any more).
    """
    link = link_of(work, token, LinkPurpose.OLD_ADDRESS)
    staff = work.get(StaffUser, link.staff_id)
    _close(work, staff.id)
    reason = "Stopped from the old address."
    work.record(Event.ACCESS_EMAIL_CHANGE_STOPPED, staff, reason=reason, username=staff.username)


def _close(work: Work, staff_id: int) -> bool:
    end_links(work, staff_id, *BOTH)
    closed = work.session.execute(
        update(EmailChange)
        .where(EmailChange.staff_id == staff_id, EmailChange.closed_at.is_(None))
        .values(closed_at=work.now)
        .execution_options(synchronize_session=False)
    )
    return bool(closed.rowcount)  # type: ignore[attr-defined]


def _other_is_used(work: Work, link: AccountLink) -> bool:
    other = select(AccountLink.used_at).where(
        AccountLink.email_change_id == link.email_change_id, AccountLink.purpose != link.purpose
    )
    return work.session.scalar(other) is not None
