"""Register a subscription from the back office: who pays whom, how much, with what, and when."""

import calendar
import datetime as dt
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from sqlalchemy import select
from wtforms import Field, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import DataRequired, InputRequired, Length, Optional, Regexp, ValidationError

from payadmin.actions import subscriptions as recurring
from payadmin.db import db
from payadmin.kernel.errors import Refusal
from payadmin.kernel.text import _
from payadmin.models.payments import PaymentMethod, Unit
from payadmin.models.subscriptions import Purpose, SubscriptionOrigin
from payadmin.providers import CONNECTED
from payadmin.views import lists
from payadmin.views.columns import Column, titles_of, unit_scale, zone
from payadmin.views.fields import EnumField, LinkField, MoneyField, SelectField, no_cards, no_controls, put
from payadmin.views.filters import MOST_OPTIONS
from payadmin.views.security import current_actor
from payadmin.views.subscriptions.act_forms import policy_choices, policy_id_of
from payadmin.views.subscriptions.schedule_form import ScheduleForm, preview_context, wants_preview

_EXPIRY = re.compile(r"(0?[1-9]|1[0-2])\s*/\s*((?:20)?[0-9]{2})", re.ASCII)
NEEDED = "This is needed."


class CardMonthField(StringField):
    """A card's expiry as it stands on the card; the data is the last day of that month."""

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        return f"{self.data:%m/%y}" if isinstance(self.data, dt.date) else ""

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read MM/YY."""
        self.data = None
        text = valuelist[0].strip() if valuelist else ""
        if not text:
            return
        if not (found := _EXPIRY.fullmatch(text)):
            raise ValueError(_("Write it as on the card: 09/28."))
        month, year = int(found[1]), 2000 + int(found[2]) % 100
        self.data = dt.date(year, month, calendar.monthrange(year, month)[1])  # type: ignore[assignment]


def _posted_scale() -> int:
    """The decimals of the currency on the form."""
    scale = unit_scale(request.form.get("unit", ""))
    return 2 if scale is None else scale


def _not_expired(form: "RegisterForm", field: Field) -> None:
    if field.data is not None and field.data < form.today:
        raise ValidationError(_("This card has expired."))


class AgreementForm(ScheduleForm):
    """Who pays whom how much and when: what staff say, whether they register it or invite the payer to."""

    billing_number = StringField(
        "Billing number",
        [DataRequired(NEEDED), Length(max=64, message="At most 64 characters."), no_controls, no_cards],
        description="The number under which the merchant knows this agreement; each number once for a merchant.",
        render_kw={"autocomplete": "off", "spellcheck": "false"},
    )
    purpose = EnumField("Type", [InputRequired(NEEDED)], members=Purpose, default=Purpose.RECURRING)
    unit = SelectField("Currency", [InputRequired(NEEDED)])
    amount = MoneyField("Amount of each payment", [InputRequired(NEEDED)], scale=_posted_scale)
    method = SelectField("Method", [InputRequired(NEEDED)])
    provider = SelectField(
        "Provider",
        [InputRequired(NEEDED)],
        choices=[SelectChoice(value=code, label=code.capitalize()) for code in sorted(CONNECTED)],
    )

    def __init__(self, formdata: Any = None, *, today: dt.date, **kw: Any) -> None:
        super().__init__(formdata, today=today, **kw)
        self.unit.choices = _units()
        self.method.choices = _methods()


class RegisterForm(AgreementForm):
    """Everything that a subscription is registered with."""

    card_token = StringField(
        "Card token",
        [Length(max=128, message="At most 128 characters."), no_controls, no_cards],
        description="The provider's token of the stored card, never the card number. A Reminder needs none.",
        render_kw={"autocomplete": "off", "spellcheck": "false"},
    )
    card_last4 = StringField(
        "Last four digits",
        [Optional(), Regexp(r"[0-9]{4}\Z", message="Write the last four digits.")],
        render_kw={"inputmode": "numeric", "maxlength": 4, "autocomplete": "off"},
    )
    card_expires_on = CardMonthField(
        "Card expires", [Optional(), _not_expired], render_kw={"placeholder": "MM/YY", "autocomplete": "off"}
    )
    policy = SelectField("Retry policy", validate_choice=False)

    def __init__(self, formdata: Any = None, *, today: dt.date, **kw: Any) -> None:
        super().__init__(formdata, today=today, **kw)
        self.policy.choices = policy_choices()


def with_links(
    form: type[AgreementForm], columns: Mapping[str, Column], lookup: Callable[[str], str], *, optional: str = ""
) -> type[AgreementForm]:
    """The form with its look-ups of the customer and the merchant.

    Args:
        form: the form without them.
        columns: the columns of the page, of which the two links are used.
        lookup: a column's key → the address that answers what was typed.
        optional: the key of the one that may stay empty.
    """
    fields = {
        key: LinkField(
            columns[key].label,
            [Optional() if key == optional else InputRequired(NEEDED)],
            titles=functools.partial(titles_of, columns[key]),
            address=functools.partial(lookup, key),
        )
        for key in ("customer", "merchant")
    }
    return type(f"{form.__name__}WithLinks", (form,), fields)


def register_page(columns: Mapping[str, Column], *, lookup: Callable[[str], str]) -> Any:
    """The empty form, and on a post the new subscription; a refusal keeps what was typed.

    Args:
        columns: the page's columns.
        lookup: a column's key → the address of its look-up.
    """
    posted, today = request.method == "POST", lists.today()
    start = {"start_date": today, "anchor": today, "all_months": True}
    form: Any = with_links(RegisterForm, columns, lookup)(request.form if posted else None, today=today, data=start)
    status, problem = 200, None
    if posted and not wants_preview():
        if form.validate():
            try:
                made = _register(form)
            except Refusal as refusal:
                db.session.rollback()
                status, problem = refusal.status, put(form, refusal)
            else:
                flash(
                    _(
                        "%(subscription_id)s is registered and its dates are planned.",
                        subscription_id=made.subscription_id,
                    ),
                    "success",
                )
                return redirect(url_for("subscriptions.details_view", row_id=made.id), 303)
        else:
            status = 422
    page = render_template("subscriptions/register.html", form=form, problem=problem, **preview_context(form))
    return page, status


def _register(form: Any) -> Any:
    return recurring.register_subscription(
        current_actor(),
        billing_number=form.billing_number.data,
        customer_id=form.customer.data,
        merchant_id=form.merchant.data,
        amount_minor=form.amount.data,
        unit=form.unit.data,
        method=form.method.data,
        provider=form.provider.data,
        card_token=(form.card_token.data or "").strip() or None,
        schedule=form.schedule,
        start_date=form.start,
        expiration_date=form.expiration_date.data,
        zone=zone(),
        purpose=form.purpose.data,
        origin=SubscriptionOrigin.BACKOFFICE,
        card_last4=form.card_last4.data or None,
        card_expires_on=form.card_expires_on.data,
        retry_policy_id=policy_id_of(form.policy.data),
    )


def _units() -> list[Any]:
    codes = db.session.scalars(select(Unit.code).order_by(Unit.code).limit(MOST_OPTIONS))
    return [
        SelectChoice(value="", label=_("Choose a currency")),
        *(SelectChoice(value=each, label=each) for each in codes),
    ]


def _methods() -> list[Any]:
    found = db.session.execute(
        select(PaymentMethod.code, PaymentMethod.name).order_by(PaymentMethod.name).limit(MOST_OPTIONS)
    )
    named = [SelectChoice(value=code, label=name) for code, name in found]
    return [SelectChoice(value="", label=_("Choose a method")), *named]
