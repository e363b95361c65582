"""The invariants of the books, I1 to I10 (domain 7.3): each is a check with a figure and, when broken, the rows.

The Ledger health page, `payadmin verify ledger`, the closing of a period and the tests run this same list. A check is
one question to the database and reads only; it stops at the first rows that are wrong and says how many there are.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from sqlalchemy import String, and_, case, cast, func, literal, or_, select, text, union_all
from sqlalchemy.orm import Session, aliased

from payadmin.db import utcnow
from payadmin.kernel import seals
from payadmin.kernel.text import _
from payadmin.ledger.chart import CHART
from payadmin.ledger.posting import written
from payadmin.models.ledger import (
    AccountingPeriod,
    LedgerAccount,
    LedgerBalance,
    LedgerClosing,
    LedgerEntry,
    LedgerHold,
    LedgerTransaction,
    LedgerTurnover,
)
from payadmin.models.ledger_rules import TRIGGERS
from payadmin.models.payments import Mode, Payment, PaymentStatus
from payadmin.models.tariffs import PaymentTariff
from payadmin.models.treasury import (
    CashDayUnit,
    CashDesk,
    CashDeskDay,
    CashKind,
    CashOperation,
    DayStatus,
    SystemOperation,
)
from payadmin.models.wallets import MoveStatus, WalletTransaction

MOST_ROWS: Final = 20
AGES: Final = {
    2: _("payments unsettled for more than 2 days"),
    7: _("payments unsettled for more than 7 days"),
    30: _("payments unsettled for more than 30 days"),
}
_A, _B, _C, _E, _H = LedgerAccount, LedgerBalance, LedgerClosing, LedgerEntry, LedgerHold
_T, _O, _P, _W = LedgerTransaction, LedgerTurnover, AccountingPeriod, WalletTransaction
_D, _U, _CO = CashDeskDay, CashDayUnit, CashOperation
# How the fact ends by which the books say that a wallet transaction stands where it stands.
_FACT_OF: Final = {
    MoveStatus.EXECUTED: "",
    MoveStatus.HELD: ":held",
    MoveStatus.RELEASED: ":back",
    MoveStatus.REVERSED: ":reversed",
}


@dataclass(frozen=True)
class Figure:
    """One number of a check: "entries", 41,233."""

    label: str
    value: int
    unit: str = ""
    about: str = ""


@dataclass
class Result:
    """What a check found.

    Attributes:
        number: "I1".
        promise: the invariant as a sentence.
        broken: how many rows break it; `rows` are the first of them, each a sentence and what it is about.
    """

    number: str
    title: str
    promise: str
    figures: list[Figure] = field(default_factory=list)
    broken: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def fails(self, sentence: str, **about: Any) -> None:
        """Note a row that breaks the invariant."""
        self.broken += 1
        if len(self.rows) < MOST_ROWS:
            self.rows.append({"sentence": sentence, **about})

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


@dataclass(frozen=True)
class Context:
    """What the checks are run with: the database, and the keys that transactions are signed with."""

    session: Session
    keys: Sequence[bytes]


Check = Callable[[Context, Result], None]
CHECKS: Final[list[tuple[str, str, str, Check]]] = []


def _check(number: str, title: str, promise: str) -> Callable[[Check], Check]:
    def add(function: Check) -> Check:
        CHECKS.append((number, title, promise, function))
        return function

    return add


def run(session: Session, keys: Sequence[bytes]) -> Iterator[Result]:
    """Run every check, one after the other; each result as soon as it is known.

    All of them see the same moment: what is booked meanwhile would otherwise stand in one figure and not in the next.

    Args:
        session: what it was doing is given up, not committed.
        keys: the keys that sign transactions; empty: signatures are not looked at.
    """
    session.rollback()
    if session.get_bind().dialect.name == "postgresql":
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    context = Context(session, keys)
    for number, title, promise, check in CHECKS:
        result = Result(number, title, promise)
        check(context, result)
        yield result


def _number(context: Context, statement: Any) -> int:
    return int(context.session.scalar(statement) or 0)


def _rows(context: Context, statement: Any) -> Iterator[Any]:
    yield from context.session.execute(statement.execution_options(yield_per=1_000))


@_check("I1", _("Balanced"), _("In every transaction, debits and credits of each unit are equal."))
def _balanced(context: Context, result: Result) -> None:
    result.figures.append(Figure(_("transactions"), _number(context, select(func.count()).select_from(_T))))
    result.figures.append(Figure(_("entries"), _number(context, select(func.count()).select_from(_E))))
    rest = func.sum(_E.amount_minor)
    uneven = select(_E.transaction_id, _E.unit, rest).group_by(_E.transaction_id, _E.unit).having(rest != 0)
    for transaction_id, unit, minor in _rows(context, uneven):
        result.fails(f"Transaction {transaction_id} is {minor} minor units of {unit} out.", transaction=transaction_id)
    lonely = select(_T.id).where(~select(_E.id).where(_E.transaction_id == _T.id).exists())
    for (transaction_id,) in _rows(context, lonely):
        result.fails(f"Transaction {transaction_id} has no entries.", transaction=transaction_id)


@_check("I2", _("Unchanged"), _("Entries are never changed; a correction is one exact reversal."))
def _unchanged(context: Context, result: Result) -> None:
    missing = _missing_rules(context)
    result.figures.append(Figure(_("rules of the database in place"), len(TRIGGERS[_dialect(context)]) - len(missing)))
    for name in missing:
        result.fails(f"The database does not have its rule any more: {name}.")
    _signatures(context, result)
    _entries_as_signed(context, result)
    result.figures.append(
        Figure(_("reversals"), _number(context, select(func.count()).where(_T.reverses_id.is_not(None))))
    )
    mine, other = aliased(_E), aliased(_E)
    wrong = (
        select(_T.id, _T.reverses_id)
        .join(mine, mine.transaction_id == _T.id)
        .outerjoin(other, and_(other.transaction_id == _T.reverses_id, other.leg == mine.leg))
        .where(
            _T.reverses_id.is_not(None),
            or_(other.id.is_(None), other.account_id != mine.account_id, other.amount_minor != -mine.amount_minor),
        )
        .distinct()
    )
    for transaction_id, reverses_id in _rows(context, wrong):
        result.fails(f"Transaction {transaction_id} is not the opposite of {reverses_id}.", transaction=transaction_id)


def _dialect(context: Context) -> str:
    return context.session.get_bind().dialect.name


def _missing_rules(context: Context) -> list[str]:
    """The triggers of the books that are not in the database, or are switched off."""
    names = {words[2] for each in TRIGGERS[_dialect(context)] if (words := each.split())[1] == "TRIGGER"}
    if _dialect(context) == "sqlite":
        found = context.session.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars()
    else:
        found = context.session.execute(
            text("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')")
        ).scalars()
    return sorted(names - set(found))


def _signatures(context: Context, result: Result) -> None:
    """Compare each transaction with what was signed when it was written; every one is."""
    if not context.keys:
        return
    signed = 0
    columns = list(_T.__table__.columns)
    for row in context.session.execute(
        select(*columns).order_by(_T.id), execution_options={"yield_per": 1_000}
    ).mappings():
        if row["signature"] is None:
            result.fails(f"Transaction {row['id']} was not signed by payadmin.", transaction=row["id"])
        elif not seals.is_signed(context.keys, written(row), row["signature"]):
            result.fails(f"Transaction {row['id']} is not as payadmin wrote it.", transaction=row["id"])
        else:
            signed += 1
    result.figures.append(Figure(_("transactions as they were signed"), signed))


# What is signed are the legs of a transaction; an entry is nothing but one of them.
_OTHER_ENTRIES: Final = {
    "sqlite": """
SELECT DISTINCT t.id FROM ledger_transaction t JOIN ledger_entry e ON e.transaction_id = t.id
WHERE json_extract(t.legs, '$[' || (e.leg - 1) || '][0]') IS NOT e.account_id
  OR json_extract(t.legs, '$[' || (e.leg - 1) || '][1]') IS NOT e.unit
  OR json_extract(t.legs, '$[' || (e.leg - 1) || '][2]') IS NOT e.amount_minor
  OR e.effective_on <> t.effective_on
UNION SELECT t.id FROM ledger_transaction t
WHERE json_array_length(t.legs) <> (SELECT count(*) FROM ledger_entry e WHERE e.transaction_id = t.id)
ORDER BY 1""",
    "postgresql": """
SELECT DISTINCT t.id FROM ledger_transaction t JOIN ledger_entry e ON e.transaction_id = t.id
WHERE (t.legs -> (e.leg - 1) ->> 0)::bigint IS DISTINCT FROM e.account_id
  OR t.legs -> (e.leg - 1) ->> 1 IS DISTINCT FROM e.unit
  OR (t.legs -> (e.leg - 1) ->> 2)::bigint IS DISTINCT FROM e.amount_minor
  OR e.effective_on <> t.effective_on
UNION SELECT t.id FROM ledger_transaction t
WHERE jsonb_array_length(t.legs) <> (SELECT count(*) FROM ledger_entry e WHERE e.transaction_id = t.id)
ORDER BY 1""",
}


def _entries_as_signed(context: Context, result: Result) -> None:
    """Compare the entries of each transaction with its legs."""
    for (transaction_id,) in context.session.execute(text(_OTHER_ENTRIES[_dialect(context)])):
        result.fails(
            f"The entries of transaction {transaction_id} are not the legs that were written.",
            transaction=transaction_id,
        )


@_check("I3", _("Covered"), _("No wallet, hold, desk, payable or cash in transit is below zero."))
def _covered(context: Context, result: Result) -> None:
    guarded = [number for number, head in CHART.items() if head.guarded]
    result.figures.append(
        Figure(_("guarded accounts"), _number(context, select(func.count()).where(_A.number.in_(guarded))))
    )
    side = case({number: CHART[number].side for number in guarded}, value=_A.number)
    total = func.sum(_E.amount_minor)
    below = (
        select(_A.id, _A.code, total * side)
        .join(_E, _E.account_id == _A.id)
        .where(_A.number.in_(guarded))
        .group_by(_A.id, _A.code, _A.number)
        .having(total * side < 0)
    )
    for account_id, code, minor in _rows(context, below):
        result.fails(f"{code} stands at {minor} minor units.", account=account_id)


@_check("I4", _("Once"), _("Every fact is booked once: no two transactions have the same key."))
def _once(context: Context, result: Result) -> None:
    keys = _number(context, select(func.count(func.distinct(_T.key))))
    result.figures.append(Figure(_("facts"), keys))
    twice = select(_T.key, func.count()).group_by(_T.key).having(func.count() > 1)
    for key, count in _rows(context, twice):
        result.fails(f"{key} is booked {count} times.")
    moved = _number(context, select(func.count()).select_from(_W))
    result.figures.append(Figure(_("wallet transactions"), moved))
    suffix = case(*((_W.status == status, what) for status, what in _FACT_OF.items()))
    fact = literal("wallet_transaction:") + cast(_W.id, String) + suffix
    booked = select(_T.id).where(_T.business == "wallet_transaction", _T.business_id == _W.id, _T.key == fact)
    for row_id, status in _rows(context, select(_W.id, _W.status).where(~booked.exists())):
        result.fails(
            f"Wallet transaction {row_id} is {status.value.lower()}, and the books do not say so.",
            wallet_transaction=row_id,
        )
    key = literal("payment:") + cast(PaymentTariff.payment_id, String) + ":cashback"
    given = select(PaymentTariff.payment_id).where(PaymentTariff.cashback_minor > 0)
    for (payment_id,) in _rows(context, given.where(~select(_T.id).where(_T.key == key).exists())):
        result.fails(f"Cashback of payment {payment_id} is not in the books.")


@_check("I5", _("Added up"), _("An account's balance is the sum of its entries, and so are its daily turnovers."))
def _added_up(context: Context, result: Result) -> None:
    result.figures.append(Figure(_("accounts"), _number(context, select(func.count()).select_from(_A))))
    sums = select(_E.account_id, func.sum(_E.amount_minor).label("minor")).group_by(_E.account_id).subquery()
    kept = select(_B.account_id, func.sum(_B.balance_minor).label("minor")).group_by(_B.account_id).subquery()
    days = (
        select(_O.account_id, func.sum(_O.debit_minor - _O.credit_minor).label("minor"))
        .group_by(_O.account_id)
        .subquery()
    )
    nothing = literal(0)
    entries, balance, turned = (func.coalesce(each.c.minor, nothing) for each in (sums, kept, days))
    found = (
        select(_A.id, _A.code, entries, balance, turned)
        .outerjoin(sums, sums.c.account_id == _A.id)
        .outerjoin(kept, kept.c.account_id == _A.id)
        .outerjoin(days, days.c.account_id == _A.id)
        .where(or_(entries != balance, entries != turned))
    )
    for account_id, code, from_entries, from_balance, from_days in _rows(context, found):
        result.fails(
            f"{code}: its entries come to {from_entries}, its balance to {from_balance}, its days to {from_days}.",
            account=account_id,
        )


@_check("I6", _("Reserved"), _("What payments reserve for refunds is payable; what is set aside is what holds say."))
def _reserved(context: Context, result: Result) -> None:
    held = select(func.count()).select_from(_H).where(_H.ended_id.is_(None))
    result.figures.append(Figure(_("amounts set aside"), _number(context, held)))
    booked = select(_T.id).where(_T.business == "payment", _T.business_id == Payment.id, _T.template == "J01").exists()
    reserving = and_(Payment.mode == Mode.LIVE, Payment.reserved_minor > 0, booked)
    wanted = dict(
        context.session.execute(
            select(Payment.unit, func.sum(Payment.reserved_minor)).where(reserving).group_by(Payment.unit)
        ).all()
    )
    payable = _balances(context, "2110")
    for unit in sorted(wanted.keys() | payable.keys()):
        say, have = int(wanted.get(unit, 0)), payable.get(unit, 0)
        result.figures.append(Figure(_("reserved for refunds"), have, unit))
        if say != have:
            result.fails(f"Payments reserve {say} minor units of {unit}, the books {have}.")
    open_holds = dict(
        context.session.execute(
            select(_A.unit, func.sum(_H.amount_minor))
            .join(_A, _A.id == _H.account_id)
            .where(_H.ended_id.is_(None))
            .group_by(_A.unit)
        ).all()
    )
    aside = _balances(context, "2020")
    for unit in sorted(open_holds.keys() | aside.keys()):
        say, have = int(open_holds.get(unit, 0)), aside.get(unit, 0)
        result.figures.append(Figure(_("set aside"), have, unit))
        if say != have:
            result.fails(f"Open holds come to {say} minor units of {unit}, the books say {have}.")
    _waiting(context, result)


def _waiting(context: Context, result: Result) -> None:
    """What is set aside for transactions of wallets is what those that wait would take."""
    waiting = select(_W.unit, func.sum(_W.paid_minor)).where(_W.status == MoveStatus.HELD).group_by(_W.unit)
    held = (
        select(_A.unit, func.sum(_H.amount_minor))
        .join(_A, _A.id == _H.account_id)
        .join(_T, _T.id == _H.placed_id)
        .where(_H.ended_id.is_(None), _T.business == "wallet_transaction")
        .group_by(_A.unit)
    )
    wanted, aside = (dict(context.session.execute(each).all()) for each in (waiting, held))
    for unit in sorted(wanted.keys() | aside.keys()):
        say, have = int(wanted.get(unit, 0)), int(aside.get(unit, 0))
        if say != have:
            result.fails(f"Wallet transactions that wait hold {say} minor units of {unit}, the books {have} for them.")


def _balances(context: Context, number: str, *, by: Any = None) -> dict[Any, int]:
    """The balances of a line of the chart, on its usual side, by unit (or by `by` and unit)."""
    keys = [_A.unit] if by is None else [by, _A.unit]
    found = context.session.execute(
        select(*keys, func.sum(_B.balance_minor)).join(_A, _A.id == _B.account_id).where(_A.number == number)
        .group_by(*keys)
    )  # fmt: skip
    side = CHART[number].side
    return {(row[0] if by is None else tuple(row[:-1])): side * int(row[-1]) for row in found}


@_check("I7", _("Cleared"), _("What a provider still owes us is what its payments say that is not settled."))
def _cleared(context: Context, result: Result) -> None:
    S = PaymentStatus  # noqa: N806 - as in the models
    booked = select(_T.id).where(_T.business == "payment", _T.business_id == Payment.id, _T.template == "J01").exists()
    settled = select(_T.id).where(_T.business == "payment", _T.business_id == Payment.id, _T.template == "J07").exists()
    taken = case((settled, 0), (Payment.status == S.VOIDED, 0), else_=Payment.captured_minor)
    disputed = case(
        (Payment.status == S.CHARGED_BACK, Payment.captured_minor - Payment.refunded_minor), else_=literal(0)
    )
    left = taken - Payment.refunded_minor - disputed
    owed = (
        select(Payment.provider, Payment.unit, func.sum(left))
        .where(Payment.mode == Mode.LIVE, Payment.captured_minor > 0, booked)
        .group_by(Payment.provider, Payment.unit)
    )
    say = {(f"provider:{provider}", unit): int(minor) for provider, unit, minor in context.session.execute(owed)}
    have = _balances(context, "1210", by=_A.owner)
    for owner, unit in sorted(say.keys() | have.keys()):
        wanted, minor = say.get((owner, unit), 0), have.get((owner, unit), 0)
        result.figures.append(Figure(_("owed by"), minor, unit, about=owner.partition(":")[2]))
        if wanted != minor:
            result.fails(f"{owner}: payments say {wanted} minor units of {unit}, the books {minor}.")
    now = utcnow()
    waiting = [Payment.mode == Mode.LIVE, Payment.settled_at.is_(None)]
    waiting += [Payment.status.in_((S.PAID, S.PARTIALLY_REFUNDED))]
    for days, label in AGES.items():
        old = select(func.count()).where(*waiting, Payment.created_at < now - dt.timedelta(days=days))
        result.figures.append(Figure(label, _number(context, old)))
    known = select(_T.id).where(_T.business == "payment", _T.business_id == Payment.id).exists()
    unknown = select(func.count()).where(Payment.mode == Mode.LIVE, Payment.captured_minor > 0, ~known)
    result.figures.append(Figure(_("payments not booked yet"), _number(context, unknown)))


@_check("I8", _("Counted"), _("What a cash desk should hold is what the books say that it holds."))
def _counted(context: Context, result: Result) -> None:
    desks = _number(context, select(func.count()).where(_A.number == "1110"))
    result.figures.append(Figure(_("cash desks in the books"), desks))
    total = func.sum(_O.debit_minor - _O.credit_minor)
    kept = func.coalesce(select(func.sum(_B.balance_minor)).where(_B.account_id == _A.id).scalar_subquery(), 0)
    wrong = (
        select(_A.id, _A.code, total, kept)
        .join(_O, _O.account_id == _A.id)
        .where(_A.number.in_(("1110", "1120")))
        .group_by(_A.id, _A.code)
        .having(total != kept)
    )
    for account_id, code, moved, holds in _rows(context, wrong):
        result.fails(f"{code}: its days come to {moved}, it holds {holds}.", account=account_id)
    closed = select(func.count()).where(_D.status == DayStatus.CLOSED)
    result.figures.append(Figure(_("closed cash days"), _number(context, closed)))
    _receipts_booked(context, result)
    _days_as_counted(context, result)
    _desks_as_worked(context, result)


_IN_DESK: Final = case((_CO.kind == CashKind.TOP_UP, _CO.cash_minor), else_=-_CO.cash_minor)


def _desk_entries(business: str) -> Any:
    """What bookings of one kind of record moved in desks: the record's number, the account, unit and amount."""
    return (
        select(_T.business_id, _E.account_id, _E.unit, _E.amount_minor.label("minor"))
        .join(_E, _E.transaction_id == _T.id)
        .join(_A, _A.id == _E.account_id)
        .where(_T.business == business, _A.number == "1110")
        .subquery()
    )


def _receipts_booked(context: Context, result: Result) -> None:
    """Every operation over the counter moved in the books what its receipt says."""
    booked = _desk_entries("cash_operation")
    sums = select(booked.c.business_id, func.sum(booked.c.minor).label("minor")).group_by(booked.c.business_id)
    found = sums.subquery()
    wrong = (
        select(_CO.id, _CO.day_id, _CO.receipt, _IN_DESK, func.coalesce(found.c.minor, 0))
        .outerjoin(found, found.c.business_id == _CO.id)
        .where(func.coalesce(found.c.minor, 0) != _IN_DESK)
    )
    for row_id, day_id, receipt, says, booked_minor in _rows(context, wrong):
        result.fails(
            f"Receipt {receipt} of cash day {day_id} says {says}, the books {booked_minor}.",
            cash_operation=row_id,
            cash_day=day_id,
        )


def _days_as_counted(context: Context, result: Result) -> None:
    """What a counted day expected is what it began with and what moved in it; what it lacked is booked once closed."""
    by_counter = (
        select(_CO.day_id, _CO.unit, func.sum(_IN_DESK).label("minor")).group_by(_CO.day_id, _CO.unit).subquery()
    )
    booked = _desk_entries("system_operation")
    moved = (
        select(SystemOperation.day_id, booked.c.unit, func.sum(booked.c.minor).label("minor"))
        .join(booked, booked.c.business_id == SystemOperation.id)
        .group_by(SystemOperation.day_id, booked.c.unit)
        .subquery()
    )
    entries = _desk_entries("cash_desk_day")
    put_right = (
        select(entries.c.business_id, entries.c.unit, func.sum(entries.c.minor).label("minor"))
        .group_by(entries.c.business_id, entries.c.unit)
        .subquery()
    )
    came = func.coalesce(by_counter.c.minor, 0) + func.coalesce(moved.c.minor, 0)
    lacked = case((_D.status == DayStatus.CLOSED, _U.counted_minor - _U.expected_minor), else_=0)
    corrected = func.coalesce(put_right.c.minor, 0)
    wrong = (
        select(_D.id, _U.unit, _U.opening_minor + came, _U.expected_minor, lacked, corrected)
        .join(_U, _U.day_id == _D.id)
        .outerjoin(by_counter, and_(by_counter.c.day_id == _D.id, by_counter.c.unit == _U.unit))
        .outerjoin(moved, and_(moved.c.day_id == _D.id, moved.c.unit == _U.unit))
        .outerjoin(put_right, and_(put_right.c.business_id == _D.id, put_right.c.unit == _U.unit))
        .where(_U.expected_minor.is_not(None))
        .where(or_(_U.opening_minor + came != _U.expected_minor, lacked != corrected))
    )
    for day_id, unit, worked, expected, difference, by_hand in _rows(context, wrong):
        result.fails(
            f"Cash day {day_id}: opening and operations come to {worked} minor units of {unit}, it "
            f"was expected to hold {expected}; what was counted differs by {difference}, and {by_hand} are booked.",
            cash_day=day_id,
        )
    counted = select(_U.id).where(_U.day_id == _D.id, _U.unit == _CO.unit, _U.expected_minor.is_not(None))
    uncounted = (
        select(_D.id, _CO.unit)
        .join(_CO, _CO.day_id == _D.id)
        .where(_D.status == DayStatus.CLOSED, ~counted.exists())
        .distinct()
    )
    for day_id, unit in _rows(context, uncounted):
        result.fails(f"Cash day {day_id} was closed without a count of {unit}.", cash_day=day_id)


def _desks_as_worked(context: Context, result: Result) -> None:
    """What lies in a desk is what came and went in its days and between them, and what closings put right."""
    parts = [_desk_entries(business) for business in ("cash_operation", "system_operation", "cash_desk_day")]
    known = union_all(*(select(part.c.account_id, part.c.minor) for part in parts)).subquery()
    sums = select(known.c.account_id, func.sum(known.c.minor).label("minor")).group_by(known.c.account_id).subquery()
    holds = func.coalesce(select(func.sum(_B.balance_minor)).where(_B.account_id == _A.id).scalar_subquery(), 0)
    wrong = (
        select(_A.id, _A.code, func.coalesce(sums.c.minor, 0), holds)
        .join(CashDesk, _A.owner == literal("desk:") + CashDesk.code)
        .outerjoin(sums, sums.c.account_id == _A.id)
        .where(_A.number == "1110", func.coalesce(sums.c.minor, 0) != holds)
    )
    for account_id, code, worked, minor in _rows(context, wrong):
        result.fails(f"{code}: its operations come to {worked}, it holds {minor}.", account=account_id)


@_check("I9", _("Closed"), _("Nothing is posted into a closed period."))
def _closed(context: Context, result: Result) -> None:
    columns = (_P.id, _P.last_day, _P.created_at, _P.transactions)
    periods = list(context.session.execute(select(*columns).order_by(_P.last_day)))
    result.figures.append(Figure(_("closed periods"), len(periods)))
    before = dt.date.min
    for period_id, last_day, closed_at, counted in periods:
        now = (
            select(_E.account_id, func.sum(_E.amount_minor).label("minor"))
            .where(_E.effective_on <= last_day)
            .group_by(_E.account_id)
            .subquery()
        )
        then = select(_C.account_id, _C.balance_minor).where(_C.period_id == period_id).subquery()
        wrong = (
            select(_A.id, _A.code, func.coalesce(then.c.balance_minor, 0), func.coalesce(now.c.minor, 0))
            .outerjoin(now, now.c.account_id == _A.id)
            .outerjoin(then, then.c.account_id == _A.id)
            .where(func.coalesce(now.c.minor, 0) != func.coalesce(then.c.balance_minor, 0))
        )
        for account_id, code, was, found in _rows(context, wrong):
            result.fails(
                f"{code} stood at {was} when the books were closed to {last_day}, and stands at {found} now.",
                account=account_id,
            )
        # How many there are is certain; the clocks of two hosts only tell which of them came later.
        in_it = and_(_T.effective_on > before, _T.effective_on <= last_day)
        before = last_day
        there = _number(context, select(func.count()).where(in_it))
        if there == counted:
            continue
        result.fails(f"{there} transactions stand in the days to {last_day}; {counted} did when they were closed.")
        for (transaction_id,) in _rows(context, select(_T.id).where(in_it, _T.posted_at > closed_at)):
            result.fails(f"Transaction {transaction_id} was posted after the closing.", transaction=transaction_id)


@_check(
    "I10",
    _("In order"),
    _("Every transaction touches its accounts in the same order, so that nobody waits in a circle."),
)
def _in_order(context: Context, result: Result) -> None:
    first, second = aliased(_E), aliased(_E)
    result.figures.append(Figure(_("legs"), _number(context, select(func.count()).select_from(_E))))
    wrong = (
        select(first.transaction_id)
        .join(second, and_(second.transaction_id == first.transaction_id, second.leg == first.leg + 1))
        .where(second.account_id <= first.account_id)
        .distinct()
    )
    for (transaction_id,) in _rows(context, wrong):
        result.fails(f"Transaction {transaction_id} has another order.", transaction=transaction_id)
