"""Questions about wallets: what is in them, whether they can be used, what a transaction costs, and its limits."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from payadmin.config import current_settings
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.money import MAX_MINOR, Money
from payadmin.kernel.rates import bought_for, rate_text
from payadmin.kernel.tariffs import Term, TransactionType, commission, percent_text, spread_of, told
from payadmin.kernel.text import _
from payadmin.ledger import recipes
from payadmin.models.ledger import LedgerAccount, LedgerBalance
from payadmin.models.parties import Customer, Organization, OrganizationStatus
from payadmin.models.payments import Unit, UnitStatus
from payadmin.models.wallets import (
    COUNTED,
    TERMS_OF,
    ApplicationStatus,
    LimitApplication,
    LimitRule,
    Wallet,
    WalletKind,
    WalletStatus,
    WalletTransaction,
)
from payadmin.queries.blocks import Blocked, customer_block, organization_block, wallet_block
from payadmin.queries.tariffs import Ruling, quoted, ruling

AT_ONCE: Final = 500
_T: Final = WalletTransaction
_TOO_MUCH = "That is more than a wallet can hold."


# ---- what is in a wallet -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Amounts:
    """What a wallet comes to: what may be spent, what is set aside of it, and both."""

    available_minor: int = 0
    held_minor: int = 0

    @property
    def balance_minor(self) -> int:
        """All that is the owner's."""
        return self.available_minor + self.held_minor


def amounts_of(session: Session, wallets: Iterable[Wallet]) -> dict[int, Amounts]:
    """What wallets come to, by their ids: two look-ups for all of them together, however many entries they have."""
    listed = list(wallets)
    codes = {f"2020:{wallet.owner_key}:{wallet.unit}": wallet.id for wallet in listed}
    by_account = {wallet.account_id: (wallet.id, False) for wallet in listed}
    held = select(LedgerAccount.id, LedgerAccount.code).where(LedgerAccount.code.in_(codes))
    by_account |= {account_id: (codes[code], True) for account_id, code in session.execute(held)}
    rows = select(LedgerBalance.account_id, func.sum(LedgerBalance.balance_minor))
    summed = rows.where(LedgerBalance.account_id.in_(by_account)).group_by(LedgerBalance.account_id)
    found: dict[int, list[int]] = {wallet.id: [0, 0] for wallet in listed}
    for account_id, minor in session.execute(summed):
        wallet_id, is_held = by_account[account_id]
        found[wallet_id][is_held] = -int(minor)
    return {wallet_id: Amounts(*pair) for wallet_id, pair in found.items()}


def scales_of(session: Session, units: Iterable[str]) -> dict[str, int]:
    """The decimals of units."""
    rows = session.execute(select(Unit.code, Unit.scale).where(Unit.code.in_(set(units))))
    return {row.code: row.scale for row in rows}


def owner_of(session: Session, wallet: Wallet) -> Organization | Customer:
    """Whose a wallet is, fresh from the database."""
    if wallet.organization_id is not None:
        return session.get_one(Organization, wallet.organization_id, populate_existing=True)
    return session.get_one(Customer, wallet.customer_id, populate_existing=True)


def wallets_of(session: Session, *, organization_id: int | None = None, customer_id: int | None = None) -> list[Wallet]:
    """The wallets of an organization or a customer, by unit."""
    whose = Wallet.organization_id == organization_id if organization_id else Wallet.customer_id == customer_id
    return list(session.scalars(select(Wallet).where(whose).order_by(Wallet.unit)))


# ---- whether it can be used ----------------------------------------------------------------------------------------


def why_unusable(session: Session, wallet: Wallet, *, pays: bool) -> str | None:
    """Why a wallet cannot take part in a new transaction, or None when it can (LI5); see `trouble`."""
    found = trouble(session, wallet, pays=pays)
    return found.sentence if found is not None else None


def trouble(session: Session, wallet: Wallet, *, pays: bool, field: str | None = None) -> Conflict | None:
    """The refusal of a new transaction of a wallet, to be raised by whoever would carry one out (LI5); or None.

    Args:
        pays: whether money would leave it; what comes in may reach a wallet of which only debits are blocked.
        field: the field of the form that names the wallet.
    """
    names = {"wallet": wallet.number}
    if wallet.status is WalletStatus.CLOSED:
        return Conflict(_("Wallet %(wallet)s is closed.", **names), field=field)
    owner = owner_of(session, wallet)
    if (blocked := stopped(session, wallet, owner, pays=pays)) is not None:
        return Blocked(blocked.sentence, blocked.block_id, field=field)
    if owner.status is OrganizationStatus.CLOSED:
        return Conflict(_("The owner of wallet %(wallet)s is closed.", **names), field=field)
    status = session.scalar(select(Unit.status).where(Unit.code == wallet.unit))
    if status is not UnitStatus.ACTIVE:
        return Conflict(_("%(unit)s was retired: nothing moves in it.", unit=wallet.unit), field=field)
    return None


def stopped(session: Session, wallet: Wallet, owner: Organization | Customer, *, pays: bool) -> Blocked | None:
    """Why a wallet cannot pay, or be paid into, because of a block of its own or of its owner; None when it can."""
    if (blocked := wallet_block(session, wallet, pays=pays)) is not None:
        return blocked
    blocked = customer_block(session, owner) if isinstance(owner, Customer) else organization_block(session, owner.id)
    if blocked is None:
        return None
    return Blocked(_("The owner of wallet %(wallet)s is blocked.", wallet=wallet.number), blocked.block_id)


# ---- what it costs -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exceeded:
    """A limit that a transaction would pass."""

    rule: LimitRule
    limit_minor: int
    counted_minor: int
    actual_minor: int

    @property
    def excess_minor(self) -> int:
        """What is too much."""
        return self.actual_minor - self.limit_minor


@dataclass(frozen=True)
class Plan:
    """What a transaction would do, and why: shown before it is confirmed, and carried out exactly so.

    Attributes:
        amount_minor, commission_minor, paid_minor: in the unit of the paying wallet.
        received_minor, spread_minor: in the unit of the receiving wallet.
        rate: what one unit of the payer costs in that of the payee; None within one unit.
        rate_ids: the rates it was made of.
        ruling: the contract's term that holds; None: nothing is charged, nothing limited.
        why: how it came to that, one sentence for each step.
        exceeded: the limits that it would pass, the one that is passed by most first.
    """

    kind: WalletKind
    payer: Wallet
    payee: Wallet
    day: dt.date
    amount_minor: int
    commission_minor: int
    paid_minor: int
    received_minor: int
    spread_minor: int = 0
    rate: Fraction | None = None
    rate_ids: tuple[int, ...] = ()
    ruling: Ruling | None = None
    why: tuple[str, ...] = ()
    exceeded: tuple[Exceeded, ...] = ()

    @property
    def recipe(self) -> recipes.Recipe:
        """How it is booked."""
        if self.kind is WalletKind.EXCHANGE:
            return exchange_recipe(self.payer, self.payee, _amounts(self))
        return transfer_recipe(self.payer, self.payee, _amounts(self))


@dataclass(frozen=True)
class Booked:
    """The amounts of a transaction that its journal is made of."""

    paid_minor: int
    received_minor: int
    commission_minor: int
    spread_minor: int


def _amounts(plan: Plan) -> Booked:
    return Booked(plan.paid_minor, plan.received_minor, plan.commission_minor, plan.spread_minor)


def transfer_recipe(payer: Wallet, payee: Wallet, amounts: Booked) -> recipes.Recipe:
    """J22 of what leaves one wallet and reaches the other, whoever pays the commission."""
    return recipes.transfer(
        unit=payer.unit,
        payer=payer.owner_key,
        payee=payee.owner_key,
        amount=amounts.received_minor,
        commission=amounts.commission_minor,
    )


def exchange_recipe(payer: Wallet, payee: Wallet, amounts: Booked) -> recipes.Recipe:
    """J24 of what one wallet of an owner gives and another gets."""
    return recipes.exchange(
        owner=payer.owner_key,
        sold_unit=payer.unit,
        sold=amounts.paid_minor - amounts.commission_minor,
        bought_unit=payee.unit,
        bought=amounts.received_minor + amounts.spread_minor,
        spread=amounts.spread_minor,
        commission=amounts.commission_minor,
    )


def plan(
    session: Session, *, kind: WalletKind, payer: Wallet, payee: Wallet, amount_minor: int, at: dt.datetime
) -> Plan:
    """What a transaction between two wallets would come to at a moment, by the contract version in force.

    The contract is that of who pays: of the organization, or of the organization that a customer belongs to. A wallet
    without a contract pays nothing and has no limits.

    Args:
        kind: EXCHANGE turns one unit of an owner into another; every other kind stays within one unit.
        amount_minor: what is ordered, in the unit of `payer`.

    Raises:
        Invalid: no amount, or more than any wallet holds.
        Conflict: to itself, across units without an exchange, no rate, a wallet, owner or unit that cannot be used, or
            nothing would be left of the amount.
    """
    if not 0 < amount_minor <= MAX_MINOR:
        raise Invalid("Write an amount above zero.", field="amount")
    _refuse_pair(session, kind, payer, payee)
    scales = scales_of(session, (payer.unit, payee.unit))
    day = at.astimezone(current_settings().zone).date()
    ruled = _ruling(session, payer, TERMS_OF[kind], at)
    term = _term(ruled, payer, kind)
    found = commission(term, amount_minor)
    why = (
        told(term, found, scales[payer.unit])
        if ruled is not None
        else [_("No contract says anything about it, so nothing is charged.")]
    )
    if found.payer_minor > MAX_MINOR:
        raise Invalid(_TOO_MUCH, field="amount")
    over = _exceeded(session, kind, payer, term, amount_minor, day)
    if kind is not WalletKind.EXCHANGE:
        if found.payee_minor <= 0:
            raise Conflict("The commission is as much as the amount: nothing would arrive.", field="amount")
        return Plan(
            kind, payer, payee, day, amount_minor, found.minor, found.payer_minor, found.payee_minor,
            ruling=ruled, why=tuple(why), exceeded=over,
        )  # fmt: skip
    return _exchange_plan(
        session,
        Plan(kind, payer, payee, day, amount_minor, 0, 0, 0, ruling=ruled, why=tuple(why), exceeded=over),
        term,
        scales,
        at,
    )


def _exchange_plan(session: Session, base: Plan, term: Term, scales: dict[str, int], at: dt.datetime) -> Plan:
    """An exchange: the commission is in what is sold, on top or taken from it; the spread is kept of what is bought."""
    payer, payee, amount = base.payer, base.payee, base.amount_minor
    quote = quoted(session, payer.unit, payee.unit, at)
    if quote is None:
        raise Conflict(
            _(
                "There is no rate of %(sold)s in %(bought)s. Add one on Exchange rates.",
                sold=payer.unit,
                bought=payee.unit,
            )
        )
    cost = commission(term, amount)
    sold = cost.payer_minor - cost.minor
    bought = bought_for(sold, scales[payer.unit], quote.rate, scales[payee.unit])
    if bought > MAX_MINOR:
        raise Invalid(_TOO_MUCH, field="amount")
    spread = spread_of(term, bought)
    if bought - spread <= 0:
        raise Conflict("Nothing would arrive of so little: exchange more.", field="amount")

    def money(minor: int, wallet: Wallet) -> str:
        return str(Money(minor, wallet.unit, scales[wallet.unit]))

    why = [
        *base.why,
        _(
            "One %(sold)s costs %(rate)s %(bought)s, so %(amount)s are %(result)s.",
            sold=payer.unit,
            rate=rate_text(quote.rate),
            bought=payee.unit,
            amount=money(sold, payer),
            result=money(bought, payee),
        ),
    ]
    if term.spread_ppm:
        percent = percent_text(term.spread_ppm)
        why.append(
            _("Of that, %(percent)s is kept as the spread: %(spread)s.", percent=percent, spread=money(spread, payee))
        )
    ids = tuple(rate.id for rate, _turned in quote.legs)
    return Plan(
        base.kind, payer, payee, base.day, amount, cost.minor, cost.payer_minor, bought - spread, spread, quote.rate,
        ids, base.ruling, tuple(why), base.exceeded,
    )  # fmt: skip


def _refuse_pair(session: Session, kind: WalletKind, payer: Wallet, payee: Wallet) -> None:
    if payer.id == payee.id:
        raise Conflict("Both wallets are the same one.", field="to")
    if kind is WalletKind.EXCHANGE:
        if payer.unit == payee.unit:
            raise Conflict("Both wallets hold the same unit: make a transfer.", field="to")
        if payer.owner_key != payee.owner_key:
            raise Conflict("An exchange stays with one owner: exchange first, then transfer.", field="to")
    elif payer.unit != payee.unit:
        raise Conflict(
            _(
                "The wallets hold different units, %(paid)s and %(received)s: exchange first.",
                paid=payer.unit,
                received=payee.unit,
            ),
            field="to",
        )
    for wallet, pays, field in ((payer, True, "from"), (payee, False, "to")):
        if (refusal := trouble(session, wallet, pays=pays, field=field)) is not None:
            raise refusal


def term_now(session: Session, payer: Wallet, kind: WalletKind, at: dt.datetime) -> Term:
    """By which term of a contract a transaction of this kind would be charged at a moment; an empty one without any."""
    return _term(_ruling(session, payer, TERMS_OF[kind], at), payer, kind)


def _term(ruled: Ruling | None, payer: Wallet, kind: WalletKind) -> Term:
    return ruled.term if ruled is not None else Term(TERMS_OF[kind], payer.unit)


def _ruling(session: Session, payer: Wallet, kind: TransactionType, at: dt.datetime) -> Ruling | None:
    owner = owner_of(session, payer)
    organization_id = owner.id if isinstance(owner, Organization) else owner.organization_id
    return ruling(session, organization_id, kind, payer.unit, at) if organization_id is not None else None


def overdue(session: Session, at: dt.datetime) -> list[int]:
    """The applications whose time is over, oldest first."""
    late = select(LimitApplication.id).where(
        LimitApplication.status == ApplicationStatus.PENDING, LimitApplication.expires_at <= at
    )
    return list(session.scalars(late.order_by(LimitApplication.expires_at).limit(AT_ONCE)))


# ---- limits --------------------------------------------------------------------------------------------------------


def counted(session: Session, wallet_id: int, kind: WalletKind, first: dt.date, last: dt.date) -> int:
    """What a wallet has moved on these days, executed or set aside (LI1)."""
    moved = select(func.sum(_T.amount_minor)).where(
        _T.from_wallet_id == wallet_id, _T.kind == kind, _T.day.between(first, last), _T.status.in_(COUNTED)
    )
    return int(session.scalar(moved) or 0)


def _exceeded(
    session: Session, kind: WalletKind, payer: Wallet, term: Term, amount_minor: int, day: dt.date
) -> tuple[Exceeded, ...]:
    spans = (
        (LimitRule.SINGLE, term.limit_single_minor, None),
        (LimitRule.DAY, term.limit_day_minor, day),
        (LimitRule.MONTH, term.limit_month_minor, day.replace(day=1)),
    )
    over = []
    for rule, limit, first in spans:
        if limit is None:
            continue
        before = counted(session, payer.id, kind, first, day) if first is not None else 0
        if before + amount_minor > limit:
            over.append(Exceeded(rule, limit, before, before + amount_minor))
    return tuple(sorted(over, key=lambda each: -each.excess_minor))
