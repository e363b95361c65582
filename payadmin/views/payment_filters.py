"""Filters of payments that no column has: what numbers on the Billing dashboard lead to."""

import datetime as dt
from typing import Final

from sqlalchemy import and_, literal_column, or_, select, tuple_
from sqlalchemy.orm import aliased

from payadmin.kernel.text import _, _n
from payadmin.models.payments import Payment
from payadmin.views.columns import Column
from payadmin.views.filters import Active, DayFilter, TextFilter, moment_of
from payadmin.views.language import say

LAST_OF_BILLING: Final = "last_of_billing"
OTHER_MESSAGES: Final = "failure_message_not"
MOST_MESSAGES: Final = 20


class LastOfBillingFilter(DayFilter):
    """The last payment of each billing number in some days: as many rows as there are different numbers.

    Numbers are told apart by currency too, as every figure is.
    """

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.key, self.label = LAST_OF_BILLING, _("Last of its billing number")

    def read(self, values: list[str]) -> Active:
        """The days, and that none of the same number is later in them."""
        days = super().read(values)
        later = aliased(Payment)
        other = [
            later.billing_number == Payment.billing_number,
            later.mode == Payment.mode,
            later.unit == Payment.unit,
            tuple_(later.created_at, later.id) > tuple_(Payment.created_at, Payment.id),
        ]
        if end := days.fields["to"]:
            other.append(later.created_at < moment_of(dt.date.fromisoformat(end) + dt.timedelta(days=1)))
        none_later = ~select(literal_column("1")).where(*other).correlate(Payment).exists()
        return Active(
            and_(days.where, Payment.billing_number.is_not(None), none_later), days.summary, days.values, days.fields
        )


class OtherMessagesFilter(TextFilter):
    """Payments whose failure message is none of these, or that have none."""

    repeatable = True

    def __init__(self, column: Column) -> None:
        super().__init__(column, None)
        self.key, self.label = OTHER_MESSAGES, _("Failure message is not")

    def read(self, values: list[str]) -> Active:
        """None of `values`."""
        unwanted = tuple(dict.fromkeys(values))
        if len(unwanted) > MOST_MESSAGES:
            raise self.refuse(unwanted[MOST_MESSAGES])
        more = len(unwanted) - 1
        summary = say(_n("and %(number)s other", "and %(number)s others", more)) if more else ""
        return Active(
            or_(self.column.attr.is_(None), self.column.attr.not_in(unwanted)),
            f"{unwanted[0]} {summary}".strip(),
            unwanted,
            {},
        )
