"""Questions to the books: what is not booked yet, balances, statements, trial balances, and a record's journals."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, and_, case, cast, func, literal, or_, select, union_all
from sqlalchemy.orm import Session

from payadmin.db import db
from payadmin.ledger.chart import CHART, Head
from payadmin.models.approvals import ApprovalRequest
from payadmin.models.ledger import (
    AccountingPeriod,
    LedgerAccount,
    LedgerBalance,
    LedgerCheck,
    LedgerEntry,
    LedgerTransaction,
    LedgerTurnover,
)
from payadmin.models.parties import Customer, Organization
from payadmin.models.payments import Mode, Payment, Refund, VoidRequest

_A, _B, _E, _O, _T = LedgerAccount, LedgerBalance, LedgerEntry, LedgerTurnover, LedgerTransaction


def unbooked_payments() -> int:
    """How many payments with money the books do not know."""
    known = select(_T.id).where(_T.business == "payment", _T.business_id == Payment.id)
    counted = select(func.count()).where(Payment.mode == Mode.LIVE, Payment.captured_minor > 0, ~known.exists())
    return db.session.scalar(counted) or 0


def latest_check(session: Session, *, done: bool = False) -> LedgerCheck | None:
    """The newest check of the books; with `done` the newest that came to its end."""
    found = select(LedgerCheck).order_by(LedgerCheck.id.desc()).limit(1)
    return session.scalars(found.where(LedgerCheck.done_at.is_not(None)) if done else found).first()


def periods(session: Session) -> Sequence[AccountingPeriod]:
    """The closed periods, the latest first."""
    return session.scalars(select(AccountingPeriod).order_by(AccountingPeriod.last_day.desc()).limit(100)).all()


def balances(session: Session, account_ids: Sequence[int]) -> dict[int, int]:
    """What accounts come to now, debits less credits: constant work for each, however many entries it has."""
    found = select(_B.account_id, func.sum(_B.balance_minor)).where(_B.account_id.in_(account_ids))
    return {account: int(minor) for account, minor in session.execute(found.group_by(_B.account_id))}


def usual_balance(account_id: Any) -> Any:
    """What one account comes to, above zero on its usual side, as part of another statement."""
    credits_ = [head.number for head in CHART.values() if head.side < 0]
    side = case((LedgerAccount.number.in_(credits_), -1), else_=1)
    total = select(func.sum(_B.balance_minor)).where(_B.account_id == LedgerAccount.id).scalar_subquery()
    minor = cast(side * func.coalesce(total, 0), BigInteger)  # PostgreSQL adds up to a numeric
    return select(minor).where(LedgerAccount.id == account_id).scalar_subquery()


# ---- whose account -------------------------------------------------------------------------------------------------


def owner_names(session: Session, owners: Sequence[str]) -> dict[str, str]:
    """How owners of accounts are called: organizations and customers by their names, others by what they are."""
    names = {owner: owner.partition(":")[2] for owner in owners}
    for kind, model in (("organization", Organization), ("customer", Customer)):
        ids = [int(owner.partition(":")[2]) for owner in owners if owner.startswith(f"{kind}:")]
        rows = session.execute(select(model.id, model.name).where(model.id.in_(ids))) if ids else ()
        names |= {f"{kind}:{row_id}": name for row_id, name in rows}
    return names


# ---- statement of an account ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One entry on a statement; `balance_minor` is what the account comes to after it, on its usual side."""

    id: int
    transaction_id: int
    day: dt.date
    template: str
    key: str
    memo: str | None
    amount_minor: int
    balance_minor: int


@dataclass(frozen=True)
class Sums:
    """An account over a period, on its usual side: what it opened with, what moved, what it closed with."""

    opening_minor: int
    debit_minor: int
    credit_minor: int
    closing_minor: int
    entries: int


def sums_of(session: Session, account: LedgerAccount, first: dt.date, last: dt.date) -> Sums:
    """Opening, turnover and closing of an account over the days from `first` to `last`, read from its daily sums."""
    side = CHART[account.number].side
    before = session.execute(
        select(func.sum(_O.debit_minor - _O.credit_minor)).where(_O.account_id == account.id, _O.day < first)
    ).scalar()
    debit, credit, entries = session.execute(
        select(func.sum(_O.debit_minor), func.sum(_O.credit_minor), func.sum(_O.entries)).where(
            _O.account_id == account.id, _O.day.between(first, last)
        )
    ).one()
    opening, debit, credit = int(before or 0) * side, int(debit or 0), int(credit or 0)
    return Sums(opening, debit, credit, opening + side * (debit - credit), int(entries or 0))


def balance_before(session: Session, account: LedgerAccount, day: dt.date, entry_id: int) -> int:
    """What an account came to just before one of its entries, on its usual side."""
    side = CHART[account.number].side
    before = session.scalar(
        select(func.sum(_O.debit_minor - _O.credit_minor)).where(_O.account_id == account.id, _O.day < day)
    )
    same_day = session.scalar(
        select(func.sum(_E.amount_minor)).where(_E.account_id == account.id, _E.effective_on == day, _E.id < entry_id)
    )
    return side * (int(before or 0) + int(same_day or 0))


def _entries(account: LedgerAccount, first: dt.date, last: dt.date) -> Any:
    return (
        select(_E.id, _E.transaction_id, _E.effective_on, _T.template, _T.key, _T.memo, _E.amount_minor)
        .join(_T, _T.id == _E.transaction_id)
        .where(_E.account_id == account.id, _E.effective_on.between(first, last))
    )


def page_of_statement(
    session: Session,
    account: LedgerAccount,
    first: dt.date,
    last: dt.date,
    *,
    after: tuple[dt.date, int] | None = None,
    size: int = 50,
) -> tuple[list[Line], tuple[dt.date, int] | None]:
    """One page of a statement, oldest first, with running balances, and where the next page begins (None: nowhere)."""
    found = _entries(account, first, last)
    if after is not None:
        day, entry_id = after
        found = found.where(or_(_E.effective_on > day, and_(_E.effective_on == day, _E.id > entry_id)))
    rows = session.execute(found.order_by(_E.effective_on, _E.id).limit(size + 1)).all()
    shown = rows[:size]
    if not shown:
        return [], None
    start = balance_before(session, account, shown[0].effective_on, shown[0].id)
    lines = list(_running(shown, start, CHART[account.number].side))
    return lines, ((shown[-1].effective_on, shown[-1].id) if len(rows) > size else None)


def whole_statement(
    session: Session, account: LedgerAccount, first: dt.date, last: dt.date, *, opening_minor: int
) -> Iterator[Line]:
    """Every line of a statement, from a server-side cursor: nothing grows with their number.

    Args:
        opening_minor: what the account opened with, which the statement begins with.
    """
    found = _entries(account, first, last).order_by(_E.effective_on, _E.id)
    rows = session.execute(found.execution_options(yield_per=1_000))
    yield from _running(rows, opening_minor, CHART[account.number].side)


def _running(rows: Any, balance: int, side: int) -> Iterator[Line]:
    for row in rows:
        balance += side * row.amount_minor
        yield Line(
            row.id,
            row.transaction_id,
            row.effective_on,
            row.template,
            row.key,
            row.memo,
            row.amount_minor,
            balance,
        )


# ---- trial balance -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrialLine:
    """One line of a trial balance, each amount on the account's usual side but the turnovers, which have their own."""

    number: str
    head: Head
    owner: str
    account_id: int | None
    accounts: int
    opening_minor: int
    debit_minor: int
    credit_minor: int
    closing_minor: int


def trial_balance(
    session: Session, unit: str, first: dt.date, last: dt.date, *, each: bool = False
) -> Iterator[TrialLine]:
    """What every line of the chart came to in one unit and period, in the order of the chart.

    Args:
        each: every account by itself, instead of every line of the chart.
    """
    day = _O.day
    minor = _O.debit_minor - _O.credit_minor
    sums = [
        func.sum(case((day < first, minor), else_=0)),
        func.sum(case((day >= first, _O.debit_minor), else_=0)),
        func.sum(case((day >= first, _O.credit_minor), else_=0)),
    ]
    keys: list[Any] = [_A.number, _A.owner, _A.id] if each else [_A.number]
    found = (
        select(*keys, func.count(func.distinct(_A.id)), *sums)
        .join(_O, and_(_O.account_id == _A.id, _O.day <= last))
        .where(_A.unit == unit)
        .group_by(*keys)
        .order_by(*keys)
    )
    for row in session.execute(found.execution_options(yield_per=1_000)):
        number, accounts = row[0], row[-4]
        before, debit, credit = (int(value or 0) for value in row[-3:])
        head = CHART[number]
        owner, account_id = (row[1], row[2]) if each else ("", None)
        opening = head.side * before
        closing = opening + head.side * (debit - credit)
        yield TrialLine(number, head, owner, account_id, accounts, opening, debit, credit, closing)


def newest_day(session: Session, account_id: int | None = None) -> dt.date | None:
    """The last day on which anything was booked, on one account or at all."""
    found = select(func.max(_O.day))
    newest: dt.date | None = session.scalar(found if account_id is None else found.where(_O.account_id == account_id))
    return newest


def units_in_books(session: Session) -> list[str]:
    """The units that accounts are kept in."""
    return list(session.scalars(select(_A.unit).distinct().order_by(_A.unit)))


# ---- from a record to its journals and back ------------------------------------------------------------------------


@dataclass(frozen=True)
class JournalLeg:
    """One leg of a journal as people read it."""

    account_id: int
    code: str
    number: str
    owner: str
    unit: str
    amount_minor: int


def legs_of(session: Session, transaction_ids: Sequence[int]) -> dict[int, list[JournalLeg]]:
    """The legs of transactions, debits first."""
    rows = session.execute(
        select(_E.transaction_id, _A.id, _A.code, _A.number, _A.owner, _A.unit, _E.amount_minor)
        .join(_A, _A.id == _E.account_id)
        .where(_E.transaction_id.in_(transaction_ids))
        .order_by(_E.transaction_id, _E.amount_minor < 0, _E.leg)
    )
    found: dict[int, list[JournalLeg]] = {}
    for transaction_id, account_id, code, number, owner, unit, minor in rows:
        leg = JournalLeg(account_id, code, number, owner, unit, minor)
        found.setdefault(transaction_id, []).append(leg)
    return found


def journals_of_payment(session: Session, payment_id: int) -> Sequence[LedgerTransaction]:
    """Everything the books say about a payment: itself, its refunds, voids and what waiting approvals held."""
    refunds = select(literal("refund"), Refund.id).where(Refund.payment_id == payment_id)
    voids = select(literal("void_request"), VoidRequest.id).where(VoidRequest.payment_id == payment_id)
    requests = select(literal("approval_request"), ApprovalRequest.id).where(
        ApprovalRequest.target_table == "payment", ApprovalRequest.target_id == payment_id
    )
    numbers: dict[str, list[int]] = {"payment": [payment_id]}
    for business, row_id in session.execute(union_all(refunds, voids, requests)):
        numbers.setdefault(business, []).append(row_id)
    about = [and_(_T.business == business, _T.business_id.in_(ids)) for business, ids in numbers.items()]
    return session.scalars(select(_T).where(or_(*about)).order_by(_T.effective_on, _T.id).limit(200)).all()


def journals_about(session: Session, business: str, row_id: int) -> Sequence[LedgerTransaction]:
    """Everything that the books say about one record."""
    about = select(_T).where(_T.business == business, _T.business_id == row_id)
    return session.scalars(about.order_by(_T.id).limit(200)).all()


def payment_behind(session: Session, transaction: LedgerTransaction) -> Payment | None:
    """The payment that a transaction is about, however it is about it."""
    payment_id: int | None = None
    match transaction.business:
        case "payment":
            payment_id = transaction.business_id
        case "refund":
            payment_id = session.scalar(select(Refund.payment_id).where(Refund.id == transaction.business_id))
        case "void_request":
            payment_id = session.scalar(select(VoidRequest.payment_id).where(VoidRequest.id == transaction.business_id))
        case "approval_request":
            payment_id = session.scalar(
                select(ApprovalRequest.target_id).where(ApprovalRequest.id == transaction.business_id)
            )
    return session.get(Payment, payment_id) if payment_id is not None else None
