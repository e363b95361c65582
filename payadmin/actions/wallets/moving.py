"""Money moves from wallet to wallet: transfers, exchanges, and whatever other rooms move by `move` (J22, J24, J25).

Both wallets are held in the order of their numbers, then limits are counted, then everything is booked at once. What
is over a limit of the contract in force is not refused: it is set aside, and an application waits for a decision (LI2).
"""

import datetime as dt
from fractions import Fraction
from typing import Any, Final

from sqlalchemy import select

from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.money import Money
from payadmin.kernel.rates import rate_text
from payadmin.kernel.text import _
from payadmin.ledger import recipes
from payadmin.ledger.posting import Posting, post
from payadmin.models.payments import Unit
from payadmin.models.wallets import (
    KEY_LENGTH,
    NOTE_LENGTH,
    LimitApplication,
    MoveStatus,
    Wallet,
    WalletKind,
    WalletTransaction,
)
from payadmin.permissions import Permission
from payadmin.queries.wallets import Booked, Exceeded, Plan, amounts_of, exchange_recipe, plan, transfer_recipe
from payadmin.work import Work, use_case

MOVE: Final = Permission.WALLETS_WALLET_MOVE
BUSINESS: Final = "wallet_transaction"
APPLIES_FOR: Final = dt.timedelta(hours=72)
ORDER: Final = "order:"


@use_case(MOVE, about=Wallet)
def transfer(
    work: Work,
    from_id: int,
    *,
    to_id: int,
    amount_minor: int,
    key: str,
    note: str | None = None,
    seen: tuple[int, int] | None = None,
) -> WalletTransaction:
    """Move money between two wallets of one unit (J22), or set it aside when it is over a limit (J25).

    Args:
        amount_minor: what is ordered; who pays the commission on it, the contract of the payer says.
        key: names this order; the same order that comes again answers with what it made.
        seen: what whoever confirms has seen leave and arrive; None: nobody looked.

    Raises:
        Invalid: no amount, or a note that is too long.
        Conflict: to itself, across units, above what is available, a wallet, owner or unit that cannot be used, the key
            stands for another order, or it would cost something else than was seen.
    """
    return move(
        work,
        kind=WalletKind.TRANSFER,
        from_id=from_id,
        to_id=to_id,
        amount_minor=amount_minor,
        key=_order_key(key),
        note=note,
        seen=seen,
    )


@use_case(MOVE, about=Wallet)
def exchange(
    work: Work,
    from_id: int,
    *,
    to_id: int,
    amount_minor: int,
    key: str,
    note: str | None = None,
    seen: tuple[int, int] | None = None,
) -> WalletTransaction:
    """Turn money of one wallet into the unit of another wallet of the same owner, at the System rate in force (J24).

    Args:
        amount_minor: what is sold, in the unit of the first wallet.
        key, seen: as in `transfer`; a rate that changed meanwhile is not taken unseen.

    Raises:
        Invalid: no amount, or a note that is too long.
        Conflict: one unit, two owners, no rate, above what is available, a wallet, owner or unit that cannot be used,
            the key stands for another order, or it would cost something else than was seen.
    """
    return move(
        work,
        kind=WalletKind.EXCHANGE,
        from_id=from_id,
        to_id=to_id,
        amount_minor=amount_minor,
        key=_order_key(key),
        note=note,
        seen=seen,
    )


def move(
    work: Work,
    *,
    kind: WalletKind,
    from_id: int,
    to_id: int,
    amount_minor: int,
    key: str,
    note: str | None = None,
    seen: tuple[int, int] | None = None,
) -> WalletTransaction:
    """What every transaction between two wallets does, within the use case that orders it; see `transfer`.

    Args:
        kind: one that contracts have terms for (`TERMS_OF`).
        key: begins with the name of the room that orders, such as "mass:81:12", so that no two rooms meet.

    Returns:
        The transaction: EXECUTED, or HELD with its application.
    """
    words = _note(note)
    if not key or len(key) > KEY_LENGTH:
        raise Invalid("This form is out of date. Open it again.")
    held = {row_id: work.get(Wallet, row_id, lock=True) for row_id in sorted({from_id, to_id})}
    payer, payee = held[from_id], held[to_id]
    before: WalletTransaction | None = work.one(select(WalletTransaction).where(WalletTransaction.key == key))
    if before is not None:
        return _same(before, (kind, from_id, to_id, amount_minor))
    keep_units(work, payer.unit, payee.unit)
    found = plan(work.session, kind=kind, payer=payer, payee=payee, amount_minor=amount_minor, at=work.now)
    if seen is not None and seen != (found.paid_minor, found.received_minor):
        raise Conflict("What it costs has changed since you looked. Look at it again, then confirm.")
    _refuse_poor(work, payer, found.paid_minor)
    row = work.add(_row(work, found, key, words))
    if found.exceeded:
        _set_aside(work, row, payer, found)
        return row
    post(work, [Posting(f"{BUSINESS}:{row.id}", found.recipe, BUSINESS, row.id, found.day, memo=words)])
    work.record(Event.WALLET_MOVED, row, after=facts(row), **names(row, payer, payee))
    return row


def keep_units(work: Work, *units: str) -> None:
    """Let nobody retire these units until the end of the transaction; everybody who moves money may do so at once."""
    found = select(Unit.code).where(Unit.code.in_(units)).order_by(Unit.code)
    work.session.execute(found.with_for_update(read=True))


def facts(row: WalletTransaction) -> dict[str, object]:
    """What the trail says about a transaction."""
    columns = ("kind", "unit", "amount_minor", "commission_minor", "paid_minor", "to_unit", "received_minor", "status")
    return {name: getattr(row, name) for name in columns}


def names(row: WalletTransaction, *wallets: Wallet) -> dict[str, Any]:
    """What staff find it by in the trail."""
    return {"wallet_transaction": row.id, "wallets": sorted(wallet.number for wallet in wallets)}


def hold_key(row: WalletTransaction) -> str:
    """The fact that its money was set aside."""
    return f"{BUSINESS}:{row.id}:held"


def recipe_of(row: WalletTransaction, payer: Wallet, payee: Wallet) -> recipes.Recipe:
    """How a transaction between two wallets is booked, from what its row says."""
    amounts = Booked(row.paid_minor, row.received_minor, row.commission_minor, row.spread_minor)
    return (exchange_recipe if row.kind is WalletKind.EXCHANGE else transfer_recipe)(payer, payee, amounts)


def _order_key(key: str) -> str:
    """What a form sends is a name of its own, never that of a row of a batch or of a sale."""
    return f"{ORDER}{key}" if key else ""


def _note(note: str | None) -> str | None:
    words = mask_pan_in_text((note or "").strip())
    if len(words) > NOTE_LENGTH or not words.isprintable():
        raise Invalid(_("Write a note of at most %(most)s characters, on one line.", most=NOTE_LENGTH), field="note")
    return words or None


def _same(row: WalletTransaction, asked: tuple[WalletKind, int, int, int]) -> WalletTransaction:
    if (row.kind, row.from_wallet_id, row.to_wallet_id, row.amount_minor) != asked:
        raise Conflict("This form was used for another order already. Open it again.")
    return row


def _refuse_poor(work: Work, payer: Wallet, needed_minor: int) -> None:
    """Say what is missing; the books refuse it again, whatever happens between (I3)."""
    available = amounts_of(work.session, [payer])[payer.id].available_minor
    if available >= needed_minor:
        return
    scale = work.one(select(Unit.scale).where(Unit.code == payer.unit))
    raise Conflict(
        _(
            "Wallet %(wallet)s has %(available)s available, and %(needed)s would leave it.",
            wallet=payer.number,
            available=Money(available, payer.unit, scale),
            needed=Money(needed_minor, payer.unit, scale),
        ),
        field="amount",
    )


def _row(work: Work, found: Plan, key: str, note: str | None) -> WalletTransaction:
    return WalletTransaction(
        key=key,
        kind=found.kind,
        from_wallet_id=found.payer.id,
        to_wallet_id=found.payee.id,
        unit=found.payer.unit,
        amount_minor=found.amount_minor,
        commission_minor=found.commission_minor,
        paid_minor=found.paid_minor,
        to_unit=found.payee.unit,
        received_minor=found.received_minor,
        spread_minor=found.spread_minor,
        rate=None if found.rate is None else _shown(found.rate),
        rate_ids=list(found.rate_ids) or None,
        contract_version_id=found.ruling.version_id if found.ruling is not None else None,
        day=found.day,
        status=MoveStatus.HELD if found.exceeded else MoveStatus.EXECUTED,
        note=note,
        author_id=work.actor.staff_id,
    )


def _shown(rate: Fraction) -> str:
    return rate_text(rate)[:40]


def _set_aside(work: Work, row: WalletTransaction, payer: Wallet, found: Plan) -> None:
    over: Exceeded = found.exceeded[0]
    aside = recipes.set_aside(unit=payer.unit, owner=payer.owner_key, amount=found.paid_minor)
    post(work, [Posting(hold_key(row), aside, BUSINESS, row.id, found.day, holds=True)])
    application = work.add(
        LimitApplication(
            transaction_id=row.id,
            rule=over.rule,
            unit=payer.unit,
            limit_minor=over.limit_minor,
            counted_minor=over.counted_minor,
            actual_minor=over.actual_minor,
            excess_minor=over.excess_minor,
            expires_at=work.now + APPLIES_FOR,
        )
    )
    work.record(Event.WALLET_MOVE_HELD, row, after=facts(row), **names(row, payer, found.payee))
    work.record(
        Event.LIMIT_APPLICATION_FILED,
        application,
        after={
            "rule": over.rule,
            "limit_minor": over.limit_minor,
            "actual_minor": over.actual_minor,
            "unit": payer.unit,
        },
        **names(row, payer, found.payee),
    )
