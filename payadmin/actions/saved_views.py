"""Saved views of lists: kept, changed, shared with a role, pinned, forgotten; and which one a person sees first."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.exc import IntegrityError

from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.kernel.text import Text, _
from payadmin.models.system import PinKind, SavedView, UserPreference
from payadmin.permissions import Permission, Role, grantable_by
from payadmin.work import Actor, Work, use_case

MOST_VIEWS = 30
MOST_SHARED = 20
LONGEST_NAME = 60
LONGEST_QUERY = 2000
MOST_PINS = 12
PINS = "pins"

Pin = tuple[int, PinKind]


def sharable_roles(actor: Actor) -> frozenset[Role]:
    """The roles that `actor` may share a view with: their own, and those they may appoint to."""
    return actor.roles | grantable_by(actor.roles)


@use_case(Permission.HOME_PAGE_READ)
def save_view(
    work: Work,
    page: str,
    /,
    *,
    name: str,
    query: str,
    columns: Sequence[str] | None,
    shared_with: Role | None = None,
    is_default: bool = False,
) -> int:
    """Keep a list under a name; the id of the view.

    Args:
        page: the endpoint of the list's page, which the caller has opened for the actor.
        name: what the actor calls it; their own views of a page have different names.
        query: the canonical end of the list's address, without its question mark and place.
        columns: the columns in order; None for the page's own choice.
        shared_with: a role whose holders are offered the view too.
        is_default: whether these see it first.

    Raises:
        Invalid: no name, one that is taken, or an address that is too long.
        Conflict: the actor, or the role, has as many views of this page as are kept.
        Forbidden: the actor may not share with this role, or not decide what it sees first.
    """
    owner_id = _person(work)
    if len(query) > LONGEST_QUERY:
        raise Invalid("These filters are too many to keep. Remove some of them.", field="name")
    own = select(func.count()).where(SavedView.owner_id == owner_id, SavedView.page == page)
    if (work.session.scalar(own) or 0) >= MOST_VIEWS:
        raise Conflict(_("You have %(most)s views of this list. Delete one first.", most=MOST_VIEWS))
    view = SavedView(owner_id=owner_id, page=page, name=_name(name), query=query)
    view.columns = list(columns) if columns else None
    _share(work, view, shared_with, is_default=is_default)
    try:
        work.add(view)
    except IntegrityError as error:
        raise Invalid("You have a view of this name already. Choose another name.", field="name") from error
    work.record(Event.VIEW_SAVED, view, after=_facts(view), page=page)
    return view.id


@use_case(Permission.HOME_PAGE_READ, about=SavedView)
def overwrite_view(work: Work, view_id: int, /, *, query: str, columns: Sequence[str] | None) -> None:
    """Put the list as it is now in the place of what the actor's own view held. The same again changes nothing."""
    view = _own(work, view_id)
    if len(query) > LONGEST_QUERY:
        raise Invalid("These filters are too many to keep. Remove some of them.")
    before = _facts(view)
    view.query, view.columns = query, list(columns) if columns else None
    _forget_columns(work, view)
    work.record(Event.VIEW_SAVED, view, before=before, after=_facts(view), page=view.page)


@use_case(Permission.HOME_PAGE_READ, about=SavedView)
def edit_view(work: Work, view_id: int, /, *, name: str, shared_with: Role | None, is_default: bool) -> None:
    """Give the actor's own view another name, or other readers (the arguments are those of `save_view`)."""
    view = _own(work, view_id)
    before = _facts(view)
    view.name = _name(name)
    try:
        _share(work, view, shared_with, is_default=is_default)
        work.record(Event.VIEW_SAVED, view, before=before, after=_facts(view), page=view.page)
        work.session.flush()
    except IntegrityError as error:
        raise Invalid("You have a view of this name already. Choose another name.", field="name") from error


@use_case(Permission.HOME_PAGE_READ, about=SavedView)
def delete_view(work: Work, view_id: int, /) -> None:
    """Forget the actor's own view, for everybody it was shared with too."""
    view = _own(work, view_id)
    work.record(Event.VIEW_DELETED, view, before=_facts(view), page=view.page)
    _forget_columns(work, view)
    _forget_pins(work, view)
    chosen = select(UserPreference).where(UserPreference.name == f"view:{view.page}")
    for preference in work.session.scalars(chosen):
        if preference.value.get("view") == view_id:
            work.session.delete(preference)
    work.session.delete(view)


@use_case(Permission.HOME_PAGE_READ)
def choose_first_view(work: Work, page: str, /, *, view_id: int | None) -> None:
    """Have the actor see a view first when they open `page`.

    Args:
        view_id: a view that is theirs or shared with a role of theirs; 0 for the whole list, whatever their role sees
            first; None to have no preference.

    Raises:
        NotFound: no such view of this page for them.
    """
    staff_id = _person(work)
    if view_id and not work.exists(SavedView.id == view_id, SavedView.page == page, readable_by(work.actor)):
        raise NotFound("There is no such view.")
    name = f"view:{page}"
    kept = work.one(select(UserPreference).where(UserPreference.staff_id == staff_id, UserPreference.name == name))
    if view_id is None:
        if kept is not None:
            work.session.delete(kept)
    elif kept is not None:
        kept.value = {"view": view_id}
    else:
        work.add(UserPreference(staff_id=staff_id, name=name, value={"view": view_id}))


@use_case(Permission.REPORTING_FIGURES_PIN)
def pin_view(work: Work, view_id: int, /, *, kind: PinKind) -> None:
    """Show a view among the actor's figures. Pinning what is pinned already changes nothing.

    Args:
        view_id: a view that is theirs or shared with a role of theirs.
        kind: as a card with numbers, or as a chart over days; a view may be both.

    Raises:
        NotFound: no such view for them.
        Conflict: they have as many figures as are kept.
    """
    staff_id = _person(work)
    kept = _kept_pins(work, staff_id)
    pins = pins_in(kept.value if kept is not None else None)
    # Views that are gone or no longer shared with them take no place.
    readable = select(SavedView.id).where(SavedView.id.in_([view_id, *(each for each, _kind in pins)]))
    known = set(work.session.scalars(readable.where(readable_by(work.actor))))
    if view_id not in known:
        raise NotFound("There is no such view. Perhaps it was deleted, or is no longer shared with you.")
    pins = [pin for pin in pins if pin[0] in known]
    if (view_id, kind) in pins:
        return
    if len(pins) >= MOST_PINS:
        raise Conflict(_("You have %(most)s figures. Unpin one first.", most=MOST_PINS))
    value = _pins_value([*pins, (view_id, kind)])
    if kept is not None:
        kept.value = value
    else:
        work.add(UserPreference(staff_id=staff_id, name=PINS, value=value))


@use_case(Permission.REPORTING_FIGURES_PIN)
def unpin_view(work: Work, view_id: int, /, *, kind: PinKind) -> None:
    """Take a view from the actor's figures. The view stays; taking what is not there changes nothing."""
    kept = _kept_pins(work, _person(work))
    if kept is not None:
        kept.value = _pins_value([pin for pin in pins_in(kept.value) if pin != (view_id, kind)])


@use_case(Permission.REPORTING_FIGURES_PIN)
def move_pin(work: Work, view_id: int, /, *, kind: PinKind, earlier: bool) -> None:
    """Move one of the actor's figures past its neighbour of the same kind; at the end nothing changes."""
    kept = _kept_pins(work, _person(work))
    pins = pins_in(kept.value if kept is not None else None)
    if kept is None or (view_id, kind) not in pins:
        return
    at = pins.index((view_id, kind))
    others = range(at - 1, -1, -1) if earlier else range(at + 1, len(pins))
    other = next((place for place in others if pins[place][1] is kind), at)
    pins[at], pins[other] = pins[other], pins[at]
    kept.value = _pins_value(pins)


def pins_in(value: Mapping[str, Any] | None) -> list[Pin]:
    """The pinned views as a preference holds them, in their order."""
    return [(int(view_id), PinKind[kind]) for view_id, kind in (value or {}).get(PINS, ())]


def _pins_value(pins: Sequence[Pin]) -> dict[str, Any]:
    return {PINS: [[view_id, kind.name] for view_id, kind in pins]}


def _kept_pins(work: Work, staff_id: int) -> UserPreference | None:
    kept: UserPreference | None = work.one(
        select(UserPreference).where(UserPreference.staff_id == staff_id, UserPreference.name == PINS)
    )
    return kept


def readable_by(actor: Actor) -> ColumnElement[bool]:
    """The condition that a view is the actor's own or shared with a role of theirs."""
    return or_(SavedView.owner_id == actor.staff_id, SavedView.shared_with.in_(actor.roles))


def _person(work: Work) -> int:
    if work.actor.staff_id is None:
        raise Forbidden("Only a person has views.")
    return work.actor.staff_id


def _own(work: Work, view_id: int) -> SavedView:
    view = work.get(SavedView, view_id, lock=True)
    if view.owner_id != _person(work):
        raise NotFound("There is no such view of yours.")
    return view


def _name(name: str) -> str:
    plain = " ".join(name.split())
    if not plain:
        raise Invalid("Give the view a name.", field="name")
    if len(plain) > LONGEST_NAME or not plain.isprintable():
        raise Invalid(_("A name has at most %(most)s characters.", most=LONGEST_NAME), field="name")
    return plain


def _share(work: Work, view: SavedView, role: Role | None, *, is_default: bool) -> None:
    if role is not None and role not in sharable_roles(work.actor):
        raise Forbidden(_("You cannot share views with the role %(role)s.", role=Text(role.value)))
    if is_default and role is None:
        raise Invalid("Choose the role that sees this view first.", field="shared_with")
    if is_default and role not in grantable_by(work.actor.roles) and not view.is_default:
        raise Forbidden("What a role sees first is decided by whoever appoints people to it.")
    with work.session.no_autoflush:
        if role is not None and role is not view.shared_with:
            shared = select(func.count()).where(SavedView.page == view.page, SavedView.shared_with == role)
            if (work.session.scalar(shared) or 0) >= MOST_SHARED:
                raise Conflict(
                    _("%(most)s views of this list are shared with this role. Unshare one first.", most=MOST_SHARED)
                )
        if is_default:
            others = select(SavedView).where(
                SavedView.page == view.page,
                SavedView.shared_with == role,
                SavedView.is_default,
                SavedView.id != (view.id or 0),
            )
            for other in work.session.scalars(others):
                other.is_default = False
                work.record(Event.VIEW_SAVED, other, before={"is_default": True}, after={"is_default": False})
    work.session.flush()  # the former default steps back before this one takes its place
    view.shared_with, view.is_default = role, is_default


def _forget_columns(work: Work, view: SavedView) -> None:
    """Columns that people chose within the view do not outlive what it held."""
    work.session.execute(delete(UserPreference).where(UserPreference.name == f"columns:{view.page}:{view.id}"))


def _forget_pins(work: Work, view: SavedView) -> None:
    """Nobody keeps a figure of a view that is gone: its number may be given to another view."""
    for preference in work.session.scalars(select(UserPreference).where(UserPreference.name == PINS)):
        pins = pins_in(preference.value)
        if left := [pin for pin in pins if pin[0] != view.id]:
            preference.value = _pins_value(left)
        else:
            work.session.delete(preference)


def _facts(view: SavedView) -> dict[str, object]:
    return {
        "name": view.name,
        "query": view.query,
        "columns": view.columns,
        "shared_with": view.shared_with,
        "is_default": view.is_default,
    }
