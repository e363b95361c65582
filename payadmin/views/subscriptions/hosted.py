"""The hosted registration page: whoever holds a signed link sees what is agreed, and registers. No account, no menu."""

import datetime as dt
from typing import Any

from flask import Blueprint, Flask, Response, current_app, make_response, redirect, render_template, request, session
from flask import url_for as address
from flask_limiter import RateLimitExceeded
from flask_wtf.csrf import CSRFError
from sqlalchemy import select
from wtforms import BooleanField, Field, Form, StringField
from wtforms.validators import DataRequired, InputRequired, Length, ValidationError
from wtforms.widgets import TextInput

from payadmin.actions import subscriptions as recurring
from payadmin.actions.subscriptions.links import PURPOSE
from payadmin.config import Settings
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Refusal
from payadmin.kernel.links import fingerprint_of, is_ours
from payadmin.kernel.masks import card_number_digits
from payadmin.kernel.schedules import next_dates
from payadmin.kernel.text import _, day_text
from payadmin.models.parties import Organization
from payadmin.models.registrations import EXPIRED, LinkStatus, RegistrationLink, state_of
from payadmin.models.subscriptions import Purpose, Subscription
from payadmin.providers import StoredCard, provider_for
from payadmin.views import lists
from payadmin.views.columns import money_text, zone
from payadmin.views.fields import no_cards, no_controls, put
from payadmin.views.gate import limiter
from payadmin.views.language import say
from payadmin.views.security import request_id
from payadmin.views.subscriptions.register import CardMonthField

# Tries are counted in the database; this only slows down one address that hammers the page.
PER_ADDRESS = "120 per minute;2000 per hour"
SHOWN_DATES = 6
# No script but the one that sets the theme, nothing inline, nothing from elsewhere, no frame around it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
UNKNOWN = (
    "This link opens nothing",
    _(
        "It is not complete, or a newer one was sent in its place. "
        "Look for the latest message, or ask who sent it to you."
    ),
)
CLOSED = {
    LinkStatus.USED.value: (
        _("This registration is complete"),
        _("The link was used already, and it works only once. If that was not you, tell {merchant}."),
    ),
    LinkStatus.REVOKED.value: (
        _("This invitation was withdrawn"),
        _("{merchant} has taken it back, and nothing was registered. Ask {merchant} if you expected it."),
    ),
    EXPIRED: (_("This link has expired"), _("Nothing was registered. Ask {merchant} for a new link.")),
}

hosted = Blueprint("hosted", __name__, url_prefix="/register")


def init_hosted(app: Flask) -> None:
    """Add the hosted registration page to `app`."""
    limiter.limit(PER_ADDRESS)(hosted)
    app.register_blueprint(hosted)


class CardNumberField(StringField):
    """A full card number; it is read, never shown again."""

    widget = TextInput()

    def _value(self) -> str:
        return ""


class PayerForm(Form):
    """What a payer gives who is only to be reminded."""

    name = StringField(
        "Your name",
        [DataRequired("Write your name."), Length(max=100, message="At most 100 characters."), no_controls, no_cards],
        render_kw={"autocomplete": "name", "maxlength": 100},
    )
    agreed = BooleanField("I agree", [InputRequired("Tick this to agree; otherwise nothing is registered.")])

    def __init__(self, formdata: Any, *, today: dt.date) -> None:
        self.today = today
        super().__init__(formdata)


class CardForm(PayerForm):
    """What a payer gives whose card is to be charged."""

    card_number = CardNumberField(
        "Card number",
        [InputRequired("Write the number of your card.")],
        render_kw={"inputmode": "numeric", "autocomplete": "cc-number", "maxlength": 30, "spellcheck": "false"},
    )
    card_expires_on = CardMonthField(
        "Expires",
        [InputRequired("Write when your card expires.")],
        description="Month and year, as on the card.",
        render_kw={"placeholder": "MM/YY", "autocomplete": "cc-exp", "inputmode": "numeric", "maxlength": 7},
    )
    name = StringField(
        "Name on the card",
        [DataRequired("Write the name."), Length(max=100, message="At most 100 characters."), no_controls, no_cards],
        render_kw={"autocomplete": "cc-name", "maxlength": 100},
    )

    def validate_card_number(self, field: Field) -> None:
        """Find slips of the finger before anybody is asked about the card."""
        if card_number_digits(field.data or "") is None:
            raise ValidationError(_("This is not a card number. Check its digits."))

    def validate_card_expires_on(self, field: Field) -> None:
        """What has expired cannot be charged."""
        if field.data is not None and field.data < self.today:
            raise ValidationError(_("This card has expired."))


@hosted.route("/<token>", methods=("GET", "POST"))
def register(token: str) -> Any:
    """What is agreed, and the form to agree to it; a post registers it once."""
    link = _link_of(token)
    if link is None:
        return _closed(*UNKNOWN, status=404)
    if (state := state_of(link, utcnow())) != LinkStatus.OPEN.value:
        return _thanks(link) if session.get("registered") == link.id else _over(link, state)
    form = (CardForm if link.purpose is Purpose.RECURRING else PayerForm)(
        request.form if request.method == "POST" else None, today=lists.today()
    )
    if request.method == "GET":
        return _form_page(link, form)
    if not form.validate():
        return _form_page(link, form, status=422)
    try:
        recurring.use_registration_link(
            recurring.payer(request.remote_addr, request_id()),
            link.id,
            token_hash=link.token_hash,
            signed=_signed(link, form),
            store_card=_store_card(link.provider),
            zone=zone(),
        )
    except recurring.Gone:
        db.session.rollback()
        now = _link_of(token)
        return _closed(*UNKNOWN, status=404) if now is None else _over(now, state_of(now, utcnow()))
    except Refusal as refusal:
        db.session.rollback()
        again = _link_of(token)
        return _form_page(again or link, form, problem=put(form, refusal), status=refusal.status)
    session["registered"] = link.id
    return redirect(address("hosted.register", token=token), 303)


@hosted.after_request
def keep_private(response: Response) -> Response:
    """The address is a secret: nobody is told it, nothing remembers it, no search engine lists it."""
    response.headers["Content-Security-Policy"] = POLICY
    # Not "no-referrer": over HTTPS a form without a Referer of its own site is taken for a forgery.
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    response.headers["Cache-Control"] = "no-store"
    return response


@hosted.errorhandler(RateLimitExceeded)
def too_many(_error: RateLimitExceeded) -> Any:
    """One address asked too often: it waits, whatever link it holds."""
    return _closed(_("Too many tries"), _("Wait a minute, then open the link again."), status=429)


@hosted.errorhandler(CSRFError)
def expired_form(_error: CSRFError) -> Any:
    """The form was open for too long, or the browser keeps no cookies."""
    sentence = "Nothing was registered. Open the link again, with cookies allowed, and fill in the form once more."
    return _closed(_("This form has expired"), sentence, status=400)


# ---- parts -----------------------------------------------------------------------------------------------------------


def _link_of(token: str) -> Any:
    """The link with this token; tokens that are not ours ask no database."""
    if not is_ours(_settings().secret_key, PURPOSE, token):
        return None
    wanted = select(RegistrationLink).where(RegistrationLink.token_hash == fingerprint_of(token))
    return db.session.scalars(wanted.execution_options(populate_existing=True)).one_or_none()


def _signed(link: RegistrationLink, form: Any) -> recurring.Signed:
    is_charged = link.purpose is Purpose.RECURRING
    return recurring.Signed(
        name=form.name.data.strip(),
        consent=_consent(link),
        number=card_number_digits(form.card_number.data) if is_charged else None,
        card_expires_on=form.card_expires_on.data if is_charged else None,
    )


def _store_card(code: str) -> Any:
    settings = _settings()

    def store(number: str) -> StoredCard | None:
        provider = provider_for(
            code, simulator_url=settings.simulator_url, timeout_seconds=settings.provider_timeout_seconds
        )
        stored = provider.store_cards([number], verify=True)
        return None if stored is None else stored[0]

    return store


def _consent(link: RegistrationLink) -> str:
    """What the payer agrees to, word for word; it is kept with the link."""
    merchant, amount = _merchant(link), money_text(link.amount_minor, link.unit)
    when = str(link.rule)
    until = f"until {day_text(link.expiration_date)}" if link.expiration_date else "until this agreement is ended"
    if link.purpose is Purpose.RECURRING:
        return f"I agree that {merchant} charges {amount} to this card on each of these dates: {when}, {until}."
    return (
        f"I agree to be reminded to pay {amount} to {merchant} on each of these dates: {when}, {until}. "
        "Nothing is charged by itself."
    )


def _form_page(link: RegistrationLink, form: Any, *, problem: str | None = None, status: int = 200) -> Response:
    today, rule = lists.today(), link.rule
    start = max(link.start_date, today)
    day = dt.timedelta(days=1)
    found = next_dates(rule, start - day, SHOWN_DATES + 1, until=link.expiration_date) if rule is not None else []
    page = render_template(
        "subscriptions/hosted.html",
        link=link,
        form=form,
        problem=problem,
        price=money_text(link.amount_minor, link.unit),
        merchant=_merchant(link),
        company=_settings().company_name,
        is_charged=link.purpose is Purpose.RECURRING,
        words=str(rule or _("Cannot be read")),
        dates=[day_text(date) for date in found[:SHOWN_DATES]],
        goes_on=len(found) > SHOWN_DATES,
        ends=day_text(link.expiration_date) if link.expiration_date else None,
        consent=_consent(link),
        until=link.expires_at,
    )
    return make_response(page, status)


def _thanks(link: RegistrationLink) -> Response:
    subscription = db.session.get_one(Subscription, link.subscription_id)
    rule, day = link.rule, dt.timedelta(days=1)
    start = subscription.start_date or lists.today()
    first = next(iter(next_dates(rule, start - day, 1, until=link.expiration_date)), None) if rule else None
    page = render_template(
        "subscriptions/hosted_thanks.html",
        link=link,
        price=money_text(link.amount_minor, link.unit),
        merchant=_merchant(link),
        company=_settings().company_name,
        is_charged=link.purpose is Purpose.RECURRING,
        words=str(rule or _("Cannot be read")),
        first=day_text(first) if first else None,
        last4=subscription.card_last4,
    )
    return make_response(page)


def _over(link: RegistrationLink, state: str) -> Response:
    title, sentence = CLOSED.get(state, UNKNOWN)
    merchant = _merchant(link)
    return _closed(title, say(sentence).replace("{merchant}", merchant), status=410, merchant=merchant)


def _closed(title: str, sentence: str, *, status: int, merchant: str | None = None) -> Response:
    page = render_template(
        "subscriptions/hosted_closed.html",
        heading=title,
        sentence=sentence,
        number=None,
        merchant=merchant,
        company=_settings().company_name,
    )
    return make_response(page, status)


def _merchant(link: RegistrationLink) -> str:
    name: str = db.session.get_one(Organization, link.merchant_id).name
    return name


def _settings() -> Settings:
    settings: Settings = current_app.extensions["payadmin.settings"]
    return settings
