"""The working page of a cashier: the own desk, its day, and what can be done now (K-40, K-41)."""

from typing import Any

from flask import flash, redirect, url_for
from flask_admin import expose
from sqlalchemy import select
from werkzeug.wrappers import Response

from payadmin.actions import treasury
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.models.parties import Organization
from payadmin.models.treasury import (
    CashDesk,
    CashDeskDay,
    CashOperation,
    DayStatus,
    DeskStatus,
    SystemOperation,
    SystemStatus,
)
from payadmin.permissions import Permission
from payadmin.queries.treasury import balances, desk_of, open_day_of
from payadmin.queries.treasury.days import day_left_by, desk_behind, figures_of, payable_requests
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import unit_scale
from payadmin.views.security import current_actor
from payadmin.views.shell import address_of
from payadmin.views.treasury.shown import NO_DESK, day_badge, operation_url, payees

OPERATE = Permission.CASH_DAY_OPERATE
OPERATIONS_SHOWN = 20
SYSTEM_SHOWN = 10


class TillPages(PayAdminModelView):
    """What a cashier does at the own desk, before any operation."""

    # --- what stands where --------------------------------------------------------------------------------------------

    @property
    def own_address(self) -> str:
        """The cashier's working page."""
        return url_for(f"{self.endpoint}.own_view")

    def own_desk(self) -> CashDesk:
        """The desk at which the person signed in works.

        Raises:
            Conflict: there is none.
        """
        desk = desk_of(db.session(), current_actor().staff_id or 0)
        if desk is None:
            raise Conflict(NO_DESK)
        return desk

    def own_day(self) -> tuple[CashDesk, CashDeskDay]:
        """The own desk and its day that is not closed; without a desk, the day that one has opened and must count.

        Raises:
            Conflict: no desk, or no day.
        """
        session, staff_id = db.session(), current_actor().staff_id or 0
        if desk_of(session, staff_id) is None and (left := day_left_by(session, staff_id)) is not None:
            return desk_behind(session, left), left
        desk = self.own_desk()
        day = open_day_of(db.session(), desk.id)
        if day is None:
            raise Conflict("The day of your desk is not open. Open it first.")
        return desk, day

    # --- the page -----------------------------------------------------------------------------------------------------

    @expose("/own/")
    def own_view(self) -> Any:
        """A cashier's desk and day; everybody else goes to the list of days."""
        actor = current_actor()
        if not actor.may(OPERATE):
            return redirect(self.address)
        session = db.session()
        desk = desk_of(session, actor.staff_id or 0)
        day = open_day_of(session, desk.id) if desk is not None else day_left_by(session, actor.staff_id or 0)
        is_here = desk is not None
        if desk is None and day is not None:
            desk = desk_behind(session, day)
        shown: dict[str, Any] = {
            "desk": desk,
            "organization": "",
            "day": day,
            "state": "NO_DESK",
            "figures": [],
            "lies": {},
        }
        if desk is not None:
            lies = balances(session, [desk]).get(desk.id, {})
            shown["state"] = _state(desk, day) if is_here else "LEFT"
            shown["lies"] = {unit: minor for unit, minor in sorted(lies.items()) if minor} if day is None else {}
            shown["organization"] = _organization(desk)
            if day is not None:
                shown["figures"] = figures_of(session, day, lies)
                shown |= self._doings(day)
                shown["waiting"] = _waiting_for(desk, day)
                shown["to_pay"] = len(payable_requests(session))
        return self.render(
            "treasury/own.html",
            scale=lambda unit: unit_scale(unit) or 0,
            day_badge=day_badge,
            OPEN=DayStatus.OPEN,
            differs=any(each.difference_minor for each in shown["figures"]),
            **shown,
        )

    def _doings(self, day: CashDeskDay) -> dict[str, Any]:
        session = db.session()
        wanted = select(CashOperation).where(CashOperation.day_id == day.id).order_by(CashOperation.receipt.desc())
        operations = session.scalars(wanted.limit(OPERATIONS_SHOWN)).all()
        return {
            "operations": operations,
            "people": payees([row.wallet_id for row in operations]),
            "operation_url": operation_url,
            "operations_url": url_for("cash_operations.index_view", day=day.id),
        }

    @expose("/own/open/", methods=("POST",))
    def open_day_view(self) -> Response:
        """Open the day of the own desk; opened twice, the second is told."""
        try:
            treasury.open_day(current_actor(), self.own_desk().id)
        except (Invalid, Conflict) as refusal:
            flash(refusal.sentence, "error")
        else:
            flash("The day is open.", "success")
        return redirect(self.own_address, 303)


def _state(desk: CashDesk, day: CashDeskDay | None) -> str:
    if desk.status is not DeskStatus.ACTIVE:
        return desk.status.name
    return "NO_DAY" if day is None else day.status.name


def _organization(desk: CashDesk) -> str:
    return db.session.get_one(Organization, desk.organization_id).name


def _waiting_for(desk: CashDesk, day: CashDeskDay) -> list[tuple[SystemOperation, str | None]]:
    """The system operations that concern the desk: those that wait, and this day's; with where to acknowledge each."""
    wanted = (
        select(SystemOperation)
        .where(
            SystemOperation.desk_id == desk.id,
            (SystemOperation.status == SystemStatus.INITIATED)
            | (SystemOperation.day_id == day.id)
            | ((SystemOperation.status == SystemStatus.CONFIRMED) & SystemOperation.acknowledged_at.is_(None)),
        )
        .order_by(SystemOperation.id.desc())
        .limit(SYSTEM_SHOWN)
    )
    can = address_of("system_operations.index_view") is not None
    return [
        (
            row,
            f"{address_of('system_operations.index_view')}{row.id}/acknowledge/"
            if can and row.status in {SystemStatus.CONFIRMED, SystemStatus.REVERSED} and row.acknowledged_at is None
            else None,
        )
        for row in db.session.scalars(wanted)
    ]
