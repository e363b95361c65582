"""Registration links: whom staff have invited to register, and what became of each invitation."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from flask import current_app, flash, redirect, render_template, request, url_for
from flask_admin import expose
from markupsafe import Markup
from sqlalchemy import and_
from wtforms import BooleanField, StringField
from wtforms.validators import InputRequired, Length, NumberRange, Optional

from payadmin.actions import subscriptions as recurring
from payadmin.config import Settings
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Refusal
from payadmin.kernel.text import Text, _
from payadmin.models.registrations import EXPIRED, LinkStatus, RegistrationLink, rule_of, state_of
from payadmin.permissions import Permission
from payadmin.views import lists, ui
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import Column
from payadmin.views.fields import NumberField, no_cards, no_controls, put
from payadmin.views.filters import Active, Choice, Filter
from payadmin.views.language import speech
from payadmin.views.lists import Tab
from payadmin.views.registry import page
from payadmin.views.security import current_actor
from payadmin.views.subscriptions.act_forms import ActForm, ReasonForm
from payadmin.views.subscriptions.register import AgreementForm, with_links
from payadmin.views.subscriptions.schedule_form import preview_context, wants_preview

WRITE = Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE
USUAL_DAYS, MOST_DAYS = 7, 30
TONES = {"Open": "info", "Used": "ok", "Revoked": "plain", EXPIRED: "warn"}
_DAYS = [
    InputRequired("Say how many days it works."),
    NumberRange(1, MOST_DAYS, _("A link works for 1 to %(number)s days.", number=MOST_DAYS)),
]


class LinkForm(AgreementForm):
    """What a payer is invited to, and how long the link works."""

    email = StringField(
        "E-mail",
        [Optional(), Length(max=254, message="At most 254 characters."), no_controls, no_cards],
        render_kw={"type": "email", "autocomplete": "off"},
    )
    works_for = NumberField(
        "The link works for, in days", _DAYS, default=USUAL_DAYS, render_kw={"inputmode": "numeric"}
    )
    by_mail = BooleanField("Send the link by e-mail now")


class RenewForm(ActForm):
    """A new link for the same invitation."""

    works_for = NumberField(
        "The new link works for, in days", _DAYS, default=USUAL_DAYS, render_kw={"inputmode": "numeric"}
    )
    by_mail = BooleanField("Send it by e-mail now", default=True)


class StateFilter(Filter):
    """Where an invitation stands: that a link has expired is not written anywhere, it follows from the time."""

    widget = "choice"

    def read(self, values: list[str]) -> Active:
        """The condition for one of the states."""
        words = dict(_STATES)
        if values[0] not in words:
            raise self.refuse(values[0])
        status, now = RegistrationLink.status, utcnow()
        is_open = status == LinkStatus.OPEN
        where = {
            "open": and_(is_open, RegistrationLink.expires_at > now),
            "expired": and_(is_open, RegistrationLink.expires_at <= now),
            "used": status == LinkStatus.USED,
            "revoked": status == LinkStatus.REVOKED,
        }[values[0]]
        return Active(where, words[values[0]], tuple(values), {})

    def choices(self) -> list[Choice]:
        """Every state."""
        return [Choice(value, word) for value, word in _STATES]


_STATES = tuple((word.lower(), Text(word)) for word in TONES)


@page(menu="")
class RegistrationLinksPage(PayAdminModelView):
    """Invitations to register: one link each, which works once."""

    model = RegistrationLink
    slug = "registration-links"
    plural = "Registration links"
    singular = "Registration link"
    subtitle = "Invitations to register a subscription on the hosted page. Each link works once, until it expires."
    read = Permission.SUBSCRIPTIONS_SUBSCRIPTION_READ
    create = WRITE
    edit = None
    delete = None
    export = None  # what came of the links is exported from Registration
    column_list = (
        "created_at",
        "status",
        "merchant",
        "customer",
        "email",
        "billing_number",
        "amount",
        "expires_at",
        "subscription",
    )
    column_filters = ("status", "created_at", "merchant", "customer")
    column_sortable = ("created_at",)
    default_sort = "-created_at"
    tabs = tuple(Tab(word, {"state": (value,)}) for value, word in _STATES)
    phone = {"billing_number": "m1", "amount": "m2", "status": "m3", "created_at": "m4"}
    list_also = ("status", "expires_at")
    find_by = ("billing_number", "email")
    found_icon = "link"
    list_template = "subscriptions/links.html"
    details_template = "subscriptions/link.html"
    detail_sections = {
        "Agreement": (
            "merchant",
            "customer",
            "email",
            "billing_number",
            "purpose",
            "amount",
            "schedule",
            "start_date",
            "expiration_date",
            "method",
            "provider",
        ),
        "Link": ("status", "expires_at", "mailed_at", "invited_by", "created_at"),
        "Registration": ("used_at", "payer_name", "consent", "subscription"),
    }
    needs = {"preview_view": WRITE, "show_view": WRITE, "renew_view": WRITE, "revoke_view": WRITE}

    def _filters_of(self, table: Any) -> Iterable[tuple[str, Filter]]:  # type: ignore[override]
        for key, made in super()._filters_of(table):
            if key == "status":
                state = StateFilter(made.column)
                state.key, state.label = "state", _("Status")
                yield "state", state
            else:
                yield key, made

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """The state with what the time says; the schedule in words."""
        now = utcnow()
        match column.key:
            case "status":
                return lambda row: state_badge(row, now)
            case "schedule":
                tongue = speech()
                return lambda row: tongue.say(str(rule_of(row) or _("Cannot be read")))
        return super().cell(column, names)

    def details_context(self, row: RegistrationLink) -> dict[str, Any]:
        """The invitation, and what can be done with its link."""
        may, is_open = current_actor().may(WRITE), row.status is LinkStatus.OPEN
        address, state = f"{self.address}{row.id}/", state_of(row, utcnow())
        return super().details_context(row) | {
            "state": state,
            "state_badge": state_badge(row, utcnow()),
            "show_url": f"{address}show/" if may and state == LinkStatus.OPEN.value else None,
            "renew_url": f"{address}renew/" if may and is_open else None,
            "revoke_url": f"{address}revoke/" if may and is_open else None,
        }

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """Invite somebody; a refusal keeps what was typed."""
        posted, today = request.method == "POST", lists.today()
        start = {"start_date": today, "anchor": today, "all_months": True}
        made = with_links(LinkForm, self.columns, self._lookup_address, optional="customer")
        form: Any = made(request.form if posted else None, today=today, data=start)
        status, problem = 200, None
        if posted and not wants_preview():
            status = 422
            if form.validate():
                try:
                    link = _make(form)
                except Refusal as refusal:
                    db.session.rollback()
                    status, problem = refusal.status, put(form, refusal)
                else:
                    done = "The link is on its way by e-mail." if form.by_mail.data else "The link is ready: show it."
                    flash(_("The invitation is made. %(done)s", done=done), "success")
                    return redirect(f"{self.address}{link.id}/", 303)
        answer = render_template(
            "subscriptions/invite.html", admin_view=self, form=form, problem=problem, **preview_context(form)
        )
        return answer, status

    @expose("/preview/", methods=("POST",))
    def preview_view(self) -> Any:
        """The next dates of the schedule that is being typed: a fragment, nothing is saved."""
        form = AgreementForm(request.form, today=lists.today())
        return render_template("subscriptions/_preview.html", **preview_context(form))

    @expose("/<int:row_id>/show/", methods=("POST",))
    def show_view(self, row_id: int) -> Any:
        """The link, to be copied; that it was looked at is recorded."""
        row = self.get_row(row_id)
        try:
            token = recurring.show_registration_link(current_actor(), row_id, settings=_settings())
        except Conflict as refusal:
            flash(refusal.sentence, "error")
            return redirect(f"{self.address}{row_id}/", 303)
        base = _settings().public_url.rstrip("/")
        path = url_for("hosted.register", token=token)
        link = f"{base}{path}" if base else url_for("hosted.register", token=token, _external=True)
        row = self.get_row(row_id)
        return render_template(
            "subscriptions/link_shown.html", admin_view=self, row=row, link=link, back=f"{self.address}{row_id}/"
        )

    @expose("/<int:row_id>/renew/", methods=("GET", "POST"))
    def renew_view(self, row_id: int) -> Any:
        """Ask, then send a new link in place of the old one."""

        def act(form: Any) -> str:
            recurring.renew_registration_link(
                current_actor(),
                row_id,
                version=form.seen,
                days=form.works_for.data,
                by_mail=form.by_mail.data,
                settings=_settings(),
            )
            return "A new link is on its way." if form.by_mail.data else "There is a new link: show it."

        row = self.get_row(row_id)
        effects = (_("A new link is made. The old one stops working at once, wherever it was sent."),)
        return self._act_page(row, RenewForm, act, _("Send again"), _("Make a new link"), effects, danger=False)

    @expose("/<int:row_id>/revoke/", methods=("GET", "POST"))
    def revoke_view(self, row_id: int) -> Any:
        """Ask, then take the invitation back."""

        def act(form: Any) -> str:
            recurring.revoke_registration_link(
                current_actor(), row_id, version=form.seen, reason=(form.reason.data or "").strip() or None
            )
            return "The link is revoked: it opens nothing any more."

        effects = (
            _("The link stops working at once. Whoever opens it reads that it was withdrawn."),
            _("This cannot be undone. To invite again, make a new link."),
        )
        return self._act_page(self.get_row(row_id), ReasonForm, act, _("Revoke link"), "Revoke", effects, danger=True)

    def _act_page(
        self, row: Any, form_type: Any, act: Any, title: str, verb: str, effects: Iterable[str], *, danger: bool
    ) -> Any:
        row_id, posted = row.id, request.method == "POST"
        form = form_type(request.form if posted else None)
        status, problem = 200, None
        if posted:
            status = 422
            if form.validate():
                try:
                    flash(act(form), "success")
                except Refusal as refusal:
                    db.session.rollback()
                    status, problem = refusal.status, put(form, refusal)
                else:
                    return redirect(f"{self.address}{row_id}/", 303)
        row = self.get_row(row_id)
        form.version.raw_data, form.version.data = None, str(row.version)
        answer = render_template(
            "subscriptions/link_act.html",
            admin_view=self,
            row=row,
            form=form,
            fields=[field for field in form if field.name != "version"],
            title=title,
            verb=verb,
            danger=danger,
            effects=effects,
            problem=problem,
            why_not=None
            if row.status is LinkStatus.OPEN
            else _("The link was %(status)s already.", status=Text(row.status.value).lower()),
            back=f"{self.address}{row_id}/",
        )
        return answer, status

    def _lookup_address(self, key: str) -> str:
        return url_for(f"{self.endpoint}.lookup_view", field=key)


def state_badge(row: Any, now: dt.datetime) -> Markup:
    """Open, used, revoked or expired, as a badge."""
    word = state_of(row, now)
    return ui.badge(word, TONES[word])


def _settings() -> Settings:
    settings: Settings = current_app.extensions["payadmin.settings"]
    return settings


def _make(form: Any) -> RegistrationLink:
    return recurring.make_registration_link(
        current_actor(),
        merchant_id=form.merchant.data,
        customer_id=form.customer.data,
        email=form.email.data,
        billing_number=form.billing_number.data,
        amount_minor=form.amount.data,
        unit=form.unit.data,
        method=form.method.data,
        provider=form.provider.data,
        purpose=form.purpose.data,
        schedule=form.schedule,
        start_date=form.start,
        expiration_date=form.expiration_date.data,
        days=form.works_for.data,
        by_mail=form.by_mail.data,
        settings=_settings(),
    )
