"""What watch rules can ask about a payment, and the answers: the payment itself, and what its customer did before it.

Everything is asked as of the moment at which the payment was made, so a replay of a past day says what would have been
said on that day. Windows are read through the index of a customer's payments and counted up to a bound.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, cast, func, select
from sqlalchemy.orm import Session

from payadmin.kernel.conditions import Amount, Condition, Fact, Key, KeyKind, Registry, stored_condition
from payadmin.kernel.text import Text, _
from payadmin.models.parties import Customer, CustomerKind, IdentificationStatus
from payadmin.models.payments import Channel, Payment, PaymentMethod, PaymentStatus, PaymentType, Unit
from payadmin.models.risk import WatchItem, WatchNote, WatchRule, WatchStatus, WatchTrial, WatchVersion
from payadmin.models.subscriptions import Subscription  # noqa: F401 - Payment refers to it

HOUR: Final = dt.timedelta(hours=1)
DAY: Final = dt.timedelta(days=1)
MOST_COUNTED: Final = 1_000
YES_NO: Final = {"YES": _("Yes"), "NO": _("No")}
# Whether somebody is identified; what goes on in between is for compliance alone (KY1).
IDENTIFIED: Final = {
    status.name: Text(status.value) for status in (IdentificationStatus.IDENTIFIED, IdentificationStatus.UNIDENTIFIED)
}
# Declined: nothing was paid, and nobody took it back.
DECLINED: Final = (PaymentStatus.FAILED,)
# Country calling codes of two digits (ITU-T E.164); +1 and +7 stand alone, every other one has three.
_TWO: Final = frozenset(
    str(code) for first, last in ((30, 34), (43, 49), (51, 58), (60, 66), (90, 95)) for code in range(first, last + 1)
) | {"20", "27", "36", "39", "40", "41", "81", "82", "84", "86", "98"}


def watch_registry(session: Session) -> Registry:
    """Everything that a watch rule may ask about, with what can be chosen at this moment."""
    scales = dict(session.execute(select(Unit.code, Unit.scale).order_by(Unit.code)).all())
    methods = dict(session.execute(select(PaymentMethod.code, PaymentMethod.name).order_by(PaymentMethod.name)).all())
    return registry_for(scales, methods)


def registry_for(scales: dict[str, int], methods: Mapping[str, str]) -> Registry:
    """The keys of watch rules. A new one is one line here and one answer in `_ANSWERS`."""
    return Registry.of(
        Key("amount", _("Amount"), KeyKind.MONEY),
        Key("currency", _("Currency"), KeyKind.CHOICE, {code: code for code in scales}, unit_of="amount"),
        Key("status", _("Status of the payment"), KeyKind.CHOICE, _labels(PaymentStatus)),
        Key("channel", _("Channel"), KeyKind.CHOICE, _labels(Channel)),
        Key("payment_type", _("Payment type"), KeyKind.CHOICE, _labels(PaymentType)),
        Key("method", _("Method"), KeyKind.CHOICE, methods),
        Key("user_type", _("User type"), KeyKind.CHOICE, _labels(CustomerKind)),
        Key("identification", _("Identification"), KeyKind.CHOICE, IDENTIFIED),
        Key("days_known", _("Days since the customer was added"), KeyKind.NUMBER),
        Key("payments_hour", _("Payments of the customer in an hour"), KeyKind.NUMBER),
        Key("payments_day", _("Payments of the customer in 24 hours"), KeyKind.NUMBER),
        Key("amount_day", _("The customer's payments of 24 hours in this currency"), KeyKind.MONEY),
        Key("declines_day", _("Declined payments of the customer in 24 hours"), KeyKind.NUMBER),
        Key("cards_day", _("Different cards of the customer in 24 hours"), KeyKind.NUMBER),
        Key("new_card", _("Card that the customer never used before"), KeyKind.CHOICE, YES_NO, always=False),
        Key("country_differs", _("Card holder's phone is of another country"), KeyKind.CHOICE, YES_NO, always=False),
        scales=scales,
    )


def _labels(members: Any) -> dict[str, str]:
    return {member.name: Text(member.value) for member in members}


# ---- answers -------------------------------------------------------------------------------------------------------


def facts_about(session: Session, payment: Payment, customer: Customer, names: Iterable[str]) -> dict[str, Fact | None]:
    """The facts of a payment that are asked about, and no others: each window is a look into an index."""
    return {name: _ANSWERS[name](session, payment, customer) for name in names if name in _ANSWERS}


def _window(payment: Payment, span: dt.timedelta) -> Any:
    """The customer's payments up to this one, itself included; of the same mode."""
    return select(Payment.id).where(
        Payment.customer_id == payment.customer_id,
        Payment.created_at > payment.created_at - span,
        Payment.created_at <= payment.created_at,
        Payment.mode == payment.mode,
    )


def _count(session: Session, statement: Any) -> int:
    return session.scalar(select(func.count()).select_from(statement.limit(MOST_COUNTED).subquery())) or 0


def _amount_day(session: Session, payment: Payment, _customer: Customer) -> Fact:
    some = _window(payment, DAY).where(Payment.unit == payment.unit).add_columns(Payment.amount_minor)
    some = some.limit(MOST_COUNTED).subquery()
    minor = session.scalar(select(cast(func.sum(some.c.amount_minor), BigInteger)))
    return Amount(int(minor or 0), payment.unit)


def _declines(session: Session, payment: Payment, _customer: Customer) -> Fact:
    return _count(session, _window(payment, DAY).where(Payment.status.in_(DECLINED)))


def _cards(session: Session, payment: Payment, _customer: Customer) -> Fact:
    some = _window(payment, DAY).add_columns(Payment.card_first6, Payment.card_last4)
    some = some.where(Payment.card_last4.is_not(None)).limit(MOST_COUNTED).subquery()
    different = select(some.c.card_first6, some.c.card_last4).distinct().subquery()
    return session.scalar(select(func.count()).select_from(different)) or 0


def _new_card(session: Session, payment: Payment, _customer: Customer) -> Fact | None:
    """Told by the card's last digits where no fingerprint was kept; unknown without a card."""
    if payment.card_last4 is None:
        return None
    before = select(Payment.id).where(
        Payment.customer_id == payment.customer_id, Payment.created_at < payment.created_at, Payment.id != payment.id
    )
    if payment.card_fingerprint is not None:
        before = before.where(Payment.card_fingerprint == payment.card_fingerprint)
    else:
        before = before.where(Payment.card_last4 == payment.card_last4)
    return "NO" if session.scalar(before.limit(1)) is not None else "YES"


def _country(_session: Session, payment: Payment, customer: Customer) -> Fact | None:
    ours, theirs = calling_code(customer.phone), calling_code(payment.card_holder_phone)
    return None if ours is None or theirs is None else "YES" if ours != theirs else "NO"


def calling_code(phone: str | None) -> str | None:
    """The country calling code of an international number; None for one without."""
    digits = "".join(sign for sign in phone or "" if sign in "+0123456789")
    if not digits.startswith("+") or len(digits) < 8:  # noqa: PLR2004 - no number is shorter
        return None
    if digits[1] in "17":
        return digits[1]
    return digits[1:3] if digits[1:3] in _TWO else digits[1:4]


_ANSWERS: Final[dict[str, Callable[[Session, Payment, Customer], Fact | None]]] = {
    "amount": lambda _session, payment, _customer: Amount(payment.amount_minor, payment.unit),
    "status": lambda _session, payment, _customer: payment.status.name,
    "channel": lambda _session, payment, _customer: payment.channel.name,
    "payment_type": lambda _session, payment, _customer: payment.type.name,
    "method": lambda _session, payment, _customer: payment.method,
    "user_type": lambda _session, _payment, customer: customer.kind.name,
    "identification": lambda _session, _payment, customer: (
        customer.identification.name if customer.identification.name in IDENTIFIED else "UNIDENTIFIED"
    ),
    "days_known": lambda _session, payment, customer: max((payment.created_at - customer.created_at).days, 0),
    "payments_hour": lambda session, payment, _customer: _count(session, _window(payment, HOUR)),
    "payments_day": lambda session, payment, _customer: _count(session, _window(payment, DAY)),
    "amount_day": _amount_day,
    "declines_day": _declines,
    "cards_day": _cards,
    "new_card": _new_card,
    "country_differs": _country,
}


def conditions_of(version: WatchVersion) -> tuple[Condition, ...]:
    """The conditions of a version, as they are stored."""
    return tuple(stored_condition(each) for each in version.conditions)


def asked_by(conditions: Sequence[Condition], registry: Registry) -> frozenset[str]:
    """Which facts conditions need; a currency is read from its amount."""
    keys = (registry.keys.get(condition.key) for condition in conditions)
    return frozenset(key.unit_of or key.name for key in keys if key is not None)


def all_hold(conditions: Sequence[Condition], facts: Mapping[str, Fact | None], registry: Registry) -> bool:
    """Whether every condition holds; one about a key that is gone never does."""
    return bool(conditions) and all(
        condition.key in registry.keys and condition.holds(registry.fact(facts, condition.key))
        for condition in conditions
    )


# ---- rules ---------------------------------------------------------------------------------------------------------


def active_versions(session: Session) -> Sequence[WatchVersion]:
    """The versions that watch now, in the order of their rules."""
    found = select(WatchVersion).where(WatchVersion.status == WatchStatus.ACTIVE).order_by(WatchVersion.rule_id)
    return session.scalars(found.execution_options(populate_existing=True)).all()


def versions_of(session: Session, rule_id: int) -> Sequence[WatchVersion]:
    """Every version of a rule, the newest first."""
    found = select(WatchVersion).where(WatchVersion.rule_id == rule_id).order_by(WatchVersion.number.desc())
    return session.scalars(found).all()


def latest_trial(session: Session, version_id: int) -> WatchTrial | None:
    """The newest replay of a version."""
    found = select(WatchTrial).where(WatchTrial.version_id == version_id).order_by(WatchTrial.id.desc())
    return session.scalars(found.limit(1)).first()


def states_of(session: Session, rule_ids: Iterable[int]) -> dict[int, set[WatchStatus]]:
    """In which states rules have versions: one question for all of them."""
    rows = session.execute(
        select(WatchVersion.rule_id, WatchVersion.status).where(
            WatchVersion.rule_id.in_(set(rule_ids)), WatchVersion.status != WatchStatus.ARCHIVED
        )
    )
    found: dict[int, set[WatchStatus]] = {}
    for rule_id, status in rows:
        found.setdefault(rule_id, set()).add(status)
    return found


def rule_names(session: Session, rule_ids: Iterable[int]) -> dict[int, str]:
    """The names of rules."""
    rows = session.execute(select(WatchRule.id, WatchRule.name).where(WatchRule.id.in_(set(rule_ids))))
    return {row.id: row.name for row in rows}


def set_aside(session: Session, limit: int) -> Sequence[tuple[WatchItem, Payment]]:
    """Payments about which no rule could be asked, the oldest first, until a person decides."""
    wanted = select(WatchItem, Payment).join(Payment, Payment.id == WatchItem.payment_id)
    found = wanted.where(WatchItem.failed_at.is_not(None)).order_by(WatchItem.failed_at, WatchItem.id)
    return [(item, payment) for item, payment in session.execute(found.limit(limit))]


def notes_about(session: Session, payment_id: int) -> Sequence[WatchNote]:
    """What rules raised about a payment."""
    return session.scalars(select(WatchNote).where(WatchNote.payment_id == payment_id).order_by(WatchNote.id)).all()
