"""What each person prefers of a list: its columns in their order, and saved views with the one that comes first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

from flask import flash, redirect, request
from flask_admin import expose
from sqlalchemy import literal, null, select, union_all
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from payadmin.actions import records, saved_views
from payadmin.db import db
from payadmin.kernel.errors import Invalid, NotFound
from payadmin.kernel.text import Text, _, _n
from payadmin.models.access import StaffUser
from payadmin.models.system import SavedView, UserPreference
from payadmin.notices import unread_of
from payadmin.permissions import Permission, Role, grantable_by
from payadmin.views import bell, lists
from payadmin.views.columns import Column
from payadmin.views.filters import BadAddress, row_id_of
from payadmin.views.forms import FormPages
from payadmin.views.language import say
from payadmin.views.security import current_actor
from payadmin.work import Actor

_KEPT = "payadmin.taste"


@dataclass(frozen=True)
class View:
    """A saved view as the person signed in is offered it."""

    id: int
    name: str
    query: str
    columns: tuple[str, ...]
    shared_with: Role | None
    is_default: bool
    is_own: bool
    owner: str


@dataclass(frozen=True)
class Taste:
    """What one person prefers on one list: `columns` by view (None: outside views), and what comes `first`."""

    columns: Mapping[int | None, tuple[str, ...]]
    first: int | None


class SavedViewPages(FormPages):
    """The columns and the saved views of a list."""

    # --- what is kept -------------------------------------------------------------------------------------------------

    def taste(self) -> Taste:
        """What the person signed in prefers here."""
        return self._kept()[0]

    def views_here(self) -> Sequence[View]:
        """Their own views of this list and those shared with a role of theirs, by name."""
        return self._kept()[1]

    def _kept(self) -> tuple[Taste, Sequence[View]]:
        """Both, read once a request by one statement, which asks for the bell too: a list has few questions."""
        kept: dict[Any, Any] = request.environ.setdefault(_KEPT, {})
        actor = current_actor()
        place = (self.endpoint, actor.staff_id)
        if place not in kept:
            rows = db.session.execute(self._statement(actor)).all()
            values = {row.name: row.value for row in rows if row.kind == "taste"}
            views = [
                View(
                    row.id,
                    row.name,
                    row.query,
                    tuple(row.value or ()),
                    row.shared_with,
                    row.is_default,
                    row.owner_id == actor.staff_id,
                    row.username,
                )
                for row in rows
                if row.kind == "view"
            ]
            bell.remember_unread(next(row.id for row in rows if row.kind == "unread"))
            kept[place] = (self._taste_of(values), sorted(views, key=lambda view: (view.name.lower(), view.id)))
        found: tuple[Taste, Sequence[View]] = kept[place]
        return found

    def _statement(self, actor: Actor) -> Any:
        columns, first, view_id = f"columns:{self.endpoint}", f"view:{self.endpoint}", self._view_id()
        names = [columns, first, *([f"{columns}:{view_id}"] if view_id else [])]
        views = (
            select(
                literal("view").label("kind"),
                SavedView.id,
                SavedView.name,
                SavedView.query.label("query"),
                SavedView.columns.label("value"),
                SavedView.shared_with,
                SavedView.is_default,
                SavedView.owner_id,
                StaffUser.username,
            )
            .join(StaffUser, StaffUser.id == SavedView.owner_id)
            .where(SavedView.page == self.endpoint, saved_views.readable_by(actor))
        )
        nothing = [null() for _ in range(4)]
        preferred = select(
            literal("taste"), UserPreference.id, UserPreference.name, null(), UserPreference.value, *nothing
        ).where(UserPreference.staff_id == actor.staff_id, UserPreference.name.in_(names))
        unread = select(literal("unread"), unread_of(actor.staff_id), null(), null(), null(), *nothing)
        return union_all(views, preferred, unread)

    def _taste_of(self, values: Mapping[str, Any]) -> Taste:
        columns, view_id = f"columns:{self.endpoint}", self._view_id()
        chosen: dict[int | None, tuple[str, ...]] = {None: tuple(values.get(columns, {}).get("columns", ()))}
        if view_id:
            chosen[view_id] = tuple(values.get(f"{columns}:{view_id}", {}).get("columns", ()))
        return Taste(chosen, values.get(f"view:{self.endpoint}", {}).get("view"))

    def _view_id(self) -> int | None:
        return row_id_of(request.values.get("view", ""))

    def view_on(self) -> View | None:
        """The saved view that the list was opened with, if it is still theirs to see."""
        view_id = self._view_id()
        return next((view for view in self.views_here() if view.id == view_id), None) if view_id else None

    def first_view(self) -> View | None:
        """What comes when the list is opened without filters: the person's own choice, else their role's."""
        chosen = self.taste().first
        if chosen is not None:
            return next((view for view in self.views_here() if view.id == chosen), None)
        roles = current_actor().roles
        return next((view for view in self.views_here() if view.is_default and view.shared_with in roles), None)

    # --- columns ------------------------------------------------------------------------------------------------------

    def visible_columns(self) -> list[Column]:
        """The columns this person chose, or the page's own choice."""
        return self.chosen_columns() or [self.columns[key] for key in self.shown]

    def chosen_columns(self) -> list[Column]:
        """The columns this person chose for this list, or for the view it is seen with; else those of the view."""
        view, taste = self.view_on(), self.taste()
        keys = taste.columns.get(view.id) or view.columns if view else taste.columns[None]
        return [self.columns[key] for key in keys if key in self.columns]

    def choosable_columns(self) -> list[Column]:
        """Every column that can be shown: those that are, in their order, then the others."""
        shown = self.visible_columns()
        return [*shown, *(column for column in self.columns.values() if column.key != "id" and column not in shown)]

    @expose("/columns/", methods=("POST",))
    def columns_view(self) -> Response:
        """Keep which columns this person sees on this list, in which order, and exports from it."""
        known = [key for key in dict.fromkeys(request.form.getlist("column")) if key in self.columns]
        if move := request.form.get("move"):
            known = _moved(known, *move.partition(":")[::2])
        columns = [] if "reset" in request.form else known
        view = self.view_on()
        records.choose_columns(current_actor(), self.endpoint, columns=columns, view_id=view.id if view else None)
        return redirect(self.list_address())

    # --- views --------------------------------------------------------------------------------------------------------

    @expose("/views/", methods=("GET", "POST"))
    def views_view(self) -> Any:
        """The views of this list: rename, share, put first, delete; a post does one of these or saves a view."""
        status, problem = 200, None
        if request.method == "POST":
            try:
                return redirect(self._change_views(), 303)
            except Invalid as refusal:
                db.session.rollback()
                status, problem = refusal.status, refusal.sentence
                request.environ.pop(_KEPT, None)
        roles = current_actor().roles
        page = self.render(
            "admin/model/views.html",
            title=say(_("Views of %(list)s", list=self.heading_)),
            problem=problem,
            views=[(view, self._words_of(view)) for view in self.views_here()],
            first=self.first_view(),
            chosen=self.taste().first,
            role_first=next((v for v in self.views_here() if v.is_default and v.shared_with in roles), None),
            back=self.list_address(),
            listed=request.values.get("list", ""),
            may_pin=may_pin(current_actor()),
            may_chart=self.shape.time is not None,
            **self.sharing(),
        )
        return page, status

    @expose("/views/<int:row_id>/")
    def open_view(self, row_id: int) -> Response:
        """The list as a view has it; one that no longer fits the list says so, and nothing of it is applied."""
        view = next((view for view in self.views_here() if view.id == row_id), None)
        if view is None:
            raise NotFound("There is no such view. Perhaps it was deleted, or is no longer shared with you.")
        return self._opened(view)

    def views_context(self) -> dict[str, Any]:
        """What the menu of views on the list shows."""
        return {"views": self.views_here(), "view": self.view_on(), **self.sharing()}

    def sharing(self) -> dict[str, Any]:
        """What the forms of views offer: the roles to share with, and whether a role's first view can be set."""
        actor = current_actor()
        return {
            "share_roles": sorted(saved_views.sharable_roles(actor), key=str),
            "may_set_first": bool(grantable_by(actor.roles)),
        }

    def _opened(self, view: View) -> Response:
        try:
            asked = lists.read(self.shape, MultiDict(parse_qsl(view.query)))
        except BadAddress as problem:
            flash(
                _(
                    "The view “%(view)s” no longer fits this list: %(problem)s Nothing of it was applied; this is the "
                    "whole list. Save the view anew, or delete it under Views.",
                    view=view.name,
                    problem=problem.sentence,
                ),
                "warning",
            )
            return redirect(f"{self.address}?view=0")
        if lost := [key for key in view.columns if key not in self.columns]:
            flash(
                _(
                    "The view “%(view)s” shows columns that no longer exist: %(columns)s.",
                    view=view.name,
                    columns=", ".join(lost),
                ),
                "warning",
            )
        return redirect(f"{self.address}{replace(asked, view=view.id).query_string()}")

    def _words_of(self, view: View) -> str:
        """What a view shows, in words; or that it no longer fits."""
        try:
            asked = lists.read(self.shape, MultiDict(parse_qsl(view.query)))
        except BadAddress as problem:
            return _("No longer fits this list: %(problem)s", problem=problem.sentence)
        said = [say(_("Search: %(text)s", text=asked.search))] if asked.search else []
        said += [f"{say(self.shape.filters[key].label)}: {say(active.summary)}" for key, active in asked.active.items()]
        if asked.sort != self.shape.default_sort:
            by = Text(asked.sort.column.label)
            down = asked.sort.descending
            said.append(
                say(_("by %(column)s, descending", column=by) if down else _("by %(column)s, ascending", column=by))
            )
        if view.columns:
            said.append(say(_n("%(number)s column", "%(number)s columns", len(view.columns))))
        return " · ".join(said) or _("The whole list")

    def _change_views(self) -> str:
        """Do what a form of views asks for; where to go then."""
        actor, form = current_actor(), request.form
        op, view_id = form.get("op"), row_id_of(form.get("id", "")) or 0
        manage = f"{self.address}views/"
        view = next((view for view in self.views_here() if view.id == view_id), None)
        # What is refused for sharing is what this list makes of it, so a view is changed on its own list only.
        if view is None and op in {"overwrite", "edit", "delete"}:
            raise NotFound("There is no such view. Perhaps it was deleted, or is no longer shared with you.")
        match op:
            case "save":
                role, asked = _role(form.get("shared_with")), self._listed()
                self._nothing_personal(role, asked)
                view_id = saved_views.save_view(
                    actor,
                    self.endpoint,
                    name=form.get("name", ""),
                    query=asked.query_string(without=("view",))[1:],
                    columns=[column.key for column in self.chosen_columns()] or None,
                    shared_with=role,
                    is_default=role is not None and "is_default" in form,
                )
                if "first" in form:
                    saved_views.choose_first_view(actor, self.endpoint, view_id=view_id)
                flash("The view is saved.", "success")
                return f"{manage}{view_id}/"
            case "overwrite":
                asked = self._listed()
                self._nothing_personal(view.shared_with if view else None, asked)
                columns = [column.key for column in self.chosen_columns()] or None
                query = asked.query_string(without=("view",))[1:]
                saved_views.overwrite_view(actor, view_id, query=query, columns=columns)
                flash("The view now shows the list as it is.", "success")
                return f"{manage}{view_id}/"
            case "edit":
                role = _role(form.get("shared_with"))
                if view is not None and role is not None:
                    self._nothing_personal(role, self._read_query(view.query))
                default = role is not None and "is_default" in form
                saved_views.edit_view(actor, view_id, name=form.get("name", ""), shared_with=role, is_default=default)
                flash("The view is changed.", "success")
            case "delete":
                saved_views.delete_view(actor, view_id)
                flash("The view is deleted.", "success")
            case "first":
                given = form.get("id", "")
                chosen = None if given == "" else view_id
                saved_views.choose_first_view(actor, self.endpoint, view_id=chosen)
                flash("From now on this list opens so.", "success")
            case _:
                raise BadAddress("This form is not complete. Open it again.")
        return manage

    def _listed(self) -> lists.Request:
        """The list that a form was sent from."""
        return replace(self._read_query(request.form.get("list", "")), after=None, before=None, last=False, at=None)

    def _read_query(self, query: str) -> lists.Request:
        return lists.read(self.shape, MultiDict(parse_qsl(query)))

    def _nothing_personal(self, role: Role | None, asked: lists.Request) -> None:
        """Refuse to share what was searched for, or a person that rows were filtered by: readers may see neither."""
        if role is None:
            return
        if asked.search:
            raise Invalid(
                "A search cannot be shared, it may hold personal data. Use filters, or keep the view private."
            )
        for key in asked.active:
            if is_personal(self.shape.filters[key].column):
                label = self.shape.filters[key].label
                raise Invalid(
                    _("A filter by %(column)s is personal data. Remove it, or keep the view private.", column=label)
                )


def may_pin(actor: Actor) -> bool:
    """Whether somebody has figures of their own to pin views to."""
    return actor.may(Permission.REPORTING_FIGURES_PIN) and actor.opens("my-figures")


def is_personal(column: Column) -> bool:
    """Whether the column, or the name of what it points to, is hidden from those who may not read personal data."""
    title = column.title_attr
    return bool(column.info.get("mask") or (title is not None and title.property.columns[0].info.get("mask")))


def _role(name: str | None) -> Role | None:
    if not name:
        return None
    if name not in Role.__members__:
        raise BadAddress("There is no such role.")
    return Role[name]


def _moved(keys: list[str], key: str, way: str) -> list[str]:
    """The keys with one of them a place further up or down."""
    if key not in keys:
        return keys
    at = keys.index(key)
    to = max(0, at - 1) if way == "up" else min(len(keys) - 1, at + 1)
    keys.insert(to, keys.pop(at))
    return keys
