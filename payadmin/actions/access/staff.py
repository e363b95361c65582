"""Staff accounts: who is let in, locked out and given which roles. Nobody gives more than the grant matrix allows."""

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select

from payadmin import audit
from payadmin.actions.access import guard
from payadmin.actions.access.own import end_all, end_session_row
from payadmin.actions.access.sign_in import plain_username, remember
from payadmin.audit import Event
from payadmin.kernel import passwords
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.kernel.text import _
from payadmin.models.access import SecondFactor, SessionEnd, StaffRole, StaffStatus, StaffUser, UserSession
from payadmin.permissions import MENU_KEYS, Permission, Role, grantable_by
from payadmin.work import SYSTEM, Actor, Work, use_case

TEMPORARY_FOR = dt.timedelta(hours=24)

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,63}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")


@dataclass(frozen=True)
class Invitation:
    """A new or reset account: `password` opens it once, within a day, and is shown once."""

    staff_id: int
    username: str
    password: str


# ------------------------------------------------------------------------------------------------ accounts


def create_staff(
    actor: Actor,
    *,
    username: str,
    full_name: str,
    email: str,
    roles: Iterable[Role],
    organization_id: int | None = None,
    menu_access: Iterable[str] = (),
) -> Invitation:
    """Invite a person: a temporary password for a day, then an own one and an authenticator at the first sign-in.

    Raises:
        Forbidden: a role is beyond what the actor may grant.
        Invalid: the user name, e-mail address, roles or menu entries make no sense; `field` says which.
        Conflict: the user name or e-mail address is taken.
    """
    password = passwords.temporary_password()
    staff_id = _create(
        actor,
        username=username,
        full_name=full_name,
        email=email,
        roles=frozenset(roles),
        organization_id=organization_id,
        menu_access=tuple(menu_access),
        password_hash=passwords.hash_password(password),
    )
    return Invitation(staff_id, plain_username(username), password)


@use_case(Permission.ACCESS_STAFF_MANAGE)
def _create(
    work: Work,
    *,
    username: str,
    full_name: str,
    email: str,
    roles: frozenset[Role],
    organization_id: int | None,
    menu_access: tuple[str, ...],
    password_hash: str,
) -> int:
    _check_roles(work.actor, roles)
    staff = new_account(
        work, username=username, full_name=full_name, email=email, roles=roles, organization_id=organization_id
    )
    if unknown := set(menu_access) - MENU_KEYS:
        raise Invalid(_("There is no menu entry %(unknown)s.", unknown=min(unknown)), field="menu_access")
    staff.menu_access = list(menu_access)
    staff.password_hash = password_hash
    staff.password_expires_at = work.now + TEMPORARY_FOR
    work.session.flush()
    remember(work, staff.id, password_hash)
    return staff.id


def new_account(
    work: Work, *, username: str, full_name: str, email: str, roles: frozenset[Role], organization_id: int | None = None
) -> StaffUser:
    """An invited account without a password, with its entry in the trail."""
    name, mail = plain_username(username), email.strip().lower()
    if not _USERNAME.fullmatch(name):
        raise Invalid("Use 2 to 64 letters, digits, dots, dashes or underscores.", field="username")
    if not _EMAIL.fullmatch(mail):
        raise Invalid("This is not an e-mail address.", field="email")
    if not full_name.strip() or len(full_name) > 120:  # noqa: PLR2004 - the column's length
        raise Invalid("Give a name of at most 120 characters.", field="full_name")
    if work.exists(StaffUser.username == name):
        raise Conflict("This user name is taken.", field="username")
    if work.exists(StaffUser.email == mail):
        raise Conflict("Another account has this e-mail address.", field="email")
    staff = work.add(
        StaffUser(
            username=name,
            full_name=full_name.strip(),
            email=mail,
            organization_id=organization_id,
            parent_id=work.actor.staff_id,
            role_rows=[StaffRole(role=role) for role in sorted(roles)],
        )
    )
    _explain_roles(work, staff)
    work.record(
        Event.ACCESS_STAFF_CREATED,
        staff,
        after={"username": name, "roles": sorted(role.name for role in roles)},
        username=name,
    )
    return staff


def create_first_admin(*, username: str, full_name: str, email: str) -> Invitation:
    """The account that lets the first person in on a fresh installation.

    Raises:
        Conflict: there are accounts already; an administrator invites the others.
    """
    password = passwords.temporary_password()
    staff_id = _create_first(
        SYSTEM, username=username, full_name=full_name, email=email, password_hash=passwords.hash_password(password)
    )
    return Invitation(staff_id, plain_username(username), password)


@use_case(Permission.ACCESS_STAFF_MANAGE)
def _create_first(work: Work, *, username: str, full_name: str, email: str, password_hash: str) -> int:
    if work.session.scalar(select(func.count()).select_from(StaffUser)):
        raise Conflict("There are staff accounts already. Ask one of the administrators to invite you.")
    # The first person alone must be able to see and do everything that exists.
    roles = frozenset({Role.ADMIN, Role.PAYMENTS_OPERATOR})
    staff = new_account(work, username=username, full_name=full_name, email=email, roles=roles)
    staff.password_hash = password_hash
    staff.password_expires_at = work.now + TEMPORARY_FOR
    work.session.flush()
    remember(work, staff.id, password_hash)
    return staff.id


@use_case(Permission.ACCESS_STAFF_MANAGE)
def lock_staff(work: Work, staff_id: int, *, reason: str) -> None:
    """Shut an account; its sessions end at once, on every web process."""
    staff = _managed(work, staff_id)
    before = staff.status
    if not work.change(StaffUser, staff_id, status=StaffStatus.LOCKED, session_epoch=StaffUser.session_epoch + 1):
        raise Conflict(_("An account that is %(before)s cannot be locked.", before=before.lower()))
    end_all(work, staff_id, SessionEnd.ENDED_BY_MANAGER)
    work.record(
        Event.ACCESS_STAFF_LOCKED,
        staff,
        before={"status": before},
        after={"status": StaffStatus.LOCKED},
        reason=reason,
        username=staff.username,
    )


@use_case(Permission.ACCESS_STAFF_MANAGE)
def unlock_staff(work: Work, staff_id: int, *, reason: str) -> None:
    """Let a person in again whose identity was confirmed: opens the account, lifts the pause."""
    staff = _managed(work, staff_id)
    before = staff.status
    if before is StaffStatus.DISABLED:
        raise Conflict("A disabled account stays closed. Invite the person again.")
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


def reset_password(actor: Actor, staff_id: int, *, reason: str) -> Invitation:
    """Give an account a temporary password for a day; its sessions end, its authenticator stays."""
    password = passwords.temporary_password()
    username = _reset_password(actor, staff_id, password_hash=passwords.hash_password(password), reason=reason)
    return Invitation(staff_id, username, password)


@use_case(Permission.ACCESS_STAFF_MANAGE)
def _reset_password(work: Work, staff_id: int, *, password_hash: str, reason: str) -> str:
    staff = _managed(work, staff_id)
    work.change(
        StaffUser,
        staff_id,
        password_hash=password_hash,
        must_change_password=True,
        password_expires_at=work.now + TEMPORARY_FOR,
        session_epoch=StaffUser.session_epoch + 1,
    )
    remember(work, staff_id, password_hash)
    end_all(work, staff_id, SessionEnd.ACCOUNT_CHANGED)
    work.record(Event.ACCESS_PASSWORD_RESET, staff, reason=reason, username=staff.username)
    return staff.username


@use_case(Permission.ACCESS_STAFF_MANAGE)
def reset_authenticator(work: Work, staff_id: int, *, reason: str) -> None:
    """Forget a lost authenticator: the next sign-in enrols a new one. Sessions end, recovery codes die with it."""
    staff = _managed(work, staff_id)
    factor = work.session.scalar(select(SecondFactor).where(SecondFactor.staff_id == staff_id))
    if factor is None or not factor.is_confirmed:
        raise Conflict("This account has no authenticator yet; the next sign-in sets one up.")
    factor.sealed, factor.sealed_pending, factor.confirmed_at = None, None, None
    work.change(StaffUser, staff_id, session_epoch=StaffUser.session_epoch + 1)
    end_all(work, staff_id, SessionEnd.ACCOUNT_CHANGED)
    work.record(Event.ACCESS_FACTOR_RESET, staff, reason=reason, username=staff.username)


@use_case(Permission.ACCESS_STAFF_MANAGE)
def change_roles(work: Work, staff_id: int, *, roles: Iterable[Role], reason: str) -> None:
    """Give an account other roles; its sessions end, so that no page shows what is no longer allowed."""
    wanted = frozenset(roles)
    staff = _managed(work, staff_id)
    _check_roles(work.actor, wanted)
    before = sorted(role.name for role in staff.roles)
    for row in [row for row in staff.role_rows if row.role not in wanted]:
        audit.note_explained(work.session, audit.row_key(row))
        staff.role_rows.remove(row)
    staff.role_rows.extend(StaffRole(role=role) for role in sorted(wanted - staff.roles))
    work.session.flush()
    _explain_roles(work, staff)
    work.change(StaffUser, staff_id, session_epoch=StaffUser.session_epoch + 1)
    end_all(work, staff_id, SessionEnd.ACCOUNT_CHANGED)
    work.record(
        Event.ACCESS_STAFF_CHANGED,
        staff,
        before={"roles": before},
        after={"roles": sorted(role.name for role in wanted)},
        reason=reason,
        username=staff.username,
    )


@use_case(Permission.ACCESS_SESSION_END)
def end_session(work: Work, session_id: int, *, reason: str) -> None:
    """End somebody's session. Ending it again changes nothing."""
    found = work.get(UserSession, session_id)
    if end_session_row(work, session_id, SessionEnd.ENDED_BY_MANAGER):
        work.record(Event.ACCESS_SESSION_ENDED, found, reason=reason)


# ------------------------------------------------------------------------------------------------ the grant matrix


def _managed(work: Work, staff_id: int) -> StaffUser:
    """The account, if the actor may manage it: not their own, and no role beyond what they may grant."""
    staff = work.get(StaffUser, staff_id)
    if work.actor is SYSTEM:
        return staff
    if staff.id == work.actor.staff_id:
        raise Forbidden("Somebody else must do this to your account. Your own page is My account.")
    if not staff.roles <= grantable_by(work.actor.roles):
        raise Forbidden("This account has roles that you may not manage.")
    return staff


def _check_roles(actor: Actor, roles: frozenset[Role]) -> None:
    if not roles:
        raise Invalid("Choose at least one role.", field="roles")
    beyond = roles - (frozenset(Role) if actor is SYSTEM else grantable_by(actor.roles))
    if beyond:
        raise Forbidden(_("You may not give the role %(beyond)s.", beyond=min(beyond)))


def _explain_roles(work: Work, staff: StaffUser) -> None:
    # One entry on the account tells the story of its roles; the guard only has to know that it does.
    for row in staff.role_rows:
        audit.note_explained(work.session, audit.row_key(row))
