"""A forgotten password: the same answer whoever asks, a link by mail, and the second factor all the same (S2:125)."""

import datetime as dt
from typing import Final

from sqlalchemy import or_, select

from payadmin import guard
from payadmin.actions.access import letters
from payadmin.actions.access.links import link_of, make_link, use_link
from payadmin.actions.access.own import end_all
from payadmin.actions.access.sign_in import new_hash, plain_username, store_password
from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel.errors import NotFound
from payadmin.models.access import AccountLink, LinkPurpose, SessionEnd, StaffStatus, StaffUser
from payadmin.permissions import Permission
from payadmin.work import Actor, Work, use_case

LONGEST_NAME: Final = 254
# A mail every ten minutes at most, and no newer link while that one is fresh: asking often takes nobody's link away.
FRESH: Final = dt.timedelta(minutes=10)
NOBODY: Final = 0


@use_case(Permission.ACCESS_SESSION_START)
def ask_for_password_link(work: Work, *, name: str) -> None:
    """Somebody forgot the password of the account with this user name or e-mail address.

    Known or not, the same is written and promised, so neither the answer nor its time tells which it was.
    """
    typed = name[:LONGEST_NAME].replace("\0", "").strip().lower()
    known = or_(StaffUser.username == plain_username(typed), StaffUser.email == typed)
    staff = work.one(select(StaffUser).where(known).order_by(StaffUser.id))
    allowed = guard.reserve(work, guard.guard_key(typed, "forgotten"))
    # What was typed is not kept: it may be a password in the wrong field.
    work.record(Event.ACCESS_PASSWORD_LINK_ASKED, staff, outcome="done" if allowed else "refused")
    work.promise("mail_password_link", staff_id=staff.id if staff is not None and allowed else NOBODY)


@use_case(Permission.SYSTEM_JOB_RUN)
def mail_password_link(work: Work, staff_id: int) -> None:
    """Mail a link to an active account; nothing for nobody, and nothing while a link is fresh. Safe to repeat."""
    staff = work.session.get(StaffUser, staff_id, populate_existing=True, with_for_update={"key_share": True})
    if staff is None or staff.status is not StaffStatus.ACTIVE or not current_settings().public_url:
        return
    last = work.one(
        select(AccountLink)
        .where(AccountLink.staff_id == staff_id, AccountLink.purpose == LinkPurpose.PASSWORD)
        .order_by(AccountLink.id.desc())
    )
    if last is not None and last.is_open(work.now) and last.created_at + FRESH > work.now:
        return
    link = make_link(work, staff_id, LinkPurpose.PASSWORD)
    letters.write(work, staff, "forgotten", link=link)
    work.record(Event.ACCESS_PASSWORD_LINK_MADE, staff, after={"expires_at": link.expires_at}, username=staff.username)


@use_case(Permission.ACCESS_SESSION_START)
def owner_of_password_link(work: Work, *, token: str) -> tuple[int, str]:
    """Whose password a link is for: the account's id and user name.

    Raises:
        NotFound: the link opens nothing (any more), or the account is shut.
    """
    return _owner(work, link_of(work, token, LinkPurpose.PASSWORD))


def choose_forgotten_password(actor: Actor, *, token: str, password: str) -> None:
    """Spend a link on a new password. Every session ends, and the sign-in asks for the second factor as always.

    Raises:
        NotFound: the link opens nothing (any more).
        Invalid: the password breaks the rule; `field` is "password".
    """
    staff_id, _ = owner_of_password_link(actor, token=token)
    _keep_forgotten_password(actor, token=token, password_hash=new_hash(staff_id, password=password))


@use_case(Permission.ACCESS_SESSION_START)
def _keep_forgotten_password(work: Work, *, token: str, password_hash: str) -> None:
    link = link_of(work, token, LinkPurpose.PASSWORD)
    staff_id, username = _owner(work, link)
    use_link(work, link)
    staff = work.get(StaffUser, staff_id)
    store_password(work, staff, password_hash)
    end_all(work, staff_id, SessionEnd.ACCOUNT_CHANGED)
    # Whoever reads the mailbox is no stranger: the pause that strangers' guesses have caused ends.
    guard.forget(work, guard.guard_key(username, None))
    letters.write(work, staff, "password_changed")


def _owner(work: Work, link: AccountLink) -> tuple[int, str]:
    staff = work.get(StaffUser, link.staff_id)
    if staff.status is not StaffStatus.ACTIVE:
        raise NotFound("This account is not open. Ask an administrator.")
    return staff.id, staff.username
