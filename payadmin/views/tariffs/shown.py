"""What the pages of tariffs share: percentages typed and shown, days that begin something, organizations looked up."""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from flask import url_for
from sqlalchemy import or_, select
from wtforms import DateField, Form, StringField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import InputRequired

from payadmin.db import db
from payadmin.kernel.errors import Invalid
from payadmin.kernel.tariffs import PERCENT_DECIMALS, parse_percent, percent_text
from payadmin.kernel.text import _
from payadmin.models.parties import Customer, CustomerStatus, Organization, OrganizationKind, OrganizationStatus
from payadmin.models.payments import UnitKind
from payadmin.queries.tariffs import active_units
from payadmin.views.fields import LinkField
from payadmin.views.filters import begins_with, moment_of, row_id_of
from payadmin.views.language import say

MOST_FOUND = 20
EARLIEST, LATEST = dt.date(1900, 1, 1), dt.date(2200, 1, 1)


class PercentField(StringField):
    """A percentage typed as people write it; the data is parts per million."""

    def _value(self) -> str:
        if self.raw_data:
            return str(self.raw_data[0])
        return "" if self.data is None else percent_text(int(self.data)).removesuffix("%")

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read parts per million; nothing typed is nothing."""
        self.data = None
        if not valuelist or not valuelist[0].strip():
            return
        try:
            self.data = parse_percent(valuelist[0])  # type: ignore[assignment]
        except Invalid as refusal:
            raise ValueError(refusal.sentence) from None


class BeginsField(DateField):
    """A business day; `moment` is its first moment."""

    @property
    def moment(self) -> dt.datetime | None:
        """When the day begins, in UTC; None where none is chosen."""
        # Time zones overflow at the calendar's ends; days so far away are refused anyway.
        return moment_of(min(max(self.data, EARLIEST), LATEST)) if self.data is not None else None


def percent_cell(row: Any) -> str:
    """The percentage of a row that has one."""
    return percent_text(row.rate_ppm)


def unit_choices(*, blank: str | None = None, kind: UnitKind | None = None) -> list[SelectChoice]:
    """The units that can be chosen, of all kinds unless one is named."""
    empty = [SelectChoice(value="", label=blank)] if blank is not None else []
    return empty + [SelectChoice(value=code, label=code) for code in active_units(db.session(), kind)]


def office_choices() -> list[SelectChoice]:
    """Whose rates there are: the System's, and those of every exchange office."""
    wanted = select(Organization.id, Organization.name).where(Organization.kind == OrganizationKind.EXCHANGE_OFFICE)
    offices = db.session.execute(wanted.order_by(Organization.name)).all()
    return [
        SelectChoice(value="", label=_("System")),
        *(SelectChoice(value=str(office_id), label=name) for office_id, name in offices),
    ]


def organization_titles(ids: set[int]) -> dict[int, str]:
    """The names of organizations."""
    wanted = select(Organization.id, Organization.name).where(Organization.id.in_(ids))
    return dict(db.session.execute(wanted).all())


def found_organizations(typed: str, kinds: Iterable[OrganizationKind]) -> list[dict[str, object]]:
    """What a picker offers for what was typed: open organizations of these kinds."""
    where = [begins_with(Organization.name, typed)]
    if (row_id := row_id_of(typed)) is not None:
        where.append(Organization.id == row_id)
    wanted = select(Organization.id, Organization.name).where(
        or_(*where), Organization.kind.in_(list(kinds)), Organization.status == OrganizationStatus.ACTIVE
    )
    rows = db.session.execute(wanted.order_by(Organization.name).limit(MOST_FOUND)).all()
    return [
        {"id": row_id, "text": say(_("%(name)s (No. %(number)s)", name=name, number=row_id))} for row_id, name in rows
    ]


def customer_titles(ids: set[int]) -> dict[int, str]:
    """The Customer IDs of customers."""
    wanted = select(Customer.id, Customer.external_id).where(Customer.id.in_(ids))
    return dict(db.session.execute(wanted).all())


def found_customers(typed: str) -> list[dict[str, object]]:
    """What a picker offers for what was typed: active customers by their Customer ID."""
    wanted = select(Customer.id, Customer.external_id).where(
        begins_with(Customer.external_id, typed), Customer.status == CustomerStatus.ACTIVE
    )
    rows = db.session.execute(wanted.order_by(Customer.external_id).limit(MOST_FOUND)).all()
    return [{"id": row_id, "text": external_id} for row_id, external_id in rows]


def organization_form(endpoint: str) -> type[Form]:
    """A form that asks for one organization, looked up at the page `endpoint`."""

    class OrganizationForm(Form):
        """Who gets it."""

        organization = LinkField(
            "Organization",
            [InputRequired("Choose one.")],
            titles=organization_titles,
            address=lambda: url_for(f"{endpoint}.organizations_view"),
            description="Type the beginning of its name.",
        )

    return OrganizationForm


def business_users() -> Sequence[OrganizationKind]:
    """The kinds of organizations that have contracts (S3:63)."""
    return [kind for kind in OrganizationKind if kind is not OrganizationKind.SYSTEM]


PERCENT_HINT = _("With up to %(most)s decimals, such as 2.5.", most=PERCENT_DECIMALS)
