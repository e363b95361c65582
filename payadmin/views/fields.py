"""Form fields that give the model what it expects: enum members, whole minor units, aware moments, existing rows."""

import datetime as dt
import enum
import json
import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from flask_admin.contrib.sqla.form import AdminModelConverter
from markupsafe import Markup
from wtforms import (
    BooleanField,
    DateField,
    DateTimeLocalField,
    Field,
    Form,
    IntegerField,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.fields import SelectField as PlainSelectField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than the stubs
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, Optional, StopValidation
from wtforms.widgets import CheckboxInput, ListWidget, Select, TextInput, html_params

from payadmin.kernel.errors import Invalid, Refusal
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.money import decimal_text, parse_minor
from payadmin.kernel.text import NumberText, Said, _
from payadmin.views.columns import Column, Kind, label_of, zone
from payadmin.views.filters import row_id_of
from payadmin.views.language import say

LARGEST_NUMBER = 2**63 - 1
LONGEST_TEXT = 10_000
FIRST_YEAR, LAST_YEAR = 1900, 2200  # time zones overflow at the ends of the calendar


class SaidSelect(Select):
    """Offers choices that are `Said` in the reader's language; names of rows stay what they are."""

    @classmethod
    def render_option(cls, choice: Any, **kwargs: Any) -> Markup:  # type: ignore[override]  # newer than the stubs
        """One choice; classes of forms are made before anybody reads them, so it is said here."""
        if isinstance(choice.label, Said):
            choice = choice._replace(label=say(choice.label))
        option: Markup = super().render_option(choice, **kwargs)
        return option


class SelectField(PlainSelectField):
    """A choice whose labels may be texts of payadmin's own."""

    widget = SaidSelect()


class EnumField(SelectField):
    """One of an enum's members; the data is the member itself, never its name."""

    def __init__(
        self,
        label: str | None = None,
        validators: Any = None,
        *,
        members: type[enum.Enum],
        blank: bool = False,
        **kw: Any,
    ) -> None:
        self.members = members
        empty = [SelectChoice(value="", label="")] if blank else []
        choices = empty + [SelectChoice(value=member.name, label=say(label_of(member))) for member in members]
        super().__init__(label, validators, choices=choices, coerce=self._member, **kw)

    def _member(self, value: Any) -> Any:
        if value is None or isinstance(value, self.members):
            return value
        return self.members[value] if value else None

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read the chosen name; anything else is refused."""
        if not valuelist:
            return
        try:
            self.data = self._member(valuelist[0])
        except KeyError:
            self.data = None
            raise ValueError("Choose one of the list.") from None

    def pre_validate(self, form: Any) -> None:
        """`process_formdata` has checked already."""

    def iter_choices(self) -> Any:
        """The choices, with the current member selected."""
        current = self.data.name if self.data else ""
        for choice in super().iter_choices():
            yield choice._replace(selected=choice.value == current)  # type: ignore[attr-defined]


class Checkboxes(SelectMultipleField):
    """Several of a list, each with a box of its own."""

    widget = ListWidget(prefix_label=False)
    option_widget = CheckboxInput()


class MoneyField(StringField):
    """An amount typed as people write it; the data is whole minor units.

    Args:
        scale: the unit's decimals, or a function that finds them when the form is read (the unit may be on the form).
        allow_zero: whether nothing is an amount.
    """

    def __init__(
        self,
        label: str | None = None,
        validators: Any = None,
        *,
        scale: int | Callable[[], int] = 2,
        allow_zero: bool = False,
        max_minor: int | None = None,
        **kw: Any,
    ) -> None:
        self._scale = scale
        self.allow_zero = allow_zero
        self.max_minor = max_minor
        kw.setdefault("render_kw", {"inputmode": "decimal", "autocomplete": "off"})
        super().__init__(label, validators, **kw)

    @property
    def scale(self) -> int:
        """The decimals that this amount has."""
        return self._scale() if callable(self._scale) else self._scale

    @scale.setter
    def scale(self, scale: int) -> None:
        self._scale = scale

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        return "" if self.data is None else decimal_text(int(self.data), self.scale)

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read minor units; the sentence says what an amount looks like."""
        self.data = None
        if not valuelist or not valuelist[0].strip():
            self.raw_data = []  # blanks are nothing, for `InputRequired` too
            return
        most = {} if self.max_minor is None else {"max_minor": self.max_minor}
        try:
            self.data = parse_minor(valuelist[0], self.scale, allow_zero=self.allow_zero, **most)  # type: ignore[assignment]
        except Invalid as refusal:
            raise ValueError(refusal.sentence) from None


class MomentField(DateTimeLocalField):
    """A moment typed in the business time zone; the data is aware UTC."""

    def __init__(self, label: str | None = None, validators: Any = None, **kw: Any) -> None:
        super().__init__(label, validators, format=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"], **kw)

    def process_data(self, value: Any) -> None:
        """Show the business time of a stored moment."""
        super().process_data(value.astimezone(zone()) if value is not None else None)

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read business time."""
        super().process_formdata(valuelist)
        if self.data is not None:
            if not FIRST_YEAR <= self.data.year <= LAST_YEAR:
                self.data = None
                raise ValueError(_("Write a date of this century."))
            self.data = self.data.replace(tzinfo=zone()).astimezone(dt.UTC)


class JsonField(TextAreaField):
    """A structured value, typed as JSON."""

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        return "" if self.data is None else json.dumps(self.data, ensure_ascii=False, indent=2)

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read JSON; empty is nothing."""
        self.data = None
        if not valuelist or not valuelist[0].strip():
            return
        try:
            self.data = json.loads(valuelist[0], parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise ValueError(_("This is not JSON.")) from None


class UuidField(StringField):
    """An identifier of the usual 36 characters."""

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read the identifier."""
        self.data = None
        if valuelist and valuelist[0].strip():
            try:
                self.data = uuid.UUID(valuelist[0].strip())  # type: ignore[assignment]
            except ValueError:
                raise ValueError(_("This is not an identifier.")) from None


class NumberField(IntegerField):
    """A whole number that a column can hold."""

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read ASCII digits only."""
        if not valuelist or not valuelist[0].strip():
            self.data = None
            return
        text = valuelist[0].strip()
        if not text.isascii() or not text.removeprefix("-").isdigit() or len(text) > 20:  # noqa: PLR2004 - 2**63
            self.data = None
            raise ValueError(_("Write a whole number."))
        self.data = int(text)


class PickerWidget(TextInput):
    """An input that looks related rows up while one types; without JavaScript it takes the row's number."""

    def __call__(self, field: Any, **kwargs: Any) -> Markup:
        chosen = [{"id": field.data, "text": field.title()}] if field.data else []
        kwargs |= {"data-picker-url": field.url(), "data-picker-chosen": json.dumps(chosen)}
        params = html_params(id=field.id, name=field.name, value=field.data or "", type="text", **kwargs)
        return Markup("<input %s>") % Markup(params)  # noqa: S704 - html_params escapes every value


class LinkField(Field):
    """A related row by its id, which must exist and be visible to the person who chooses it."""

    widget = PickerWidget()

    def __init__(
        self,
        label: str | None = None,
        validators: Any = None,
        *,
        titles: Callable[[set[int]], dict[int, str]],
        address: Callable[[], str],
        **kw: Any,
    ) -> None:
        super().__init__(label, validators, **kw)
        self.titles = titles
        self.url = address

    def title(self) -> str:
        """The name of the chosen row."""
        return self.titles({self.data}).get(self.data) or say(_("No. %(number)s", number=self.data))

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read an id."""
        self.data = None
        if valuelist and valuelist[0].strip():
            self.data = row_id_of(valuelist[0].strip())
            if self.data is None:
                raise ValueError("Choose one of the list.")
        else:
            self.raw_data = []  # blanks are nothing, for `InputRequired` too

    def pre_validate(self, form: Any) -> None:  # noqa: ARG002
        """The row must be there."""
        if self.data is not None and self.data not in self.titles({self.data}):
            raise StopValidation("Choose one of the list.")


class PayAdminConverter(AdminModelConverter):
    """Flask-Admin's converter with a field for every kind of column; what it does not know it leaves out."""

    def field_for(self, column: Column, **links: Any) -> Any:  # noqa: C901 - one case for each kind
        """The unbound field of one column."""
        source = column.attr.property.columns[0]
        required = not source.nullable and source.default is None and source.server_default is None
        validators: list[Any] = [InputRequired("This is needed.") if required else Optional()]
        common = {"label": column.label, "validators": validators, "description": column.info.get("help", "")}
        default = source.default.arg if source.default is not None and source.default.is_scalar else None
        if default is not None:
            common["default"] = default
        match column.kind:
            case Kind.ENUM:
                # Without a usual choice the form suggests none: the first of the list would be saved unseen.
                blank = bool(source.nullable) or required
                return EnumField(members=column.members or enum.Enum, blank=blank, **common)
            case Kind.FLAG:
                return BooleanField(column.label, description=str(common["description"]), default=bool(default))
            case Kind.DAY:
                return DateField(**common)
            case Kind.MONEY:
                return MoneyField(scale=links["scale"], allow_zero=True, **common)
            case Kind.NUMBER:
                validators.append(NumberRange(-LARGEST_NUMBER, LARGEST_NUMBER, _("This number is too large.")))
                return NumberField(**common)
            case Kind.LINK:
                return LinkField(titles=links["titles"], address=links["address"], **common)
            case Kind.CODE:
                return SelectField(choices=links["choices"], coerce=str, **common)
            case Kind.MOMENT | Kind.JSON | Kind.UUID:
                return _PLAIN[column.kind](**common)
        if required:
            validators[0] = DataRequired("This is needed.")  # after the blanks around it are gone
        length = getattr(source.type, "length", None)
        validators.append(
            Length(
                max=length or LONGEST_TEXT,
                message=_("At most %(number)s characters.", number=NumberText(length or LONGEST_TEXT)),
            )
        )
        validators.append(no_controls)
        if column.info.get("mask") != "phone":  # one phone number in a hundred looks like a card number
            validators.append(no_cards)
        filters: Sequence[Any] = (_stripped, _nothing) if source.nullable else (_stripped,)
        return (StringField if length else TextAreaField)(filters=filters, **common)


_PLAIN: dict[Kind, Any] = {Kind.MOMENT: MomentField, Kind.JSON: JsonField, Kind.UUID: UuidField}


# Overrides of direction show an amount or a name other than it is; scripts written from the right need none.
_UNWANTED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


def put(form: Form, refusal: Refusal, field: str | None = None) -> str | None:
    """Put a refusal at the field it is about, unless the field has said already what is wrong with it.

    Args:
        form: the form whose content was refused.
        refusal: why.
        field: the form's name of the field, where it is not the refusal's own.

    Returns:
        The sentence, if it belongs to no field of the form: the problem of the whole form.
    """
    name = refusal.field if field is None else field
    if not name or name not in form:
        return refusal.sentence
    if not form[name].errors:
        form[name].errors = [refusal.sentence]
    return None


def no_controls(_form: Any, field: Any) -> None:
    """Refuse characters that no database and no file wants: NUL and its kind, and what turns the direction of text."""
    if isinstance(field.data, str) and _UNWANTED.search(field.data):
        raise StopValidation("This holds characters that cannot be stored.")


def no_cards(_form: Any, field: Any) -> None:
    """Refuse full card numbers: payadmin keeps the last four digits and nothing else (PCI 3.4.1)."""
    if isinstance(field.data, str) and mask_pan_in_text(field.data) != field.data:
        raise StopValidation("This holds a card number. Write its last four digits only.")


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _nothing(value: Any) -> Any:
    return value or None


def _no_constant(name: str) -> None:
    raise ValueError(name)
