"""Records of any model: created, changed and deleted through one door, with permission, version and trail."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Select, inspect, select
from sqlalchemy.exc import IntegrityError

from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.kernel.text import _
from payadmin.models.system import UserPreference
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

STALE = "Somebody else changed this record while you were editing it. Look at what changed, then save again."


# What else changes in the same transaction when a form changed columns of a row: rooms enter theirs, by model.
FOLLOWERS: Final[dict[type[Any], Callable[[Work, Any, Collection[str]], None]]] = {}


@use_case(Permission.HOME_PAGE_READ)
def create_record(work: Work, model: type[Any], /, *, permission: Permission, values: Mapping[str, Any]) -> int:
    """Add a row of `model`; the id of the new row. What the database refuses is refused at the field it is about."""
    _require(work, permission)
    row = model(**values)
    try:
        work.add(row)
    except IntegrityError as error:
        raise refusal_of(error, model) from error
    work.record(Event.RECORD_CREATED, row, after=dict(values))
    return int(row.id)


@use_case(Permission.HOME_PAGE_READ)
def update_record(
    work: Work,
    row_id: int,
    /,
    *,
    permission: Permission,
    scope: "Select[Any]",
    seen_version: int,
    values: Mapping[str, Any],
) -> None:
    """Change a row that nobody has changed since it was read; saving what is already there changes nothing.

    Raises:
        NotFound: no such row in `scope`.
        Conflict: the row is no longer at `seen_version`; `data["now"]` holds its version.
    """
    _require(work, permission)
    row = _row(work, scope, row_id)
    if row.version != seen_version:
        raise Conflict(STALE, now=row.version)
    for key, value in values.items():
        if getattr(row, key) != value:
            setattr(row, key, value)
    before, after = _differences(row)
    if not after:
        return
    try:
        work.session.flush()
    except IntegrityError as error:
        raise refusal_of(error, type(row)) from error
    work.record(Event.RECORD_UPDATED, row, before=before, after=after)
    if (follow := FOLLOWERS.get(type(row))) is not None:
        follow(work, row, after.keys())


@use_case(Permission.HOME_PAGE_READ)
def delete_record(work: Work, row_id: int, /, *, permission: Permission, scope: "Select[Any]") -> None:
    """Delete a row that nothing points to.

    Raises:
        NotFound: no such row in `scope`, perhaps because it was deleted already.
        Conflict: other records point to it.
    """
    _require(work, permission)
    row = _row(work, scope, row_id)
    columns = inspect(type(row)).column_attrs
    work.record(Event.RECORD_DELETED, row, before={column.key: getattr(row, column.key) for column in columns})
    work.session.delete(row)
    try:
        work.session.flush()
    except IntegrityError as error:
        raise Conflict("Other records point to this one, so it cannot be deleted.") from error


@use_case(Permission.HOME_PAGE_READ)
def choose_columns(work: Work, page: str, /, *, columns: Sequence[str], view_id: int | None = None) -> None:
    """Keep which columns the actor sees on `page`, in which order; none brings the usual choice back.

    Args:
        page: the endpoint of the list's page.
        columns: their keys, in order.
        view_id: the saved view they were chosen in, which keeps its own; None outside views.
    """
    if work.actor.staff_id is None:
        raise Forbidden("Only a person has columns to choose.")
    name = f"columns:{page}:{view_id}" if view_id else f"columns:{page}"
    kept = work.one(
        select(UserPreference).where(UserPreference.staff_id == work.actor.staff_id, UserPreference.name == name)
    )
    if not columns:
        if kept is not None:
            work.session.delete(kept)
    elif kept is not None:
        kept.value = {"columns": list(columns)}
    else:
        work.add(UserPreference(staff_id=work.actor.staff_id, name=name, value={"columns": list(columns)}))


@use_case(Permission.HOME_PAGE_READ)
def start_export(
    work: Work,
    page: str,
    /,
    *,
    permission: Permission,
    confirm: Callable[[Work], None] | None = None,
    **facts: Any,
) -> int:
    """Write down that an export begins, so that one that is broken off is known too; the entry's id.

    Args:
        confirm: called with the work in this transaction; it may refuse (step-up).
    """
    _require(work, permission)
    if confirm is not None:
        confirm(work)
    entry = work.record(Event.EXPORT_STARTED, page=page, **facts)
    work.session.flush()
    return int(entry.id)


@use_case(Permission.HOME_PAGE_READ)
def finish_export(work: Work, page: str, /, *, permission: Permission, started: int, **facts: Any) -> None:
    """Write down what left the building: rows, bytes and the sha256 of the file."""
    _require(work, permission)
    work.record(Event.EXPORT_FINISHED, page=page, started=started, **facts)


def refusal_of(error: IntegrityError, model: type[Any]) -> Invalid | Conflict:
    """What the database refused, in the words of staff and at the field it is about; never its own words."""
    text = str(error.orig)
    table = inspect(model).local_table
    name = getattr(getattr(error.orig, "diag", None), "constraint_name", None) or ""
    lowered = text.lower()
    for constraint in (*table.constraints, *table.indexes):
        columns = [column.name for column in constraint.columns]
        named = (
            name == constraint.name if name else f"failed: {', '.join(f'{table.name}.{c}' for c in columns)}" in text
        )
        if named and columns and ("unique" in lowered):
            label = table.columns[columns[-1]].info.get("label") or columns[-1].replace("_", " ")
            return Invalid(_("Another record already has this %(label)s.", label=label), field=columns[-1])
    if "foreign key" in lowered:
        return Conflict("It points to a record that does not exist any more. Choose another one.")
    return Conflict("The values do not fit together: a rule of the database refuses them. Nothing was saved.")


def _require(work: Work, permission: Permission) -> None:
    if not work.actor.may(permission):
        raise Forbidden("Your role does not allow this.")


def _row(work: Work, scope: "Select[Any]", row_id: int) -> Any:
    model = scope.column_descriptions[0]["entity"]
    statement = scope.where(model.id == row_id).with_for_update().execution_options(populate_existing=True)
    row = work.session.scalars(statement).one_or_none()
    if row is None:
        raise NotFound("There is no such record.")
    return row


def _differences(row: object) -> tuple[dict[str, object], dict[str, object]]:
    before: dict[str, object] = {}
    after: dict[str, object] = {}
    state = inspect(row)
    for attribute in state.mapper.column_attrs:
        history = state.attrs[attribute.key].history
        if history.has_changes() and attribute.key not in {"version", "updated_at"}:
            before[attribute.key] = history.deleted[0] if history.deleted else None
            after[attribute.key] = history.added[0] if history.added else None
    return before, after
