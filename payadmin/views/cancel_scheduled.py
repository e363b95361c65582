"""Cancel scheduled (S2:62-66): find execute dates by billing or invoice number, choose some, one code confirms."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Flask, render_template, request
from sqlalchemy import or_, select
from werkzeug.wrappers import Response
from wtforms import Form, StringField
from wtforms.validators import Length

from payadmin.actions.subscriptions import MOST_AT_ONCE
from payadmin.db import db
from payadmin.kernel.errors import Forbidden
from payadmin.models.batches import BatchRow
from payadmin.models.subscriptions import (
    IN_HAND,
    ChargeStatus,
    ScheduledCharge,
    Subscription,
    why_not_cancellable,
)
from payadmin.views import dates, lists
from payadmin.views.columns import unit_scale
from payadmin.views.dates import CANCEL, WRITE
from payadmin.views.fields import no_controls
from payadmin.views.filters import begins_with
from payadmin.views.search import SHORTEST_PREFIX
from payadmin.views.security import current_actor

MOST_SUBSCRIPTIONS = 50
MOST_LOOKED_AT = 2_000
# What is past its day but not over, next to everything from today on.
OPEN = (ChargeStatus.SCHEDULED, ChargeStatus.RETRY_WAIT, ChargeStatus.MISSED, *IN_HAND)

blueprint = Blueprint("cancel_scheduled", __name__)


class SearchForm(Form):
    """S2's two keys; one of them may be left empty, not both."""

    billing_number = StringField(
        "Billing number", [Length(max=64, message="A billing number has at most 64 characters."), no_controls]
    )
    invoice_number = StringField(
        "Invoice number", [Length(max=64, message="An invoice number has at most 64 characters."), no_controls]
    )

    def given(self) -> dict[str, str]:
        """The keys that were filled in."""
        return {name: text for name, value in self.data.items() if (text := (value or "").strip())}


@blueprint.before_request
def _gate() -> None:
    if not current_actor().may(WRITE):
        raise Forbidden("Your role does not include this page.")


@blueprint.get("/cancel-scheduled/")
def search() -> str:
    """The execute dates that two numbers find; each that can still be cancelled can be chosen."""
    form = SearchForm(request.args)
    given = form.given() if form.validate() else {}
    found = find(given, lists.today()) if given else Found()
    return render_template(
        "scheduled/search.html",
        form=form,
        given=given,
        listed=urlencode(given),
        rows=[(row, why_not_cancellable(row)) for row in found.rows],
        found=found,
        limit=MOST_AT_ONCE,
        scales={unit: unit_scale(unit) or 0 for unit in {row.unit for row in found.rows}},
        **dates.cells(),
    )


@blueprint.post("/cancel-scheduled/choose/")
def choose() -> Response:
    """Freeze the chosen dates and go to the confirmation."""
    return dates.choose(CANCEL)


@blueprint.route("/cancel-scheduled/<token>/", methods=("GET", "POST"))
def confirm(token: str) -> Any:
    """Confirm with a reason and one code, then see what became of every date."""
    return dates.confirm(CANCEL, token)


@dataclass(frozen=True)
class Found:
    """The execute dates that a search found, from the earliest on.

    Attributes:
        is_cut: there are more than are shown.
        is_prefix: no number is exactly what was typed; these begin with it.
    """

    rows: Sequence[Any] = ()
    is_cut: bool = False
    is_prefix: bool = False


def find(given: dict[str, str], today: dt.date) -> Found:
    """The execute dates of the numbers that are exactly what was typed; if there are none, that begin with it.

    Every step is bounded and goes through an index, whatever is typed: numbers first, then the dates that they have.

    Args:
        given: `billing_number` and `invoice_number`, one of them at least.
        today: the business day; what is over and before it is left out.
    """
    billing, invoice = given.get("billing_number"), given.get("invoice_number")
    number, is_cut, is_prefix = ScheduledCharge.invoice_number, False, False
    is_open = or_(ScheduledCharge.due_date >= today, ScheduledCharge.status.in_(OPEN))
    statement = (
        dates.shown().where(is_open).order_by(ScheduledCharge.due_date, ScheduledCharge.id).limit(MOST_AT_ONCE + 1)
    )
    if billing is not None:
        ids, is_cut, is_prefix = _look_up(Subscription.billing_number, billing, MOST_SUBSCRIPTIONS)
        # Registered or not, single payments may have been ordered under the number.
        row_ids, rows_cut, rows_prefix = _look_up(BatchRow.billing_number, billing, MOST_LOOKED_AT, is_open)
        exact = [found for found, begins in ((ids, is_prefix), (row_ids, rows_prefix)) if found and not begins]
        if exact:
            ids, row_ids = (ids if not is_prefix else []), (row_ids if not rows_prefix else [])
        is_cut, is_prefix = is_cut or rows_cut, (is_prefix or rows_prefix) and not exact
        statement = statement.where(
            or_(ScheduledCharge.subscription_id.in_(ids), ScheduledCharge.batch_row_id.in_(row_ids))
        )
        if invoice is not None:
            statement = statement.where(_begins(number, invoice))
    elif invoice is not None:
        ids, is_cut, is_prefix = _look_up(number, invoice, MOST_LOOKED_AT)
        statement = statement.where(ScheduledCharge.id.in_(ids))
    rows = db.session.execute(statement).all()
    same = [row for row in rows if row.invoice_number == invoice]
    is_prefix = is_prefix or bool(invoice is not None and rows and not same)
    rows = same or rows
    return Found(rows[:MOST_AT_ONCE], is_cut or len(rows) > MOST_AT_ONCE, is_prefix)


def _look_up(key: Any, text: str, most: int, is_open: Any = None) -> tuple[list[int], bool, bool]:
    """Rows whose number is `text`, else those whose number begins with it; whether there are more; which it was.

    Args:
        is_open: only rows of a batch whose charge satisfies this.
    """
    by_number = select(key.class_.id, key).where(_begins(key, text)).order_by(key, key.class_.id).limit(most + 1)
    if is_open is not None:
        by_number = by_number.join(ScheduledCharge, ScheduledCharge.batch_row_id == key.class_.id).where(is_open)
    rows = db.session.execute(by_number).all()
    exact = [row_id for row_id, found in rows if found == text]
    if exact:
        return exact[:most], len(exact) > most, False
    return [row_id for row_id, _ in rows[:most]], len(rows) > most, bool(rows)


def _begins(key: Any, text: str) -> Any:
    return begins_with(key, text) if len(text) >= SHORTEST_PREFIX else key == text


def init_cancel_scheduled(app: Flask) -> None:
    """Add the page to the menu."""
    app.register_blueprint(blueprint)
    app.extensions["payadmin.pages"]["cancel-scheduled"] = "cancel_scheduled.search"
