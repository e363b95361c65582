"""S2's Manage recurring: find by Customer ID or Billing Number, then edit, inactivate, change or delete (B-30)."""

from collections.abc import Iterator, Sequence
from typing import Any

from flask import Blueprint, Flask, render_template, request
from sqlalchemy import Select, select
from wtforms import Form, StringField
from wtforms.validators import Length

from payadmin.db import db
from payadmin.kernel.errors import Forbidden
from payadmin.kernel.text import _
from payadmin.models.parties import Customer
from payadmin.models.subscriptions import Subscription, schedule_of
from payadmin.permissions import Permission
from payadmin.queries.subscriptions import next_payment_dates
from payadmin.views import lists
from payadmin.views.columns import day_cell, masked, money_cell
from payadmin.views.fields import no_controls
from payadmin.views.filters import begins_with
from payadmin.views.search import SHORTEST_PREFIX
from payadmin.views.security import current_actor
from payadmin.views.subscriptions.acts import ACTS, Act
from payadmin.views.subscriptions.rows import live, status_cell

MOST_FOUND = 50
MOST_LATEST = 20
MOST_CUSTOMERS = 1_000

blueprint = Blueprint("manage_recurring", __name__)


class SearchForm(Form):
    """S2's two keys; either may be left empty."""

    customer_id = StringField("Customer ID", [Length(max=64), no_controls])
    billing_number = StringField("Billing number", [Length(max=64), no_controls])

    def given(self) -> dict[str, str]:
        """The keys that were filled in."""
        return {name: text for name, value in self.data.items() if (text := (value or "").strip())}


@blueprint.get("/manage-recurring/")
def search() -> Any:
    """The search with what it finds; without one, what was registered last."""
    if not current_actor().may(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE):
        raise Forbidden("Your role does not include this page.")
    form = SearchForm(request.args)
    sound = form.validate()
    given = form.given() if sound else {}
    most = MOST_FOUND if given else MOST_LATEST
    found = _find(given, most + 1) if sound else ()
    rows, name = found[:most], masked("name")
    next_dates = next_payment_dates(db.session(), [row.Subscription.id for row in rows], today=lists.today())
    return render_template(
        "subscriptions/manage.html",
        form=form,
        given=given,
        sound=sound,
        rows=[
            {
                "subscription": row.Subscription,
                "customer": row.external_id,
                "name": name(row.name),
                "schedule": _schedule(row.Subscription),
                "next": day_cell(next_dates.get(row.Subscription.id)),
                "status": status_cell(row.Subscription),
                "amount": money_cell(row.Subscription.amount_minor, row.Subscription.unit),
                "acts": list(_offered(row.Subscription)),
            }
            for row in rows
        ],
        more=len(found) > most,
        limit=most,
        listed=request.query_string.decode("ascii", "ignore") if given else "",
    )


def _schedule(row: Subscription) -> str | None:
    if row.schedule_kind is None:
        return None
    return str(schedule_of(row) or _("Cannot be read"))


def _offered(row: Subscription) -> Iterator[tuple[Act, str | None]]:
    """The edit menu (B-30): one button is either Inactivate or Activate, whichever is possible (B-34)."""
    for act in ACTS:
        why = act.why_not(row)
        if act.in_menu and not (why and act.name in {"activate", "inactivate"}):
            yield act, why


def _find(given: dict[str, str], most: int) -> Sequence[Any]:
    statement: Select[Any] = (
        live()
        .join(Customer, Customer.id == Subscription.customer_id)
        .add_columns(Customer.external_id, Customer.name)
        .order_by(Subscription.created_at.desc(), Subscription.id.desc())
        .limit(most)
    )
    if (number := given.get("billing_number")) is not None:
        statement = statement.where(_is_or_begins(Subscription.billing_number, number))
    if (customer := given.get("customer_id")) is not None:
        # Looked up first, so that few customers are joined rather than all subscriptions read.
        known = select(Customer.id).where(_is_or_begins(Customer.external_id, customer)).limit(MOST_CUSTOMERS)
        statement = statement.where(Subscription.customer_id.in_(db.session.scalars(known).all()))
    return db.session.execute(statement).all()


def _is_or_begins(attr: Any, text: str) -> Any:
    return begins_with(attr, text) if len(text) >= SHORTEST_PREFIX else attr == text


def init_manage_recurring(app: Flask) -> None:
    """Add Manage recurring to the menu."""
    app.register_blueprint(blueprint)
    app.extensions["payadmin.pages"]["manage-recurring"] = "manage_recurring.search"
