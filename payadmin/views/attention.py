"""Needs attention: the work queue of recurring charges. What it shows waits for a person, and for nobody else."""

import datetime as dt
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import Blueprint, Flask, current_app, render_template, request, url_for
from sqlalchemy import Select, func, literal, select
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from payadmin.actions.subscriptions import CATCH_UP_MOST, MOST_AT_ONCE
from payadmin.db import db
from payadmin.kernel.errors import Forbidden, NotFound
from payadmin.kernel.text import _
from payadmin.models.parties import Customer
from payadmin.models.subscriptions import (
    PLANNED,
    UNDECIDED,
    ChargeAttempt,
    ChargeStatus,
    ScheduledCharge,
    Subscription,
    SubscriptionStatus,
)
from payadmin.permissions import Permission
from payadmin.queries.subscriptions import BILLING_NUMBER, CUSTOMER_ID, with_orders
from payadmin.views import dates, lists, shell
from payadmin.views.columns import PAGE_OF, unit_scale
from payadmin.views.dates import CHARGE, LET_GO, WRITE, Act
from payadmin.views.filters import BadAddress, moment_of
from payadmin.views.security import current_actor

READ = Permission.SUBSCRIPTIONS_SUBSCRIPTION_READ
# A charge that failed today fell due by then: retries stretch over weeks, not over more.
FAILED_WITHIN_DAYS = 60
STOPPED = (SubscriptionStatus.ON_HOLD, SubscriptionStatus.ABORTED)
MENU_MOST = 99
KEPT = "payadmin.attention.count"
ACTS = {act.name: act for act in (CHARGE, LET_GO)}

blueprint = Blueprint("attention", __name__)


@dataclass(frozen=True)
class Group:
    """One kind of work.

    Attributes:
        key: its word in the address.
        label: what its tab says.
        waits: whether somebody has to do something about it; news need not be done.
        model: what its rows are.
        scope: its rows.
        sort: the order they are worked off in.
        empty: what an empty group says.
    """

    key: str
    label: str
    waits: bool
    model: type[Any]
    scope: Callable[[], "Select[Any]"]
    sort: str
    names: tuple[str, ...]
    empty: tuple[str, str]


CHARGE_NAMES = (
    "due_date",
    "invoice_number",
    "status",
    "amount_minor",
    "unit",
    "attempts",
    "message",
    "subscription_id",
    "updated_at",
)


def _missed() -> "Select[Any]":
    return select(ScheduledCharge).where(ScheduledCharge.status == ChargeStatus.MISSED)


def _undecided() -> "Select[Any]":
    return select(ScheduledCharge).where(ScheduledCharge.needs_staff)


def _stopped() -> "Select[Any]":
    return select(Subscription).where(Subscription.status.in_(STOPPED), Subscription.deleted_at.is_(None))


def _unplanned() -> "Select[Any]":
    # Also one that ended meanwhile leaves this list: it is not planned any more.
    conditions = Subscription.plan_failed_at.is_not(None), Subscription.status.in_(PLANNED)
    return select(Subscription).where(*conditions, Subscription.deleted_at.is_(None))


def _failed_today() -> "Select[Any]":
    today = lists.today()
    return select(ScheduledCharge).where(
        ScheduledCharge.status == ChargeStatus.FAILED,
        ScheduledCharge.due_date.between(today - dt.timedelta(days=FAILED_WITHIN_DAYS), today),
        ScheduledCharge.updated_at >= moment_of(today),
    )


GROUPS: Mapping[str, Group] = {
    group.key: group
    for group in (
        Group(
            "missed", _("Missed dates"), True, ScheduledCharge, _missed, "due_date", CHARGE_NAMES,
            (_("No missed dates"), _("Every execute date ran in time. One that cannot run for two days appears here.")),
        ),
        Group(
            "decisions", _("Need a decision"), True, ScheduledCharge, _undecided, "due_date", CHARGE_NAMES,
            (_("No charge needs a decision"), _("What the provider says and what is shown here agree.")),
        ),
        Group(
            "stopped", _("Stopped subscriptions"), True, Subscription, _stopped, "-created_at",
            (
                "subscription_id", "billing_number", "status", "customer_id", "amount_minor", "unit",
                "consecutive_failures",
            ),
            (_("No stopped subscriptions"), _("None is on hold or aborted because its retries were used up.")),
        ),
        Group(
            "unplanned", _("Not planned"), True, Subscription, _unplanned, "-created_at",
            ("subscription_id", "billing_number", "status", "customer_id", "amount_minor", "unit", "plan_failed_at"),
            (_("Every subscription is planned"), _("One whose schedule nobody can read appears here.")),
        ),
        Group(
            "failed", _("Failed today"), False, ScheduledCharge, _failed_today, "-due_date", CHARGE_NAMES,
            (_("No charge failed today"), _("A charge that is declined for good appears here until the day ends.")),
        ),
    )
}  # fmt: skip


@blueprint.before_request
def _gate() -> None:
    if not current_actor().may(READ):
        raise Forbidden("Your role does not include this page.")


@blueprint.get("/needs-attention/")
def index() -> str:
    """One group of the queue, page by page, beside how much is in the others."""
    counts = waiting()
    args = MultiDict(request.args)
    wanted = args.poplist("group")
    key = wanted[0] if wanted else next((key for key in GROUPS if counts[key] != "0"), "missed")
    if key not in GROUPS or len(wanted) > 1:
        raise BadAddress("There is no such group of work.")
    group = GROUPS[key]
    shape = shape_of(group)
    asked = lists.read(shape, args)
    page = lists.fetch(asked, group.scope(), group.names)
    place: dict[str, Any] = dict([("group", key), *asked.pairs()])
    return render_template(
        "attention/index.html",
        group=group,
        tabs=[(each, counts[each.key], url_for("attention.index", group=each.key)) for each in GROUPS.values()],
        is_quiet=all(counts[each.key] == "0" for each in GROUPS.values() if each.waits),
        page=page,
        rows=page.rows,
        asked=asked,
        here=url_for("attention.index", **place),
        turn=lambda **cursor: url_for("attention.index", **place, **cursor),
        listed=request.query_string.decode("ascii", "replace")[:1000],
        may_write=current_actor().may(WRITE),
        cap=CATCH_UP_MOST,
        most=MOST_AT_ONCE,
        scales={unit: unit_scale(unit) or 0 for unit in {row.unit for row in page.rows}},
        **_around(group, page.rows),
        **dates.cells(),
    )


@blueprint.post("/needs-attention/<act>/")
def choose(act: str) -> Response:
    """Freeze the chosen missed dates and go to the confirmation."""
    return dates.choose(_allowed(act))


@blueprint.route("/needs-attention/<act>/<token>/", methods=("GET", "POST"))
def act_page(act: str, token: str) -> Any:
    """Confirm what happens to missed dates, then see what became of each."""
    return dates.confirm(_allowed(act), token)


def _allowed(name: str) -> Act:
    if not current_actor().may(WRITE):
        raise Forbidden("Your role does not include this.")
    act = ACTS.get(name)
    if act is None:
        raise NotFound("There is nothing like this to do.")
    return act


def waiting() -> dict[str, str]:
    """How much is in each group: one statement, each count capped."""
    counts = [lists.capped(group.scope()).label(group.key) for group in GROUPS.values()]
    numbers = db.session.execute(select(*counts)).one()
    return {
        key: f"{lists.COUNT_CAP:,}+" if number > lists.COUNT_CAP else f"{number:,}"
        for key, number in zip(GROUPS, numbers, strict=True)
    }


def menu_count() -> str:
    """How much needs somebody, as the menu says it: up to 99, remembered for a few seconds."""
    kept: tuple[float, str] = current_app.extensions.get(KEPT, (0.0, ""))
    if kept[0] > time.monotonic() and not current_app.testing:
        return kept[1]
    few = [group.scope().with_only_columns(literal(1)).limit(MENU_MOST + 1) for group in GROUPS.values() if group.waits]
    counts = [select(func.count()).select_from(some.subquery()).scalar_subquery() for some in few]
    number = sum(db.session.execute(select(*counts)).one())
    text = f"{MENU_MOST}+" if number > MENU_MOST else str(number or "")
    current_app.extensions[KEPT] = (time.monotonic() + lists.TAB_SECONDS, text)
    return text


def shape_of(group: Group) -> lists.Shape:
    """The list machinery of the rows' own page, in the order of the queue."""
    shape: lists.Shape = current_app.extensions[PAGE_OF][group.model].shape
    column = shape.columns[group.sort.removeprefix("-")]
    sort = lists.Sort(column, group.sort.startswith("-"))
    return replace(shape, name=f"attention.{group.key}", default_sort=sort, filters={}, sortable={column.key: column})


def _around(group: Group, rows: Sequence[Any]) -> dict[str, Any]:
    """What stands beside the rows of a page: their people and numbers, what is undecided, why it stopped."""
    ids = [row.id for row in rows]
    if group.model is Subscription:
        customers = _customers(row.customer_id for row in rows)
        last = _last_failures(ids) if group.key == "stopped" else {}
        return {"customers": customers, "orders": {}, "undecided": set(), "last": last}
    found = db.session.execute(
        with_orders(
            select(
                ScheduledCharge.id,
                BILLING_NUMBER.label("billing_number"),
                CUSTOMER_ID.label("customer_id"),
                Subscription.status,
            ).select_from(ScheduledCharge)
        ).where(ScheduledCharge.id.in_(ids))
    ).all()
    undecided = select(ChargeAttempt.scheduled_charge_id).where(
        ChargeAttempt.scheduled_charge_id.in_(ids), ChargeAttempt.state.in_(UNDECIDED)
    )
    return {
        "customers": _customers(row.customer_id for row in found),
        "orders": {row.id: row for row in found},
        "undecided": set(db.session.scalars(undecided)),
        "last": {},
    }


def _customers(ids: Iterable[int]) -> dict[int, str]:
    found = select(Customer.id, Customer.name).where(Customer.id.in_(set(ids)))
    return {row.id: row.name for row in db.session.execute(found)}


def _last_failures(subscription_ids: Sequence[int]) -> dict[int, Any]:
    """The newest failed charge of each subscription: what it said, and when it was due."""
    newest = (
        select(ScheduledCharge.subscription_id, func.max(ScheduledCharge.due_date).label("due_date"))
        .where(ScheduledCharge.subscription_id.in_(subscription_ids), ScheduledCharge.status == ChargeStatus.FAILED)
        .group_by(ScheduledCharge.subscription_id)
        .subquery()
    )
    found = select(
        ScheduledCharge.id, ScheduledCharge.subscription_id, ScheduledCharge.due_date, ScheduledCharge.message
    ).join(
        newest,
        (newest.c.subscription_id == ScheduledCharge.subscription_id) & (newest.c.due_date == ScheduledCharge.due_date),
    )
    return {row.subscription_id: row for row in db.session.execute(found)}


def init_attention(app: Flask) -> None:
    """Add the page to the menu, with how much waits on it."""
    app.register_blueprint(blueprint)
    app.extensions.setdefault(shell.COUNTS, {})["needs-attention"] = menu_count
    app.extensions["payadmin.pages"]["needs-attention"] = "attention.index"
