"""API keys: which programs may reach payadmin, for whom, and until when. A key is shown once, when it is made."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask_admin import expose
from markupsafe import Markup
from sqlalchemy import and_
from wtforms import Form, HiddenField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange

from payadmin import step_up
from payadmin.actions import api as keys
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Refusal
from payadmin.kernel.text import _
from payadmin.models.api import EXPIRED, ApiKey, ApiKeyStatus, state_of
from payadmin.permissions import ApiScope, Permission
from payadmin.views import ui
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import Column, titles_of
from payadmin.views.fields import Checkboxes, LinkField, NumberField, no_cards, no_controls, put
from payadmin.views.filters import Active, Choice, Filter
from payadmin.views.language import say
from payadmin.views.lists import Tab
from payadmin.views.registry import page
from payadmin.views.security import current_actor

MANAGE = Permission.API_KEY_MANAGE
USUAL_DAYS = 365
TONES = {"Active": "ok", EXPIRED: "warn", "Revoked": "plain"}
_STATES = tuple((word.lower(), word) for word in TONES)
SCOPE_WORDS = {
    ApiScope.CHECKOUT_READ: _("Ask which payment methods a checkout offers"),
    ApiScope.USAGE_WRITE: _("Report usage of client services"),
}


class StateFilter(Filter):
    """Where a key stands: that it has expired is not written anywhere, it follows from the time."""

    widget = "choice"

    def read(self, values: list[str]) -> Active:
        """The condition for one of the states."""
        words = dict(_STATES)
        if values[0] not in words:
            raise self.refuse(values[0])
        is_active, now = ApiKey.status == ApiKeyStatus.ACTIVE, utcnow()
        where = {
            "active": and_(is_active, ApiKey.expires_at > now),
            "expired": and_(is_active, ApiKey.expires_at <= now),
            "revoked": ApiKey.status == ApiKeyStatus.REVOKED,
        }[values[0]]
        return Active(where, words[values[0]], tuple(values), {})

    def choices(self) -> list[Choice]:
        """Every state."""
        return [Choice(value, word) for value, word in _STATES]


class ConfirmedForm(Form):
    """What is confirmed with a fresh code."""

    offer = HiddenField()
    code = StringField("Authenticator code", [Length(max=16)])


class RevokeForm(ConfirmedForm):
    """Why a key is taken back."""

    reason = TextAreaField(
        "Reason",
        [DataRequired("Say why."), Length(max=500, message="At most 500 characters."), no_controls, no_cards],
        description="Kept in the audit trail.",
        render_kw={"rows": 2},
    )


def key_form(organizations: Column, address: str) -> type[Form]:
    """The form of a new key."""

    class KeyForm(ConfirmedForm):
        name = StringField(
            "Name",
            [DataRequired("This is needed."), Length(max=80), no_controls, no_cards],
            description="Which program uses it, such as “Metering, production”.",
            render_kw={"autocomplete": "off"},
        )
        organization = LinkField(
            "Organization",
            [InputRequired("Choose an organization.")],
            titles=lambda ids: titles_of(organizations, ids),
            address=lambda: address,
            description="The key reaches what belongs to this organization, and nothing else.",
        )
        scopes = Checkboxes(
            "The key may",
            [InputRequired("Choose at least one thing that the key may do.")],
            choices=[SelectChoice(value=scope.value, label=words) for scope, words in SCOPE_WORDS.items()],
        )
        days = NumberField(
            "It works for, in days",
            [
                InputRequired("Say how many days it works."),
                NumberRange(1, keys.MOST_DAYS, f"A key works for 1 to {keys.MOST_DAYS} days."),
            ],
            default=USUAL_DAYS,
            render_kw={"inputmode": "numeric"},
        )

    return KeyForm


@page(menu="api-keys")
class ApiKeysPage(PayAdminModelView):
    """Keys of programs: made here, shown once, revoked here."""

    model = ApiKey
    slug = "api-keys"
    plural = "Keys"
    singular = "Key"
    heading = found_as = "API keys"
    subtitle = "Programs that may reach payadmin at /api/v1, each for one organization and until a day."
    create = MANAGE
    edit = None
    export = None  # who may get in is no list to carry away
    column_list = ("name", "organization", "prefix", "scopes", "status", "last_used_at", "expires_at", "created_at")
    column_filters = ("status", "organization", "created_at")
    column_sortable = ("created_at",)
    default_sort = "-created_at"
    tabs = tuple(Tab(word, {"state": (value,)}) for value, word in _STATES)
    phone = {"name": "m1", "organization": "m2", "status": "m3", "last_used_at": "m4"}
    list_also = ("status", "expires_at")
    find_by = ("prefix", "name")
    found_icon = "key"
    details_template = "api/key.html"
    detail_sections = {
        "Key": ("name", "organization", "prefix", "scopes", "status"),
        "Use": ("expires_at", "last_used_at", "last_used_ip"),
        "History": ("made_by", "created_at", "revoked_by", "revoked_at"),
    }
    needs = {"revoke_view": MANAGE}

    def _filters_of(self, table: Any) -> Iterable[tuple[str, Filter]]:  # type: ignore[override]
        for key, made in super()._filters_of(table):
            if key == "status":
                state = StateFilter(made.column)
                state.key, state.label = "state", "Status"
                yield "state", state
            else:
                yield key, made

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """The state with what the time says; scopes in words; how the key looks."""
        now = utcnow()
        match column.key:
            case "status":
                return lambda row: _badge(row, now)
            case "scopes":
                return lambda row: ", ".join(scope_words(scope) for scope in row.scopes)
            case "prefix":
                return lambda row: Markup('<span class="mono">pak_{}…</span>').format(row.prefix)
        return super().cell(column, names)

    def status_words(self, row: ApiKey) -> tuple[str, str]:
        """The state with what the time says."""
        word = state_of(row, utcnow())
        return word, TONES[word]

    def details_context(self, row: ApiKey) -> dict[str, Any]:
        """The key, and the way to take it back."""
        revocable = current_actor().may(MANAGE) and row.status is ApiKeyStatus.ACTIVE
        return super().details_context(row) | {
            "state": state_of(row, utcnow()),
            "revoke_url": f"{self.address}{row.id}/revoke/" if revocable else None,
        }

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """Make a key; the answer to the post is the only page that ever shows it."""
        posted = request.method == "POST"
        lookup = url_for(f"{self.endpoint}.lookup_view", field="organization")
        form: Any = key_form(self.columns["organization"], lookup)(request.form if posted else None)
        status, problem = 200, None
        if posted:
            status = 422
            if form.validate():
                try:
                    key, bearer = keys.make_api_key(
                        current_actor(),
                        name=form.name.data,
                        organization_id=form.organization.data,
                        scopes=form.scopes.data,
                        days=form.days.data,
                        offer=form.offer.data or "",
                        code=form.code.data or "",
                    )
                except Refusal as refusal:
                    db.session.rollback()
                    status, problem = refusal.status, put(form, refusal)
                else:
                    return render_template(
                        "api/key_shown.html",
                        admin_view=self,
                        row=key,
                        bearer=str(bearer),
                        back=f"{self.address}{key.id}/",
                    )
        _offer(form, keys.KEY_ACT, {"key": "new"})
        return render_template(
            "api/new_key.html", admin_view=self, form=form, problem=problem, back=self.address
        ), status

    @expose("/<int:row_id>/revoke/", methods=("GET", "POST"))
    def revoke_view(self, row_id: int) -> Any:
        """Ask, then take a key back."""
        row = self.get_row(row_id)
        form: Any = RevokeForm(request.form if request.method == "POST" else None)
        status, problem = 200, None
        if request.method == "POST":
            status = 422
            if form.validate():
                try:
                    keys.revoke_api_key(
                        current_actor(),
                        row_id,
                        reason=form.reason.data or "",
                        offer=form.offer.data or "",
                        code=form.code.data or "",
                    )
                except Refusal as refusal:
                    db.session.rollback()
                    status, problem = refusal.status, put(form, refusal)
                else:
                    flash("The key is revoked: it opens nothing any more.", "success")
                    return redirect(f"{self.address}{row_id}/", 303)
        row = self.get_row(row_id)
        _offer(form, keys.REVOKE_ACT, keys.revoke_subject(row_id))
        return render_template(
            "api/revoke_key.html",
            admin_view=self,
            row=row,
            form=form,
            problem=problem,
            why_not=None if row.status is ApiKeyStatus.ACTIVE else "This key was revoked already. It opens nothing.",
            back=f"{self.address}{row_id}/",
        ), status


def scope_words(scope: str) -> str:
    """What a scope lets a program do, in words; one that the code no longer knows gives nothing."""
    return say(SCOPE_WORDS[ApiScope(scope)]) if scope in set(ApiScope) else scope


def _badge(row: Any, now: dt.datetime) -> Markup:
    word = state_of(row, now)
    return ui.badge(word, TONES[word])


def _offer(form: Any, act: str, subject: object) -> None:
    form.offer.raw_data = None
    form.offer.data = step_up.offer(current_actor(), act, subject)
    form.code.raw_data, form.code.data = None, ""
