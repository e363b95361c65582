"""Forms of contracts: a version is a name, a day, and one part for each kind of transaction and unit."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import g
from wtforms import BooleanField, FieldList, Form, FormField, HiddenField, StringField
from wtforms.validators import InputRequired, Length, Optional

from payadmin.db import db
from payadmin.kernel.errors import Refusal
from payadmin.kernel.money import MAX_SCALE
from payadmin.kernel.tariffs import MOST_TERMS, ChargedTo, Term, TransactionType
from payadmin.kernel.text import _
from payadmin.models.tariffs import CODE_LENGTH, NAME_LENGTH, NOTE_LENGTH
from payadmin.queries.tariffs import active_units
from payadmin.views.fields import EnumField, MoneyField, SelectField, no_cards, no_controls, put
from payadmin.views.tariffs.shown import PERCENT_HINT, BeginsField, PercentField, unit_choices

AMOUNTS = ("fixed_minor", "min_minor", "max_minor", "limit_single_minor", "limit_day_minor", "limit_month_minor")


def units() -> dict[str, int]:
    """The units that can be chosen, with their decimals; read once a request."""
    found: dict[str, int] | None = g.get("tariff_units")
    if found is None:
        found = g.tariff_units = active_units(db.session())
    return found


class TermForm(Form):
    """One term."""

    transaction_type = EnumField("Transaction", [InputRequired("Choose one.")], members=TransactionType, blank=True)
    unit = SelectField("Currency", [InputRequired("Choose one.")])
    rate_ppm = PercentField("Percentage", [Optional()], description=PERCENT_HINT)
    fixed_minor = MoneyField("Fixed", [Optional()], allow_zero=True, description="Added to the percentage.")
    min_minor = MoneyField("Minimum", [Optional()], allow_zero=True)
    max_minor = MoneyField("Maximum", [Optional()], allow_zero=True)
    charged_to = EnumField("Paid by", [InputRequired("Choose one.")], members=ChargedTo, default=ChargedTo.PAYEE)
    limit_single_minor = MoneyField("Limit of one", [Optional()], description="Empty: no limit.")
    limit_day_minor = MoneyField("Limit of a day", [Optional()])
    limit_month_minor = MoneyField("Limit of a month", [Optional()])
    spread_ppm = PercentField("Spread", [Optional()], description="Kept of what an exchange buys.")
    returns_commission = BooleanField("A refund gives back its share of the commission")
    is_dropped = BooleanField("Leave this term out")

    def process(self, *args: Any, **kwargs: Any) -> None:
        """Read the amounts with the decimals of the unit that is chosen."""
        known = units()
        if "tariff_choices" not in g:
            g.tariff_choices = unit_choices(blank=_("Choose one"))
        self.unit.choices = g.tariff_choices
        for name in AMOUNTS:
            self[name].scale = lambda: known.get(str(self.unit.data), MAX_SCALE)  # type: ignore[attr-defined]
        super().process(*args, **kwargs)

    def term(self) -> Term:
        """What it says."""
        data = {name: value for name, value in self.data.items() if name != "is_dropped"}
        for name in ("rate_ppm", "fixed_minor", "spread_ppm"):
            data[name] = data[name] or 0
        return Term(**data)


class VersionForm(Form):
    """A version of a contract."""

    valid_from = BeginsField(
        "Valid from", [Optional()], description="Empty: at once, or when the CFO approves it. Never in the past."
    )
    note = StringField("What changes, and why", [Length(max=NOTE_LENGTH), no_controls, no_cards])
    terms = FieldList(FormField(TermForm), min_entries=1, max_entries=MOST_TERMS)
    seen_version = HiddenField()

    def kept(self) -> list[TermForm]:
        """The terms that are not left out."""
        return [each.form for each in self.terms if not each.form.is_dropped.data]

    def all_terms(self) -> list[Term]:
        """What the version says."""
        return [each.term() for each in self.kept()]

    def validate(self, extra_validators: Mapping[str, Sequence[Any]] | None = None) -> bool:
        """Check every field, but not those of a term that is left out."""
        if super().validate(extra_validators):
            return True
        others = [field for field in self if field is not self.terms]
        return not any(field.errors for field in others) and not any(form.errors for form in self.kept())

    def put(self, refusal: Refusal) -> str | None:
        """Put a refusal at the term and the field it is about; the sentence, if it belongs to neither."""
        position = refusal.data.get("position")
        kept = self.kept()
        if isinstance(position, int) and position < len(kept):
            return put(kept[position], refusal)
        return put(self, refusal)


class ContractForm(VersionForm):
    """A new contract with its first version."""

    code = StringField(
        "Code",
        [InputRequired("This is needed."), Length(max=CODE_LENGTH), no_controls, no_cards],
        description="Capital letters, digits, dots and dashes, such as RETAIL-2. It never changes.",
        render_kw={"autocomplete": "off", "spellcheck": "false"},
    )
    name = StringField("Name", [InputRequired("This is needed."), Length(max=NAME_LENGTH), no_controls, no_cards])


class RenameForm(Form):
    """What a contract is called."""

    name = StringField("Name", [InputRequired("This is needed."), Length(max=NAME_LENGTH), no_controls, no_cards])
    seen_version = HiddenField()
