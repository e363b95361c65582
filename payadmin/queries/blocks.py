"""Whether something is blocked: the one place that every act asks which moves money or begins a charge (LI5).

Whoever asks holds the row that a block would hold (a wallet, a payment, a customer), or looks while nobody else writes;
so an act is over before a block is in force, or sees it. `trouble` and its like return a refusal, ready to be raised:
`Blocked` says which block it was, and what it stopped is written down when the act is undone (`keep_stop`).
"""

import datetime as dt
from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from payadmin.db import among, utcnow
from payadmin.kernel.errors import Conflict, Refusal
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.text import _
from payadmin.models.access import StaffUser
from payadmin.models.parties import Customer, CustomerStatus, Organization, folded
from payadmin.models.risk import ACT_LENGTH, SENTENCE_LENGTH, Block, BlockScope, BlockStatus, BlockStop
from payadmin.models.wallets import Wallet, WalletStatus
from payadmin.work import WITNESSES

IN_FORCE: Final = (BlockStatus.ACTIVE,)


class Blocked(Conflict):
    """The world says no because somebody blocked it; `block` is which block, None for one of before there were any."""

    def __init__(self, sentence: str, block: Block | int | None, *, field: str | None = None) -> None:
        super().__init__(sentence, field=field)
        self.block_id = block.id if isinstance(block, Block) else block


def in_force(now: dt.datetime) -> ColumnElement[bool]:
    """The condition that a block counts at a moment: one whose time is over counts for nothing any more."""
    return among(Block.status, IN_FORCE) & or_(Block.until.is_(None), Block.until > now)


# ---- each kind of target -------------------------------------------------------------------------------------------


def customer_block(session: Session, customer: Any, *, now: dt.datetime | None = None) -> Blocked | None:
    """Why a customer may begin nothing new, or None.

    Args:
        customer: a customer, or a row with the `id` and `status` of one.
    """
    if customer.status is not CustomerStatus.BLOCKED:
        return None
    found = _standing(session, Block.customer_id == customer.id)
    return _said(_("This customer is blocked."), found, now)


def organization_block(session: Session, organization_id: int, *, now: dt.datetime | None = None) -> Blocked | None:
    """Why an organization may begin nothing new, or None: one look into an index of blocks that are in force."""
    found = _standing(session, Block.organization_id == organization_id)
    return _said(_("This organization is blocked."), found, now) if found else None


def wallet_block(session: Session, wallet: Wallet, *, pays: bool, now: dt.datetime | None = None) -> Blocked | None:
    """Why a wallet cannot pay, or cannot be paid into, because of a block of its own; None when it can.

    Args:
        pays: whether money would leave it; what comes in is stopped only by a block of everything.
    """
    if wallet.status is not WalletStatus.BLOCKED:
        return None
    found = _standing(session, Block.wallet_id == wallet.id)
    names = {"wallet": wallet.number}
    if not found and not pays:
        return None
    whole = [block for block in found if block.scope is BlockScope.ALL]
    if whole and (
        refusal := _said(_("Wallet %(wallet)s is blocked: nothing leaves it or comes in.", **names), whole, now)
    ):
        return refusal
    return _said(_("Wallet %(wallet)s is blocked: nothing leaves it.", **names), found, now) if pays else None


def payment_block(session: Session, payment_id: int, *, now: dt.datetime | None = None) -> Blocked | None:
    """Why nothing may be done with a payment, or None."""
    found = _standing(session, Block.payment_id == payment_id)
    return _said(_("This payment is blocked: nothing is refunded or voided."), found, now) if found else None


def transaction_block(session: Session, transaction_id: int, *, now: dt.datetime | None = None) -> Blocked | None:
    """Why a wallet transaction may neither be executed nor reversed, or None."""
    found = _standing(session, Block.wallet_transaction_id == transaction_id)
    return _said(_("This wallet transaction is blocked."), found, now) if found else None


def refuse(found: Blocked | None) -> None:
    """Stop an act.

    Raises:
        Blocked: it is blocked.
    """
    if found is not None:
        raise found


def blocked_among(
    session: Session, *, customers: Iterable[int], organizations: Iterable[int], now: dt.datetime, hold: bool = False
) -> dict[tuple[str, int], int | None]:
    """Which of these customers and organizations are blocked, with the number of the block: three look-ups at most.

    Args:
        hold: hold the customers and organizations until the end of the transaction, together with others who hold them
            so: no block of them comes into force meanwhile.
    """
    customer_ids, organization_ids = sorted(set(customers)), sorted(set(organizations))
    marked: list[int] = []
    if customer_ids:
        wanted = select(Customer.id, Customer.status).where(Customer.id.in_(customer_ids)).order_by(Customer.id)
        rows = session.execute(wanted.with_for_update(read=True) if hold else wanted).all()
        marked = [row.id for row in rows if row.status is CustomerStatus.BLOCKED]
    if organization_ids and hold:
        kept = select(Organization.id).where(Organization.id.in_(organization_ids)).order_by(Organization.id)
        session.execute(kept.with_for_update(read=True)).all()
    found: dict[tuple[str, int], int | None] = {("customer", customer_id): None for customer_id in marked}
    if marked:
        for block in session.scalars(_active().where(Block.customer_id.in_(marked))):
            key = ("customer", int(block.customer_id or 0))
            if block.holds_at(now):
                found[key] = block.id
            else:
                found.pop(key, None)
    if organization_ids:
        for block in session.scalars(_active().where(Block.organization_id.in_(organization_ids))):
            if block.holds_at(now):
                found["organization", int(block.organization_id or 0)] = block.id
    return found


def oneself(session: Session, staff_id: int | None, customer_ids: Iterable[int]) -> Conflict | None:
    """Why a member of staff may not decide about customers, or None: they are one, by the address of any account."""
    staff = session.get(StaffUser, staff_id) if staff_id is not None else None
    if staff is None:
        return None
    accounts = or_(StaffUser.id == staff.person, StaffUser.person_id == staff.person)
    mine = {key for email in session.scalars(select(StaffUser.email).where(accounts)) if (key := folded(email))}
    found = select(Customer.id).where(Customer.id.in_(set(customer_ids)), Customer.email_key.in_(mine))
    if session.scalar(found.limit(1)) is None:
        return None
    return Conflict("This is you, by your e-mail address. Somebody else has to decide about it.")


def _active() -> Any:
    return (
        select(Block).where(among(Block.status, IN_FORCE)).order_by(Block.id).execution_options(populate_existing=True)
    )


def _standing(session: Session, whose: ColumnElement[bool]) -> list[Block]:
    """The blocks of something that nobody has lifted, whether their time is over or not."""
    return list(session.scalars(_active().where(whose)))


def _said(sentence: str, found: list[Block], now: dt.datetime | None) -> Blocked | None:
    """The refusal, unless every block's time is over. Without any block the status alone says it, as it always did."""
    if not found:
        return Blocked(sentence, None)
    moment = now or utcnow()
    holding = next((block for block in found if block.holds_at(moment)), None)
    return Blocked(sentence, holding) if holding is not None else None


# ---- what a block stopped ------------------------------------------------------------------------------------------


def note_stop(session: Session, block_id: int | None, *, act: str, actor_name: str, sentence: str) -> None:
    """Write down what a block stopped, in the caller's transaction; nothing for a block that nobody wrote down."""
    if block_id is None:
        return
    told = mask_pan_in_text(str(sentence))[:SENTENCE_LENGTH]
    session.add(BlockStop(block_id=block_id, act=act[:ACT_LENGTH], actor_name=actor_name[:100], sentence=told))


def count_stop(session: Session, block_id: int, *, act: str, actor_name: str, sentence: str, now: dt.datetime) -> bool:
    """Write down what a program tries over and over, in one line an hour, however often it asks; whether it is new."""
    make = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    line = make(BlockStop).values(
        block_id=block_id,
        at=now,
        act=act[:ACT_LENGTH],
        actor_name=actor_name[:100],
        sentence=mask_pan_in_text(str(sentence))[:SENTENCE_LENGTH],
        slot=f"{actor_name[:100]} {now:%Y-%m-%dT%H}",
        times=1,
    )
    again = line.on_conflict_do_update(
        index_elements=["block_id", "slot"], set_={"times": BlockStop.times + 1, "at": now}
    )
    times = session.scalar(again.returning(BlockStop.times).execution_options(explained=True))
    return times == 1


def keep_stop(session: Session, refusal: Refusal, *, act: str, actor_name: str) -> None:
    """What `payadmin.work` calls for every act that was undone: a block that stopped it gets a line of its own."""
    if isinstance(refusal, Blocked):
        note_stop(session, refusal.block_id, act=act, actor_name=actor_name, sentence=refusal.sentence)


def stops_of(session: Session, block_id: int, limit: int) -> list[BlockStop]:
    """What a block stopped, the latest first."""
    found = select(BlockStop).where(BlockStop.block_id == block_id)
    return list(session.scalars(found.order_by(BlockStop.id.desc()).limit(limit)))


if keep_stop not in WITNESSES:
    WITNESSES.append(keep_stop)
