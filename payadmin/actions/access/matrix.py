"""The grant matrix at work: whom an actor may manage, which roles they may give, and that an administrator is left."""

from collections.abc import Iterable

from sqlalchemy import select

from payadmin import audit
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.kernel.text import Text, _
from payadmin.models.access import StaffRole, StaffStatus, StaffUser
from payadmin.permissions import Permission, Role, grantable_by, permissions_of, within_menu
from payadmin.queries.access import own_team_only
from payadmin.work import SYSTEM, Actor, Work

LAST_ADMIN = "This is the last administrator who can sign in and manage accounts. Make another one first."


def managed(work: Work, staff_id: int) -> StaffUser:
    """The account, if the actor may manage it: none of their own, and no role beyond what they may grant (3.3).

    Raises:
        Forbidden: it is the actor's own or belongs to the same person, has a role that they may not give, or is the SCC
            of another support manager.
    """
    staff = work.get(StaffUser, staff_id)
    if work.actor is SYSTEM:
        return staff
    me = work.session.get(StaffUser, work.actor.staff_id)
    if staff.id == work.actor.staff_id or (me is not None and me.person == staff.person):
        raise Forbidden("Somebody else must do this to your account. Your own page is My account.")
    if not staff.roles <= grantable_by(work.actor.roles):
        raise Forbidden("This account has roles that you may not manage.")
    is_mine = staff.manager_id is not None and staff.manager_id == work.actor.staff_id
    if Role.SUPPORT_AGENT in staff.roles and own_team_only(work.actor.roles) and not is_mine:
        raise Forbidden("This SCC belongs to another support manager.")
    return staff


def check_roles(actor: Actor, roles: frozenset[Role]) -> None:
    """Refuse roles that the actor may not give.

    Raises:
        Invalid: no role at all; `field` is "roles".
        Forbidden: a role is beyond the grant matrix; `field` is "roles".
    """
    if not roles:
        raise Invalid("Choose at least one role.", field="roles")
    beyond = roles - (frozenset(Role) if actor is SYSTEM else grantable_by(actor.roles))
    if beyond:
        raise Forbidden(_("You may not give the role %(beyond)s.", beyond=Text(min(beyond).value)), field="roles")


def manager_for(work: Work, roles: frozenset[Role], wanted: int | None) -> int | None:
    """Whose SCC somebody with `roles` is: the support manager's who makes it, or the one that was chosen.

    Raises:
        Invalid: it cannot work for whom was chosen; `field` is "manager_id".
    """
    if Role.SUPPORT_AGENT not in roles:
        return None
    if work.actor is not SYSTEM and own_team_only(work.actor.roles):
        return work.actor.staff_id
    if wanted is None:
        return None
    manager = work.session.get(StaffUser, wanted) if 0 < wanted < 2**63 else None
    if manager is None or Role.SUPPORT_MANAGER not in manager.roles:
        raise Invalid("Choose somebody who is a customer support manager.", field="manager_id")
    return manager.id


def roles_of(names: Iterable[Role | str]) -> frozenset[Role]:
    """Roles given as members, or by name as a stored request holds them.

    Raises:
        Invalid: there is no such role; `field` is "roles".
    """
    try:
        return frozenset(name if isinstance(name, Role) else Role[name] for name in names)
    except KeyError:
        raise Invalid("Choose roles of the list.", field="roles") from None


def keep_an_administrator(
    work: Work, staff: StaffUser, *, roles: frozenset[Role] = frozenset(), menu_access: Iterable[str] = ()
) -> None:
    """Refuse what would leave nobody who can manage every account; parallel acts wait for one another here.

    Args:
        roles: what the account is to hold afterwards; none when it is to be shut.
        menu_access: what its menu is to show afterwards.

    Raises:
        Conflict: nobody else is an active administrator who may manage accounts.
    """
    if not _administers(staff) or _rules(roles, menu_access):
        return
    holders = select(StaffRole.staff_id).where(StaffRole.role == Role.ADMIN)
    administrators = (
        select(StaffUser)
        .where(StaffUser.id.in_(holders), StaffUser.status == StaffStatus.ACTIVE)
        .order_by(StaffUser.id)
    )
    # First all of them are held, in one order; only then is it true who is left.
    work.session.execute(administrators.with_only_columns(StaffUser.id).with_for_update(key_share=True))
    left = work.session.scalars(administrators.execution_options(populate_existing=True)).all()
    if not any(_administers(other) for other in left if other.id != staff.id):
        raise Conflict(LAST_ADMIN)


def explain_roles(work: Work, staff: StaffUser) -> None:
    """Tell the trail's guard about new roles: one entry on the account tells the story of them all."""
    for row in staff.role_rows:
        audit.note_explained(work.session, audit.row_key(row))


def _administers(staff: StaffUser) -> bool:
    return staff.status is StaffStatus.ACTIVE and _rules(staff.roles, staff.menu_access)


def _rules(roles: frozenset[Role], menu_access: Iterable[str]) -> bool:
    return Role.ADMIN in roles and Permission.ACCESS_STAFF_MANAGE in within_menu(permissions_of(roles), menu_access)
