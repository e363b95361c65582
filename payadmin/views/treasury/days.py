"""Cash register day: the days of desks, what they come to in each unit, and their closing (K-41, K-50)."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from flask import flash, redirect, request
from flask_admin import expose
from wtforms import Form, HiddenField, StringField
from wtforms.validators import InputRequired, Length, Optional

from payadmin.actions import treasury
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import _
from payadmin.models.audit import AuditEvent
from payadmin.models.treasury import CashDeskDay, DayStatus
from payadmin.models.wallets import REASON_LENGTH
from payadmin.permissions import Permission
from payadmin.queries.treasury import balances
from payadmin.queries.treasury.days import desk_behind, figures_of
from payadmin.views.columns import Column, unit_scale
from payadmin.views.fields import no_cards, no_controls, put
from payadmin.views.filters import row_id_of
from payadmin.views.registry import page
from payadmin.views.security import current_actor
from payadmin.views.treasury import counting, orders, till
from payadmin.views.treasury.counting import CountPages
from payadmin.views.treasury.shown import day_badge, of_own_desk, sees_every_desk

if TYPE_CHECKING:
    from sqlalchemy import Select

READ, DECIDE = Permission.CASH_DAY_READ, Permission.CASH_DAY_DECIDE


class ReturnForm(Form):
    """Why a day is counted again."""

    reason = StringField(
        "Reason",
        [InputRequired("Say why."), Length(max=REASON_LENGTH), no_controls, no_cards],
        description="The cashier reads it, and counts again.",
    )
    version = HiddenField()


class CloseForm(Form):
    """What the accountant says of the difference, if there is one."""

    reason = StringField(
        "Remark",
        [Optional(), Length(max=REASON_LENGTH), no_controls, no_cards],
        description="It stands beside the day for good.",
    )
    version = HiddenField()


@page(menu="cash-register-day")
class CashDaysPage(CountPages):
    """Every day of every desk; for a cashier, the own desk's."""

    model = CashDeskDay
    slug = "cash-register-day"
    heading = "Cash register day"
    plural = "Cash days"
    singular = "Cash day"
    subtitle = "The days of the cash desks. A cashier opens and counts a day, an accountant closes it."
    menu_view = "own_view"
    create = edit = delete = None
    export = READ
    column_list = (
        "business_date", "desk", "status", "opened_by", "opened_at", "close_requested_at", "decided_at",
    )  # fmt: skip
    column_filters = ("desk", "status", "business_date", "opened_by")
    column_sortable = ("id", "business_date")
    default_sort = "-business_date"
    labels = {"id": "Cash day"}
    tabs = "status"
    phone = {"business_date": "m1", "status": "m2", "desk": "m3", "opened_by": "m4"}
    list_also = ("status",)
    list_template = "treasury/days.html"
    details_template = "treasury/day.html"
    detail_sections = {
        "Cash day": ("desk", "business_date", "status", "opened_by", "opened_at"),
        "Count": ("close_requested_at", "close_requested_by", "rounds", "note"),
        "Decision": ("decided_at", "decided_by", "decision", "is_forced"),
    }
    needs = {
        "own_view": READ,
        "open_day_view": till.OPERATE,
        "close_view": DECIDE,
        "return_view": DECIDE,
        **orders.NEEDS,
        **counting.NEEDS,
    }

    def get_query(self) -> "Select[Any]":
        """All days; for a cashier those of the own desk."""
        return super().get_query().where(of_own_desk(CashDeskDay.desk_id))

    def render(self, template: str, **kwargs: Any) -> str:
        """Pages lead a cashier back to the own desk."""
        return str(
            super().render(template, may_operate=current_actor().may(till.OPERATE), own=self.own_address, **kwargs)
        )

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """A day by its number, its status as a badge."""
        if column.key == "status":
            return lambda row: day_badge(row.status)
        if column.key == "id":
            return lambda row: _("No. %(number)s", number=row.id)
        return super().cell(column, names)

    def details_context(self, row: CashDeskDay) -> dict[str, Any]:
        """What it comes to in each unit. What was expected is told to a cashier only when the day is closed (CA4)."""
        session, actor = db.session(), current_actor()
        desk = desk_behind(session, row)
        figures = figures_of(session, row, balances(session, [desk]).get(desk.id, {}))
        tells_all = sees_every_desk() or row.status is DayStatus.CLOSED
        shown = super().details_context(row)
        return shown | {
            "history": shown["history"] if tells_all else [_told(entry) for entry in shown["history"]],
            "desk": desk,
            "figures": figures,
            "tells_all": tells_all,
            "differs": any(each.difference_minor for each in figures),
            "scale": lambda unit: unit_scale(unit) or 0,
            "state": row.status.name,
            "badge_of": day_badge,
            "may_decide": actor.may(DECIDE),
            "may_force": actor.may(DECIDE) and row.status in {DayStatus.OPEN, DayStatus.RETURNED},
            "is_mine": row.opened_by_id == actor.staff_id,
        }

    # --- the accountant's decision ------------------------------------------------------------------------------------

    @expose("/<int:row_id>/close/", methods=("GET", "POST"))
    def close_view(self, row_id: int) -> Any:
        """Close a day that was counted; what is short or over is booked."""
        day = self.get_row(row_id)
        form = CloseForm(request.form if request.method == "POST" else None, data={"version": str(day.version)})
        sentence, status = None, 200 if request.method == "GET" else 422
        if request.method == "POST" and form.validate():
            try:
                treasury.close_day(
                    current_actor(),
                    row_id,
                    reason=form.reason.data or None,
                    version=row_id_of(form.version.data or "") or 0,
                )
            except (Invalid, Conflict) as refusal:
                db.session.rollback()
                status, sentence = refusal.status, put(form, refusal)
            else:
                flash("The day is closed.", "success")
                return redirect(f"{self.address}{row_id}/", 303)
        return self._decide_page(self.get_row(row_id), form, sentence, is_close=True), status

    @expose("/<int:row_id>/return/", methods=("GET", "POST"))
    def return_view(self, row_id: int) -> Any:
        """Have a day counted again, for a reason."""
        day = self.get_row(row_id)
        form = ReturnForm(request.form if request.method == "POST" else None, data={"version": str(day.version)})
        sentence, status = None, 200 if request.method == "GET" else 422
        if request.method == "POST" and form.validate():
            try:
                treasury.return_day(
                    current_actor(),
                    row_id,
                    reason=str(form.reason.data),
                    version=row_id_of(form.version.data or "") or 0,
                )
            except (Invalid, Conflict) as refusal:
                db.session.rollback()
                status, sentence = refusal.status, put(form, refusal)
            else:
                flash("The day is with the cashier again, to be counted.", "success")
                return redirect(f"{self.address}{row_id}/", 303)
        return self._decide_page(self.get_row(row_id), form, sentence, is_close=False), status

    def _decide_page(self, day: CashDeskDay, form: Form, sentence: str | None, *, is_close: bool) -> str:
        session = db.session()
        desk = desk_behind(session, day)
        figures = figures_of(session, day, balances(session, [desk]).get(desk.id, {}))
        return self.render(
            "treasury/decide.html",
            day=day, desk=desk, form=form, fields=list(form), sentence=sentence, figures=figures, tells_all=True,
            is_close=is_close, differs=any(each.difference_minor for each in figures),
            title=_("Close the day") if is_close else _("Return the day"), back=f"{self.address}{day.id}/",
            scale=lambda unit: unit_scale(unit) or 0,
        )  # fmt: skip


def _told(entry: AuditEvent) -> SimpleNamespace:
    """An entry of the trail without its figures: who did what and when, but not what the books expect."""
    kept = {name: getattr(entry, name) for name in ("event", "outcome", "reason", "actor_name", "at", "entity", "keys")}
    return SimpleNamespace(**kept, before=None, after=None)
