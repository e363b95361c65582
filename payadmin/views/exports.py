"""Exports: what the list shows, all of it; streamed at once, or written by a worker when there is too much of it."""

import contextlib
import hashlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from flask import Response, current_app, flash, redirect, request, stream_with_context, url_for
from flask_admin import expose
from sqlalchemy import func, literal, select
from werkzeug.datastructures import MultiDict

from payadmin import audit, step_up
from payadmin.actions import exports, records
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Refusal
from payadmin.kernel.masks import mask, mask_search
from payadmin.kernel.text import NumberText, _
from payadmin.models.exports import FileKind
from payadmin.models.payments import Mode
from payadmin.permissions import Permission
from payadmin.views import lists
from payadmin.views.bulk import BulkPages
from payadmin.views.columns import Column
from payadmin.views.exports_schedule import schedule_page
from payadmin.views.exports_table import WRITERS, Counter, table_of
from payadmin.views.search import MOST_MATCHES
from payadmin.views.security import current_actor
from payadmin.views.shell import current_mode

SMALL = 1_000
TABLIB_CAP = 50_000
TYPES = {
    "csv": ("CSV", "text/csv; charset=utf-8"),
    "xlsx": (_("Excel workbook"), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "ods": (_("OpenDocument sheet"), "application/vnd.oasis.opendocument.spreadsheet"),
    "json": ("JSON", "application/json"),
}


class TooMany(Refusal):
    """More rows than this kind of file can hold: said, never cut off."""

    code = "too_many"
    status = 413


class ExportPages(BulkPages):
    """The files of a page."""

    export_kinds = tuple((kind, label) for kind, (label, _) in TYPES.items())

    @expose("/export/<kind>/", methods=("GET", "POST"))
    def export_view(self, kind: str) -> Any:
        """The list as a file: same rows, same order, same columns.

        Above 1,000 rows a fresh code is asked for; above the size that the settings name a worker writes the file, and
        it is fetched from the Exports page.
        """
        if kind not in TYPES:
            raise NotFound("There is no such kind of file.")
        asked = self.asked_for_file(request.args)
        large = self._more_than(asked, SMALL)
        if kind in {"ods", "json"} and large and self._more_than(asked, TABLIB_CAP):
            raise TooMany(
                _(
                    "%(kind)s files hold at most %(number)s rows. Narrow the list, or export CSV or Excel, "
                    "which have no limit.",
                    kind=TYPES[kind][0],
                    number=NumberText(TABLIB_CAP),
                )
            )
        settings = current_app.extensions["payadmin.settings"]
        later = self._more_than(asked, settings.export_job_rows)
        if later and not current_actor().may(Permission.EXPORTS_EXPORT_READ):
            raise Conflict(
                _(
                    "Lists of more than %(export_job_rows)s rows are written by a worker and fetched from the Exports "
                    "page, which your menu does not include. Narrow the list, or ask for that page.",
                    export_job_rows=NumberText(settings.export_job_rows),
                )
            )
        confirmed = large or later
        if confirmed and request.method == "GET":
            return self._confirm_export(asked, kind, None, later=later)
        try:
            if later:
                return self._promise(asked, kind)
            started = self._start(asked, kind, large=confirmed)
        except Invalid as refusal:
            if refusal.field != "code":
                raise
            return self._confirm_export(asked, kind, refusal.sentence, later=later), 422
        return self._stream(asked, kind, started)

    @expose("/export/schedule/", methods=("GET", "POST"))
    def schedule_view(self) -> Any:
        """The list as a file again and again: every day, week or month, with the days that are past by then."""
        if not self.may_schedule():
            raise Forbidden("Scheduled exports wait on the Exports page, which your menu does not include.")
        return schedule_page(self, self.asked_for_file(request.args))

    def may_schedule(self) -> bool:
        """Whether the person signed in may have this list exported again and again."""
        return self.may("export") and current_actor().may(Permission.EXPORTS_EXPORT_READ)

    def asked_for_file(self, args: "MultiDict[str, str]") -> lists.Request:
        """What an address of the list asks for, as a file can hold it.

        Raises:
            BadAddress: the address makes no sense.
            Conflict: a search that finds too much to be complete.
        """
        asked = lists.read(self.shape, args)
        if asked.found is not None and asked.found.truncated:
            raise Conflict(
                _(
                    "The search finds more than %(most_matches)s rows, and the file would miss some. Narrow it.",
                    most_matches=NumberText(MOST_MATCHES),
                )
            )
        return asked

    def asked_by(self, list_args: str) -> lists.Request:
        """What a kept address asks for (`asked_for_file`)."""
        return self.asked_for_file(MultiDict(parse_qsl(list_args)))

    def recorded(self, asked: lists.Request, *, without: Sequence[str] = ()) -> str:
        """What the list is limited to, for the trail: its arguments, personal values masked as on screens (AU3)."""
        said = []
        for key, value in asked.pairs(without=without):
            found = self.shape.filters.get(key)
            kind = found.column.info.get("mask") if found else None
            shown = mask(kind, value) if kind else mask_search(value) if key == "search" else value
            said.append(f"{key}={shown}")
        return "&".join(said)

    def exported_columns(self) -> list[Column]:
        """The columns of the file: those on the screen, unless a page has a usual file of its own."""
        return self.visible_columns()

    def export_table(
        self, asked: lists.Request, shown: Sequence[Column]
    ) -> tuple[list[str], Generator[list[Any], None, None]]:
        """The headings and rows of the file; a page that works something out puts it in here."""
        return table_of(asked, self.get_query(), shown)

    def file_only_columns(self) -> Mapping[str, Column]:
        """Columns that only files have, by key."""
        return {}

    def columns_named(self, keys: Sequence[str]) -> list[Column]:
        """The columns that an export was asked for.

        Raises:
            Conflict: the page has lost one since; a file with other columns is not made.
        """
        known = {**self.columns, **self.file_only_columns()}
        if lost := [key for key in keys if key not in known]:
            raise Conflict(_("The list no longer has the column “%(lost)s”. Ask for the file again.", lost=lost[0]))
        return [known[key] for key in keys]

    def _more_than(self, asked: lists.Request, most: int) -> bool:
        few = lists.narrow(asked, self.get_query()).with_only_columns(literal(1), maintain_column_froms=True)
        return (db.session.scalar(select(func.count()).select_from(few.limit(most + 1).subquery())) or 0) > most

    def count_of_file(self, asked: lists.Request) -> int:
        """How many rows the file will hold."""
        rows = lists.narrow(asked, self.get_query()).with_only_columns(func.count(), maintain_column_froms=True)
        return db.session.scalar(rows.order_by(None)) or 0

    def _act(self, asked: lists.Request, kind: str) -> tuple[str, dict[str, str]]:
        columns = ",".join(column.key for column in self.exported_columns())
        scope = "; ".join(self.scope_words())
        return f"{self.endpoint}.export", {
            "kind": kind,
            "list": asked.query_string(),
            "columns": columns,
            "scope": scope,
        }

    def scope_words(self) -> list[str]:
        """What the page itself limits its rows to, such as live or test: part of what is confirmed and written down."""
        compiled = self.get_query().compile()
        return [f"{name.rpartition('_')[0]}={audit.plain(value)}" for name, value in sorted(compiled.params.items())]

    def export_needs(self) -> list[Permission]:
        """The permissions that a file of this page takes."""
        read, export = self.permissions["read"], self.permissions["export"]
        assert read is not None
        assert export is not None
        return [read, export]

    def _confirm_export(self, asked: lists.Request, kind: str, problem: str | None, *, later: bool) -> str:
        act, subject = self._act(asked, kind)
        return self.render(
            "admin/model/export.html",
            title=_("Export %(things)s", things=self.plural_.lower()),
            kind_label=TYPES[kind][0],
            count=lists.count(asked, self.get_query()),
            small=SMALL,
            later=later,
            days=current_app.extensions["payadmin.settings"].export_days,
            offer=step_up.offer(current_actor(), act, subject),
            code_error=problem,
            post_url=f"{url_for(f'{self.endpoint}.export_view', kind=kind)}{asked.query_string()}",
            back=f"{self.address}{asked.query_string()}",
            criteria=self.criteria(asked),
        )

    def criteria(self, asked: lists.Request) -> list[tuple[str, str]]:
        """What limits the list, in words."""
        said = [(self.shape.filters[key].label, active.summary) for key, active in asked.active.items()]
        return [("Search", asked.search), *said] if asked.search else said

    def _confirming(self, asked: lists.Request, kind: str) -> Callable[[Any], None]:
        act, subject = self._act(asked, kind)
        offer, code = request.form.get("offer", ""), request.form.get("code", "")
        return lambda work: step_up.spend(work, offer, code, act, subject)

    def _promise(self, asked: lists.Request, kind: str) -> Any:
        export_id = exports.request_export(
            current_actor(),
            self.endpoint,
            page_title=self.heading_,
            needs=self.export_needs(),
            kind=FileKind[kind.upper()],
            name=self._file_name(kind),
            list_args=asked.query_string()[1:],
            recorded=self.recorded(asked),
            criteria=dict(self.criteria(asked)),
            columns=[column.key for column in self.exported_columns()],
            scope=self.scope_words(),
            mode=Mode[current_mode()],
            confirm=self._confirming(asked, kind),
        )
        flash("The file is being written. You can leave this page; it waits here when it is ready.", "success")
        return redirect(url_for("exports.details_view", row_id=export_id), 303)

    def _file_name(self, kind: str) -> str:
        return f"{self.slug_}-{lists.today():%Y-%m-%d}.{kind}"

    def _start(self, asked: lists.Request, kind: str, *, large: bool) -> int:
        permission = self.permissions["export"]
        assert permission is not None
        return records.start_export(
            current_actor(),
            self.endpoint,
            permission=permission,
            confirm=self._confirming(asked, kind) if large else None,
            kind=kind,
            filter=self.recorded(asked),
            scope=self.scope_words(),
            columns=[column.key for column in self.exported_columns()],
        )

    def _stream(self, asked: lists.Request, kind: str, started: int) -> Response:
        shown = self.exported_columns()
        head, rows = self.export_table(asked, shown)
        counter = Counter(rows)
        pieces = WRITERS[kind](head, counter, self.plural_)
        actor, permission = current_actor(), self.permissions["export"]
        assert permission is not None
        scope = self.scope_words()

        def send() -> Iterator[bytes]:
            digest, size = hashlib.sha256(), 0
            with contextlib.closing(rows):  # a reader who goes away leaves no cursor open
                for piece in pieces:
                    digest.update(piece)
                    size += len(piece)
                    yield piece
            records.finish_export(
                actor,
                self.endpoint,
                permission=permission,
                started=started,
                kind=kind,
                filter=self.recorded(asked),
                scope=scope,
                columns=[column.key for column in shown],
                rows=counter.count,
                bytes=size,
                sha256=digest.hexdigest(),
            )

        response = Response(stream_with_context(send()), content_type=TYPES[kind][1])
        response.headers["Content-Disposition"] = f'attachment; filename="{self._file_name(kind)}"'
        return response
