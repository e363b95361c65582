"""From customers of a telephone company to subscriptions: pure, one row in and one registration out.

Customer ID, contract, way of paying, monthly charge, months as a customer and leaving are the file's. What it does not
say (days, rhythms, cards, troubles) is decided by the row's own dice, so the same row on the same day tells the same.
"""

import calendar
import datetime as dt
from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b
from typing import Any, Final

from payadmin.kernel.schedules import ALL_MONTHS, IntervalUnit, Schedule, ScheduleKind, add_months, dates
from payadmin.models.subscriptions import Purpose, SubscriptionOrigin, SubscriptionStatus
from payadmin.sample.people import person
from payadmin.sample.source import TelcoRow

MERCHANT: Final = "Telephone company (IBM sample)"
UNIT: Final = "USD"
PATIENT, STRICT = "Three tries in a week", "Once more, then stop"
LEFT, PAUSED = "The customer left.", "The customer asked for a pause."
CONTRACT_MONTHS: Final = {"Month-to-month": 0, "One year": 12, "Two year": 24}

_S = SubscriptionStatus
_GOOD_TOKENS: Final = {"VISA": "tok_visa", "MASTERCARD": "tok_mastercard", "AMEX": "tok_amex"}
_BANK_TOKEN: Final = "tok_bank_account"  # noqa: S105 - the simulator's, not a secret
# Of 100 cards: (the dice are below this, the token). The simulator refuses these, and takes its time with the last.
_TROUBLE: Final = (
    (4, "tok_visa_chargeDeclinedInsufficientFunds"),
    (6, "tok_visa_chargeDeclinedProcessingError"),
    (8, "tok_visa_chargeDeclinedExpiredCard"),
    (9, "tok_visa_chargeDeclinedLostCard"),
    (12, "tok_pending"),
)
_REFUSED: Final = {
    "tok_visa_chargeDeclinedInsufficientFunds": ("insufficient_funds", "Your card has insufficient funds."),
    "tok_visa_chargeDeclinedProcessingError": ("processing_error", "The card could not be processed."),
}


class Trouble(Enum):
    """What became of a date of the last days, so that staff find something to decide."""

    LATE = "not run in time"
    UNDECIDED = "sent, and nobody knows what became of it"
    REFUSED = "refused until no try was left"


@dataclass(frozen=True)
class Past:
    """A due date before today."""

    due_date: dt.date
    trouble: Trouble
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class Registration:
    """A subscription as it is to be registered, and what happened to it since.

    Args:
        arguments: what `register_subscription` takes, without the ids and the zone.
        policy: the name of its retry policy.
        created_at: when the customer came.
        changed_at: when the status became what it is.
        reason: why it is not active any more.
    """

    subscription_id: str
    customer: dict[str, Any]
    arguments: dict[str, Any]
    policy: str | None
    status: SubscriptionStatus
    created_at: dt.datetime
    changed_at: dt.datetime
    reason: str | None = None
    past: tuple[Past, ...] = field(default=())


class _Dice:
    """The row's dice: the same name always falls the same way."""

    def __init__(self, customer_id: str) -> None:
        self._seed = customer_id.encode()

    def below(self, sides: int, name: str) -> int:
        drawn = blake2b(self._seed, digest_size=8, person=name.encode()).digest()
        return int.from_bytes(drawn) % sides


def registration(row: TelcoRow, now: dt.datetime, today: dt.date) -> Registration:
    """The subscription of one customer, as it stands on `today`.

    Args:
        now: the moment of registering, aware UTC.
        today: the business day.
    """
    dice = _Dice(row.customer_id)
    start = _start(row, dice, today)
    schedule, minor, expiration = _rhythm(row, dice, start, today)
    is_charged = row.method.endswith("(automatic)")
    card = _card(row, dice, today) if is_charged else {"card_token": None, "method": "BANK_TRANSFER"}
    created = min(now, dt.datetime.combine(start, dt.time(8), dt.UTC) + dt.timedelta(seconds=dice.below(36_000, "at")))
    status, reason = _status(row, dice)
    past: tuple[Past, ...] = ()
    if status is _S.ACTIVE:
        past = _past(dice, schedule, start, today, card["card_token"])
        if any(one.trouble is Trouble.REFUSED for one in past):
            status = _S.ON_HOLD
    left = dt.timedelta(minutes=dice.below(30 * 24 * 60, "left"))
    return Registration(
        subscription_id=f"SUB-T{row.number:06}",
        customer=_customer(row.customer_id, created),
        arguments={
            "billing_number": row.customer_id,
            "amount_minor": minor,
            "unit": UNIT,
            "provider": "simulator",
            "schedule": schedule,
            "start_date": start,
            "expiration_date": expiration,
            "purpose": Purpose.RECURRING if is_charged else Purpose.REMINDER,
            "origin": SubscriptionOrigin.HOSTED if row.is_paperless else SubscriptionOrigin.BACKOFFICE,
            **card,
        },
        policy=(STRICT if row.contract == "One year" else PATIENT) if is_charged else None,
        status=status,
        created_at=created,
        changed_at=max(created, now - left) if status in {_S.CANCELLED, _S.INACTIVE} else created,
        reason=reason,
        past=past,
    )


def _start(row: TelcoRow, dice: _Dice, today: dt.date) -> dt.date:
    """The day they came: as many months ago as the file says, on a day of the dice; one in 24 on today's day."""
    month = add_months(today.replace(day=1), -row.tenure)
    # A card that is refused, and charged every second time today: what a refusal looks like is seen at once.
    is_today = dice.below(2 if _trouble(row, dice) in _REFUSED else 24, "today") == 0
    day = today.day if is_today else 1 + dice.below(31, "day")
    start = add_months(month.replace(month=1, day=day), month.month - 1)
    return start if row.tenure or start > today else add_months(start, 1)


def _expiration(row: TelcoRow, start: dt.date, today: dt.date) -> dt.date | None:
    """The end of the contract that runs; contracts renew themselves until today."""
    months = CONTRACT_MONTHS[row.contract]
    if not months:
        return None
    ends = months
    while (end := add_months(start, ends) - dt.timedelta(days=1)) < today:
        ends += months
    return end


def _rhythm(row: TelcoRow, dice: _Dice, start: dt.date, today: dt.date) -> tuple[Schedule, int, dt.date | None]:
    """When they pay, how much each time, and until when: the file's monthly charge, or as much by week or quarter."""
    monthly, turn = row.minor, dice.below(16, "rhythm")
    expiration = _expiration(row, start, today)
    if start.day == today.day:
        return _every(1, start), monthly, expiration
    if expiration is None and turn == 0:
        weekly = Schedule(ScheduleKind.DAY, weekdays=(1 + dice.below(7, "weekday"),), months=ALL_MONTHS)
        return weekly, _part(monthly * 12, 52), None
    if expiration is None and turn == 1:
        fortnightly = Schedule(ScheduleKind.INTERVAL, interval_unit=IntervalUnit.DAY, interval_count=14, anchor=start)
        return fortnightly, _part(monthly * 12, 26), None
    if expiration is None:
        return Schedule(ScheduleKind.DATE, days=(min(start.day, 28),), months=ALL_MONTHS), monthly, None
    if turn < 3:  # noqa: PLR2004 - of 16: paid in advance, and renewed until somebody ends it
        months = 12 if turn < 2 else 3  # noqa: PLR2004
        return _every(months, start), monthly * months, None
    if turn < 6 and CONTRACT_MONTHS[row.contract] == 12:  # noqa: PLR2004 - named days, a quarter each
        first = add_months(expiration + dt.timedelta(days=1), -12)
        quarters = tuple(add_months(first, months) for months in (0, 3, 6, 9))
        return Schedule(ScheduleKind.FULL_DATE, dates=quarters), monthly * 3, expiration
    return _every(1, start), monthly, expiration


def _every(months: int, start: dt.date) -> Schedule:
    return Schedule(ScheduleKind.INTERVAL, interval_unit=IntervalUnit.MONTH, interval_count=months, anchor=start)


def _part(amount: int, parts: int) -> int:
    """A part of an amount, to the nearest minor unit."""
    return (amount + parts // 2) // parts


def _trouble(row: TelcoRow, dice: _Dice) -> str | None:
    """The token of a card that the simulator refuses, if this customer has one."""
    chance = dice.below(100, "token")
    is_card = row.method == "Credit card (automatic)"
    return next((token for below, token in _TROUBLE if chance < below), None) if is_card else None


def _card(row: TelcoRow, dice: _Dice, today: dt.date) -> dict[str, Any]:
    if row.method.startswith("Bank"):
        return {"card_token": _BANK_TOKEN, "method": "BANK_TRANSFER"}
    trouble = _trouble(row, dice)
    drawn = dice.below(20, "scheme")
    scheme = "VISA" if drawn < 11 or trouble else "MASTERCARD" if drawn < 18 else "AMEX"  # noqa: PLR2004
    months = -1 if trouble and "Expired" in trouble else dice.below(48, "expiry")
    month = add_months(today.replace(day=1), months)
    return {
        "card_token": trouble or _GOOD_TOKENS[scheme],
        "method": scheme,
        "card_last4": f"{dice.below(10_000, 'last4'):04}",
        "card_expires_on": month.replace(day=calendar.monthrange(month.year, month.month)[1]),
    }


def _status(row: TelcoRow, dice: _Dice) -> tuple[SubscriptionStatus, str | None]:
    if not row.has_left:
        return _S.ACTIVE, None
    if not CONTRACT_MONTHS[row.contract] and dice.below(8, "pause") == 0:
        return _S.INACTIVE, PAUSED
    return _S.CANCELLED, LEFT


def _past(dice: _Dice, schedule: Schedule, start: dt.date, today: dt.date, token: str | None) -> tuple[Past, ...]:
    """What went wrong in the last weeks, for a few: dates that the schedule really has."""

    def gone(most: int, least: int) -> list[dt.date]:
        return dates(schedule, max(start, today - dt.timedelta(days=most)), today - dt.timedelta(days=least))

    if token in _REFUSED and dice.below(2, "refused") and (refused := gone(40, 8)):
        return (Past(refused[-1], Trouble.REFUSED, *_REFUSED[token]),)
    if dice.below(20, "late") == 0:
        return tuple(Past(date, Trouble.LATE) for date in gone(12, 4))
    if token and dice.below(40, "undecided") == 0 and (undecided := gone(12, 2)):
        return (Past(undecided[-1], Trouble.UNDECIDED),)
    return ()


def _customer(customer_id: str, at: dt.datetime) -> dict[str, Any]:
    somebody = person(customer_id)
    return {
        "external_id": customer_id,
        "name": somebody.name,
        "username": somebody.username,
        "email": somebody.email,
        "phone": somebody.phone,
        "locale": "en",
        "created_at": at,
        "updated_at": at,
    }
