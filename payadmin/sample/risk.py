"""The demo's anti-fraud: a few blocks, applications that wait, and two watch rules that have raised something."""

import datetime as dt
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import insert, select

from payadmin.actions import risk, wallets
from payadmin.actions.risk.watching import TRIED_AT_ONCE
from payadmin.db import db, utcnow
from payadmin.models.parties import Customer, Organization
from payadmin.models.payments import Mode, Payment, PaymentStatus
from payadmin.models.risk import (
    Block,
    BlockReason,
    BlockScope,
    BlockTarget,
    WatchItem,
    WatchRule,
    WatchStatus,
    WatchVersion,
)
from payadmin.models.wallets import LimitApplication, Wallet
from payadmin.queries.wallets import amounts_of
from payadmin.sample.wallets import PARTNER, PAYOUTS, UNIT
from payadmin.work import SYSTEM

RULES: Final[tuple[tuple[str, int, list[dict[str, Any]]], ...]] = (
    (
        "Large payment",
        50,
        [{"key": "amount", "operator": "greater_or_equal_than", "value": {"amount_minor": 1_000_00, "unit": UNIT}}],
    ),
    (
        "Many payments in a day",
        50,
        [{"key": "payments_day", "operator": "greater_or_equal_than", "value": 4}],
    ),
)
LOOKED_AT: Final = 400
OVER: Final = (255_00, 300_00)


def load_risk(zone: ZoneInfo) -> None:
    """Add what is missing; a second time nothing."""
    if db.session.scalar(select(Block.id).limit(1)) is None:
        _block_some()
    if db.session.scalar(select(LimitApplication.id).limit(1)) is not None:
        _apply_for_more()
    if db.session.scalar(select(WatchRule.id).limit(1)) is None:
        _watch(zone)


def _block_some() -> None:
    """A customer, the debits of a wallet for a week, and a payment."""
    # Not one of those whose wallets the demo moves money between.
    customer = db.session.scalars(select(Customer.id).order_by(Customer.id.desc()).limit(1)).first()
    purse = db.session.scalars(
        select(Wallet.id).where(Wallet.customer_id.is_not(None)).order_by(Wallet.id.desc()).limit(1)
    ).first()
    paid = select(Payment.id).where(Payment.status == PaymentStatus.PAID, Payment.mode == Mode.LIVE)
    payment = db.session.scalars(paid.order_by(Payment.created_at, Payment.id).limit(1)).first()
    if customer is not None:
        _block(BlockTarget.CUSTOMER, customer, BlockReason.TAKEN_OVER, "Asked for a new address and phone in one day")
    if purse is not None:
        _block(
            BlockTarget.WALLET, purse, BlockReason.OWNER_ASKED, "Phone was stolen; the owner calls back",
            scope=BlockScope.DEBITS, until=utcnow() + dt.timedelta(days=7),
        )  # fmt: skip
    if payment is not None:
        _block(BlockTarget.PAYMENT, payment, BlockReason.STOLEN_CARD, "Reported by the bank of the card")


def _block(target: BlockTarget, row_id: int, reason_code: BlockReason, note: str, **more: Any) -> None:
    risk.block(SYSTEM, target=target, row_id=row_id, reason_code=reason_code, note=note, **more)


def _apply_for_more() -> None:
    """Two more transfers over the limit of one, where there is enough for them."""
    found = dict(
        db.session.execute(
            select(Organization.name, Wallet.id)
            .join(Wallet, Wallet.organization_id == Organization.id)
            .where(Organization.name.in_((PAYOUTS, PARTNER)), Wallet.unit == UNIT)
        ).all()
    )
    payer, payee = found.get(PAYOUTS), found.get(PARTNER)
    for minor in OVER:
        if payer is None or payee is None:
            return
        wallet = db.session.get_one(Wallet, payer)
        if amounts_of(db.session(), [wallet])[payer].available_minor < minor + 10_00:
            return
        wallets.transfer(
            SYSTEM, payer, to_id=payee, amount_minor=minor, key=f"sample:over:{minor}", note="Partner's share, early"
        )


def _watch(zone: ZoneInfo) -> None:
    """Both rules: written, replayed, switched on, and asked about the latest payments."""
    for name, most, conditions in RULES:
        rule_id = risk.save_watch(SYSTEM, name=name, conditions=conditions, most_a_day=most)
        version = db.session.scalars(
            select(WatchVersion.id).where(WatchVersion.rule_id == rule_id, WatchVersion.status == WatchStatus.DRAFT)
        ).one()
        trial = risk.start_trial(SYSTEM, version, days=7, zone=zone)
        while risk.try_some(SYSTEM, trial, limit=TRIED_AT_ONCE):
            pass
        risk.switch_on_watch(SYSTEM, version, reason="The first rules of the demo")
    latest = select(Payment.id).where(Payment.mode == Mode.LIVE).order_by(Payment.created_at.desc(), Payment.id.desc())
    ids = db.session.scalars(latest.limit(LOOKED_AT)).all()
    db.session.rollback()
    if ids:
        with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
            connection.execute(insert(WatchItem), [{"payment_id": payment_id} for payment_id in ids])
    while risk.watch_some(SYSTEM):
        pass
