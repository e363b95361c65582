"""Batch Report (S2:68-76, S2:96-100): every upload, the latest first, and the page of each with all its rows."""

import datetime as dt
import hashlib
from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from flask import Response, flash, redirect, request, stream_with_context, url_for
from flask_admin import expose
from markupsafe import Markup
from sqlalchemy import select

from payadmin import step_up
from payadmin.actions import batches, records
from payadmin.actions.batches.paying import covers, why_not_covered
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.sheets import csv_rows
from payadmin.kernel.text import _
from payadmin.models.batches import CHECKED, OPEN, WORKING, Batch, BatchKind, BatchRow, BatchStatus
from payadmin.models.subscriptions import IN_HAND, ChargeStatus, ScheduledCharge
from payadmin.permissions import Permission
from payadmin.queries.batches import MOST_COUNTED, charge_counts, error_count, error_table, invalid_billing_numbers
from payadmin.views import lists, ui
from payadmin.views.base import PayAdminModelView
from payadmin.views.batches import preview
from payadmin.views.batches.process import process_page
from payadmin.views.columns import Column, label_of, money_cell, money_text, tone_of
from payadmin.views.exports import SMALL
from payadmin.views.filters import row_id_of
from payadmin.views.language import speech
from payadmin.views.registry import page
from payadmin.views.security import current_actor

READ = Permission.BATCHES_BATCH_READ
PROCESS = Permission.BATCHES_BATCH_PROCESS
# Workers do a piece within seconds, and one that died is taken for dead after two minutes.
STILL = dt.timedelta(seconds=60)
WATCHED_FOR = dt.timedelta(hours=1)
MOST_NUMBERS = 100
TONES = {
    BatchStatus.UPLOADED: "info",
    BatchStatus.VALIDATING: "info",
    BatchStatus.READY: "vio",
    BatchStatus.HAS_ERRORS: "bad",
    BatchStatus.PROCESSING: "info",
    BatchStatus.PROCESSED: "ok",
}
_AMOUNTS = Markup("<br>")


@page(menu="batch-report")
class BatchesPage(PayAdminModelView):
    """Every upload of registrations and payments; each opens all its rows."""

    model = Batch
    notes = True
    slug = "batches"
    heading = "Batch report"
    plural = "Batches"
    singular = "Batch"
    subtitle = "Every uploaded file, the latest first. Open one for all its rows and what became of them."
    read = READ
    create = None
    edit = None
    column_list = ("created_at", "file_name", "kind", "status", "rows_total", "totals", "rows_invalid", "uploaded_by")
    column_filters = ("kind", "status", "file_name", "created_at", "merchant", "uploaded_by")
    column_sortable = ("created_at",)
    default_sort = "-created_at"
    tabs = "kind"
    labels = {"created_at": "Uploaded", "rows_total": "Total Data", "totals": "Total Amount",
              "rows_invalid": "Invalid Data", "merchant": "Organization"}  # fmt: skip
    phone = {"file_name": "m1", "totals": "m2", "status": "m3", "created_at": "m4"}
    find_by = ("file_name",)
    find_through = ((BatchRow.billing_number, BatchRow.batch_id),)
    list_template = "batches/list.html"
    details_template = "batches/details.html"
    detail_sections = {
        "File": ("file_name", "kind", "format", "merchant", "method", "provider", "uploaded_by", "created_at"),
        "Steps": ("status", "checked_at", "processed_by", "confirmed_at", "processed_at"),
    }
    needs = {
        "progress_view": READ,
        "live_view": READ,
        "errors_view": READ,
        "process_view": PROCESS,
        "check_view": PROCESS,
        "discard_view": PROCESS,
        "resume_view": PROCESS,
    }

    def _refresh_cache(self) -> None:
        # Amounts of several currencies in one cell, in files as on the screen.
        totals = self.columns["totals"]
        self.columns["totals"] = replace(totals, info={**totals.info, "text": totals_text})
        super()._refresh_cache()

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """Each currency's total by itself; numbers as people read them."""
        match column.key:
            case "status":
                return lambda row: status_badge(row.status)
            case "totals":
                return lambda row: _AMOUNTS.join(amounts(row.totals)) or ui.NOTHING
            case "rows_total" | "rows_invalid":
                grouped = speech().grouped
                return lambda row: grouped(getattr(row, column.name))
        return super().cell(column, names)

    def details_context(self, row: Batch) -> dict[str, Any]:
        """The batch, its rows as the address asks for them, and what can be done with it now."""
        may_process = current_actor().may(PROCESS)
        pays = row.kind is BatchKind.MASS_PAYMENT and row.status in CHECKED and not row.problems
        shown = covers(db.session(), row) if pays else []
        return super().details_context(row) | self.state(row) | {
            "covers": shown,
            "not_covered": why_not_covered(shown),
            "seen": step_of(row),
            "may_process": may_process,
            "may_order": may_process and row.why_not_processable is None and why_not_covered(shown) is None,
            "may_replace": may_process and row.status in OPEN,
            "may_check": may_process and row.status in CHECKED and not row.problems,
            "may_resume": may_process and stands_still(row),
            "may_see_workers": current_actor().may(Permission.SYSTEM_MONITORING_READ),
            "may_cancel": current_actor().may(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE),
            "replaces": self._replaced_by(row),
        }  # fmt: skip

    def _related(self, _row: Batch) -> Sequence[Any]:
        return ()  # what was made of a row stands in that row

    def may_upload(self) -> bool:
        """Whether the list leads to the upload."""
        return current_actor().may(PROCESS)

    def state(self, row: Batch) -> dict[str, Any]:
        """What changes while workers work: how far they are, the figures, the rows."""
        asked = preview.read(request.args)
        orders = row.kind is BatchKind.SINGLE_PAYMENT and row.status in preview.CONFIRMED
        charges = charge_counts(db.session(), row) if orders else {}
        return {
            "batch": row,
            "asked": asked,
            "rows": preview.fetch(row, asked),
            "step": step_of(row),
            "status": status_badge(row.status),
            "charges": [
                (label_of(status), tone_of(status), f"over {MOST_COUNTED:,}" if count is None else f"{count:,}")
                for status, count in charges.items()
            ],
            "is_moving": is_moving(row, charges),
            "has_later": ChargeStatus.SCHEDULED in charges,
            "all_amounts": amounts(row.totals),
            "valid_amounts": amounts(row.totals, "valid_minor"),
            "numbers": invalid_billing_numbers(db.session(), row, limit=MOST_NUMBERS) if row.rows_invalid else [],
            "address": f"{self.address}{row.id}/",
            "asks_code": error_count(row) > SMALL,
            "opens_charges": current_actor().may(Permission.SUBSCRIPTIONS_SUBSCRIPTION_READ),
            "opens_payments": current_actor().may(Permission.PAYMENTS_PAYMENT_READ),
            "opens_moves": current_actor().may(Permission.WALLETS_WALLET_READ),
        }

    @staticmethod
    def _replaced_by(row: Batch) -> Any:
        found = select(Batch.id, Batch.file_name).where(Batch.replaced_by_id == row.id)
        return db.session.execute(found).one_or_none()

    # --- while it is worked on ----------------------------------------------------------------------------------------

    @expose("/<int:row_id>/progress/")
    def progress_view(self, row_id: int) -> str:
        """How far the workers are; done when there is another step than the page has seen."""
        row = self.get_row(row_id)
        seen = request.args.get("seen", "")
        return self.render("batches/_progress.html", batch=row, step=step_of(row), seen=seen)

    @expose("/<int:row_id>/live/")
    def live_view(self, row_id: int) -> str:
        """The figures and the rows as they are now."""
        return self.render("batches/_live.html", **self.state(self.get_row(row_id)))

    # --- what is done with it -----------------------------------------------------------------------------------------

    @expose("/<int:row_id>/process/", methods=("GET", "POST"))
    def process_view(self, row_id: int) -> Any:
        """Confirm, with the counts and a fresh code, that the valid rows are processed."""
        return process_page(self.get_row(row_id), self.address)

    @expose("/<int:row_id>/check-again/", methods=("POST",))
    def check_view(self, row_id: int) -> Any:
        """Have the rows checked once more."""
        row = self.get_row(row_id)
        return self._done(row.id, _("The file is checked again."), batches.check_again, version=_seen())

    @expose("/<int:row_id>/discard/", methods=("POST",))
    def discard_view(self, row_id: int) -> Any:
        """Give the batch up."""
        row = self.get_row(row_id)
        return self._done(
            row.id, _("The batch is discarded. Nothing was processed."), batches.discard_batch, version=_seen()
        )

    @expose("/<int:row_id>/resume/", methods=("POST",))
    def resume_view(self, row_id: int) -> Any:
        """Have workers go on with a batch that stands still."""
        row = self.get_row(row_id)
        return self._done(
            row.id, _("Workers go on with the batch. What is done is not done again."), batches.resume_batch
        )

    def _done(self, batch_id: int, sentence: str, act: Any, **values: Any) -> Any:
        try:
            act(current_actor(), batch_id, **values)
        except Conflict as refusal:
            db.session.rollback()
            flash(refusal.sentence, "error")
        else:
            flash(sentence, "success")
        return redirect(url_for("batches.details_view", row_id=batch_id), 303)

    @expose("/<int:row_id>/errors.csv", methods=("GET", "POST"))
    def errors_view(self, row_id: int) -> Any:
        """The rows with errors as a file, by the rules of every export: a fresh code above 1,000 rows, the trail."""
        row = self.get_row(row_id)
        large = error_count(row) > SMALL
        if large and request.method == "GET":
            return self._confirm_errors(row, None)
        shown = preview.Shown(row.columns)
        head, found = error_table(
            db.session(), row, lambda errors, cells: (shown.errors(errors), shown.cells(cells, errors))
        )
        # A column that is none of ours may be named by anything, a person too.
        named = [key if key in preview.KNOWN or key in head[:2] else preview.HIDDEN for key in head]
        facts: dict[str, Any] = {"kind": "csv", "filter": f"errors of batch {row.id}", "columns": named}
        actor = current_actor()
        act, subject = _export_act(row)
        offer, code = request.form.get("offer", ""), request.form.get("code", "")
        confirm = (lambda work: step_up.spend(work, offer, code, act, subject)) if large else None
        try:
            started = records.start_export(actor, self.endpoint, permission=READ, confirm=confirm, **facts)
        except Invalid as refusal:
            db.session.rollback()
            return self._confirm_errors(self.get_row(row_id), refusal.sentence), 422

        def send() -> Iterator[bytes]:
            digest, size, count = hashlib.sha256(), 0, 0

            def lines() -> Iterator[Sequence[Any]]:
                nonlocal count
                for line in found:
                    count += 1
                    yield line

            for piece in csv_rows(head, lines()):
                data = ("" if size else "\ufeff").encode() + piece.encode()
                digest.update(data)
                size += len(data)
                yield data
            done = {"rows": count, "bytes": size, "sha256": digest.hexdigest()}
            records.finish_export(actor, self.endpoint, permission=READ, started=started, **facts, **done)

        answer = Response(stream_with_context(send()), content_type="text/csv; charset=utf-8")
        stem = "".join(mark if mark.isascii() and (mark.isalnum() or mark in "-_.") else "-" for mark in row.file_name)
        answer.headers["Content-Disposition"] = f'attachment; filename="errors-{PurePath(stem).stem}.csv"'
        return answer

    def _confirm_errors(self, row: Batch, problem: str | None) -> str:
        return self.render(
            "admin/model/export.html",
            title=_("Error file"),
            kind_label="CSV",
            count={"label": speech().grouped(error_count(row))},
            small=SMALL,
            later=False,
            offer=step_up.offer(current_actor(), *_export_act(row)),
            code_error=problem,
            post_url=url_for("batches.errors_view", row_id=row.id),
            back=f"{self.address}{row.id}/?only=errors",
            criteria=[(_("File name"), row.file_name), (_("Rows"), _("Only errors"))],
        )


def _export_act(row: Batch) -> tuple[str, dict[str, Any]]:
    """What the code of an error file is about."""
    return "batches.errors", {"batch": row.id, "content": row.content_hash, "rows": error_count(row)}


def _seen() -> int:
    """The version that the form showed; 0, which no row has, when it was tampered with."""
    return row_id_of(request.form.get("version", "")) or 0


def status_badge(status: BatchStatus) -> Markup:
    """The status of a batch."""
    return ui.badge(status.value, TONES.get(status, "plain"))


def amounts(totals: dict[str, dict[str, int]], part: str = "minor") -> list[Any]:
    """The total of each currency by itself (BA6)."""
    return [money_cell(sums[part], unit) for unit, sums in sorted(totals.items())]


def totals_text(totals: dict[str, dict[str, int]] | None) -> str:
    """The totals as one cell of a file."""
    return "; ".join(money_text(sums["minor"], unit) for unit, sums in sorted((totals or {}).items()))


def stands_still(row: Batch) -> bool:
    """Whether workers should have gone on long ago."""
    return row.status in WORKING and utcnow() - row.updated_at > STILL


def step_of(row: Batch) -> str:
    """What the page looks like, in a word: when it is another one, the page is read anew."""
    return f"{row.status.name}-STILL" if stands_still(row) else row.status.name


def is_moving(row: Batch, charges: Container[ChargeStatus]) -> bool:
    """Whether the rows are about to change by themselves: workers have them, or charge those of today."""
    if row.status in WORKING:
        return True
    is_fresh = row.processed_at is not None and utcnow() - row.processed_at < WATCHED_FOR
    if not is_fresh or row.kind is not BatchKind.SINGLE_PAYMENT:
        return False
    if any(status in charges for status in IN_HAND):
        return True
    if ChargeStatus.SCHEDULED not in charges:
        return False
    due = select(ScheduledCharge.id).where(
        ScheduledCharge.batch_id == row.id,
        ScheduledCharge.status == ChargeStatus.SCHEDULED,
        ScheduledCharge.due_date <= lists.today(),
    )
    return db.session.scalar(due.limit(1)) is not None
