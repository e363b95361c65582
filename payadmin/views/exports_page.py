"""The Exports page: files that workers write, as far as they are one's own, and the schedules that ask for them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from flask import Response, current_app, flash, redirect, url_for
from flask_admin import expose
from markupsafe import Markup
from sqlalchemy import Select, or_, select

from payadmin.actions import exports
from payadmin.db import db
from payadmin.kernel.errors import Conflict
from payadmin.kernel.text import NumberText, Text, _
from payadmin.models.exports import Export, ExportReader, ExportSchedule, ExportStatus, ScheduleStatus, is_open
from payadmin.permissions import Permission
from payadmin.views import ui
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import Column, label_of, zone
from payadmin.views.exports import TYPES
from payadmin.views.exports_schedule import change_page, words_of
from payadmin.views.language import say, speech
from payadmin.views.registry import page
from payadmin.views.security import current_actor

MOST_SHOWN = 10
PIECE = 1 << 16
READ = Permission.EXPORTS_EXPORT_READ
TONES = {
    ExportStatus.READY: "ok",
    ExportStatus.FAILED: "bad",
    ExportStatus.QUEUED: "info",
    ExportStatus.RUNNING: "info",
    ScheduleStatus.ACTIVE: "ok",
    ScheduleStatus.PAUSED: "warn",
}
_SUB = Markup('{}<span class="cellsub">{}</span>')


@page(menu="exports")
class ExportsPage(PayAdminModelView):
    """One's own files, those of schedules one is a reader of, and everybody's for who manages them."""

    model = Export
    create = None
    edit = None
    export = None
    read = READ
    plural = "Exports"
    singular = "Export"
    subtitle = (
        "Files of lists that are too large to wait for, or asked for on a schedule. Begin with Export on any list."
    )
    column_list = ("created_at", "name", "page_title", "status", "rows_done", "bytes", "requester", "expires_at")
    column_filters = ("status", "created_at", "kind", "requester")
    column_sortable = ("created_at",)
    default_sort = "-created_at"
    labels = {"rows_done": "Rows", "created_at": "Requested"}
    phone = {"name": "m1", "rows_done": "m2", "status": "m3", "created_at": "m4"}
    list_also = ("status", "rows_done", "rows_total", "reason", "expires_at", "needs", "is_personal")
    find_by = ("name",)
    list_template = "exports/list.html"
    details_template = "exports/details.html"
    detail_sections = {
        "File": ("name", "kind", "rows_done", "bytes", "sha256", "expires_at", "downloads"),
        "List": ("page_title", "criteria", "columns", "mode"),
        "Making": ("status", "reason", "requester", "schedule", "created_at", "started_at", "done_at", "attempt"),
    }
    needs = {
        "progress_view": READ,
        "one_progress_view": READ,
        "download_view": READ,
        "cancel_view": READ,
        "discard_view": READ,
    }

    def get_query(self) -> "Select[Any]":
        """Administrators see every export; others their own and those they are told of."""
        actor = current_actor()
        if actor.may(Permission.EXPORTS_EXPORT_MANAGE):
            return select(Export)
        told = select(ExportReader.schedule_id).where(ExportReader.staff_id == actor.staff_id)
        return select(Export).where(or_(Export.requester_id == actor.staff_id, Export.schedule_id.in_(told)))

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """The status with how far it is or why it failed; sizes as people read them."""
        match column.key:
            case "status":
                return status_cell
            case "kind":
                return lambda row: row.kind.value
            case "rows_done":
                return lambda row: f"{row.rows_done:,}"
            case "bytes":
                return lambda row: ui.NOTHING if row.bytes is None else size_text(row.bytes)
            case "columns":
                return lambda row: ", ".join(key.replace("_", " ") for key in row.columns)
        return super().cell(column, names)

    def menu_actions(self) -> list[dict[str, Any]]:
        """Download is at hand in every row."""
        download = {
            "name": "download",
            "label": "Download",
            "icon": "download",
            "url": f"{self.address}{{id}}/download/",
        }
        return [download, *super().menu_actions()]

    def offers(self) -> Callable[[Any], Any] | None:
        """Why a row has no file to download."""

        def off(row: Any) -> dict[str, str] | None:
            why = why_not_fetchable(row)
            return {"download": why} if why else None

        return off

    def open_exports(self) -> Sequence[Export]:
        """The actor's own files that are waiting or being written, the newest first."""
        alive = Export.status.in_((ExportStatus.QUEUED, ExportStatus.RUNNING))
        mine = select(Export).where(Export.requester_id == current_actor().staff_id, alive)
        return db.session.scalars(mine.order_by(Export.created_at.desc()).limit(MOST_SHOWN)).all()

    def details_context(self, row: Export) -> dict[str, Any]:
        """What the details page says beside the fields."""
        own = row.requester_id == current_actor().staff_id or current_actor().may(Permission.EXPORTS_EXPORT_MANAGE)
        return super().details_context(row) | {
            "export": row,
            "why_not": why_not_fetchable(row),
            "may_end": own,
            "size_text": size_text,
        }

    @expose("/progress/")
    def progress_view(self) -> str:
        """How far the actor's files are: the fragment that the list polls."""
        return self.render("exports/_progress.html", open=self.open_exports())

    @expose("/<int:row_id>/progress/")
    def one_progress_view(self, row_id: int) -> str:
        """How far one file is: the fragment that its page polls."""
        row = self.get_row(row_id)
        return self.render("exports/_progress.html", open=[row] if is_open(row) else [])

    @expose("/<int:row_id>/download/")
    def download_view(self, row_id: int) -> Response:
        """The file, for who may still have it; each time is counted and written into the trail."""
        row = self.get_row(row_id)
        folder = current_app.extensions["payadmin.settings"].files_folder / "exports"
        if row.status is ExportStatus.READY and row.file and not (folder / row.file).is_file():
            raise Conflict("The file is no longer there. Tell an administrator, and export again.")
        file = folder / exports.download_export(current_actor(), row_id)
        kind = TYPES[row.kind.ending][1]
        answer = Response(_pieces(file), content_type=kind)
        answer.headers["Content-Disposition"] = f'attachment; filename="{row.name}"'
        answer.content_length = file.stat().st_size
        return answer

    @expose("/<int:row_id>/cancel/", methods=("POST",))
    def cancel_view(self, row_id: int) -> Any:
        """Stop a file that is not finished."""
        self.get_row(row_id)
        exports.cancel_export(current_actor(), row_id)
        flash("The export is cancelled.", "success")
        return redirect(url_for("exports.details_view", row_id=row_id), 303)

    @expose("/<int:row_id>/discard/", methods=("POST",))
    def discard_view(self, row_id: int) -> Any:
        """Delete a file before its time."""
        self.get_row(row_id)
        file = exports.discard_export(current_actor(), row_id)
        folder = current_app.extensions["payadmin.settings"].files_folder / "exports"
        if file:
            (folder / file).unlink(missing_ok=True)
        flash("The file is deleted.", "success")
        return redirect(url_for("exports.details_view", row_id=row_id), 303)


@page(menu="")
class ExportSchedulesPage(PayAdminModelView):
    """What is exported again and again: one's own schedules, and everybody's for who manages them."""

    model = ExportSchedule
    read = READ
    create = None
    edit = None
    export = None
    slug = "export-schedules"
    plural = "Scheduled exports"
    singular = "Scheduled export"
    subtitle = "Lists that become files every day, week or month. Begin with Export on any list."
    column_list = ("title", "page_title", "rhythm", "period", "status", "next_at", "owner")
    column_filters = ("status", "owner")
    column_sortable = ("id",)
    default_sort = "-id"
    labels = {"rhythm": "Runs"}
    phone = {"title": "m1", "next_at": "m2", "status": "m3", "rhythm": "m4"}
    list_also = ("at_minute", "weekday", "day", "status", "reason")
    list_template = "exports/schedules.html"
    details_template = "exports/schedule_details.html"
    detail_sections = {
        "Schedule": ("title", "rhythm", "next_at", "status", "reason", "owner", "created_at"),
        "List": ("page_title", "kind", "criteria", "period", "columns", "mode"),
    }
    needs = {"change_view": READ, "pause_view": READ, "resume_view": READ, "delete_schedule_view": READ}

    def get_query(self) -> "Select[Any]":
        """Living schedules of the actor, or of everybody."""
        actor = current_actor()
        living = select(ExportSchedule).where(ExportSchedule.status != ScheduleStatus.DELETED)
        if actor.may(Permission.EXPORTS_EXPORT_MANAGE):
            return living
        return living.where(ExportSchedule.owner_id == actor.staff_id)

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """When it runs in words, and why it waits."""
        match column.key:
            case "rhythm":
                return words_of
            case "kind":
                return lambda row: row.kind.value
            case "status":
                return lambda row: ui.badge(label_of(row.status), TONES.get(row.status, "plain"))
            case "columns":
                return lambda row: ", ".join(key.replace("_", " ") for key in row.columns)
        return super().cell(column, names)

    def details_context(self, row: ExportSchedule) -> dict[str, Any]:
        """Whether it is the actor's own to change."""
        return super().details_context(row) | {"is_own": row.owner_id == current_actor().staff_id}

    @expose("/<int:row_id>/change/", methods=("GET", "POST"))
    def change_view(self, row_id: int) -> Any:
        """Another name, another time, other readers; the list stays as it is."""
        return change_page(self, self.get_row(row_id))

    @expose("/<int:row_id>/pause/", methods=("POST",))
    def pause_view(self, row_id: int) -> Any:
        """Make no files for now."""
        self.get_row(row_id)
        exports.pause_schedule(current_actor(), row_id)
        return self._said(row_id, _("The schedule is paused."))

    @expose("/<int:row_id>/resume/", methods=("POST",))
    def resume_view(self, row_id: int) -> Any:
        """Make files again."""
        self.get_row(row_id)
        following = exports.resume_schedule(current_actor(), row_id, zone=zone())
        moment = speech().moment(following.astimezone(zone()))
        return self._said(row_id, _("Resumed. The next run is on %(moment)s.", moment=moment))

    @expose("/<int:row_id>/end/", methods=("POST",))
    def delete_schedule_view(self, row_id: int) -> Any:
        """End the schedule; its files stay until their time is over."""
        self.get_row(row_id)
        exports.delete_schedule(current_actor(), row_id)
        flash("The schedule is deleted. Files that it made stay until their time is over.", "success")
        return redirect(self.address, 303)

    def _said(self, row_id: int, sentence: str) -> Any:
        flash(sentence, "success")
        return redirect(url_for("export_schedules.details_view", row_id=row_id), 303)


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(PIECE):
            yield piece


def status_cell(row: Any) -> Markup:
    """The status, with how far it is or why it came to nothing in small print."""
    shown = ui.badge(label_of(row.status), TONES.get(row.status, "plain"))
    if row.status is ExportStatus.RUNNING and row.rows_total:
        return _SUB.format(
            shown,
            say(_("%(done)s of %(total)s rows", done=NumberText(row.rows_done), total=NumberText(row.rows_total))),
        )
    if row.status is ExportStatus.FAILED and row.reason:
        return _SUB.format(shown, say(row.reason))
    return shown


def why_not_fetchable(row: Any) -> str | None:
    """Why there is nothing to download for the person signed in, or None; reads only columns."""
    if is_open(row):
        return "The file is not ready yet."
    if row.status is not ExportStatus.READY:
        return _("This export is %(status)s.", status=Text(row.status.value).lower())
    if not exports.may_fetch(current_actor(), row):
        return "Your role no longer allows this list with these columns."
    return None


def size_text(size: int) -> str:
    """A file's size as people read it."""
    for unit, step in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= step:
            return f"{size * 10 // step / 10:,.1f} {unit}"
    return f"{size} bytes"
