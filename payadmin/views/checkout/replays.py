"""Replays: what the new rules would have offered to the payments of the last days, and to whom not the same."""

from collections.abc import Sequence
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask_admin import expose
from sqlalchemy import select
from werkzeug.wrappers import Response
from wtforms import Form
from wtforms.validators import InputRequired

from payadmin.actions import checkout
from payadmin.actions.checkout.replays import LISTED_MOST, MOST_DAYS
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import NumberText, _
from payadmin.models.checkout import CheckoutChange, CheckoutReplay, CheckoutRuleset, ReplayStatus
from payadmin.models.payments import Mode
from payadmin.permissions import Permission
from payadmin.views import ui
from payadmin.views.base import PayAdminModelView
from payadmin.views.checkout.shown import as_numbers, version_cell
from payadmin.views.columns import Column, zone
from payadmin.views.fields import NumberField
from payadmin.views.registry import page
from payadmin.views.security import current_actor
from payadmin.views.shell import current_mode

READ = Permission.CHECKOUT_RULE_READ
LATEST_SHOWN = 5
MOVES_SHOWN = 50
TONES = {
    ReplayStatus.QUEUED: "info",
    ReplayStatus.RUNNING: "info",
    ReplayStatus.DONE: "ok",
    ReplayStatus.CANCELLED: "plain",
    ReplayStatus.FAILED: "bad",
}


class DaysForm(Form):
    """How far back to go."""

    days = NumberField(
        "Payments of the last days",
        [InputRequired("This is needed.")],
        description=_("From 1 to %(most)s, today included.", most=NumberText(MOST_DAYS)),
        render_kw={"inputmode": "numeric", "autocomplete": "off"},
    )


@page(menu="")
class ReplaysPage(PayAdminModelView):
    """Every replay, with how far it is and what it found."""

    model = CheckoutReplay
    slug = "checkout-replays"
    plural = "Replays"
    singular = "Replay"
    heading = "Replays of payments"
    subtitle = "Payments that were decided again by other rules. Nothing of it happens to the payments."
    read = READ
    create = edit = delete = export = None
    column_list = (
        "id",
        "ruleset_id",
        "against_id",
        "days",
        "status",
        "rows_done",
        "changed",
        "lost",
        "requester",
        "created_at",
    )
    column_filters = ("ruleset_id", "created_at")
    column_sortable = ("created_at", "id")
    default_sort = "-id"
    labels = {"id": "Replay"}
    phone = {"id": "m1", "changed": "m2", "status": "m3", "created_at": "m4"}
    list_also = ("status",)
    list_template = "checkout/replays.html"
    details_template = "checkout/replay.html"
    detail_sections = {
        "Replay": ("ruleset_id", "against_id", "days", "since", "until", "mode", "requester", "created_at", "done_at"),
    }
    needs = {"progress_view": READ, "cancel_view": READ}

    def _refresh_cache(self) -> None:
        as_numbers(self.columns, "ruleset_id", "against_id")
        super()._refresh_cache()

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """The number as people call it, the status as a badge."""
        if column.key == "id":
            return lambda row: _("Replay %(number)s", number=row.id)
        if column.key == "status":
            return replay_badge
        if column.key in {"ruleset_id", "against_id"}:
            return version_cell(column, _("No rules"))
        return super().cell(column, names)

    def describe(self, row: Any) -> str:
        """Replay and number."""
        return _("Replay %(number)s", number=row.id)

    def details_context(self, row: CheckoutReplay) -> dict[str, Any]:
        """How far it is, what moved from which rule to which, and the first payments."""
        return super().details_context(row) | {
            "related": [],
            "replay": row,
            "moves": row.moves[:MOVES_SHOWN],
            "more_moves": max(len(row.moves) - MOVES_SHOWN, 0),
            "listed_most": LISTED_MOST,
            "changes_url": url_for("checkout_changes.index_view", replay_id=row.id),
            "badge_of": replay_badge,
        }

    @expose("/<int:row_id>/progress/")
    def progress_view(self, row_id: int) -> str:
        """How far it is: the fragment that its page polls."""
        return render_template("checkout/_progress.html", replay=self.get_row(row_id), badge_of=replay_badge)

    @expose("/<int:row_id>/cancel/", methods=("POST",))
    def cancel_view(self, row_id: int) -> Response:
        """Stop it; what it has found so far stays."""
        self.get_row(row_id)
        try:
            checkout.cancel_replay(current_actor(), row_id)
        except Conflict as refusal:
            flash(refusal.sentence, "error")
        return redirect(f"{self.address}{row_id}/", 303)


@page(menu="")
class ChangesPage(PayAdminModelView):
    """The payments that a replay found to be offered something else."""

    model = CheckoutChange
    slug = "checkout-changes"
    plural = "Payments that would change"
    singular = "Payment that would change"
    subtitle = "Found by a replay: what each payment was offered by the old rules, and would be by the new ones."
    read = READ
    create = edit = delete = None
    column_list = ("payment", "amount", "paid_by", "old_rule", "new_rule", "old_methods", "new_methods", "is_lost")
    column_filters = ("replay_id", "is_lost", "payment")
    column_sortable = ("id",)
    default_sort = "id"
    phone = {"payment": "m1", "amount": "m2", "new_rule": "m3", "is_lost": "m4"}

    def _refresh_cache(self) -> None:
        as_numbers(self.columns, "replay_id")
        super()._refresh_cache()

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """Rules and methods in words; no rule is said, too."""
        if column.key in {"old_rule", "new_rule"}:
            nothing = _("No rule")
            return lambda row: getattr(row, column.name) or nothing
        if column.key in {"old_methods", "new_methods"}:
            none = _("Nothing")
            return lambda row: ", ".join(getattr(row, column.name)) or none
        return super().cell(column, names)


def replay_badge(row: Any) -> Any:
    """Where a replay stands, as a badge."""
    return ui.badge(row.status.value, TONES[row.status])


def latest_of(ruleset_id: int) -> Sequence[CheckoutReplay]:
    """The newest replays of a version."""
    found = select(CheckoutReplay).where(CheckoutReplay.ruleset_id == ruleset_id)
    return db.session.scalars(found.order_by(CheckoutReplay.id.desc()).limit(LATEST_SHOWN)).all()


def start_page(ruleset: CheckoutRuleset, back: str) -> Response:
    """Start a replay of a version and go where it can be watched."""
    form = DaysForm(request.form)
    ruleset_id = ruleset.id
    if not form.validate():
        flash(form.days.errors[0], "error")
        return redirect(f"{back}#replay", 303)
    try:
        replay = checkout.start_replay(
            current_actor(), ruleset_id, days=int(form.days.data or 0), zone=zone(), mode=Mode[current_mode()]
        )
    except (Invalid, Conflict) as refusal:
        db.session.rollback()
        flash(refusal.sentence, "error")
        return redirect(f"{back}#replay", 303)
    return redirect(url_for("checkout_replays.details_view", row_id=replay.id), 303)
