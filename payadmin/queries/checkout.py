"""Questions about checkout rules: what can be asked, what a version says, and what a checkout is offered."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row as Found
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from payadmin.kernel.checkout import Decision, Pair, Rule, RuleSet, in_order
from payadmin.kernel.checkout_files import Known
from payadmin.kernel.conditions import Amount, Facts, Key, KeyKind, Registry, stored_condition
from payadmin.kernel.text import Text, _
from payadmin.models.checkout import CheckoutRule, CheckoutRuleset, ProviderMethod, RulesetStatus
from payadmin.models.parties import Customer, CustomerKind
from payadmin.models.payments import Channel, Payment, PaymentMethod, PaymentType, Unit

KEPT_MOST = 8

# What every checkout says; the other keys may be missing, and then no condition on them holds.
ALWAYS = ("amount", "channel")


def registry_of(session: Session) -> Registry:
    """Everything that a checkout rule may ask about (CR2)."""
    scales = dict(session.execute(select(Unit.code, Unit.scale).order_by(Unit.code)).all())
    return checkout_registry(scales)


def checkout_registry(scales: dict[str, int]) -> Registry:
    """The keys of checkout rules, for these currencies and their decimals.

    A new key is one line here, and its fact in `facts_of` where payments know it.
    """
    return Registry.of(
        Key("amount", _("Amount"), KeyKind.MONEY),
        Key("currency", _("Currency"), KeyKind.CHOICE, {code: code for code in scales}, unit_of="amount"),
        Key("channel", _("Channel"), KeyKind.CHOICE, _labels(Channel)),
        Key("user_type", _("User type"), KeyKind.CHOICE, _labels(CustomerKind), always=False),
        Key("product_category", _("Product category"), KeyKind.TEXT, always=False),
        Key("payment_type", _("Payment type"), KeyKind.CHOICE, _labels(PaymentType), always=False),
        scales=scales,
    )


def _labels(members: Any) -> dict[str, str]:
    return {member.name: Text(member.value) for member in members}


def known(session: Session, registry: Registry | None = None) -> Known:
    """What a rule may say at this moment: keys, pairs, and which of those are enabled."""
    found = session.execute(select(ProviderMethod.provider, ProviderMethod.method, ProviderMethod.is_enabled)).all()
    return Known(
        registry or registry_of(session),
        frozenset(Pair(row.provider, row.method) for row in found),
        frozenset(Pair(row.provider, row.method) for row in found if row.is_enabled),
    )


def enabled_pairs(session: Session) -> frozenset[Pair]:
    """What may be offered at this moment."""
    found = select(ProviderMethod.provider, ProviderMethod.method).where(ProviderMethod.is_enabled)
    return frozenset(Pair(*row) for row in session.execute(found))


def pair_names(session: Session) -> dict[Pair, str]:
    """What people call each pair, in the order in which it is offered."""
    found = (
        select(ProviderMethod.provider, ProviderMethod.method, PaymentMethod.name)
        .join(PaymentMethod, PaymentMethod.code == ProviderMethod.method)
        .order_by(PaymentMethod.name, ProviderMethod.provider)
    )
    return {Pair(row.provider, row.method): f"{row.name} · {row.provider}" for row in session.execute(found)}


def rule_of(row: Any) -> Rule:
    """A stored rule as the engine takes it."""
    return Rule(
        row.name,
        row.priority,
        tuple(stored_condition(each) for each in row.conditions),
        tuple(Pair(each["provider"], each["method"]) for each in row.methods),
        row.is_on,
    )


def rule_rows(session: Session, ruleset_id: int) -> "Sequence[Found[Any]]":
    """The rules of a version as rows, in their order."""
    found = select(
        CheckoutRule.id,
        CheckoutRule.name,
        CheckoutRule.priority,
        CheckoutRule.conditions,
        CheckoutRule.methods,
        CheckoutRule.is_on,
        CheckoutRule.version,
    ).where(CheckoutRule.ruleset_id == ruleset_id)
    return sorted(session.execute(found).all(), key=in_order_of)


def in_order_of(row: Any) -> tuple[bool, int, str]:
    """The order of stored rules: as the engine has it."""
    return in_order(Rule(row.name, row.priority, (), ()))


def rules_of(session: Session, ruleset_id: int | None) -> list[Rule]:
    """The rules of a version in their order; none for no version."""
    return [] if ruleset_id is None else [rule_of(row) for row in rule_rows(session, ruleset_id)]


def active_id(session: Session) -> int | None:
    """The number of the version that decides now."""
    return session.scalar(select(CheckoutRuleset.id).where(CheckoutRuleset.status == RulesetStatus.ACTIVE))


def active_ruleset(session: Session) -> CheckoutRuleset | None:
    """The version that decides now."""
    return session.scalar(select(CheckoutRuleset).where(CheckoutRuleset.status == RulesetStatus.ACTIVE))


def drafts(session: Session, limit: int) -> Sequence[CheckoutRuleset]:
    """The drafts that are being written, the newest first."""
    found = select(CheckoutRuleset).where(CheckoutRuleset.status == RulesetStatus.DRAFT)
    return session.scalars(
        found.order_by(CheckoutRuleset.created_at.desc(), CheckoutRuleset.id.desc()).limit(limit)
    ).all()


def rule_counts(session: Session, ruleset_ids: Sequence[int]) -> dict[int, int]:
    """How many rules each version has: one statement for all."""
    if not ruleset_ids:
        return {}
    found = select(CheckoutRule.ruleset_id, func.count()).where(CheckoutRule.ruleset_id.in_(ruleset_ids))
    return dict(session.execute(found.group_by(CheckoutRule.ruleset_id)).all())


# --- deciding ---------------------------------------------------------------------------------------------------------

_KEPT: "OrderedDict[tuple[Any, ...], RuleSet]" = OrderedDict()
_KEEPING = threading.Lock()


def ready(session: Session, ruleset_id: int, registry: Registry) -> RuleSet:
    """A version made ready to decide; kept while nobody changes it."""
    stamp = session.execute(
        select(CheckoutRuleset.id, CheckoutRuleset.version, CheckoutRuleset.updated_at).where(
            CheckoutRuleset.id == ruleset_id
        )
    ).one()
    return _ready(session, tuple(stamp), registry)


def _ready(session: Session, stamp: tuple[Any, ...], registry: Registry) -> RuleSet:
    # The moment of the last change tells the versions of one database from those of another.
    place = (*stamp, tuple(registry.scales.items()))
    with _KEEPING:
        found = _KEPT.get(place)
        if found is not None:
            _KEPT.move_to_end(place)
            return found
    made = RuleSet(registry, rules_of(session, stamp[0]))
    with _KEEPING:
        _KEPT[place] = made
        while len(_KEPT) > KEPT_MOST:
            _KEPT.popitem(last=False)
    return made


@dataclass(frozen=True)
class Offer:
    """What a checkout is answered.

    Attributes:
        ruleset_id: the version that decided; None when no version is active.
        decision: the rule and the methods.
    """

    ruleset_id: int | None
    decision: Decision


def offer_for(session: Session, facts: Facts, registry: Registry | None = None) -> Offer:
    """What a checkout with these facts is offered by the active version (CR4); nothing when none is active."""
    stamp = session.execute(
        select(CheckoutRuleset.id, CheckoutRuleset.version, CheckoutRuleset.updated_at).where(
            CheckoutRuleset.status == RulesetStatus.ACTIVE
        )
    ).one_or_none()
    if stamp is None:
        return Offer(None, Decision(None, ()))
    rules = _ready(session, tuple(stamp), registry or registry_of(session))
    return Offer(stamp.id, rules.decide(facts, enabled_pairs(session)))


# --- payments as facts ------------------------------------------------------------------------------------------------


def payment_facts() -> Any:
    """What rules can know of payments that were made; nothing of a payment says what was bought."""
    return select(
        Payment.id,
        Payment.created_at,
        Payment.amount_minor,
        Payment.unit,
        Payment.channel,
        Payment.type,
        Payment.provider,
        Payment.method,
        Customer.kind,
    ).join(Customer, Customer.id == Payment.customer_id)


def facts_of(row: Any) -> Facts:
    """A row of `payment_facts` as the engine takes it."""
    return {
        "amount": Amount(row.amount_minor, row.unit),
        "channel": row.channel.name,
        "payment_type": row.type.name,
        "user_type": row.kind.name,
    }
