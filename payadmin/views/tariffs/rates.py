"""Exchange rates: of the System and of every exchange office; added, imported, never changed (S3:64, S3:83).

Only roles with `fx:rate:read` come here: the CFO and Financial specialists. Rates reach no customer and no merchant.
"""

import hashlib
from typing import Any

from flask import flash, redirect, request
from flask_admin import expose
from wtforms import BooleanField, Form, StringField
from wtforms.validators import InputRequired, Length, Optional

from payadmin.actions import tariffs
from payadmin.actions.tariffs import Imported
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.rates import MOST_BYTES, parse_rate, read_ecb, read_office, unpacked
from payadmin.kernel.text import Text, _, _n
from payadmin.models.payments import Mode
from payadmin.models.tariffs import NOTE_LENGTH, ExchangeRate
from payadmin.permissions import Permission
from payadmin.views import charts
from payadmin.views.base import PayAdminModelView
from payadmin.views.columns import Column, zone
from payadmin.views.fields import MomentField, SelectField, no_cards, no_controls, put
from payadmin.views.language import say
from payadmin.views.registry import page
from payadmin.views.security import current_actor
from payadmin.views.shell import current_mode
from payadmin.views.tariffs.pair import pair_context, read_pair
from payadmin.views.tariffs.shown import office_choices, unit_choices

READ, WRITE = Permission.FX_RATE_READ, Permission.FX_RATE_WRITE
NAMED_MOST = 10


class RateField(StringField):
    """An exchange rate typed as people write it; the data is an exact number."""

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read the number."""
        self.data = None
        if valuelist and valuelist[0].strip():
            try:
                self.data = parse_rate(valuelist[0])  # type: ignore[assignment]
            except Invalid as refusal:
                raise ValueError(refusal.sentence) from None

    def _value(self) -> str:
        return str(self.raw_data[0]) if self.raw_data else ""


class RateForm(Form):
    """A rate of the System."""

    base = SelectField("One", [InputRequired("Choose one.")])
    quote = SelectField("Costs in", [InputRequired("Choose one.")])
    rate = RateField(
        "Rate",
        [InputRequired("This is needed.")],
        description="What one of the first unit costs in the second, such as 1.0842.",
        render_kw={"inputmode": "decimal", "autocomplete": "off"},
    )
    valid_from = MomentField("Valid from", [Optional()], description="Empty: from now on. Never in the future.")
    note = StringField("Note", [Length(max=NOTE_LENGTH), no_controls, no_cards])
    is_sure = BooleanField("I looked again: the rate is right")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.base.choices = self.quote.choices = unit_choices(blank=_("Choose one"))


@page(menu="exchange-rates")
class RatesPage(PayAdminModelView):
    """Every rate there ever was; the newest of a pair is in force."""

    model = ExchangeRate
    slug = "exchange-rates"
    plural = "Exchange rates"
    singular = "Rate"
    subtitle = "For internal reports. Customers and merchants never see the rates of the System."
    create = WRITE
    edit = delete = export = None
    column_list = ("office", "base", "quote", "rate", "valid_from", "source", "author")
    column_filters = ("office", "base", "quote", "valid_from", "source")
    column_sortable = ("valid_from",)
    default_sort = "-valid_from"
    phone = {"base": "m1", "rate": "m2", "quote": "m3", "valid_from": "m4"}
    list_template = "tariffs/rates.html"
    detail_sections = {
        "Rate": ("office", "base", "quote", "rate", "valid_from", "source", "author", "note", "created_at")
    }
    needs = {"pair_view": READ, "import_view": WRITE}

    def cell(self, column: Column, names: dict[int, str]) -> Any:
        """A rate with the digits it was entered with, and the System by its name."""
        if column.key == "rate":
            return lambda row: format(row.rate, "f")
        if column.key == "office":
            system, known = say(_("System")), super().cell(column, names)
            return lambda row: system if row.office_id is None else known(row)
        return super().cell(column, names)

    @expose("/new/", methods=("GET", "POST"))
    def create_view(self) -> Any:
        """The form of a rate; one that is far from the last is asked about."""
        form = RateForm(request.form if request.method == "POST" else None)
        refusal: Invalid | Conflict | None = None
        if request.method == "POST" and form.validate():
            try:
                row = tariffs.add_rate(
                    current_actor(),
                    base=str(form.base.data),
                    quote=str(form.quote.data),
                    rate=form.rate.data,  # type: ignore[arg-type]
                    valid_from=form.valid_from.data,
                    note=form.note.data,
                    is_sure=bool(form.is_sure.data),
                )
            except (Invalid, Conflict) as problem:
                refusal = problem
            else:
                flash("The rate is in force.", "success")
                return redirect(f"{self.address}{row.id}/", 303)
        asks = bool(form.is_sure.data) or (refusal is not None and "ask" in refusal.data)
        fields = [form.base, form.quote, form.rate, *([form.is_sure] if asks else []), form.valid_from, form.note]
        status = 200 if request.method == "GET" else refusal.status if refusal is not None else 422
        sentence = put(form, refusal) if refusal is not None else None
        shown = self.render(
            "tariffs/rate_form.html",
            form=form,
            fields=fields,
            title=Text("New rate"),
            back=self.address,
            sentence=sentence,
            changed=[],
        )
        return shown, status

    @expose("/pair/")
    def pair_view(self) -> Any:
        """One pair: its course, and an amount converted."""
        args = request.args.copy()
        for name in ("amount", "on"):
            args.pop(name, None)
        pair = read_pair(args, mode=Mode[current_mode()])
        return self.render(
            "tariffs/pair.html",
            cards=charts.cards("exchange-rates", pair, pair.args),
            units=unit_choices(),
            offices=office_choices(),
            **pair_context(pair, request.args),
        )

    @expose("/import/", methods=("GET", "POST"))
    def import_view(self) -> Any:
        """The ECB's file, or that of an exchange office: all of its rates or none."""
        problem, done, status, asks = None, None, 200, False
        offices = [choice.label for choice in office_choices() if choice.value]
        chosen = request.form.get("office", "")
        if request.method == "POST":
            try:
                if chosen and chosen not in offices:
                    raise Invalid("There is no such exchange office.", field="office")
                done = self._imported(chosen, is_sure="is_sure" in request.form)
            except (Invalid, Conflict) as refusal:
                problem, status, asks = refusal.sentence, refusal.status, "ask" in refusal.data
        shown = {"problem": problem, "done": done, "asks": asks, "offices": offices, "chosen": chosen}
        page_text = self.render("tariffs/import.html", title=Text("Import rates"), back=self.address, **shown)
        return page_text, status

    def _imported(self, office: str, *, is_sure: bool) -> dict[str, Any]:
        file = request.files.get("file")
        data = file.read(MOST_BYTES + 1) if file is not None else b""
        if not data:
            raise Invalid("Choose the file.", field="file")
        if len(data) > MOST_BYTES:
            raise Invalid("The file is too large to hold exchange rates.", field="file")
        given: dict[str, Any] = {"sha256": hashlib.sha256(data).hexdigest(), "is_sure": is_sure}
        if office:
            rates = list(read_office(unpacked(data), zone()))
            added = tariffs.import_office_rates(current_actor(), office=office, rates=rates, **given)
            found = Imported(added, len(rates) - added, (), ())
        else:
            found = tariffs.import_ecb(current_actor(), days=list(read_ecb(unpacked(data))), **given)
        return {
            "added": _n("%(number)s rate added", "%(number)s rates added", found.added),
            "known": _n("%(number)s rate was known", "%(number)s rates were known", found.known),
            "different": found.different[:NAMED_MOST],
            "more": max(0, len(found.different) - NAMED_MOST),
            "unknown": found.unknown,
        }
