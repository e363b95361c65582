"""Questions of anti-fraud: what is blocked and by what name, what is known of somebody, and what is in hand."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import false, func, literal, or_, select, true
from sqlalchemy.orm import Session

from payadmin.db import among
from payadmin.kernel.phones import spellings
from payadmin.models.audit import AuditEvent, AuditKey
from payadmin.models.batches import Batch, BatchRow
from payadmin.models.identification import DocumentKind, DocumentStatus, IdentityDocument
from payadmin.models.parties import Customer, IdentificationStatus, Organization, folded
from payadmin.models.payments import Mode, Payment
from payadmin.models.risk import COLUMN_OF, Block, BlockTarget, WatchNote
from payadmin.models.subscriptions import OPEN_ATTEMPTS, AttemptState, ChargeAttempt, ScheduledCharge, Subscription
from payadmin.models.wallets import LimitApplication, Wallet, WalletTransaction
from payadmin.queries.blocks import IN_FORCE, in_force

AT_ONCE: Final = 500
SHOWN: Final = 10
EVENTS_SHOWN: Final = 30
_IN_HAND: Final = (AttemptState.SENDING, AttemptState.UNKNOWN)


# ---- blocks --------------------------------------------------------------------------------------------------------


def past_blocks(session: Session, at: dt.datetime) -> list[int]:
    """The blocks whose time is over, oldest first."""
    late = select(Block.id).where(among(Block.status, IN_FORCE), Block.until <= at)
    return list(session.scalars(late.order_by(Block.until).limit(AT_ONCE)))


@dataclass(frozen=True)
class Named:
    """What people call something that is, or could be, blocked.

    Attributes:
        title: its number or ID, or the name of an organization.
        name: whose it is; a person's name, to be masked.
    """

    title: str
    name: str = ""
    is_person: bool = False


def names_of(session: Session, wanted: Iterable[tuple[BlockTarget, int]]) -> dict[tuple[BlockTarget, int], Named]:
    """Names of customers, organizations, wallets, payments and wallet transactions: a question for each kind."""
    ids: dict[BlockTarget, set[int]] = defaultdict(set)
    for target, row_id in wanted:
        ids[target].add(row_id)
    found: dict[tuple[BlockTarget, int], Named] = {
        (BlockTarget.WALLET_TRANSACTION, row_id): Named(str(row_id)) for row_id in ids[BlockTarget.WALLET_TRANSACTION]
    }
    owners = (
        select(Wallet.id, Wallet.number, func.coalesce(Organization.name, Customer.name), Organization.id.is_(None))
        .outerjoin(Organization, Organization.id == Wallet.organization_id)
        .outerjoin(Customer, Customer.id == Wallet.customer_id)
    )
    asked: dict[BlockTarget, tuple[Any, Any]] = {
        BlockTarget.CUSTOMER: (select(Customer.id, Customer.external_id, Customer.name, true()), Customer.id),
        BlockTarget.ORGANIZATION: (
            select(Organization.id, Organization.name, literal(""), false()),
            Organization.id,
        ),
        BlockTarget.WALLET: (owners, Wallet.id),
        BlockTarget.PAYMENT: (select(Payment.id, Payment.transaction_id, literal(""), false()), Payment.id),
    }
    for target, (statement, key) in asked.items():
        if these := ids[target]:
            rows = session.execute(statement.where(key.in_(these)))
            found |= {(target, row_id): Named(title, name, bool(person)) for row_id, title, name, person in rows}
    return found


def candidates(session: Session, typed: str, mode: Mode, *, country: str = "") -> list[tuple[BlockTarget, int]]:
    """What could be meant by an ID, e-mail address, number or the beginning of an organization's name; the exact first.

    Args:
        typed: e-mail addresses in any case, phones however they are written.
        mode: payments of the other mode are not looked at.
        country: the calling code of phone numbers that say none.
    """
    found: list[tuple[BlockTarget, int]] = []

    def add(target: BlockTarget, statement: Any) -> None:
        found.extend((target, row_id) for row_id in session.scalars(statement.limit(SHOWN)))

    reached = or_(Customer.email_key == folded(typed), Customer.phone_key.in_(spellings(typed, country)))
    add(
        BlockTarget.CUSTOMER,
        select(Customer.id).where(or_(Customer.external_id == typed, reached)).order_by(Customer.id),
    )
    add(BlockTarget.WALLET, select(Wallet.id).where(Wallet.number == typed.upper()))
    add(BlockTarget.PAYMENT, select(Payment.id).where(Payment.transaction_id == typed, Payment.mode == mode))
    add(
        BlockTarget.PAYMENT,
        select(Payment.id).where(Payment.invoice_number == typed, Payment.mode == mode).order_by(Payment.id.desc()),
    )
    if typed.isascii() and typed.isdigit() and len(typed) < SHOWN * 2 - 1:
        add(BlockTarget.WALLET_TRANSACTION, select(WalletTransaction.id).where(WalletTransaction.id == int(typed)))
    add(
        BlockTarget.ORGANIZATION,
        select(Organization.id).where(Organization.name.startswith(typed, autoescape=True)).order_by(Organization.name),
    )
    return list(dict.fromkeys(found))


def blocks_of(session: Session, target: BlockTarget, row_id: int, *, limit: int = SHOWN) -> list[Block]:
    """The blocks of something, the latest first, lifted ones too."""
    column = getattr(Block, COLUMN_OF[target])
    found = select(Block).where(column == row_id).order_by(Block.id.desc()).limit(limit)
    return list(session.scalars(found))


def block_in_force(session: Session, target: BlockTarget, row_id: int, at: dt.datetime) -> Block | None:
    """One block of something that counts at a moment."""
    column = getattr(Block, COLUMN_OF[target])
    return session.scalars(select(Block).where(column == row_id, in_force(at)).order_by(Block.id).limit(1)).first()


@dataclass(frozen=True)
class InHand:
    """A charge that a worker had begun before a block: it is finished, and this is how far it is."""

    charge_id: int
    invoice_number: str
    amount_minor: int
    unit: str
    begun_at: dt.datetime | None
    status: Any


def charges_in_hand(session: Session, block: Block) -> list[InHand]:
    """The charges of a blocked customer or organization that were on their way when the block came into force.

    Of an organization only those that still are: a merchant's past attempts are many.
    """
    if block.target not in {BlockTarget.CUSTOMER, BlockTarget.ORGANIZATION}:
        return []
    wanted = (
        select(
            ScheduledCharge.id,
            ScheduledCharge.invoice_number,
            ScheduledCharge.amount_minor,
            ScheduledCharge.unit,
            ChargeAttempt.first_sent_at,
            ScheduledCharge.status,
        )
        .join(ChargeAttempt, ChargeAttempt.scheduled_charge_id == ScheduledCharge.id)
        .outerjoin(Subscription, Subscription.id == ScheduledCharge.subscription_id)
        .outerjoin(BatchRow, BatchRow.id == ScheduledCharge.batch_row_id)
        .outerjoin(Batch, Batch.id == BatchRow.batch_id)
        .where(ChargeAttempt.first_sent_at <= block.created_at)
    )
    if block.target is BlockTarget.CUSTOMER:
        whose = or_(Subscription.customer_id == block.customer_id, BatchRow.customer_id == block.customer_id)
        on_its_way = or_(ChargeAttempt.done_at.is_(None), ChargeAttempt.done_at >= block.created_at)
        wanted = wanted.where(whose, on_its_way, ChargeAttempt.state != AttemptState.CANCELLED)
    else:
        whose = func.coalesce(Subscription.merchant_id, Batch.merchant_id) == block.organization_id
        wanted = wanted.where(among(ChargeAttempt.state, OPEN_ATTEMPTS), ChargeAttempt.state.in_(_IN_HAND), whose)
    rows = session.execute(wanted.order_by(ChargeAttempt.id.desc()).limit(SHOWN))
    return [InHand(*row) for row in rows]


# ---- what is known of somebody -------------------------------------------------------------------------------------


@dataclass
class Known:
    """What anti-fraud sees of a customer or an organization before it decides: the latest few of everything.

    Attributes:
        documents: of somebody identified, which kinds of documents compliance accepted; of anybody else nothing (KY1).
    """

    customer: Customer | None = None
    organization: Organization | None = None
    documents: Sequence[DocumentKind] = ()
    wallets: Sequence[Wallet] = ()
    payments: Sequence[Payment] = ()
    transactions: Sequence[WalletTransaction] = ()
    applications: Sequence[tuple[LimitApplication, WalletTransaction]] = ()
    notes: Sequence[WatchNote] = ()
    blocks: Sequence[Block] = field(default_factory=list)
    events: Sequence[AuditEvent] = ()


def known_of(session: Session, *, customer_id: int | None = None, organization_id: int | None = None) -> Known:
    """What is known of a customer or an organization: some look-ups through indexes, however much there is."""
    known = Known()
    if customer_id is not None:
        known.customer = session.get(Customer, customer_id)
        known.documents = _accepted(session, known.customer)
        latest = select(Payment).where(Payment.customer_id == customer_id)
        known.payments = session.scalars(
            latest.order_by(Payment.created_at.desc(), Payment.id.desc()).limit(SHOWN)
        ).all()
        raised = select(WatchNote).where(WatchNote.customer_id == customer_id).order_by(WatchNote.id.desc())
        known.notes = session.scalars(raised.limit(SHOWN)).all()
        known.blocks = blocks_of(session, BlockTarget.CUSTOMER, customer_id)
        known.events = events_of(session, "customer", customer_id)
        whose = Wallet.customer_id == customer_id
    elif organization_id is not None:
        known.organization = session.get(Organization, organization_id)
        known.blocks = blocks_of(session, BlockTarget.ORGANIZATION, organization_id)
        known.events = events_of(session, "organization", organization_id)
        whose = Wallet.organization_id == organization_id
    else:
        return known
    known.wallets = session.scalars(select(Wallet).where(whose).order_by(Wallet.unit)).all()
    ids = [wallet.id for wallet in known.wallets]
    moves = [
        move
        for wallet_id in ids
        for column in (WalletTransaction.from_wallet_id, WalletTransaction.to_wallet_id)
        for move in session.scalars(
            select(WalletTransaction).where(column == wallet_id).order_by(WalletTransaction.id.desc()).limit(SHOWN)
        )
    ]
    known.transactions = sorted(set(moves), key=lambda move: -move.id)[:SHOWN]
    applied = (
        select(LimitApplication, WalletTransaction)
        .join(WalletTransaction, WalletTransaction.id == LimitApplication.transaction_id)
        .where(WalletTransaction.from_wallet_id.in_(ids))
        .order_by(LimitApplication.id.desc())
        .limit(SHOWN)
    )
    known.applications = [(row[0], row[1]) for row in session.execute(applied)] if ids else []
    return known


def _accepted(session: Session, customer: Customer | None) -> list[DocumentKind]:
    if customer is None or customer.identification is not IdentificationStatus.IDENTIFIED:
        return []
    of_customer = IdentityDocument.customer_id == customer.id
    kinds = select(IdentityDocument.kind).where(of_customer, IdentityDocument.status == DocumentStatus.ACCEPTED)
    return list(dict.fromkeys(session.scalars(kinds.order_by(IdentityDocument.id.desc()).limit(SHOWN))))


def events_of(session: Session, kind: str, row_id: int) -> list[AuditEvent]:
    """What the trail says about a customer or an organization: acts on the record, and acts that name it; latest first.

    Not what compliance did and why: others learn only whether somebody is identified (KY1).

    Args:
        kind: "customer" or "organization".
    """
    on_it = (
        select(AuditEvent)
        .where(AuditEvent.entity == kind, AuditEvent.entity_id == str(row_id), ~_of_compliance())
        .order_by(AuditEvent.id.desc())
        .limit(EVENTS_SHOWN)
    )
    naming = (
        select(AuditKey.event_id)
        .where(AuditKey.value == str(row_id), AuditKey.name == f"{kind}_id")
        .order_by(AuditKey.event_id.desc())
        .limit(EVENTS_SHOWN)
    )
    found = {event.id: event for event in session.scalars(on_it)}
    if ids := set(session.scalars(naming)) - found.keys():
        named = select(AuditEvent).where(AuditEvent.id.in_(ids), ~_of_compliance())
        found |= {event.id: event for event in session.scalars(named)}
    return [found[number] for number in sorted(found, reverse=True)][:EVENTS_SHOWN]


def _of_compliance() -> Any:
    return AuditEvent.event.startswith("identification.", autoescape=True)
