"""What signed-in staff do with their own account: password, authenticator, recovery codes, sessions."""

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import select, update

from payadmin import guard, step_up
from payadmin.actions.access import factors
from payadmin.actions.access.details import change_details, plain_mobile, plain_name
from payadmin.actions.access.sign_in import Browser, new_hash, open_session, store_password
from payadmin.audit import Event
from payadmin.kernel import passwords
from payadmin.kernel.errors import Conflict, Invalid, NotFound
from payadmin.models.access import SecondFactor, SessionEnd, StaffUser, UserSession
from payadmin.permissions import Permission
from payadmin.work import Actor, Work, use_case

SEEN_EVERY = dt.timedelta(minutes=1)
PAUSED = "Too many wrong tries. Wait 30 minutes and try again."


# ------------------------------------------------------------------------------------------------ sessions


@use_case(Permission.ACCOUNT_SELF_EDIT)
def touch_session(work: Work, session_id: int) -> None:
    """Note that the session was used by a real act; at most once a minute, so pages stay reads."""
    work.session.execute(
        update(UserSession)
        .where(UserSession.id == session_id, UserSession.last_seen_at < work.now - SEEN_EVERY)
        .values(last_seen_at=work.now)
        .execution_options(synchronize_session=False)
    )


@use_case(Permission.ACCOUNT_SELF_EDIT)
def sign_out(work: Work, session_id: int) -> None:
    """End the session on the server: the same cookie opens nothing afterwards. Again changes nothing."""
    if end_session_row(work, session_id, SessionEnd.SIGNED_OUT):
        work.record(Event.ACCESS_SIGNED_OUT, work.get(StaffUser, work.actor.staff_id))


@use_case(Permission.ACCOUNT_SELF_EDIT)
def end_own_session(work: Work, session_id: int) -> None:
    """End one of one's own sessions, here or elsewhere. Ending it again changes nothing.

    Raises:
        NotFound: there is no such session, or it is somebody else's.
    """
    if work.get(UserSession, session_id).staff_id != work.actor.staff_id:
        raise NotFound("There is no such session.")
    if end_session_row(work, session_id, SessionEnd.REVOKED):
        work.record(Event.ACCESS_SESSION_ENDED, work.get(UserSession, session_id), reason="Ended by its owner.")


@use_case(Permission.ACCOUNT_SELF_EDIT)
def end_other_sessions(work: Work, session_id: int) -> int:
    """End every session of the actor but `session_id`; returns how many were ended."""
    ended = 0
    for other in open_ids(work, work.actor.staff_id):
        if other != session_id and end_session_row(work, other, SessionEnd.REVOKED):
            work.record(Event.ACCESS_SESSION_ENDED, work.get(UserSession, other), reason="Ended by its owner.")
            ended += 1
    return ended


def open_ids(work: Work, staff_id: int | None) -> Sequence[int]:
    """The sessions of a person that were not ended yet."""
    return work.session.scalars(
        select(UserSession.id).where(UserSession.staff_id == staff_id, UserSession.ended_at.is_(None))
    ).all()


def end_all(work: Work, staff_id: int, because: SessionEnd) -> None:
    """Mark a person's sessions as ended, for the list; the raised epoch has already closed them."""
    for session_id in open_ids(work, staff_id):
        end_session_row(work, session_id, because)


def end_session_row(work: Work, session_id: int, because: SessionEnd) -> bool:
    """End one session; whether it was still open."""
    ended = work.session.execute(
        update(UserSession)
        .where(UserSession.id == session_id, UserSession.ended_at.is_(None))
        .values(ended_at=work.now, ended_because=because)
        .execution_options(synchronize_session=False)
    )
    return bool(ended.rowcount == 1)  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------ one's own data


@use_case(Permission.ACCOUNT_SELF_EDIT)
def edit_own_details(work: Work, *, full_name: str, mobile: str | None) -> None:
    """Change the actor's own name and mobile number; roles, user name and e-mail address have their own ways.

    Raises:
        Invalid: a value makes no sense; `field` says which.
    """
    staff = work.get(StaffUser, work.actor.staff_id)
    change_details(work, staff, {"full_name": plain_name(full_name), "mobile": plain_mobile(mobile)})


# ------------------------------------------------------------------------------------------------ password


def change_password(actor: Actor, *, current: str, password: str, browser: Browser) -> str:
    """Change the actor's own password; every session ends and a new one is opened, whose token is returned.

    Raises:
        Invalid: the current password is wrong, or the new one breaks the rule; `field` says which.
    """
    staff_id, known = _reserve_own_try(actor)
    if len(current) > passwords.LONGEST or not passwords.matches(known, current):
        _refuse_current_password(actor)
    fresh = new_hash(staff_id, password=password)
    return _keep_own_password(actor, known=known, password_hash=fresh, browser=browser)


@use_case(Permission.ACCOUNT_SELF_EDIT)
def _reserve_own_try(work: Work) -> tuple[int, str | None]:
    staff = work.get(StaffUser, work.actor.staff_id)
    if not guard.reserve(work, _own_key(staff)):
        raise Invalid(PAUSED, field="current")
    return staff.id, staff.password_hash


@use_case(Permission.ACCOUNT_SELF_EDIT)
def _refuse_current_password(_work: Work) -> None:
    raise Invalid("This is not your current password.", field="current")


@use_case(Permission.ACCOUNT_SELF_EDIT)
def _keep_own_password(work: Work, *, known: str | None, password_hash: str, browser: Browser) -> str:
    staff = work.get(StaffUser, work.actor.staff_id)
    if staff.password_hash != known:
        raise Conflict("Your password was changed at the same moment. Sign in again.")
    guard.forget(work, _own_key(staff))
    store_password(work, staff, password_hash)
    end_all(work, staff.id, SessionEnd.ACCOUNT_CHANGED)
    return open_session(work, staff, browser)


# ------------------------------------------------------------------------------------------------ second factor


@use_case(Permission.ACCOUNT_SELF_EDIT)
def offer_new_authenticator(work: Work, *, code: str) -> None:
    """Put a fresh secret aside for a new phone; `code` comes from the present authenticator or is a recovery code.

    The present authenticator works until the new one is confirmed.

    Raises:
        Invalid: the code is wrong or used up; `field` is "code".
    """
    staff = _prove(work, code, recovery=True)
    factor = factors.factor_of(work, staff)
    factor.sealed_pending = None
    factors.offer_secret(factor)
    work.record(Event.ACCESS_FACTOR_RESET, staff, reason="Owner began to set up a new authenticator.")


def pending_secret(actor: Actor, factor: SecondFactor | None) -> str | None:
    """The secret that waits to be confirmed by the actor, for the QR code."""
    if factor is None or factor.sealed_pending is None or factor.staff_id != actor.staff_id:
        return None
    return step_up.unseal(factor.staff_id, factor.sealed_pending)


@use_case(Permission.ACCOUNT_SELF_EDIT)
def confirm_new_authenticator(work: Work, *, code: str, browser: Browser) -> str:
    """Let the new authenticator replace the old one; every other session ends, and this one gets a new token.

    Raises:
        Invalid: the code is not one of the new authenticator; `field` is "code".
    """
    staff = work.get(StaffUser, work.actor.staff_id)
    if not factors.confirm_pending(work, factors.factor_of(work, staff), code):
        raise Invalid("That is not the present code of the new entry in your app.", field="code")
    work.change(StaffUser, staff.id, session_epoch=StaffUser.session_epoch + 1)
    end_all(work, staff.id, SessionEnd.ACCOUNT_CHANGED)
    work.record(Event.ACCESS_FACTOR_ENROLLED, staff, reason="New authenticator.")
    return open_session(work, staff, browser)


@use_case(Permission.ACCOUNT_SELF_EDIT)
def withdraw_new_authenticator(work: Work) -> None:
    """Forget a new authenticator that was not confirmed. Again changes nothing."""
    staff = work.get(StaffUser, work.actor.staff_id)
    factor = factors.factor_of(work, staff)
    if factor.is_confirmed and factor.sealed_pending is not None:
        factor.sealed_pending = None
        work.record(Event.ACCESS_FACTOR_RESET, staff, reason="Owner kept the present authenticator.")


@use_case(Permission.ACCOUNT_SELF_EDIT)
def renew_recovery_codes(work: Work, *, code: str) -> tuple[str, ...]:
    """Ten fresh recovery codes, shown this once; the earlier ones die.

    Raises:
        Invalid: the authenticator code is wrong or used up; `field` is "code".
    """
    staff = _prove(work, code, recovery=False)
    work.record(Event.ACCESS_CODE_REISSUED, staff)
    return factors.new_recovery_codes(work, staff)


def _prove(work: Work, code: str, *, recovery: bool) -> StaffUser:
    staff = work.get(StaffUser, work.actor.staff_id)
    if step_up.prove(work, code):
        return staff
    if recovery and factors.spend_recovery_code(work, staff, code):
        return staff
    raise Invalid(step_up.WRONG_CODE, field="code")


def _own_key(staff: StaffUser) -> str:
    # A counter of its own: whoever guesses at the login page cannot keep the owner from changing the password.
    return guard.guard_key(staff.username, "signed in")
