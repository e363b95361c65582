"""Staff accounts: who is let in, locked out and given which roles. Nobody gives more than the grant matrix allows."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from payadmin import audit, step_up
from payadmin.actions.access import letters
from payadmin.actions.access.approval import NEW_STAFF_GATE, STAFF_GATE
from payadmin.actions.access.details import (
    USERNAME,
    WRONG_USERNAME,
    change_details,
    check_menu,
    details_seen,
    organization_of,
    plain_email,
    plain_mobile,
    plain_name,
    rights_seen,
)
from payadmin.actions.access.links import LASTS, make_link
from payadmin.actions.access.matrix import (
    check_roles,
    explain_roles,
    keep_an_administrator,
    managed,
    manager_for,
    roles_of,
)
from payadmin.actions.access.own import end_all
from payadmin.actions.access.sign_in import plain_username, remember
from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel import passwords
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.links import new_nonce
from payadmin.kernel.text import _
from payadmin.models.access import LinkPurpose, SessionEnd, StaffRole, StaffUser
from payadmin.permissions import Permission, Role
from payadmin.work import SYSTEM, Actor, Work, use_case

RIGHTS_ACT: Final = "access.change_rights"
MOVED_ON: Final = _("Somebody else changed this account meanwhile. Look at what it says now, and save again.")


@dataclass(frozen=True)
class Invitation:
    """A new or reset account: `password` opens it once, within a day, and is shown only if no mail brings it."""

    staff_id: int
    username: str
    password: str
    is_mailed: bool = False


# ------------------------------------------------------------------------------------------------ accounts


def create_staff(
    actor: Actor,
    *,
    username: str,
    full_name: str,
    email: str,
    roles: Iterable[Role | str],
    mobile: str | None = None,
    organization_id: int | None = None,
    manager_id: int | None = None,
    menu_access: Iterable[str] = (),
) -> Invitation:
    """Invite a person: a temporary password for a day, then an own one and an authenticator at the first sign-in.

    The credentials go out by mail (S2:43); without a mail server the caller shows them once.

    Args:
        organization_id: whose consumption an issuer or partner sees.
        manager_id: the support manager whom an SCC works for; a support manager makes only SCCs of their own.
        menu_access: keys of the menu entries that are left of what the roles allow; none leaves all.

    Raises:
        Forbidden: a role is beyond what the actor may grant.
        Invalid: the user name, e-mail address, mobile number, roles or menu entries make no sense; `field` says which.
        Conflict: the user name or e-mail address is taken.
        NeedsApproval: a policy asks for a second person; the credentials go out when that person approves.
    """
    nonce = new_nonce()
    password = passwords.password_of(current_settings().secret_key, nonce)
    staff_id = _create(
        actor,
        username=username,
        full_name=full_name,
        email=email,
        mobile=mobile,
        roles=roles_of(roles),
        organization_id=organization_id,
        manager_id=manager_id,
        menu_access=tuple(menu_access),
        nonce=nonce,
        password_hash=passwords.hash_password(password),
    )
    return Invitation(staff_id, plain_username(username), password, is_mailed=bool(current_settings().smtp_url))


@use_case(Permission.ACCESS_STAFF_MANAGE, gate=NEW_STAFF_GATE)
def _create(
    work: Work,
    *,
    username: str,
    full_name: str,
    email: str,
    mobile: str | None,
    roles: frozenset[Role],
    organization_id: int | None,
    manager_id: int | None,
    menu_access: tuple[str, ...],
    nonce: str | None = None,
    password_hash: str | None = None,
) -> int:
    return invite(
        work,
        username=username,
        full_name=full_name,
        email=email,
        mobile=mobile,
        roles=roles,
        organization_id=organization_id,
        manager_id=manager_id,
        menu_access=menu_access,
        nonce=nonce,
        password_hash=password_hash,
    ).id


def invite(
    work: Work,
    *,
    username: str,
    full_name: str,
    email: str,
    mobile: str | None,
    roles: frozenset[Role],
    organization_id: int | None,
    manager_id: int | None,
    menu_access: tuple[str, ...],
    nonce: str | None,
    password_hash: str | None,
) -> StaffUser:
    """Make an account inside a transaction and promise its owner the credentials that belong to `nonce`.

    Without them they are made here, slowly: what somebody approves was stored without secrets.
    """
    if nonce is None or password_hash is None:
        nonce = new_nonce()
        password_hash = passwords.hash_password(passwords.password_of(current_settings().secret_key, nonce))
    check_roles(work.actor, roles)
    check_menu(menu_access)
    staff = new_account(
        work,
        username=username,
        full_name=full_name,
        email=email,
        mobile=mobile,
        roles=roles,
        organization_id=organization_id,
        manager_id=manager_for(work, roles, manager_id),
        menu_access=menu_access,
    )
    staff.password_hash = password_hash
    staff.password_expires_at = work.now + LASTS[LinkPurpose.CREDENTIALS]
    work.session.flush()
    remember(work, staff.id, password_hash)
    letters.write(work, staff, "welcome", link=make_link(work, staff.id, LinkPurpose.CREDENTIALS, nonce=nonce))
    return staff


def new_account(
    work: Work,
    *,
    username: str,
    full_name: str,
    email: str,
    roles: frozenset[Role],
    mobile: str | None = None,
    organization_id: int | None = None,
    manager_id: int | None = None,
    menu_access: tuple[str, ...] = (),
) -> StaffUser:
    """An invited account without a password, with its entry in the trail."""
    name = plain_username(username)
    if not USERNAME.fullmatch(name):
        raise Invalid(WRONG_USERNAME, field="username")
    if work.exists(StaffUser.username == name):
        raise Conflict("This user name is taken.", field="username")
    staff = StaffUser(
        username=name,
        organization_id=organization_of(work, organization_id),
        parent_id=work.actor.staff_id,
        manager_id=manager_id,
        menu_access=list(menu_access),
        role_rows=[StaffRole(role=role) for role in sorted(roles)],
        full_name=plain_name(full_name),
        email=plain_email(work, email),
        mobile=plain_mobile(mobile),
    )
    work.add(staff)
    explain_roles(work, staff)
    work.record(
        Event.ACCESS_STAFF_CREATED,
        staff,
        after={
            "username": name,
            "roles": sorted(role.name for role in roles),
            **({"menu_access": list(menu_access)} if menu_access else {}),
        },
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
    staff.password_expires_at = work.now + LASTS[LinkPurpose.CREDENTIALS]
    work.session.flush()
    remember(work, staff.id, password_hash)
    return staff.id


@use_case(Permission.ACCESS_STAFF_MANAGE, about=StaffUser)
def edit_staff(
    work: Work,
    staff_id: int,
    *,
    full_name: str,
    email: str,
    mobile: str | None,
    organization_id: int | None,
    manager_id: int | None,
    seen: str | None = None,
) -> None:
    """Change an account's own data. Another e-mail address is told to both mailboxes, and ends links on their way.

    Args:
        manager_id: the support manager of an SCC; of no meaning for others.
        seen: `details_seen` of what the form showed; None where nobody looked at a form.

    Raises:
        Forbidden: the account is not the actor's to manage.
        Invalid: a value makes no sense; `field` says which.
        Conflict: the address is taken, or somebody else changed the account meanwhile.
    """
    staff = managed(work, staff_id)
    if seen is not None and seen != details_seen(staff):
        raise Conflict(MOVED_ON, now=True)
    values = {
        "full_name": plain_name(full_name),
        "email": plain_email(work, email, but=staff),
        "mobile": plain_mobile(mobile),
        "organization_id": organization_of(work, organization_id),
        "manager_id": manager_for(work, staff.roles, manager_id),
    }
    change_details(work, staff, values)


# ------------------------------------------------------------------------------------------------ rights


@use_case(Permission.ACCESS_STAFF_MANAGE, about=StaffUser, gate=STAFF_GATE)
def change_roles(
    work: Work,
    staff_id: int,
    *,
    roles: Iterable[Role | str],
    reason: str,
    manager_id: int | None = None,
) -> None:
    """Give an account other roles; its sessions end, so that no page shows what is no longer allowed.

    Args:
        roles: members, or their names.
        manager_id: whom a new SCC works for; an SCC keeps whom it has.

    Raises:
        Forbidden: the account, or one of the roles, is beyond what the actor may manage.
        Conflict: nobody would be left who administers accounts.
    """
    staff = managed(work, staff_id)
    _set_rights(work, staff, roles_of(roles), tuple(staff.menu_access), reason, manager_id)


@use_case(Permission.ACCESS_STAFF_MANAGE, about=StaffUser, gate=STAFF_GATE)
def change_menu_access(work: Work, staff_id: int, *, menu_access: Iterable[str], reason: str) -> None:
    """Leave an account only these entries of the menu; none leaves all that its roles allow. Its sessions end.

    Raises:
        Forbidden: the account is beyond what the actor may manage.
        Invalid: there is no such entry.
        Conflict: nobody would be left who administers accounts.
    """
    staff = managed(work, staff_id)
    _set_rights(work, staff, staff.roles, tuple(menu_access), reason, None)


@use_case(Permission.ACCESS_STAFF_MANAGE, about=StaffUser, gate=STAFF_GATE)
def change_rights(
    work: Work,
    staff_id: int,
    *,
    roles: Iterable[Role | str],
    menu_access: Iterable[str],
    reason: str,
    offer: str = "",
    code: str = "",
    manager_id: int | None = None,
    seen: str | None = None,
) -> None:
    """Roles and menu access at once, confirmed with the actor's authenticator (SE6); see `change_roles`.

    Args:
        offer: `step_up.offer` of `RIGHTS_ACT` for {"staff": staff_id}.
        code: the code that goes with it.
        seen: `rights_seen` of what the form showed.

    Raises:
        Invalid: no reason, unknown roles or entries, or a wrong code; `field` says which.
    """
    staff = managed(work, staff_id)
    if seen is not None and seen != rights_seen(staff):
        raise Conflict(MOVED_ON, now=True)
    if not reason.strip():
        raise Invalid("Say why.", field="reason")
    _set_rights(work, staff, roles_of(roles), tuple(menu_access), reason, manager_id)
    step_up.spend(work, offer, code, RIGHTS_ACT, {"staff": staff_id})


def _set_rights(
    work: Work, staff: StaffUser, roles: frozenset[Role], menu: tuple[str, ...], reason: str, manager_id: int | None
) -> None:
    check_roles(work.actor, roles)
    check_menu(menu)
    keep_an_administrator(work, staff, roles=roles, menu_access=menu)
    manager = manager_for(work, roles, manager_id or staff.manager_id)
    before = {"roles": sorted(role.name for role in staff.roles), "menu_access": sorted(staff.menu_access)}
    after = {"roles": sorted(role.name for role in roles), "menu_access": sorted(menu)}
    changed = [key for key in before if before[key] != after[key]]
    if not changed and manager == staff.manager_id:
        return
    for row in [row for row in staff.role_rows if row.role not in roles]:
        audit.note_explained(work.session, audit.row_key(row))
        staff.role_rows.remove(row)
    staff.role_rows.extend(StaffRole(role=role) for role in sorted(roles - staff.roles))
    work.session.flush()
    explain_roles(work, staff)
    work.change(
        StaffUser,
        staff.id,
        menu_access=sorted(menu),
        manager_id=manager,
        session_epoch=StaffUser.session_epoch + 1,
    )
    end_all(work, staff.id, SessionEnd.ACCOUNT_CHANGED)
    work.record(
        Event.ACCESS_STAFF_CHANGED,
        staff,
        before={key: before[key] for key in changed},
        after={key: after[key] for key in changed},
        reason=reason,
        username=staff.username,
    )
