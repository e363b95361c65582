"""Retry policies: when a declined charge is tried again, told in words before anybody saves it."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from flask import flash, redirect, render_template, request
from flask_admin import expose
from sqlalchemy import func, select
from werkzeug.wrappers import Response
from wtforms import Form, HiddenField, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import DataRequired, InputRequired, Length

from payadmin.actions import subscriptions
from payadmin.actions.subscriptions.policies import MOST_ATTEMPTS, NAME_LENGTH, over
from payadmin.db import db
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import Text, _, _n
from payadmin.models.subscriptions import OnExhausted, RetryPolicy, Subscription
from payadmin.permissions import Permission
from payadmin.providers.declines import DECLINE_CODES
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import Column, Kind
from payadmin.views.fields import Checkboxes, EnumField, NumberField, no_cards, no_controls, put
from payadmin.views.filters import row_id_of
from payadmin.views.language import say
from payadmin.views.registry import page
from payadmin.views.security import current_actor

LONGEST_LIST = 400
_DAYS = re.compile(r"[0-9]{1,4}", re.ASCII)
_ENDINGS = {
    OnExhausted.ON_HOLD: _("Not tried again: the subscription is put on hold until staff activate it again."),
    OnExhausted.ABORTED: _("Not tried again: the subscription is aborted."),
}


class Step(NamedTuple):
    """One step of what a policy does: its picture, when it happens, and what happens then."""

    icon: str
    when: str
    what: str


class DaysField(StringField):
    """Whole days typed as “1, 3, 7”; the data is their list."""

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        return ", ".join(str(days) for days in self.data or ())

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read the list; nothing typed is no wait at all."""
        self.data = []  # type: ignore[assignment]
        words = _words(valuelist[0] if valuelist else "")
        if not all(_DAYS.fullmatch(word) for word in words):
            msg = "Write whole days with commas between them, such as 1, 3, 7."
            raise ValueError(msg)
        self.data = [int(word) for word in words]  # type: ignore[assignment]


class CodesField(StringField):
    """Codes typed with commas between them; the data is their list."""

    def _value(self) -> str:
        return str(self.raw_data[0]) if self.raw_data else ", ".join(self.data or ())

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read the list."""
        self.data = _words(valuelist[0] if valuelist else "")  # type: ignore[assignment]


class RetryPolicyForm(Form):
    """A retry policy as people type it."""

    name = StringField("Name", [DataRequired("This is needed."), Length(max=NAME_LENGTH), no_controls, no_cards])
    max_attempts = NumberField(
        "Attempts",
        [InputRequired("This is needed.")],
        description=_(
            "The first one counts too: 1 means that nothing is tried again. At most %(most_attempts)s.",
            most_attempts=MOST_ATTEMPTS,
        ),
        render_kw={"inputmode": "numeric", "autocomplete": "off"},
    )
    delays_days = DaysField(
        "Days to wait",
        [Length(max=LONGEST_LIST)],
        description="Before the second attempt, the third and so on, with commas: 1, 3, 7. "
        "The last wait also counts for all attempts that follow.",
        render_kw={"inputmode": "text", "autocomplete": "off", "placeholder": "1, 3, 7"},
    )
    retryable_codes = Checkboxes(
        "Refusals that are tried again",
        choices=[SelectChoice(value=code, label=words) for code, words in DECLINE_CODES.items()],
    )
    other_codes = CodesField(
        "Further codes",
        [Length(max=LONGEST_LIST), no_controls, no_cards],
        description="Codes of other providers as they send them, with commas between them.",
        render_kw={"autocomplete": "off"},
    )
    on_exhausted = EnumField("When no attempt is left", [InputRequired("Choose one.")], members=OnExhausted, blank=True)
    seen_version = HiddenField()

    def codes(self) -> list[str]:
        """Every code that is tried again; none means all."""
        return [*(self.retryable_codes.data or ()), *(self.other_codes.data or ())]


@page(menu="retry-policies")
class RetryPoliciesPage(PayAdminModelView):
    """Rules that say when a declined charge is tried again (SC11)."""

    model = RetryPolicy
    slug = "retry-policies"
    plural = "Retry policies"
    singular = "Retry policy"
    subtitle = "What happens after a recurring charge is declined. A subscription follows at most one of these."
    create = edit = delete = Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE
    export = None  # a handful of rules, read here
    column_list = ("name", "delays_days", "max_attempts", "on_exhausted", "followers")
    column_filters = ("on_exhausted",)
    column_sortable = ("name",)
    default_sort = "name"
    phone = {"name": "m1", "followers": "m2", "delays_days": "m3"}
    list_template = "retry_policies/list.html"
    details_template = "retry_policies/details.html"
    find_by = ("name",)
    needs = {"preview_view": Permission.SUBSCRIPTIONS_SUBSCRIPTION_READ}

    def _refresh_cache(self) -> None:
        # A column that is counted, not kept.
        self.columns["followers"] = Column(
            "followers", _("Subscriptions"), Kind.NUMBER, RetryPolicy.id, {"readonly": True}
        )
        super()._refresh_cache()

    def names_for(self, shown: Iterable[Column], rows: Sequence[Any]) -> dict[str, dict[Any, str]]:
        """Also how many subscriptions follow each policy: one statement for all rows."""
        shown = list(shown)
        names = super().names_for(shown, rows)
        if any(column.key == "followers" for column in shown):
            names["followers"] = {key: f"{number:,}" for key, number in followers([row.id for row in rows]).items()}
        return names

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """Waits and codes as people read them."""
        match column.key:
            case "followers":
                return lambda row: names.get(row.id, "0")
            case "delays_days":
                return lambda row: _waits(row.delays_days, row.max_attempts)
            case "retryable_codes":
                return lambda row: _codes(row.retryable_codes)
        return super().cell(column, names)

    list_also = ("delays_days", "max_attempts")
    detail_sections = {
        "Policy": ("name", "max_attempts", "delays_days", "retryable_codes", "on_exhausted", "created_at", "updated_at")
    }

    def details_context(self, row: RetryPolicy) -> dict[str, Any]:
        """The fields, and the whole story in words."""
        return super().details_context(row) | {
            "story": story(row.delays_days, row.max_attempts, row.retryable_codes, row.on_exhausted),
            "followers": followers([row.id]).get(row.id, 0),
        }

    # --- forms --------------------------------------------------------------------------------------------------------

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """The form of a new policy."""
        form = RetryPolicyForm(request.form if request.method == "POST" else None)
        if request.method == "POST" and form.validate():
            try:
                policy = self._save(form)
            except (Invalid, Conflict) as refusal:
                return self._policy_page(form, refusal)
            flash("Retry policy created.", "success")
            return redirect(f"{self.address}{policy.id}/")
        return self._policy_page(form)

    @expose("/<int:row_id>/edit/", methods=("GET", "POST"))
    def edit_view(self, row_id: int) -> Any:
        """The form of one policy; a save over somebody else's is refused, with what the policy says now."""
        row = self.get_row(row_id)
        if request.method == "GET":
            return self._policy_page(RetryPolicyForm(data=_typed(row)), row=row)
        form = RetryPolicyForm(request.form)
        if not form.validate():
            return self._policy_page(form, row=row)
        try:
            self._save(form, row_id)
        except (Invalid, Conflict) as refusal:
            return self._policy_page(form, refusal, row=self.get_row(row_id))
        flash("Saved.", "success")
        return redirect(f"{self.address}{row_id}/")

    @expose("/<int:row_id>/delete/", methods=("POST",))
    def delete_view(self, row_id: int) -> Response:
        """Remove a policy that nothing follows."""
        self.get_row(row_id)
        try:
            subscriptions.delete_retry_policy(current_actor(), row_id)
        except Conflict as refusal:
            flash(refusal.sentence, "error")
            return redirect(f"{self.address}{row_id}/")
        flash("Retry policy deleted.", "success")
        return redirect(self.address)

    @expose("/preview/")
    def preview_view(self) -> str:
        """What the typed values would mean: the fragment that the form shows while somebody types."""
        form = RetryPolicyForm(request.args)
        return render_template("retry_policies/_story.html", story=_told(form))

    def _save(self, form: RetryPolicyForm, policy_id: int | None = None) -> RetryPolicy:
        saved: RetryPolicy = subscriptions.save_retry_policy(
            current_actor(),
            name=str(form.name.data),
            delays_days=form.delays_days.data or (),  # type: ignore[arg-type]
            max_attempts=int(form.max_attempts.data or 0),
            retryable_codes=form.codes(),
            on_exhausted=form.on_exhausted.data,
            policy_id=policy_id,
            version=row_id_of(form.seen_version.data or ""),
        )
        return saved

    def _policy_page(self, form: RetryPolicyForm, refusal: Any = None, row: Any = None) -> Any:
        status, sentence, changed = 200 if request.method == "GET" else 422, None, []
        if refusal is not None:
            status = refusal.status
            sentence = put(form, refusal)
            if "now" in refusal.data and row is not None:
                changed = self._differs(form, row)
                form.seen_version.data, form.seen_version.raw_data = str(row.version), None
        page = render_template(
            "retry_policies/form.html",
            admin_view=self,
            form=form,
            sentence=sentence,
            changed=changed,
            title=Text("New retry policy") if row is None else row.name,
            back=self.address if row is None else f"{self.address}{row.id}/",
            preview=f"{self.address}preview/",
            story=_told(form),
        )
        return page, status

    def _differs(self, form: RetryPolicyForm, row: RetryPolicy) -> list[tuple[str, Any]]:
        mine = {
            "name": form.name.data,
            "max_attempts": form.max_attempts.data,
            "delays_days": form.delays_days.data,
            "retryable_codes": sorted(form.codes()),
            "on_exhausted": form.on_exhausted.data,
        }
        shown = [self.columns[key] for key, value in mine.items() if getattr(row, key) != value]
        return [(column.label, self.cell(column, {})(row)) for column in shown]


def followers(policy_ids: Sequence[int]) -> dict[int, int]:
    """How many subscriptions follow each of these policies; those that have ended or were deleted do not count."""
    if not policy_ids:
        return {}
    counted = (
        select(Subscription.retry_policy_id, func.count())
        .where(Subscription.retry_policy_id.in_(policy_ids), ~over())
        .group_by(Subscription.retry_policy_id)
    )
    return {policy_id: number for policy_id, number in db.session.execute(counted) if policy_id is not None}


def story(delays: Sequence[int], attempts: int, codes: Sequence[str], on_exhausted: OnExhausted | None) -> list[Step]:
    """What a policy does, step by step."""
    steps = [Step("credit-card", _("On the day it is due"), _attempt(1, attempts))]
    total = 0
    for attempt in range(2, attempts + 1):
        wait = delays[min(attempt - 1, len(delays)) - 1]
        total += wait
        if attempt == 2:  # noqa: PLR2004 - the first that is tried again
            when = _n("%(number)s day after the decline", "%(number)s days after the decline", wait)
            steps.append(Step("rotate", when, _attempt(attempt, attempts)))
        else:
            told = _(
                "Attempt %(attempt)s of %(attempts)s, %(total)s in all.",
                attempt=attempt,
                attempts=attempts,
                total=_days(total),
            )
            when = _n("%(number)s day after that", "%(number)s days after that", wait)
            steps.append(Step("rotate", when, told))
    open_end = _("Not tried again: what you choose happens to the subscription.")
    ending = _ENDINGS[on_exhausted] if on_exhausted else open_end
    last = _("When the first attempt is declined")
    if attempts > 1:
        last = _("When attempt %(attempt)s is declined too", attempt=attempts)
    steps.append(Step("circle-x", last, ending))
    if codes:
        steps.append(Step("circle-x", _("Any refusal that is not on the list"), ending))
    return steps


def _told(form: RetryPolicyForm) -> list[Step]:
    """The story of what is typed so far; empty while it makes no sense."""
    attempts, delays = form.max_attempts.data, form.delays_days.data
    makes_sense = isinstance(attempts, int) and 1 <= attempts <= MOST_ATTEMPTS and (delays or attempts == 1)
    if not makes_sense or form.delays_days.process_errors:
        return []
    chosen = form.on_exhausted.data
    return story(delays or (), attempts, form.codes(), chosen if isinstance(chosen, OnExhausted) else None)  # type: ignore[arg-type]


def _typed(row: RetryPolicy) -> dict[str, Any]:
    known = [code for code in row.retryable_codes if code in DECLINE_CODES]
    return {
        "name": row.name,
        "max_attempts": row.max_attempts,
        "delays_days": row.delays_days,
        "retryable_codes": known,
        "other_codes": [code for code in row.retryable_codes if code not in DECLINE_CODES],
        "on_exhausted": row.on_exhausted,
        "seen_version": str(row.version),
    }


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[,;\s]+", text.strip()) if word]


def _days(number: int) -> str:
    return _n("%(number)s day", "%(number)s days", number)


def _attempt(number: int, attempts: int) -> str:
    return _("Attempt %(attempt)s of %(attempts)s.", attempt=number, attempts=attempts)


def _waits(delays: Sequence[int], attempts: int) -> str:
    if attempts == 1:
        return say(_("No second attempt"))
    used = [delays[min(place, len(delays)) - 1] for place in range(1, attempts)]
    days = ", ".join(map(str, used))
    return say(_("%(days)s day", days=days) if used == [1] else _("%(days)s days", days=days))


def _codes(codes: Sequence[str]) -> str:
    return ", ".join(say(DECLINE_CODES.get(code, code)) for code in codes) or say(_("Every refusal"))
