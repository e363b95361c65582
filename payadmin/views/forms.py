"""Create, edit, delete and the look-ups of their forms. Saving calls a use case; a stale form keeps its input."""

import functools
from collections.abc import Callable
from typing import Any

from flask import flash, jsonify, redirect, request, url_for
from flask_admin import expose
from sqlalchemy import or_
from werkzeug.wrappers import Response
from wtforms import Form, HiddenField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs

from payadmin.actions import records
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid, NotFound
from payadmin.kernel.text import _
from payadmin.permissions import Permission
from payadmin.views.columns import Column, Kind, masked, renderer, scope_of, title_attr, titles_of, unit_scale
from payadmin.views.exports import ExportPages
from payadmin.views.fields import PayAdminConverter, put
from payadmin.views.filters import CodeFilter, begins_with, row_id_of
from payadmin.views.language import say
from payadmin.views.search import is_text, leads
from payadmin.views.security import current_actor

MOST_FOUND = 20
LONGEST_QUERY = 100


class FormPages(ExportPages):
    """The forms of a page.

    The parts of a page stand in one line (core, bulk, exports, forms): Flask-Admin's metaclass copies every inherited
    address onto each class, so a part beside another would bring the stock addresses back.
    """

    def _scaffold_forms(self) -> None:
        keys = self.form_columns or [key for key, column in self.columns.items() if not column.readonly]
        self.form_columns_ = [self.columns[key] for key in keys if not self.columns[key].readonly]

    def form_class(self) -> type[Form]:
        """The form of this page; made for each request, because choices and names are read from the database."""
        converter = PayAdminConverter(db, self)
        fields = {column.key: converter.field_for(column, **self._links(column)) for column in self.form_columns_}
        return type(f"{self.model.__name__}Form", (Form,), {**fields, "seen_version": HiddenField()})

    def _links(self, column: Column) -> dict[str, Any]:
        match column.kind:
            case Kind.LINK:
                address = functools.partial(url_for, f"{self.endpoint}.lookup_view", field=column.key)
                return {"titles": functools.partial(titles_of, column), "address": address}
            case Kind.MONEY:
                return {"scale": self._scale_reader(column)}
            case Kind.CODE:
                found = [SelectChoice(value=each.value, label=each.label) for each in CodeFilter(column).choices()]
                return {"choices": [SelectChoice(value="", label=""), *found] if column.nullable else found}
        return {}

    def _scale_reader(self, column: Column) -> Callable[[], int]:
        """The decimals of an amount: those of the unit on the form, else of the row's."""

        def scale() -> int:
            unit_key = str(column.unit_key)
            posted = next((c.key for c in self.form_columns_ if c.name == unit_key), None)
            unit = request.form.get(posted) if posted else None
            if unit is None and (row_id := (request.view_args or {}).get("row_id")):
                unit = getattr(self.get_row(row_id), unit_key)
            found = unit_scale(unit) if unit else 2
            if found is None:
                raise Invalid(_("%(unit)s is not a known currency.", unit=unit), field=column.key)
            return found

        return scale

    # --- saving -------------------------------------------------------------------------------------------------------

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """The empty form, and on a post the new row."""
        form = self.form_class()(request.form if request.method == "POST" else None)
        if request.method == "POST" and form.validate():
            try:
                row_id = records.create_record(
                    current_actor(),
                    self.model,
                    permission=self._needed_permission("create"),
                    values=self.values_of(form),
                )
            except (Invalid, Conflict) as refusal:
                return self._form_page(self.create_template, form, refusal)
            flash(_("%(thing)s created.", thing=self.singular_), "success")
            return redirect(f"{self.address}{row_id}/")
        return self._form_page(self.create_template, form)

    @expose("/<int:row_id>/edit/", methods=("GET", "POST"))
    def edit_view(self, row_id: int) -> Any:
        """The form of one row, and on a post its change, if nobody else changed it meanwhile."""
        row = self.get_row(row_id)
        if request.method == "GET":
            values = {column.key: getattr(row, column.name) for column in self.form_columns_}
            form = self.form_class()(data={**values, "seen_version": str(row.version)})
            return self._form_page(self.edit_template, form, row=row)
        form = self.form_class()(request.form)
        if not form.validate():
            return self._form_page(self.edit_template, form, row=row)
        seen = row_id_of(form["seen_version"].data or "") or 0
        try:
            records.update_record(
                current_actor(),
                row_id,
                permission=self._needed_permission("edit"),
                scope=self.get_query(),
                seen_version=seen,
                values=self.values_of(form),
            )
        except (Invalid, Conflict) as refusal:
            row = self.get_row(row_id)
            return self._form_page(self.edit_template, form, refusal, row=row)
        flash("Saved.", "success")
        return redirect(f"{self.address}{row_id}/")

    @expose("/<int:row_id>/delete/", methods=("POST",))
    def delete_view(self, row_id: int) -> Response:
        """Delete a row that nothing points to."""
        try:
            records.delete_record(
                current_actor(), row_id, permission=self._needed_permission("delete"), scope=self.get_query()
            )
        except Conflict as refusal:
            flash(refusal.sentence, "error")
            return redirect(f"{self.address}{row_id}/")
        flash(_("%(thing)s deleted.", thing=self.singular_), "success")
        return redirect(self.address)

    def values_of(self, form: Form) -> dict[str, Any]:
        """What the form says, by attribute."""
        return {column.name: form[column.key].data for column in self.form_columns_}

    def _needed_permission(self, verb: str) -> Permission:
        permission = self.permissions[verb]
        assert permission is not None
        return permission

    def _form_page(self, template: str, form: Form, refusal: Any = None, row: Any = None) -> Any:
        status = 200 if request.method == "GET" else 422
        sentence, changed = None, []
        if refusal is not None:
            status = refusal.status
            sentence = put(form, refusal, self._key_of(refusal.field))
            if "now" in refusal.data and row is not None:
                changed = self._changes(form, row)
                form["seen_version"].data = str(row.version)
                form["seen_version"].raw_data = None
        page = self.render(
            template,
            form=form,
            fields=[form[column.key] for column in self.form_columns_],
            sentence=sentence,
            changed=changed,
            row=row,
            title=_("New %(thing)s", thing=self.singular_.lower()) if row is None else self.describe(row),
            back=self.address if row is None else f"{self.address}{row.id}/",
        )
        return page, status

    def _key_of(self, name: str | None) -> str:
        return next((column.key for column in self.form_columns_ if name in {column.name, column.key}), "")

    def _changes(self, form: Form, row: Any) -> list[tuple[str, Any]]:
        """What the row holds now, where it differs from what the form says."""
        differing = []
        for column in self.form_columns_:
            if form[column.key].data != getattr(row, column.name):
                value = getattr(row, column.name)
                names = titles_of(column, {value}) if column.kind is Kind.LINK and value else {}
                differing.append((say(column.label), renderer(column, names, None)(row)))
        return differing

    # --- looking up ---------------------------------------------------------------------------------------------------

    @expose("/lookup/")
    def lookup_view(self) -> Response:
        """The related rows that a form's field offers for what was typed: at most twenty, only those in scope."""
        column = self.columns.get(request.args.get("field", ""))
        if column is None or column.kind is not Kind.LINK:
            raise NotFound("There is no such field.")
        typed = request.args.get("q", "").strip()
        if not typed or len(typed) > LONGEST_QUERY or not typed.isprintable():
            return jsonify([])
        return jsonify([{"id": row_id, "text": text} for row_id, text in self._lookup(column, typed)])

    def _lookup(self, column: Column, typed: str) -> list[tuple[int, str]]:
        target, title = column.target, column.title_attr
        assert target is not None
        assert title is not None
        where = [begins_with(attr, typed) for attr in _searched(target)]
        if (row_id := row_id_of(typed)) is not None:
            where.append(target.id == row_id)  # type: ignore[attr-defined]
        scope = scope_of(column).where(or_(*where)).order_by(title).limit(MOST_FOUND)
        columns = (target.id, title)  # type: ignore[attr-defined]
        found = db.session.execute(scope.with_only_columns(*columns, maintain_column_froms=True))
        show = masked(title.property.columns[0].info.get("mask"))
        return [(row_id, say(_("%(name)s (No. %(number)s)", name=show(text), number=row_id))) for row_id, text in found]


def _searched(target: Any) -> list[Any]:
    """The attributes by which rows of `target` are looked up: its name, and indexed words."""
    from payadmin.views.columns import columns_of  # noqa: PLC0415

    table = target.__table__
    words = [c for c in columns_of(target).values() if is_text(c) and c.kind is Kind.TEXT and not c.secret]
    found = [column.attr for column in words if leads(table, column)]
    title = title_attr(target)
    return found if any(attr is title for attr in found) or title is None else [title, *found]
