"""What a cashier does for a customer over the counter: take cash for a wallet, give cash out of it (S3:97-98, CA2-CA3).

Nothing is held here: an operation happens whole and at once, or is refused with a sentence.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select

from payadmin.actions.treasury.holding import cashier_of, counter, lying_in, note_of, shown
from payadmin.actions.wallets.moving import keep_units
from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import _
from payadmin.ledger import recipes
from payadmin.ledger.posting import Posting, post
from payadmin.models.parties import Customer, IdentificationStatus
from payadmin.models.redeem import RedeemChannel, RedeemRequest, RedeemStatus
from payadmin.models.treasury import CashDesk, CashDeskDay, CashKind, CashOperation, DayStatus
from payadmin.models.wallets import KEY_LENGTH, LimitRule, Wallet
from payadmin.permissions import Permission
from payadmin.queries.treasury import CashPlan, plan_cash, why_no_cash
from payadmin.queries.wallets import amounts_of, owner_of
from payadmin.work import Work, use_case

OPERATE: Final = Permission.CASH_DAY_OPERATE
BUSINESS: Final = "cash_operation"
LONGEST_KEY: Final = 64
_EVENTS: Final = {
    CashKind.TOP_UP: Event.CASH_TOPPED_UP,
    CashKind.WITHDRAWAL: Event.CASH_WITHDRAWN,
    CashKind.REDEEM: Event.CASH_REDEEM_PAID,
}
# What its order is about, so that the same key for another order is noticed: kind, wallet, amount, redeem request.
_Asked = tuple[CashKind, int | None, int | None, int | None]


@use_case(OPERATE, about=Wallet)
def top_up(
    work: Work,
    wallet_id: int,
    *,
    amount_minor: int,
    key: str,
    seen: tuple[int, int] | None = None,
    note: str | None = None,
) -> CashOperation:
    """Take cash for a wallet, at the desk of whoever acts and in its open day (J11).

    Args:
        amount_minor: what is ordered; who pays the commission on it, the contract says.
        key: names this order; the same order that comes again answers with what it made.
        seen: the cash and the wallet's part that the cashier confirmed; None: nobody looked.

    Raises:
        Invalid: no amount, or a note that is too long.
        Conflict: no desk, no open day, a wallet, owner or unit that cannot be used, above a limit (field "amount"),
            the key stands for another order, or it would cost something else than was seen.
    """
    return _operate(work, CashKind.TOP_UP, wallet_id, amount_minor, key, seen, note)


@use_case(OPERATE, about=Wallet)
def withdraw(
    work: Work,
    wallet_id: int,
    *,
    amount_minor: int,
    key: str,
    seen: tuple[int, int] | None = None,
    note: str | None = None,
) -> CashOperation:
    """Give cash out of a wallet, at the desk of whoever acts and in its open day (J12).

    Args:
        amount_minor, key, seen: as in `top_up`.

    Raises:
        Invalid: no amount, or a note that is too long.
        Conflict: as in `top_up`; and when the wallet has not so much available or the desk has not so much cash.
    """
    return _operate(work, CashKind.WITHDRAWAL, wallet_id, amount_minor, key, seen, note)


@use_case(Permission.CASH_REDEEM_PAY, about=RedeemRequest)
def pay_redeem(work: Work, request_id: int, *, key: str) -> CashOperation:
    """Pay an approved redeem request in cash, out of what was set aside, once wherever it is asked for (RD1, J20).

    Args:
        key: names this order; the same order that comes again answers with what it made.

    Raises:
        Conflict: no desk, no open day, the request is not approved or not for a cash desk, it was paid already, its
            customer is blocked or not identified, its wallet cannot be used, or the desk has not so much cash.
    """
    fact = _fact(work, key)
    asked: _Asked = (CashKind.REDEEM, None, None, request_id)
    if (before := _before(work, fact, asked)) is not None:
        return before
    desk, day = counter(work)
    if (before := _before(work, fact, asked)) is not None:
        return before
    request = work.get(RedeemRequest, request_id, lock=True)
    if request.channel is not RedeemChannel.CASH_DESK:
        raise Conflict("This request is paid by the bank.")
    if request.status is RedeemStatus.PAID:
        raise Conflict("This request was paid already.")
    if request.status is not RedeemStatus.APPROVED:
        raise Conflict("Only an approved request can be paid.")
    wallet = work.get(Wallet, request.wallet_id, lock=True)
    if (problem := why_no_cash(work.session, wallet, pays=True)) is not None:
        raise Conflict(problem)
    owner = owner_of(work.session, wallet)
    if isinstance(owner, Customer) and owner.identification is not IdentificationStatus.IDENTIFIED:
        raise Conflict("The customer is not identified: nothing is paid out.")
    order = _Order(
        kind=CashKind.REDEEM,
        amount_minor=request.amount_minor,
        commission_minor=request.commission_minor,
        cash_minor=request.amount_minor,
        wallet_minor=request.amount_minor + request.commission_minor,
        on_day=work.now.astimezone(current_settings().zone).date(),
        contract_version_id=request.contract_version_id,
        note=None,
        request=request,
    )
    _refuse_empty_desk(work, desk, wallet.unit, order.cash_minor)
    is_payable = (RedeemRequest.status == RedeemStatus.APPROVED, RedeemRequest.channel == RedeemChannel.CASH_DESK)
    if not work.change(RedeemRequest, request_id, when=is_payable, status=RedeemStatus.PAID, paid_at=work.now):
        raise Conflict("This request was paid already.")
    return _book(work, desk, day, wallet, fact, order)


@dataclass(frozen=True)
class _Order:
    """What an operation comes to, whatever it came from."""

    kind: CashKind
    amount_minor: int
    commission_minor: int
    cash_minor: int
    wallet_minor: int
    on_day: dt.date
    contract_version_id: int | None
    note: str | None
    request: RedeemRequest | None = None


def _operate(
    work: Work,
    kind: CashKind,
    wallet_id: int,
    amount_minor: int,
    key: str,
    seen: tuple[int, int] | None,
    note: str | None,
) -> CashOperation:
    words = note_of(note)
    fact = _fact(work, key)
    asked: _Asked = (kind, wallet_id, amount_minor, None)
    if (before := _before(work, fact, asked)) is not None:
        return before
    desk, day = counter(work)
    # Once more, now that the desk is held: the same form sent twice at once waited for itself.
    if (before := _before(work, fact, asked)) is not None:
        return before
    wallet = work.get(Wallet, wallet_id, lock=True)
    keep_units(work, wallet.unit)
    plan = plan_cash(work.session, kind=kind, wallet=wallet, amount_minor=amount_minor, at=work.now)
    if seen is not None and tuple(seen) != (plan.cash_minor, plan.wallet_minor):
        raise Conflict("What it costs has changed since you looked. Look at it again, then confirm.")
    _refuse_beyond_limit(work, plan)
    if kind is CashKind.WITHDRAWAL:
        _refuse_poor(work, wallet, plan.wallet_minor)
        _refuse_empty_desk(work, desk, wallet.unit, plan.cash_minor)
    order = _Order(
        kind=kind,
        amount_minor=amount_minor,
        commission_minor=plan.commission_minor,
        cash_minor=plan.cash_minor,
        wallet_minor=plan.wallet_minor,
        on_day=plan.on_day,
        contract_version_id=plan.ruling.version_id if plan.ruling is not None else None,
        note=words,
    )
    return _book(work, desk, day, wallet, fact, order)


def _book(work: Work, desk: CashDesk, day: CashDeskDay, wallet: Wallet, fact: str, order: _Order) -> CashOperation:
    """Number the receipt, keep the operation and post it; desk, day and wallet are held."""
    assert work.actor.staff_id is not None
    receipt = day.last_receipt + 1
    is_as_seen = (CashDeskDay.status == DayStatus.OPEN, CashDeskDay.last_receipt == day.last_receipt)
    if not work.change(CashDeskDay, day.id, when=is_as_seen, last_receipt=receipt):
        raise Conflict("The day of this desk is being closed: nothing more can be done in it.")
    row = work.add(
        CashOperation(
            key=fact,
            kind=order.kind,
            day_id=day.id,
            receipt=receipt,
            wallet_id=wallet.id,
            unit=wallet.unit,
            amount_minor=order.amount_minor,
            commission_minor=order.commission_minor,
            cash_minor=order.cash_minor,
            wallet_minor=order.wallet_minor,
            on_day=order.on_day,
            contract_version_id=order.contract_version_id,
            redeem_request_id=order.request.id if order.request is not None else None,
            cashier_id=work.actor.staff_id,
            note=order.note,
        )
    )
    ends = order.request.held_as if order.request is not None else None
    day = work.get(CashDeskDay, day.id)
    posting = Posting(
        f"{BUSINESS}:{row.id}", _recipe(desk, wallet, order), BUSINESS, row.id, day.business_date,
        memo=order.note, ends=ends,
    )  # fmt: skip
    post(work, [posting])
    also: list[object] = [day]
    if order.request is not None:
        also.append(work.get(RedeemRequest, order.request.id))
    work.record(_EVENTS[order.kind], row, after=_facts(row), also=also, **_names(desk, row, wallet))
    return row


def _recipe(desk: CashDesk, wallet: Wallet, order: _Order) -> recipes.Recipe:
    make = {
        CashKind.TOP_UP: recipes.cash_top_up,
        CashKind.WITHDRAWAL: recipes.cash_withdrawal,
        CashKind.REDEEM: recipes.redeem_paid_in_cash,
    }[order.kind]
    amounts = {"amount": order.cash_minor, "commission": order.commission_minor}
    return make(unit=wallet.unit, desk=desk.code, owner=wallet.owner_key, **amounts)


def _facts(row: CashOperation) -> dict[str, object]:
    """What the trail says about an operation."""
    columns = ("kind", "receipt", "unit", "amount_minor", "commission_minor", "cash_minor", "wallet_minor")
    return {name: getattr(row, name) for name in columns}


def _names(desk: CashDesk, row: CashOperation, wallet: Wallet) -> dict[str, Any]:
    """What staff find it by in the trail."""
    found = {"cash_desk": desk.code, "cash_day": row.day_id, "receipt": row.receipt, "wallets": [wallet.number]}
    return found | {"redeem_request": row.redeem_request_id}


def _fact(work: Work, key: str) -> str:
    """The name of an order: what a form sends is that of one cashier, and never meets another's.

    Raises:
        Invalid: the form has none.
    """
    if not key or len(key) > LONGEST_KEY:
        raise Invalid("This form is out of date. Open it again.")
    fact = f"cash:{cashier_of(work).id}:{key}"
    assert len(fact) <= KEY_LENGTH
    return fact


def _before(work: Work, fact: str, asked: _Asked) -> CashOperation | None:
    """What the same order made before.

    Raises:
        Conflict: the key stands for another order.
    """
    row: CashOperation | None = work.one(select(CashOperation).where(CashOperation.key == fact))
    if row is None:
        return None
    is_redeem = row.redeem_request_id is not None
    made: _Asked = (
        (row.kind, None, None, row.redeem_request_id)
        if is_redeem
        else (row.kind, row.wallet_id, row.amount_minor, None)
    )
    if made != asked:
        raise Conflict("This form was used for another order already. Open it again.")
    return row


def _refuse_beyond_limit(work: Work, plan: CashPlan) -> None:
    if not plan.exceeded:
        return
    over = plan.exceeded[0]
    unit = plan.wallet.unit
    facts = {"limit": shown(work, over.limit_minor, unit), "before": shown(work, over.counted_minor, unit)}
    sentences = {
        LimitRule.SINGLE: _("The contract allows at most %(limit)s at once.", **facts),
        LimitRule.DAY: _("The contract allows %(limit)s a day, and %(before)s of it are used.", **facts),
        LimitRule.MONTH: _("The contract allows %(limit)s a month, and %(before)s of it are used.", **facts),
    }
    raise Conflict(sentences[over.rule], field="amount")


def _refuse_poor(work: Work, wallet: Wallet, needed_minor: int) -> None:
    """Say what is missing; the books refuse it again, whatever happens between (I3)."""
    available = amounts_of(work.session, [wallet])[wallet.id].available_minor
    if available < needed_minor:
        raise Conflict(
            _(
                "Wallet %(wallet)s has %(available)s available, and %(needed)s would leave it.",
                wallet=wallet.number,
                available=shown(work, available, wallet.unit),
                needed=shown(work, needed_minor, wallet.unit),
            ),
            field="amount",
        )


def _refuse_empty_desk(work: Work, desk: CashDesk, unit: str, needed_minor: int) -> None:
    """What the books say that lies in the desk is not told: the cashier counts it blind (CA4)."""
    if lying_in(work, desk).get(unit, 0) < needed_minor:
        raise Conflict(_("There is not enough %(unit)s in this desk.", unit=unit), field="amount")
