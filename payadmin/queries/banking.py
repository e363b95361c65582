"""Questions about payment files and bank statements."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Select, cast, exists, func, literal, or_, select
from sqlalchemy.orm import Session, joinedload

from payadmin.db import among
from payadmin.models.banking import (
    OUT,
    BankLine,
    BankMessage,
    FileStatus,
    LineStatus,
    PaymentFile,
    PaymentFileLine,
    TransferStatus,
)
from payadmin.models.outbox import OutboxMessage, OutboxState
from payadmin.models.redeem import RedeemChannel, RedeemRequest, RedeemStatus

MOST_PAYMENTS = 1_000
MOST_CANDIDATES = 50
_NOTHING_CAME_OF_IT = (TransferStatus.REJECTED, TransferStatus.DISCARDED)
# What a debit settles, and what a credit returns.
SETTLED_FROM = (TransferStatus.WAITING, TransferStatus.ACCEPTED)
RETURNED_FROM = (TransferStatus.PAID,)
# Requests whose money is set aside, and that nothing has paid.
OWED = (RedeemStatus.FAILED, RedeemStatus.APPROVED)


@dataclass(frozen=True)
class Waiting:
    """Approved requests of one unit that stand in no file."""

    unit: str
    count: int
    amount_minor: int


def _waits() -> tuple[object, ...]:
    in_a_file = exists().where(
        PaymentFileLine.redeem_request_id == RedeemRequest.id, PaymentFileLine.status.not_in(_NOTHING_CAME_OF_IT)
    )
    return (
        RedeemRequest.status == RedeemStatus.APPROVED,
        RedeemRequest.channel == RedeemChannel.BANK_TRANSFER,
        ~in_a_file,
        RedeemRequest.id.not_in(_claimed()),
    )


def waiting(session: Session) -> list[Waiting]:
    """What the next payment files would hold, one line per unit."""
    found = (
        select(
            RedeemRequest.unit,
            func.count(RedeemRequest.id),
            cast(func.sum(RedeemRequest.amount_minor), BigInteger),
        )
        .where(*_waits())  # type: ignore[arg-type]
        .group_by(RedeemRequest.unit)
        .order_by(RedeemRequest.unit)
    )
    return [Waiting(*row) for row in session.execute(found)]


def waiting_requests(session: Session, unit: str) -> Sequence[RedeemRequest]:
    """The approved requests of a unit that stand in no file, the oldest first."""
    found = select(RedeemRequest).where(*_waits(), RedeemRequest.unit == unit)  # type: ignore[arg-type]
    rows = session.scalars(
        found.options(joinedload(RedeemRequest.wallet)).order_by(RedeemRequest.id).limit(MOST_PAYMENTS)
    )
    return rows.all()


def in_files(session: Session, numbers: Collection[int]) -> set[int]:
    """Which of these requests stand in a file that is not over."""
    column = PaymentFileLine.redeem_request_id
    found = select(column).where(column.in_(numbers), PaymentFileLine.status.not_in(_NOTHING_CAME_OF_IT))
    return set(session.scalars(found))


def claimed_paid(session: Session, numbers: Collection[int]) -> set[int]:
    """Which of these requests a statement shows as paid in a line that nobody has decided yet.

    The bank rejected the payment and made it all the same, or it is about to be booked: whoever pays such a request
    once more, or gives its money back, may do so for the second time.
    """
    return set(session.scalars(_claimed().where(PaymentFileLine.redeem_request_id.in_(numbers))))


def _claimed() -> Select[int]:
    undecided = (LineStatus.NEW, LineStatus.UNMATCHED)
    return (
        select(PaymentFileLine.redeem_request_id)
        .join(BankLine, BankLine.reference == PaymentFileLine.end_to_end_id)
        .where(BankLine.is_credit.is_(False), among(BankLine.status, undecided))
    )


def lines_of(session: Session, file_id: int) -> Sequence[PaymentFileLine]:
    """The payments of a file with their requests, in their order."""
    found = select(PaymentFileLine).where(PaymentFileLine.file_id == file_id)
    return session.scalars(found.options(joinedload(PaymentFileLine.redeem_request)).order_by(PaymentFileLine.id)).all()


def messages_of(session: Session, file_id: int) -> Sequence[BankMessage]:
    """What the bank said about a file, the latest first."""
    found = select(BankMessage).where(BankMessage.file_id == file_id).order_by(BankMessage.id.desc()).limit(20)
    return session.scalars(found).all()


def latest_messages(session: Session) -> Sequence[BankMessage]:
    """What came last."""
    return session.scalars(select(BankMessage).order_by(BankMessage.id.desc()).limit(10)).all()


def to_be_sent(session: Session) -> Sequence[int]:
    """The files that may leave and whose arrival is not known."""
    open_ = (FileStatus.RELEASED, FileStatus.UNKNOWN)
    found = select(PaymentFile.id).where(among(PaymentFile.status, open_), PaymentFile.by_hand.is_(False))
    return session.scalars(found.order_by(PaymentFile.id).limit(100)).all()


def is_to_be_sent(session: Session, file_id: int) -> bool:
    """Whether it is still not known that the bank has the file."""
    open_ = PaymentFile.status.in_((FileStatus.RELEASED, FileStatus.UNKNOWN))
    return bool(session.scalar(select(exists().where(PaymentFile.id == file_id, open_))))


def is_asking(session: Session) -> bool:
    """Whether a question to the bank is promised and not answered yet."""
    states = (OutboxState.DUE, OutboxState.RUNNING)
    return bool(
        session.scalar(select(exists().where(OutboxMessage.job == "ask_bank", OutboxMessage.state.in_(states))))
    )


def to_be_matched(session: Session) -> Sequence[int]:
    """Lines that nobody looked at yet: what went out before what came back, in the order of the statements."""
    found = select(BankLine.id).where(among(BankLine.status, (LineStatus.NEW,)))
    return session.scalars(
        found.order_by(BankLine.is_credit, BankLine.message_id, BankLine.number).limit(MOST_PAYMENTS)
    ).all()


def known_contents(session: Session, digests: Collection[str]) -> set[str]:
    """Which of these contents are kept already."""
    if not digests:
        return set()
    return set(session.scalars(select(BankMessage.sha256).where(BankMessage.sha256.in_(digests))))


def is_ours(session: Session, account: str, own: str) -> bool:
    """Whether a statement's account is ours: the one of the settings, or one that a file was paid from."""
    if account == own:
        return True
    return bool(session.scalar(select(exists().where(PaymentFile.payer_account == account))))


def candidates(session: Session, line: BankLine) -> Sequence[PaymentFileLine]:
    """The payments that a line of a statement could be, by its amount: those at the bank, or those that were paid."""
    wanted = RETURNED_FROM if line.is_credit else SETTLED_FROM
    found = (
        select(PaymentFileLine)
        .join(PaymentFile, PaymentFileLine.file_id == PaymentFile.id)
        .join(RedeemRequest, PaymentFileLine.redeem_request_id == RedeemRequest.id)
        .where(
            RedeemRequest.unit == line.unit,
            RedeemRequest.amount_minor == line.amount_minor,
            or_(
                PaymentFileLine.status.in_(wanted) & PaymentFile.status.in_(OUT),
                # Rejected, and paid all the same: only what the line itself names.
                (PaymentFileLine.status == TransferStatus.REJECTED)
                & (PaymentFileLine.end_to_end_id == line.reference)
                & RedeemRequest.status.in_(OWED)
                & literal(not line.is_credit),
            ),
        )
    )
    return session.scalars(
        found.options(joinedload(PaymentFileLine.redeem_request)).order_by(PaymentFileLine.id).limit(MOST_CANDIDATES)
    ).all()
