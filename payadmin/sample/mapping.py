"""From card statement to payments: pure, deterministic, one row in and one payment out.

Dates, amounts, currencies, merchants, categories, cost centres, directorates, card endings, credits and series are
real. Everything a statement does not say is decided by the row's own dice, so the same row always tells the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

from payadmin.models.payments import Channel, Mode, OrderStatus, PaymentStatus, PaymentType, RefundReason
from payadmin.models.subscriptions import SubscriptionOrigin, SubscriptionStatus
from payadmin.sample.categories import category_code, directorate_name
from payadmin.sample.merchants import merchant_name
from payadmin.sample.people import person
from payadmin.sample.source import (
    LAST_ROW,
    RECENT_FROM_ROW,
    CardRow,
    Credit,
    Series,
    Story,
    card_ranges,
    card_rows,
    category_names,
)

PROVIDER: Final = "simulator"
UNSETTLED_FROM_ROW: Final = LAST_ROW - 210
_S = PaymentStatus
_TAKEN: Final = frozenset(
    {_S.PAID, _S.PARTIALLY_REFUNDED, _S.TOTALLY_REFUNDED, _S.VOIDED, _S.CHARGED_BACK}
)  # the money was taken, whatever became of it later
_DECLINES: Final = (
    ("51", "insufficient_funds", "Your card has insufficient funds."),
    ("05", "generic_decline", "Your card was declined."),
    ("54", "expired_card", "Your card has expired."),
    ("96", "processing_error", "The card could not be processed."),
    ("65", "card_velocity_exceeded", "Your card was declined for making repeated attempts too often."),
)
# Of a thousand payments without credits: (the dice are below this, the status).
_SETTLED_FATES: Final = ((15, _S.FAILED), (17, _S.CANCELLED), (21, _S.VOIDED), (22, _S.CHARGED_BACK))
_RECENT_FATES: Final = (
    (40, _S.CREATED),
    (110, _S.AUTHORIZED),
    (140, _S.PENDING),
    (165, _S.UNKNOWN),
    (225, _S.VOIDED),
    (270, _S.FAILED),
)
_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_MINUTE: Final = timedelta(minutes=1)


TEST_ROWS = 89


@dataclass(slots=True)
class SamplePayment:
    """A payment with everything that hangs on it; parties are named, the loader knows their ids."""

    values: dict[str, Any]
    merchant: str
    customer: dict[str, Any]
    directorate: str
    series: int | None
    events: list[dict[str, Any]] = field(default_factory=list)
    refunds: list[dict[str, Any]] = field(default_factory=list)


def transaction_id(number: int) -> str:
    """The transaction ID of a row."""
    return f"BCC-{number:09}"


def sample_payments(story: Story, *, first: int = 1, last: int = LAST_ROW) -> Iterator[SamplePayment]:
    """The payments of the rows from `first` to `last`, oldest first; credits hang on the payment they belong to."""
    for row in card_rows():
        if row.number > last:
            return
        if row.number >= first and row.minor > 0:
            yield sample_payment(row, story)


def sample_payment(row: CardRow, story: Story) -> SamplePayment:
    """The payment of one row."""
    dice = blake2b(b"%d" % row.number, digest_size=16, person=b"payment").digest()
    series = story.series_of.get(row.number)
    returned = story.credits.get(row.number, ())
    at = _moment(row.day, dice)
    status = _fate(row, dice, series, returned)
    channel = Channel.API if series else _channel(row.merchant, dice)
    card = _card(row.card)
    method = _method(row.merchant, channel, card["scheme"], dice)
    customer = customer_values(*_holder(row, story, series), at)
    minor = row.minor
    values: dict[str, Any] = {
        "transaction_id": transaction_id(row.number),
        "invoice_number": f"INV-{row.day[:4]}-{row.number:06}",
        "billing_number": billing_number(series) if series else None,
        "type": _type(channel, dice, series),
        "channel": channel,
        "provider": PROVIDER,
        "method": method,
        "description": _description(row),
        "amount_minor": minor,
        "unit": row.unit,
        "billed_amount_minor": None,
        "billed_unit": None,
        "status": status,
        "captured_minor": minor if status in _TAKEN else 0,
        "reserved_minor": 0,
        "refunded_minor": sum(credit.minor for credit in returned),
        "settled_at": None,
        "response_code": None,
        "approval_code": None,
        "error_code": None,
        "failure_message": None,
        "card_first6": None,
        "card_last4": None,
        "card_issuer": None,
        "card_holder_name": None,
        "card_holder_phone": None,
        # Made: some single payments are shown as test payments, so that both modes have something to show.
        "mode": Mode.LIVE if series or returned or row.number % TEST_ROWS else Mode.TEST,
        "created_at": at,
        "updated_at": at,
    }
    if row.unit != row.billed_unit:
        values |= {"billed_amount_minor": int(row.billed.replace(".", "")), "billed_unit": row.billed_unit}
    if method not in {"PAYPAL", "BANK_TRANSFER"}:
        values |= {
            "card_first6": card["first6"],
            "card_last4": row.card,
            "card_issuer": card["bank"],
            "card_holder_name": customer["name"],
            "card_holder_phone": customer["phone"],
        }
    if status in _TAKEN or status is _S.AUTHORIZED:
        code = "".join(_LETTERS[byte % len(_LETTERS)] for byte in dice[10:16])
        values |= {"response_code": "00", "approval_code": code}
    elif status is _S.FAILED:
        response, error, message = _DECLINES[dice[9] % len(_DECLINES)]
        values |= {"response_code": response, "error_code": error, "failure_message": message}
    if row.number < UNSETTLED_FROM_ROW and status in _TAKEN and status is not _S.VOIDED:
        values["settled_at"] = at.replace(hour=2, minute=0, second=0) + timedelta(days=2)
    payment = SamplePayment(values, merchant_name(row.merchant), customer, directorate_name(row.directorate), series)
    _tell(payment, returned, dice)
    return payment


def customer_values(card: str, centre_code: str, at: datetime) -> dict[str, Any]:
    """One customer for each card and cost centre; `at` is when they are first seen."""
    return dict(_customer(card, centre_code), created_at=at, updated_at=at)


def series_values(series: Series) -> dict[str, Any]:
    """The subscription behind a series."""
    at = _moment(series.first_day, b"\0" * 16)
    return {
        "subscription_id": subscription_id(series.number),
        "billing_number": billing_number(series.number),
        "amount_minor": series.minor,
        "unit": series.unit,
        "method": _card(series.card)["scheme"],
        "provider": PROVIDER,
        "card_last4": series.card,
        "start_date": at.date(),
        # Of a statement only the past is known: no schedule, so nothing is ever planned.
        "status": SubscriptionStatus.ACTIVE,
        "origin": SubscriptionOrigin.IMPORTED,
        "created_at": at,
        "updated_at": at,
    }


def subscription_id(series: int) -> str:
    """The subscription ID of a series."""
    return f"SUB-{series:05}"


def billing_number(series: int) -> str:
    """The billing number of a series."""
    return f"BN-{100_000 + series}"


@lru_cache(maxsize=8192)
def _customer(card: str, centre_code: str) -> dict[str, Any]:
    external_id = f"{centre_code or 'NONE'}-{card}"
    somebody = person(external_id)
    return {
        "external_id": external_id,
        "name": somebody.name,
        "username": somebody.username,
        "email": somebody.email,
        "phone": somebody.phone,
        "locale": "en",
    }


@lru_cache(maxsize=4096)
def _card(last4: str) -> dict[str, str]:
    dice = blake2b(last4.encode(), digest_size=4, person=b"card").digest()
    scheme = "VISA" if dice[0] < 150 else "MASTERCARD" if dice[0] < 230 else "AMEX"  # noqa: PLR2004
    ranges = card_ranges()[scheme]
    found = ranges[int.from_bytes(dice[1:3]) % len(ranges)]
    return {"scheme": scheme, "first6": found.first6, "bank": found.bank}


def _holder(row: CardRow, story: Story, series: int | None) -> tuple[str, str]:
    if series is None:
        return row.card, row.centre_code
    return story.series[series].card, story.series[series].centre_code


def _moment(day: str, dice: bytes) -> datetime:
    """Some time between eight and six: the statement knows only the day."""
    seconds = 8 * 3600 + int.from_bytes(dice[:3]) % (10 * 3600)
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(seconds=seconds)


def _fate(row: CardRow, dice: bytes, series: int | None, returned: Any) -> PaymentStatus:
    if returned:
        whole = sum(credit.minor for credit in returned) == row.minor
        return _S.TOTALLY_REFUNDED if whole else _S.PARTIALLY_REFUNDED
    if series and row.number < UNSETTLED_FROM_ROW:
        return _S.PAID
    fates = _RECENT_FATES if row.number >= UNSETTLED_FROM_ROW else _SETTLED_FATES
    chance = int.from_bytes(dice[3:6]) % 1000
    return next((status for below, status in fates if chance < below), _S.PAID)


def _channel(merchant: str, dice: bytes) -> Channel:
    if merchant.startswith(("www", "paypal", "amazon", "amz")) or ".co" in merchant or "online" in merchant:
        return Channel.WEB if dice[6] < 220 else Channel.MOBILE_APP  # noqa: PLR2004
    if merchant.startswith(("itunes", "park mobile", "uber", "just eat")):
        return Channel.MOBILE_APP
    return Channel.CALL_CENTRE if dice[6] < 20 else Channel.POINT_OF_SALE  # noqa: PLR2004


def _method(merchant: str, channel: Channel, scheme: str, dice: bytes) -> str:
    if merchant.startswith("paypal"):
        return "PAYPAL"
    if channel is Channel.MOBILE_APP and dice[7] < 120:  # noqa: PLR2004
        return "APPLE_PAY"
    if channel is Channel.POINT_OF_SALE and dice[7] < 12:  # noqa: PLR2004
        return "APPLE_PAY"
    if channel in {Channel.WEB, Channel.CALL_CENTRE} and dice[7] < 10:  # noqa: PLR2004
        return "BANK_TRANSFER"
    return scheme


def _type(channel: Channel, dice: bytes, series: int | None) -> PaymentType:
    if series:
        return PaymentType.SUBSCRIPTION
    if channel in {Channel.CALL_CENTRE, Channel.WEB} and dice[8] < 16:  # noqa: PLR2004
        return PaymentType.PAY_BY_LINK
    return PaymentType.DIRECT


def _description(row: CardRow) -> str:
    code = category_code(row.category_code)
    what = row.category or "Purchase"
    place = f" for {row.centre}" if row.centre else ""
    return f"{what}{place}; {row.merchant}; MCC {code} {category_names()[code]}"[:300]


def _tell(payment: SamplePayment, returned: Any, dice: bytes) -> None:
    """Write the history of the payment, and its refunds."""
    status, at = payment.values["status"], payment.values["created_at"]
    taken = status in _TAKEN

    def say(
        when: datetime, state: PaymentStatus, event: str, minor: int | None = None, detail: str | None = None
    ) -> None:
        payment.events.append(
            {
                "at": when,
                "status": state,
                "event": event,
                "refunded_minor": minor,
                "actor_name": "system",
                "detail": detail,
            }
        )
        payment.values["updated_at"] = when

    say(at, _S.CREATED, "Payment created")
    if taken:
        say(at + timedelta(seconds=3), _S.PAID, "Payment executed")
    elif status is _S.FAILED:
        say(at + timedelta(seconds=3), status, "Payment failed", detail=payment.values["failure_message"])
    elif status is _S.CANCELLED:
        say(at + 30 * _MINUTE, status, "Payment failed by the system", detail="The customer did not finish paying.")
    elif status is not _S.CREATED:
        say(at + timedelta(seconds=3), status, "Payment confirmation requested")
    if status is _S.VOIDED:
        say(at + 20 * _MINUTE, _S.PAID, "Void requested", detail=RefundReason.DUPLICATE.value)
        say(at + 21 * _MINUTE, status, "Void executed")
    elif status is _S.CHARGED_BACK:
        say(at + timedelta(days=20), _S.PAID, "Dispute opened")
        say(at + timedelta(days=40), status, "Dispute lost")
    given, before = 0, _S.PAID
    for credit in returned:
        given += credit.minor
        after = _S.TOTALLY_REFUNDED if given == payment.values["amount_minor"] else _S.PARTIALLY_REFUNDED
        when = max(_moment(credit.day, dice[3:]), payment.values["updated_at"] + 30 * _MINUTE)
        payment.refunds.append(_refund(payment, credit, when))
        say(when, before, "Refund requested", credit.minor, RefundReason.IMPORTED.value)
        total = "Total" if after is _S.TOTALLY_REFUNDED else "Partial"
        say(when + 2 * _MINUTE, after, f"{total} refund executed", credit.minor)
        before = after


def _refund(payment: SamplePayment, credit: Credit, when: datetime) -> dict[str, Any]:
    return {
        "key": f"sample-{credit.number}",
        "provider_key": f"sample-{credit.number}",
        "reference": f"rf-{transaction_id(credit.number)}",
        "status": OrderStatus.SUCCEEDED,
        "reason": RefundReason.IMPORTED,
        "note": None,
        "requested_by_id": None,
        "requested_by": "system",
        "amount_minor": credit.minor,
        "unit": payment.values["unit"],
        "first_sent_at": when,
        "last_sent_at": when,
        "created_at": when,
        "updated_at": when + 2 * _MINUTE,
    }


assert RECENT_FROM_ROW < UNSETTLED_FROM_ROW
