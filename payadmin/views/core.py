"""The ground of every page: what a view declares, who may open which address, and which rows exist for them."""

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from flask import current_app, g, request, url_for
from flask_admin.contrib.sqla import ModelView
from sqlalchemy import Select, inspect, select
from sqlalchemy.orm import InstrumentedAttribute
from werkzeug.wrappers import Response

from payadmin.db import Base, db
from payadmin.kernel.errors import Forbidden, NotFound
from payadmin.kernel.text import Text, _
from payadmin.permissions import MENU, Item, Permission
from payadmin.views import checks
from payadmin.views.columns import PAGE_OF, Column, Kind, columns_of, label_of, masked, title_attr, tone_of
from payadmin.views.filters import LARGEST_ID, Filter, begins_with, filter_for
from payadmin.views.lists import Shape, Sort, Tab
from payadmin.views.search import Lookup, default_lookups, has_ordered_bytes, leads, sorts
from payadmin.views.security import current_actor

LARGEST_CELLS = frozenset({Kind.JSON})
NUMBERS = frozenset({Kind.MONEY, Kind.NUMBER})


class PageCore(ModelView):
    """A model's page as its author declares it. Everything has a default read from the model.

    Attributes:
        menu_key: key of the menu item this page belongs to; its permission is the default of `read`. Or the heading of
            a menu section ("Finance"): the page gets an entry of its own there, open to administrators until `read`
            names somebody else.
        slug, plural, singular: the page's address, and what its rows are called; `heading` where the page itself is
            called something else.
        read, create, edit, export, delete: the permission each verb needs; None means nobody may.
        column_list, column_filters, column_sortable, form_columns: column keys, in order.
        default_sort: a sortable column's key, with a minus for newest first.
        tabs: an enum column's key, or ready-made choices, shown above the list.
        search_lookups: how the search box finds rows (`payadmin.views.search`).
        pinned: columns that `get_query` always fixes to one value; indexes may begin with them.
        list_also: attributes that cells and actions read besides the shown columns.
        sum_column: the money column that the bulk bar adds up, per unit.
        detail_sections: heading → column keys; None shows all columns in one section.
        find_by: column keys by which the search over everything finds rows of this page; each leads an index.
        find_through: columns of other tables that find a row here too, each with the column that points here.
        find_number: the letters before a row's number ("R-"), where the search over everything finds rows by it.
        found_as: what the search calls them, where it is not `plural`.
        notes: whether staff write notes about its rows, on their details.
        needs: permission of every further exposed method, by its name. One that is missing here answers 403.
    """

    menu_key: ClassVar[str] = ""
    slug: ClassVar[str] = ""
    plural: ClassVar[str] = ""
    singular: ClassVar[str] = ""
    heading: ClassVar[str] = ""
    subtitle: ClassVar[str] = ""
    read: ClassVar[Permission | None] = None
    create: ClassVar[Permission | None] = None
    edit: ClassVar[Permission | None] = None
    export: ClassVar[Permission | None] = None
    delete: ClassVar[Permission | None] = None
    column_list: Sequence[str] | None = None
    column_filters: Sequence[str] | None = None
    column_sortable: ClassVar[Sequence[str] | None] = None
    form_columns: Sequence[str] | None = None
    default_sort: ClassVar[str] = ""
    tabs: ClassVar[str | Sequence[Tab]] = ()
    search_lookups: ClassVar[Sequence[Lookup] | None] = None
    pinned: ClassVar[Sequence[str]] = ()
    list_also: ClassVar[Sequence[str]] = ()
    sum_column: ClassVar[str | None] = None
    detail_sections: ClassVar[Mapping[str, Sequence[str]] | None] = None
    phone: ClassVar[Mapping[str, str] | None] = None
    labels: ClassVar[Mapping[str, str]] = {}
    find_by: ClassVar[Sequence[str]] = ()
    find_through: ClassVar[Sequence[tuple[InstrumentedAttribute[Any], InstrumentedAttribute[Any]]]] = ()
    find_number: ClassVar[str] = ""
    found_as: ClassVar[str] = ""
    found_icon: ClassVar[str] = "table"
    notes: ClassVar[bool] = False
    needs: ClassVar[Mapping[str, Permission]] = {}
    frame_needs: ClassVar[Mapping[str, Permission]] = {
        "reveal_view": Permission.PARTIES_PERSONAL_REVEAL,
        "hide_view": Permission.PARTIES_PERSONAL_REVEAL,
    }

    menu_view: ClassVar[str] = "index_view"  # what the menu opens, where it is not the list

    list_template = "admin/model/list.html"
    details_template = "admin/model/details.html"
    create_template = "admin/model/create.html"
    edit_template = "admin/model/edit.html"

    # Stock addresses that payadmin answers differently or not at all.
    ajax_update = None
    ajax_lookup = None
    action_delete = None

    verbs: ClassVar[Mapping[str, str]] = {
        "index_view": "read",
        "details_view": "read",
        "columns_view": "read",
        "views_view": "read",
        "open_view": "read",
        "lookup_view": "read",
        "action_view": "read",
        "run_view": "read",
        "run_status_view": "read",
        "rerun_view": "read",
        "one_view": "read",
        "create_view": "create",
        "edit_view": "edit",
        "delete_view": "delete",
        "export_view": "export",
        "schedule_view": "export",
    }

    def __init__(self, model: type[Base]) -> None:
        self.slug_ = self.slug or _kebab(self.plural or _plural(model))
        self.plural_ = Text(self.plural or _words(_plural(model)))
        self.singular_ = Text(self.singular or _words(model.__name__))
        self.heading_ = Text(self.heading or self.plural_)
        self.columns = {key: column for key, column in columns_of(model, self.labels).items() if not column.secret}
        super().__init__(model, db, name=self.plural_, endpoint=self.slug_.replace("-", "_"), url=f"/{self.slug_}")

    # --- what Flask-Admin would scaffold, built from the model in our own words ---------------------------------------

    def init_actions(self) -> None:
        """Nothing: stock actions are not offered (see `bulk`)."""

    def scaffold_auto_joins(self) -> list[Any]:
        """No joins: the names of related rows are read for the rows of the page."""
        return []

    def _refresh_cache(self) -> None:
        table = inspect(self.model).local_table
        self._default_permissions()
        self.shown = tuple(self.column_list or (key for key, column in self.columns.items() if _worth_listing(column)))
        self.shape = Shape(
            name=self.endpoint,
            model=self.model,
            columns=self.columns,
            filters=dict(self._filters_of(table)),
            sortable=self._sortables(table),
            default_sort=self._default_sort(),
            lookups=tuple(self.search_lookups or default_lookups(self.model, self.columns)),
        )
        self.tab_list = self._tabs()
        self.phone_ = self.phone if self.phone is not None else _phone(self.shown, self.columns)
        self.mistakes = checks.mistakes(self)
        if not self.mistakes:
            self._scaffold_forms()

    def _scaffold_forms(self) -> None:
        """Forms are made by `forms.FormPages`."""

    def _default_permissions(self) -> None:
        """Read from the menu item; the other verbs from the permissions of the same thing, where they exist.

        What has no export permission of its own needs the one to see exports; reading the page is needed for all.
        """
        item = menu_item(self.menu_key)
        if item is None and self.section and self.read is None:
            self.read = Permission.RECORDS_RECORD_READ  # type: ignore[misc]
        self.can_read_permission = self.read or (item.permission if item else None)
        self.permissions = {verb: getattr(self, verb) for verb in ("create", "edit", "export", "delete")}
        self.permissions["read"] = self.can_read_permission
        if self.can_read_permission is None:
            return
        thing = self.can_read_permission.rpartition(":")[0]
        known = {str(permission): permission for permission in Permission}
        written = [cls for cls in type(self).__mro__ if issubclass(cls, PageCore) and cls is not PageCore]
        for verb, names in {"create": ("create", "write"), "edit": ("edit", "write"), "export": ("export",)}.items():
            declared = any(verb in vars(cls) for cls in written)
            if not declared:
                self.permissions[verb] = next(
                    (known[f"{thing}:{name}"] for name in names if f"{thing}:{name}" in known),
                    Permission.EXPORTS_EXPORT_READ if verb == "export" else None,
                )

    def _filters_of(self, table: Any) -> Iterator[tuple[str, Filter]]:
        keys = self.columns if self.column_filters is None else self.column_filters
        for key, column in ((key, self.columns[key]) for key in keys if key in self.columns):
            if self.column_filters is None and not self._filters_by_default(table, column):
                continue
            begins = None
            if leads(table, column, self.pinned) and has_ordered_bytes(column):
                begins = functools.partial(begins_with, column.attr)
            if (made := filter_for(column, self.columns, begins)) is not None:
                yield key, made

    def _filters_by_default(self, table: Any, column: Column) -> bool:
        if column.key == "id" or column.key in self.pinned or not column.info.get("filter", True):
            return False  # the search box finds numbers; what the page fixes cannot be chosen
        return _worth_filtering(column) or leads(table, column, self.pinned)

    def _sortables(self, table: Any) -> dict[str, Column]:
        keys = self.columns if self.column_sortable is None else self.column_sortable
        return {key: self.columns[key] for key in keys if key in self.columns and self._sorts(table, self.columns[key])}

    def _sorts(self, table: Any, column: Column) -> bool:
        units = [column.unit_key] if column.unit_key else []
        return column.worked_out is None and sorts(table, column, [*self.pinned, *units])

    def _default_sort(self) -> Sort:
        wanted = self.default_sort or ("-created_at" if self._sorts_by("created_at") else "-id")
        column = self.columns.get(wanted.removeprefix("-"), self.columns["id"])
        return Sort(column, wanted.startswith("-"))

    def _sorts_by(self, key: str) -> bool:
        return key in self.columns and self._sorts(inspect(self.model).local_table, self.columns[key])

    def _tabs(self) -> tuple[Tab, ...]:
        if not isinstance(self.tabs, str):
            return (Tab("All"), *self.tabs) if self.tabs else ()
        each = self.shape.filters.get(self.tabs)
        found = [Tab(choice.label, {self.tabs: (choice.value,)}) for choice in each.choices()] if each else []
        return (Tab("All"), *found)

    @property
    def section(self) -> str:
        """The heading of the menu section that this page brings its own entry to; empty for a page with an item."""
        return self.menu_key if self.menu_key[:1].isupper() else ""

    # --- who and which ------------------------------------------------------------------------------------------------

    def permission_of(self, name: str) -> Permission | None:
        """The permission that the exposed method `name` needs; None means nobody may."""
        if name in self.verbs:
            return self.permissions[self.verbs[name]]
        return {**self.frame_needs, **self.needs}.get(name)

    def may(self, verb: str) -> bool:
        """Whether the person signed in may do `verb` here."""
        permission = self.permissions[verb]
        return permission is not None and self.is_accessible() and current_actor().may(permission)

    def is_accessible(self) -> bool:
        """Whether the person signed in may open the list: the role allows it, and Menu Access leaves it."""
        actor = g.get("actor")
        return actor is not None and self._may_read() and actor.opens(self.menu_key)

    def _may_read(self) -> bool:
        return self.can_read_permission is not None and g.actor.may(self.can_read_permission)

    def _handle_view(self, name: str, **_kwargs: Any) -> Response | None:
        """The one gate before every address of the page; what nobody declared stays shut."""
        actor = current_actor()
        permission = self.permission_of(name)
        # Other pages' forms look related rows up here; for them the permission is enough.
        opened = self._may_read() if name == "lookup_view" else self.is_accessible()
        if not opened or permission is None or not actor.may(permission):
            raise Forbidden("Your role does not include this page.")
        return None

    def _run_view(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        # Flask-Admin calls the view a second time after a TypeError; a payment must not be touched twice.
        return fn(self, *args, **kwargs)

    def get_query(self) -> "Select[Any]":
        """The rows that exist for the person signed in. Every address goes through it; narrow it to scope a page."""
        return select(self.model)

    def get_row(self, row_id: int) -> Any:
        """The row `row_id` in scope.

        Raises:
            NotFound: there is no such row, or it is not theirs to see: the same answer.
        """
        known = 0 < row_id <= LARGEST_ID
        found = db.session.scalars(self.get_query().where(self.model.id == row_id)).one_or_none() if known else None
        if found is None:
            raise NotFound(_("There is no such %(thing)s.", thing=self.singular_.lower()))
        return found

    def describe(self, row: Any) -> str:
        """What the page calls one row."""
        title = title_attr(self.model)
        if title is not None and (mask := title.property.columns[0].info.get("mask")):
            return masked(mask)(getattr(row, title.key))
        plain: object = object.__str__
        if type(row).__str__ is not plain:
            return str(row)
        return f"{self.singular_} {row.id}" if title is None else str(getattr(row, title.key))

    def status_column(self) -> Column | None:
        """The column that says where a row stands."""
        return next((self.columns[key] for key in ("status", "state") if key in self.columns), None)

    def status_words(self, row: Any) -> tuple[str, str]:
        """What the search says of a row's status, and in which tone; override it where lists use other words."""
        column = self.status_column()
        assert column is not None
        member = getattr(row, column.name)
        return label_of(member), tone_of(member)

    # --- addresses ----------------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """The address of the list."""
        return url_for(f"{self.endpoint}.index_view")

    def list_address(self) -> str:
        """Where the way back leads: the list as it was left, when the request says so."""
        back = request.values.get("list", "")
        return f"{self.address}?{back}" if back and back.isprintable() else self.address

    def links_for(self, column: Column) -> str | None:
        """The pattern of the addresses that a link column leads to, if the person signed in may open them."""
        page: PageCore | None = current_app.extensions[PAGE_OF].get(column.target)
        return f"{page.address}{{}}/" if page is not None and page.is_accessible() else None


def menu_item(key: str) -> Item | None:
    """The menu's entry with this key."""
    return next((item for section in MENU for item in section.items if item.key == key), None)


def _worth_listing(column: Column) -> bool:
    if column.kind in LARGEST_CELLS or column.key == "id" or not column.info.get("list", True):
        return False
    length = getattr(column.attr.property.columns[0].type, "length", None)
    return column.kind is not Kind.TEXT or length is not None


def _worth_filtering(column: Column) -> bool:
    return column.kind in {Kind.ENUM, Kind.FLAG, Kind.CODE, Kind.MONEY} or bool(column.info.get("filter"))


def _phone(shown: Sequence[str], columns: Mapping[str, Column]) -> dict[str, str]:
    """Which four cells make the card that a phone shows: name, amount, status, time."""
    kinds = ((None, "m1"), (Kind.MONEY, "m2"), (Kind.ENUM, "m3"), (Kind.MOMENT, "m4"))
    places: dict[str, str] = {}
    for kind, place in kinds:
        key = next((k for k in shown if k in columns and k not in places and kind in (None, columns[k].kind)), None)
        if key is not None:
            places[key] = place
    return places


def _plural(model: type[Base]) -> str:
    name = model.__name__
    if name.endswith("y") and name[-2] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "x", "ch", "sh")) else f"{name}s"


def _kebab(name: str) -> str:
    return re.sub(r"[\W_]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)).strip("-").lower()


def _words(name: str) -> str:
    return _kebab(name).replace("-", " ").capitalize()
