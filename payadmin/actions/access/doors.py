"""What managers do to somebody's way in: lock and unlock, disable for good, reset, show a key, end sessions."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from payadmin import guard, step_up
from payadmin.actions.access import factors, letters
from payadmin.actions.access.links import LASTS, end_links, make_link
from payadmin.actions.access.matrix import keep_an_administrator, managed
from payadmin.actions.access.own import end_all, end_session_row, open_ids
from payadmin.actions.access.sign_in import remember
from payadmin.actions.access.staff import Invitation
from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel import passwords, totp
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.links import new_nonce
from payadmin.kernel.text import Text, _
from payadmin.models.access import LinkPurpose, SecondFactor, SessionEnd, StaffStatus, StaffUser, UserSession
from payadmin.permissions import Permission
from payadmin.work import Actor, Work, use_case

SECRET_ACT: Final = "access.show_secret_key"  # noqa: S105 - an act's name
CLOSED: Final = _("This account is disabled for good. Invite the person again under another user name.")


@dataclass(frozen=True)
class ShownSecret:
    """The key of somebody's authenticator, shown once."""

    username: str
    secret: str
    is_new: bool


@use_case(Permission.ACCESS_STAFF_MANAGE, about=StaffUser)
def lock_staff(work: Work, staff_id: int, *, reason: str) -> None:
    """Shut an account; its sessions end at once, on every web process.

    Raises:
        Forbidden: the account is not the actor's to manage, or their own.
        Conflict: it is not active, or nobody would be left who administers accounts.
    """
    staff = managed(work, staff_id)
    keep_an_administrator(work, staff)
    before = staff.status
    if not work.change(StaffUser, staff_id, status=StaffStatus.LOCKED, session_epoch=StaffUser.session_epoch + 1):
        raise Conflict(_("An account that is %(before)s cannot be locked.", before=Text(before.value).lower()))
    _shut(work, staff, before, Event.ACCESS_STAFF_LOCKED, reason)


@use_case(Permission.ACCESS_STAFF_MANAGE, about=StaffUser)
def disable_staff(work: Work, staff_id: int, *, reason: str) -> None:
    """Disable the account of somebody who has left, or who was invited by mistake, for good.

    Raises:
        Forbidden: the account is not the actor's to manage, or their own.
        Conflict: it is disabled already, or nobody would be left who administers accounts.
    """
    staff = managed(work, staff_id)
    keep_an_administrator(work, staff)
    before = staff.status
    if not work.change(StaffUser, staff_id, status=StaffStatus.DISABLED, session_epoch=StaffUser.session_epoch + 1):
        raise Conflict(CLOSED)
    _shut(work, staff, before, Event.ACCESS_STAFF_DISABLED, reason)


def _shut(work: Work, staff: StaffUser, before: StaffStatus, event: Event, reason: str) -> None:
    end_all(work, staff.id, SessionEnd.ENDED_BY_MANAGER)
    end_links(work, staff.id)
    work.record(
        event,
        staff,
        before={"status": before},
        after={"status": staff.status},
        reason=reason,
        username=staff.username,
    )


@use_case(Permission.ACCESS_STAFF_MANAGE, about=StaffUser)
def unlock_staff(work: Work, staff_id: int, *, reason: str) -> None:
    """Let a person in again whose identity was confirmed: opens the account, lifts the pause."""
    staff = managed(work, staff_id)
    before = staff.status
    if before is StaffStatus.DISABLED:
        raise Conflict(CLOSED)
    if before is StaffStatus.LOCKED and not work.change(
        StaffUser, staff_id, when=(StaffUser.status == StaffStatus.LOCKED,), status=StaffStatus.ACTIVE
    ):
        raise Conflict("The account was changed at the same moment. Look again.")
    guard.forget(work, guard.guard_key(staff.username, None))
    work.record(
        Event.ACCESS_STAFF_UNLOCKED,
        staff,
        before={"status": before},
        after={"status": staff.status},
        reason=reason,
        username=staff.username,
    )


# ------------------------------------------------------------------------------------------------ credentials


def reset_password(actor: Actor, staff_id: int, *, reason: str) -> Invitation:
    """Give an account a temporary password for a day; its sessions end, its authenticator stays (SE5).

    The password goes out by mail; without a mail server the caller shows it once.
    """
    nonce = new_nonce()
    password = passwords.password_of(current_settings().secret_key, nonce)
    hashed = passwords.hash_password(password)
    username = _reset_password(actor, staff_id, password_hash=hashed, nonce=nonce, reason=reason)
    return Invitation(staff_id, username, password, is_mailed=bool(current_settings().smtp_url))


@use_case(Permission.ACCESS_STAFF_MANAGE, about=StaffUser)
def _reset_password(work: Work, staff_id: int, *, password_hash: str, nonce: str, reason: str) -> str:
    staff = managed(work, staff_id)
    if staff.status is StaffStatus.DISABLED:
        raise Conflict(CLOSED)
    work.change(
        StaffUser,
        staff_id,
        password_hash=password_hash,
        must_change_password=True,
        password_expires_at=work.now + LASTS[LinkPurpose.CREDENTIALS],
        session_epoch=StaffUser.session_epoch + 1,
    )
    remember(work, staff_id, password_hash)
    end_all(work, staff_id, SessionEnd.ACCOUNT_CHANGED)
    end_links(work, staff_id)
    work.record(Event.ACCESS_PASSWORD_RESET, staff, reason=reason, username=staff.username)
    link = make_link(work, staff_id, LinkPurpose.CREDENTIALS, nonce=nonce)
    letters.write(work, staff, "welcome" if staff.status is StaffStatus.INVITED else "new_password", link=link)
    return staff.username


@use_case(Permission.ACCESS_STAFF_MANAGE, about=StaffUser)
def reset_authenticator(work: Work, staff_id: int, *, reason: str) -> None:
    """Forget a lost authenticator: the next sign-in enrols a new one, and its owner is told.

    Sessions end, and recovery codes die with it.
    """
    staff = managed(work, staff_id)
    factor = work.session.scalar(select(SecondFactor).where(SecondFactor.staff_id == staff_id))
    if factor is None or not factor.is_confirmed:
        raise Conflict("This account has no authenticator yet; the next sign-in sets one up.")
    factor.sealed, factor.sealed_pending, factor.confirmed_at = None, None, None
    factors.drop_recovery_codes(work, staff_id)
    work.change(StaffUser, staff_id, session_epoch=StaffUser.session_epoch + 1)
    end_all(work, staff_id, SessionEnd.ACCOUNT_CHANGED)
    work.record(Event.ACCESS_FACTOR_RESET, staff, reason=reason, username=staff.username)
    letters.write(work, staff, "factor_reset")


@use_case(Permission.ACCESS_STAFF_MANAGE, about=StaffUser)
def show_secret_key(work: Work, staff_id: int, *, reason: str, offer: str, code: str) -> ShownSecret:
    """The key of somebody's authenticator, for a manager to pass on (S2:36), confirmed with the manager's own code.

    A key that its owner uses is never shown: whoever read it could sign in as them unnoticed. It is replaced: the old
    entry dies, sessions end, and the owner is told by mail. Before the first sign-in the key that waits is shown.

    Args:
        offer: `step_up.offer` of `SECRET_ACT` for {"staff": staff_id}.
        code: the code that goes with it.

    Raises:
        Forbidden: the account is not the actor's to manage, or their own.
        Invalid: no reason, or a wrong code; `field` says which.
        Conflict: the account is disabled.
    """
    staff = managed(work, staff_id)
    if staff.status is StaffStatus.DISABLED:
        raise Conflict(CLOSED)
    if not reason.strip():
        raise Invalid("Say why.", field="reason")
    step_up.spend(work, offer, code, SECRET_ACT, {"staff": staff_id})
    factor = factors.factor_of(work, staff)
    is_new = factor.is_confirmed
    if is_new:
        secret = totp.new_secret()
        factor.sealed, factor.sealed_pending = step_up.seal(staff_id, secret), None
        factor.confirmed_at = work.now
        work.change(StaffUser, staff_id, session_epoch=StaffUser.session_epoch + 1)
        end_all(work, staff_id, SessionEnd.ACCOUNT_CHANGED)
    else:
        factors.offer_secret(factor)
        assert factor.sealed_pending is not None
        secret = step_up.unseal(staff_id, factor.sealed_pending)
    work.record(Event.ACCESS_SECRET_SHOWN, staff, after={"replaced": is_new}, reason=reason, username=staff.username)
    letters.write(work, staff, "secret_shown" if is_new else "pending_secret_shown", reason=reason)
    return ShownSecret(staff.username, secret, is_new)


# ------------------------------------------------------------------------------------------------ sessions


@use_case(Permission.ACCESS_SESSION_END, about=UserSession)
def end_session(work: Work, session_id: int, *, reason: str) -> None:
    """End a session of somebody whom the actor may manage. Ending it again changes nothing."""
    found = work.get(UserSession, session_id)
    managed(work, found.staff_id)
    if end_session_row(work, session_id, SessionEnd.ENDED_BY_MANAGER):
        work.record(Event.ACCESS_SESSION_ENDED, found, reason=reason)


@use_case(Permission.ACCESS_SESSION_END, about=StaffUser)
def end_sessions(work: Work, staff_id: int, *, reason: str) -> int:
    """End every session of somebody whom the actor may manage; returns how many there were."""
    staff = managed(work, staff_id)
    ended = len(open_ids(work, staff_id))
    work.change(StaffUser, staff_id, session_epoch=StaffUser.session_epoch + 1)
    end_all(work, staff_id, SessionEnd.ENDED_BY_MANAGER)
    work.record(Event.ACCESS_SESSION_ENDED, staff, after={"sessions": ended}, reason=reason, username=staff.username)
    return ended
