"""What is wrong with a page's declaration, found when the application starts, one clear sentence each."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlalchemy import inspect

from payadmin.permissions import MENU_KEYS
from payadmin.views.columns import Kind
from payadmin.views.lists import ARGUMENTS, RESERVED
from payadmin.views.search import index_columns

if TYPE_CHECKING:
    from payadmin.views.core import PageCore

FORM_WORDS = frozenset({"data", "errors", "meta", "process", "populate_obj", "validate", "csrf_token", "seen_version"})


class PageError(Exception):
    """Pages that cannot work; the message lists every mistake of every page."""


def mistakes(view: "PageCore") -> list[str]:
    """Every mistake in the declaration of `view`."""
    return [f"{type(view).__name__}: {mistake}" for mistake in _all(view)]


def _all(view: "PageCore") -> Iterator[str]:
    yield from _ground(view)
    yield from _unknown_columns(view)
    yield from _names(view)
    yield from _sorting(view)
    yield from _links(view)
    yield from _finding(view)
    yield from _actions(view)
    if view.column_editable_list:
        yield "column_editable_list is not offered: it writes without permission, version or audit. Use the edit form."


def _ground(view: "PageCore") -> Iterator[str]:
    keys = [column.key for column in inspect(view.model).primary_key]
    if keys != ["id"]:
        yield f"{view.model.__name__} needs one primary key called “id”; it has {', '.join(keys) or 'none'}."
    if view.menu_key and not view.section and view.menu_key not in MENU_KEYS:
        yield f"“{view.menu_key}” is not a key of the menu (payadmin/permissions.py), nor a heading (“Finance”)."
    if view.permissions["read"] is None:
        yield "no permission to read is declared; name a menu item or set `read`."
    for name in _exposed(view):
        if name not in {*view.verbs, *view.needs, *view.frame_needs}:
            yield f"the address of {name} has no permission; name it in `needs`."


def _exposed(view: "PageCore") -> list[str]:
    return sorted({name for _, name, _ in view._urls})  # noqa: SLF001 - where Flask-Admin keeps what is exposed


def _unknown_columns(view: "PageCore") -> Iterator[str]:
    places = {
        "column_list": view.column_list,
        "column_filters": view.column_filters,
        "column_sortable": view.column_sortable,
        "form_columns": view.form_columns,
        "pinned": view.pinned,
        "detail_sections": [key for keys in (view.detail_sections or {}).values() for key in keys],
        "labels": view.labels,
        "phone": view.phone,
        "sum_column": [view.sum_column] if view.sum_column else [],
        "find_by": view.find_by,
        "default_sort": [view.default_sort.removeprefix("-")] if view.default_sort else [],
        "tabs": [view.tabs] if isinstance(view.tabs, str) and view.tabs else [],
    }
    for place, keys in places.items():
        for key in keys or ():
            if key not in view.columns:
                yield f"{place} names “{key}”, which {view.model.__name__} does not have."
    for key in view.list_also:
        if not hasattr(view.model, key):
            yield f"list_also names “{key}”, which {view.model.__name__} does not have."


def _names(view: "PageCore") -> Iterator[str]:
    for key, column in view.columns.items():
        if key in RESERVED or column.name in RESERVED - ARGUMENTS:
            yield f"a column called “{key}” collides with an argument of every list; rename it."
        if key in FORM_WORDS:
            yield f"a column called “{key}” collides with a word of every form; rename it."


def _sorting(view: "PageCore") -> Iterator[str]:
    wanted = {*(view.column_sortable or ()), *([view.default_sort.removeprefix("-")] if view.default_sort else ())}
    for key in sorted(wanted & view.columns.keys()):
        if key not in view.shape.sortable and not view._sorts_by(key):  # noqa: SLF001 - one class in several files
            table = inspect(view.model).local_table
            yield (
                f"“{key}” cannot be sorted by: {table.name} needs an index on ({key}, id), perhaps after pinned "
                "columns, and the column must not be nullable."
            )


def _links(view: "PageCore") -> Iterator[str]:
    for key, column in view.columns.items():
        if column.kind is Kind.LINK and column.title_attr is None and not column.readonly:
            yield (
                f"“{key}” points to {column.target.__name__ if column.target else 'nothing'}, which has no name to "
                "look it up by; give that model a `__title__`."
            )
        if column.kind is Kind.MONEY and column.unit_key not in {other.name for other in view.columns.values()}:
            yield f"“{key}” is money in “{column.unit_key}”, which {view.model.__name__} does not have."


def _finding(view: "PageCore") -> Iterator[str]:
    wanted = [view.columns[key].attr for key in view.find_by if key in view.columns]
    if view.find_through and not view.find_by:
        yield "find_through needs find_by too: something must name what is found."
    for attr in [*wanted, *(attr for attr, _ in view.find_through)]:
        table = attr.property.columns[0].table
        if not any(names[0] == attr.key for names in index_columns(table)):
            yield f"“{attr.key}” cannot be searched for: no index of {table.name} begins with it."


def _actions(view: "PageCore") -> Iterator[str]:
    for action in view.row_actions.values():
        yield from action.mistakes()
