"""The only writer of the books. One statement posts a transaction; the database makes its entries and balances of it.

- **Once**: a posting has a key, the fact that it books. Posting the same fact again answers with the first transaction;
  the same key with another content is refused.
- **In order**: accounts are locked by the database in the order of their ids, all those of one call before the first is
  moved, so that nobody waits in a circle (I10).
- **Guarded**: no wallet, hold, desk or cash in transit passes zero: the database decides, in the same transaction (I3).
- **Corrected by reversal only**: `reverse` posts the exact opposite, once (I2).
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, Final, NoReturn, Protocol, cast

from sqlalchemy import Connection, Table, bindparam, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from payadmin.kernel import seals
from payadmin.kernel.errors import Conflict
from payadmin.kernel.text import _
from payadmin.ledger.chart import Account
from payadmin.ledger.recipes import Leg, Recipe
from payadmin.models.audit import SIGNING_KEY
from payadmin.models.ledger import AccountingPeriod, LedgerAccount, LedgerBalance, LedgerHold, LedgerTransaction
from payadmin.models.ledger_rules import BOOKS_LOCK
from payadmin.models.parties import Customer, Organization
from payadmin.models.wallets import Wallet, WalletStatus, wallet_number

_ACCOUNT = cast("Table", LedgerAccount.__table__)
_TRANSACTION = cast("Table", LedgerTransaction.__table__)
_HOLD = cast("Table", LedgerHold.__table__)
_WALLET = cast("Table", Wallet.__table__)
_MANY: Final = 500
# Made once: to make them anew would cost as much as to run them.
_NUMBERS: Final = select(
    _ACCOUNT.c.code, _ACCOUNT.c.id, select(func.max(AccountingPeriod.last_day)).scalar_subquery()
).where(_ACCOUNT.c.code.in_(bindparam("codes", expanding=True)))
_BOOKED: Final = select(
    *(_TRANSACTION.c[name] for name in ("key", "id", "template", "business", "business_id", "legs", "reverses_id"))
).where(_TRANSACTION.c.key.in_(bindparam("keys", expanding=True)))

Content = tuple[str, str, int, tuple[tuple[int, str, int], ...], int | None]


class BooksClosed(Conflict):
    """A period was closed while the posting was made. Made again, it falls on the first open day."""


class Actor(Protocol):
    """Who posts."""

    @property
    def name(self) -> str:
        """The name that stands beside the transaction."""


class Writer(Protocol):
    """What posting needs of a use case's `Work`: its transaction, its actor, its moment."""

    @property
    def actor(self) -> Actor:
        """Who posts."""

    @property
    def session(self) -> Session:
        """The open transaction that the posting becomes part of."""

    @property
    def now(self) -> dt.datetime:
        """The moment of the act."""


@dataclass(frozen=True)
class Posting:
    """One fact to be booked.

    Attributes:
        key: names the fact, once and for all ("refund:12:reserved").
        recipe: its legs.
        business: the table of the record that it is about; `business_id` is its row.
        on: the business day that it belongs to. Where that day is closed already, the first open day takes it.
        reverses: the key of the transaction that it reverses, exactly.
        holds: whether it sets money of a wallet aside (J18, J25).
        ends: the key of the transaction whose hold it ends (J19 to J21, J26, J27).
    """

    key: str
    recipe: Recipe
    business: str
    business_id: int
    on: dt.date
    memo: str | None = None
    reverses: str | None = None
    holds: bool = False
    ends: str | None = None


def post(work: Writer, postings: Sequence[Posting]) -> dict[str, int]:
    """Book facts, in the transaction of `work`. Facts that are booked already are left as they are.

    Call it once in a use case, with everything that the use case books: the accounts of all postings are then locked
    together, in their order.

    Args:
        postings: each with a key of its own; one that reverses or ends another may come together with it.

    Returns:
        The number of each transaction by its key, of those that were there before too.

    Raises:
        BooksClosed: the period was closed at this moment.
        Conflict: an account would pass zero, the key stands for another fact, or the transaction was reversed or the
            hold ended before. The caller's transaction cannot be committed after either.
    """
    if not postings:
        return {}
    session = work.session
    work.session.flush()  # rows of business are locked before accounts, always
    if len({each.key for each in postings}) < len(postings):
        msg = "two postings have the same key"
        raise ValueError(msg)
    connection = session.connection()
    is_postgresql = connection.dialect.name == "postgresql"
    numbers, first_open = _accounts(session, {leg.account for each in postings for leg in each.recipe.legs})
    named = {key for each in postings for key in (each.reverses, each.ends) if key}
    # PostgreSQL finds by itself what is booked already; one question less for every posting.
    there = {} if is_postgresql and not named else _there(connection, {each.key for each in postings} | named)
    done = {key: content.id for key, content in there.items()}
    new = []
    for each in postings:
        if each.key in there:
            _refuse_other(each, there[each.key], _content(each, numbers, done))
        else:
            new.append(each)
    waves = [
        [each for each in new if not (each.reverses or each.ends)],
        [each for each in new if each.reverses or each.ends],
    ]
    try:
        # What is inserted by several statements is locked by one before the first of them; drivers cut long ones too.
        if (all(waves) or len(new) > _MANY) and is_postgresql:
            _lock_all(session, numbers.values())
        for wave in waves:
            done |= _insert(work, connection, wave, numbers, done, first_open)
            _keep_holds(session, wave, numbers, done)
    except DBAPIError as error:
        _explain(error)
    return {each.key: done[each.key] for each in postings}


def reverse(work: Writer, transaction_id: int, *, key: str, on: dt.date, memo: str) -> int:
    """Correct a transaction by its exact opposite, once. The same key answers with the same reversal.

    Args:
        memo: why; it stands beside the reversal for good.

    Raises:
        Conflict: there is no such transaction, it was reversed before under another key, it is a reversal itself, it
            set money aside or used what was, or an account has spent the money.
    """
    session = work.session
    found = session.get(LedgerTransaction, transaction_id)
    if found is None or found.reverses_id is not None:
        raise Conflict("Only a transaction that is no reversal itself can be reversed.")
    of_hold = select(LedgerHold.id).where((LedgerHold.placed_id == found.id) | (LedgerHold.ended_id == found.id))
    if session.scalar(of_hold) is not None:
        raise Conflict("Money that was set aside is given back by ending it, not by a reversal.")
    other = select(LedgerTransaction.key).where(LedgerTransaction.reverses_id == found.id)
    if (before := session.scalar(other)) not in {None, key}:
        raise Conflict(_("It was reversed already, as %(key)s.", key=before))
    ids = [int(leg[0]) for leg in found.legs]
    rows = session.execute(select(_ACCOUNT).where(_ACCOUNT.c.id.in_(ids))).all()
    accounts = {row.id: Account(row.number, row.unit, row.owner) for row in rows}
    recipe = Recipe(found.template, tuple(Leg(accounts[int(leg[0])], int(leg[2])) for leg in found.legs)).reversed()
    opposite = Posting(key, recipe, found.business, found.business_id, on, memo=memo, reverses=found.key)
    return post(work, [opposite])[key]


def open_account(session: Session, account: Account) -> int:
    """The number of an account in the database, opened if it is not there; with it the wallet that it is of."""
    return _accounts(session, {account})[0][account]


def available(session: Session, wallets: Iterable[Account], *, among: Iterable[Account]) -> dict[Account, int]:
    """What wallets hold, locked until the end of the transaction: for bookings that take what is there.

    Args:
        among: all accounts that the same transaction books on next, so that they are locked in their order (I10).
    """
    wanted = set(wallets)
    numbers, _first_open = _accounts(session, wanted | set(among))
    if session.get_bind().dialect.name == "postgresql":
        _lock_all(session, numbers.values())
    by_number = {numbers[account]: account for account in wanted}
    total = func.sum(LedgerBalance.balance_minor)
    found = select(LedgerBalance.account_id, total).where(LedgerBalance.account_id.in_(by_number))
    rows = session.execute(found.group_by(LedgerBalance.account_id)).all()
    return dict.fromkeys(wanted, 0) | {by_number[number]: -int(minor) for number, minor in rows}


def hold_accounts(session: Session, owners: Iterable[str]) -> None:
    """Hold the accounts of these owners, and the house's, in their order: for transactions that post in turns (I10)."""
    if session.get_bind().dialect.name == "postgresql":
        found: list[int] = []
        for some in _batches({"", *owners}):
            found += session.scalars(select(_ACCOUNT.c.id).where(_ACCOUNT.c.owner.in_(some)))
        _lock_all(session, found)


def stop_posting(session: Session) -> None:
    """Wait for everybody who posts, and let nobody begin before the end of this transaction: the books are closed."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:books)"), {"books": BOOKS_LOCK})


def first_open_day(session: Session) -> dt.date | None:
    """The first day that is not closed; None while none is."""
    last = session.scalar(select(func.max(AccountingPeriod.last_day)))
    return None if last is None else last + dt.timedelta(days=1)


# ---- the parts -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    id: int
    content: Content


def _accounts(session: Session, wanted: set[Account]) -> tuple[dict[Account, int], dt.date | None]:
    """The numbers of accounts in the database, and the first open day; accounts that are not there are opened."""
    by_code = {account.code: account for account in wanted}
    connection = session.connection()
    found, last_closed = _numbers(connection, by_code)
    if not found:
        first_open = first_open_day(session)
    else:
        first_open = None if last_closed is None else last_closed + dt.timedelta(days=1)
    if missing := sorted(by_code.keys() - found.keys()):
        rows = [
            {
                "code": code,
                "number": (account := by_code[code]).number,
                "owner": account.owner,
                "unit": account.unit,
                "guard": account.head.guard,
            }
            for code in missing
        ]
        session.execute(_insert_into(session, _ACCOUNT).on_conflict_do_nothing(), rows)
        opened = _numbers(connection, missing)[0]
        _open_wallets(session, {by_code[code]: number for code, number in opened.items()})
        found |= opened
    return {by_code[code]: number for code, number in found.items()}, first_open


def _open_wallets(session: Session, opened: dict[Account, int]) -> None:
    """Accounts 2010 of organizations and customers are wallets of theirs; the first posting on one opens it."""
    rows: list[dict[str, Any]] = []
    for column, model in (("organization_id", Organization), ("customer_id", Customer)):
        named = {account: account.owner.partition(":") for account in opened if account.number == "2010"}
        ids = {
            account: int(row_id)
            for account, (kind, _colon, row_id) in named.items()
            if kind == model.__tablename__ and row_id.isdecimal()
        }
        known = set(session.scalars(select(model.id).where(model.id.in_(ids.values())))) if ids else set()
        for account, row_id in ids.items():
            if row_id in known:
                row = {"unit": account.unit, "account_id": opened[account], "status": WalletStatus.OPEN}
                whose = {"organization_id": None, "customer_id": None} | {column: row_id}
                rows.append({"number": wallet_number(opened[account]), **row, **whose})
    if rows:
        rows.sort(key=lambda row: int(row["account_id"]))
        added = _insert_into(session, _WALLET).on_conflict_do_nothing()
        session.execute(added.execution_options(explained=True), rows)


def _numbers(connection: Connection, codes: Iterable[str]) -> tuple[dict[str, int], dt.date | None]:
    """The numbers of the accounts that are there, and the last closed day, asked for together."""
    found: dict[str, int] = {}
    last_closed: dt.date | None = None
    for some in _batches(codes):
        rows = connection.execute(_NUMBERS, {"codes": some})
        for code, number, last_closed in rows:  # noqa: B007 - the same on every row
            found[code] = number
    return found, last_closed


def _there(connection: Connection, keys: Iterable[str]) -> dict[str, _Found]:
    """What is booked already under these keys."""
    found: dict[str, _Found] = {}
    for some in _batches(keys):
        for row in connection.execute(_BOOKED, {"keys": some}):
            legs = tuple((int(leg[0]), str(leg[1]), int(leg[2])) for leg in row.legs)
            content = (row.template, row.business, row.business_id, legs, row.reverses_id)
            found[row.key] = _Found(row.id, content)
    return found


def _content(posting: Posting, numbers: dict[Account, int], done: dict[str, int]) -> Content:
    """What makes a fact this fact: everything but the day and the moment."""
    legs = sorted((numbers[leg.account], leg.account.unit, leg.minor) for leg in posting.recipe.legs)
    reverses = done[posting.reverses] if posting.reverses else None
    return posting.recipe.template, posting.business, posting.business_id, tuple(legs), reverses


def _refuse_other(posting: Posting, found: _Found, content: Content) -> None:
    if found.content != content:
        raise Conflict(_("%(key)s is booked already, with another content.", key=posting.key))


def _insert(
    work: Writer,
    connection: Connection,
    wave: Sequence[Posting],
    numbers: dict[Account, int],
    done: dict[str, int],
    first_open: dt.date | None,
) -> dict[str, int]:
    """Insert transactions; the number of each. One that somebody else booked meanwhile is compared with it."""
    if not wave:
        return {}
    key: bytes | None = connection.get_execution_options().get(SIGNING_KEY)
    rows = []
    contents: dict[str, Content] = {}
    for each in wave:
        content = contents[each.key] = _content(each, numbers, done)
        template, business, business_id, legs, reverses_id = content
        row: dict[str, Any] = {
            "key": each.key,
            "template": template,
            "business": business,
            "business_id": business_id,
            "effective_on": max(each.on, first_open) if first_open else each.on,
            "posted_at": work.now,
            "posted_by": work.actor.name,
            "reverses_id": reverses_id,
            "memo": each.memo,
            "legs": [list(leg) for leg in legs],
        }
        row["signature"] = None if key is None else seals.sign(key, written(row))
        rows.append(row)
    made: dict[str, int] = dict(connection.execute(_added(connection.dialect.name), rows).all())
    if lost := [each for each in wave if each.key not in made]:
        there = _there(connection, [each.key for each in lost])
        for each in lost:
            _refuse_other(each, there[each.key], contents[each.key])
            made[each.key] = there[each.key].id
    return made


def written(row: Any) -> bytes:
    """A transaction as bytes, the same before it is written and after it was read: what its signature covers."""
    names = ("key", "template", "business", "business_id", "effective_on", "posted_by", "reverses_id", "memo")
    moment = row["posted_at"].astimezone(dt.UTC).isoformat(timespec="microseconds")
    legs = ";".join(",".join(str(part) for part in leg) for leg in row["legs"])
    return "\x1f".join([*(str(row[name]) for name in names), moment, legs]).encode()


def _keep_holds(session: Session, wave: Sequence[Posting], numbers: dict[Account, int], done: dict[str, int]) -> None:
    placed, ended = [], []
    for each in wave:
        held = [leg for leg in each.recipe.legs if leg.account.number == "2020"]
        if each.holds:
            placed += [
                {"account_id": numbers[leg.account], "amount_minor": -leg.minor, "placed_id": done[each.key]}
                for leg in held
            ]
        if each.ends:
            ended.append({"placed": done[each.ends], "ended": done[each.key]})
    if placed:
        session.execute(_insert_into(session, _HOLD).on_conflict_do_nothing(index_elements=["placed_id"]), placed)
    for pair in ended:
        end = update(_HOLD).where(_HOLD.c.placed_id == bindparam("placed"), _HOLD.c.ended_id.is_(None))
        session.execute(end.values(ended_id=bindparam("ended")), pair)
        by = session.scalar(select(_HOLD.c.ended_id).where(_HOLD.c.placed_id == pair["placed"]))
        if by != pair["ended"]:
            raise Conflict("What was set aside has been used or given back already.")


def _batches(items: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(items)
    while batch := list(islice(rest, _MANY)):
        yield batch


@cache
def _added(dialect: str) -> Any:
    """The statement that posts: it leaves out what is booked already, and tells the number of each that it wrote."""
    added = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(_TRANSACTION)
    return added.on_conflict_do_nothing(index_elements=["key"]).returning(_TRANSACTION.c.key, _TRANSACTION.c.id)


def _insert_into(session: Session, table: Table) -> Any:
    made = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    return made(table)


def _lock_all(session: Session, numbers: Iterable[int]) -> None:
    session.execute(text("SELECT ledger_lock(:wanted)"), {"wanted": sorted(numbers)})


def _explain(error: DBAPIError) -> NoReturn:
    """The database's refusal as a sentence, where people can do something about it."""
    said = str(error.orig)
    if "ck_ledger_balance_guarded" in said:
        raise Conflict("There is not enough money on the account: nothing was moved.") from error
    if "closed period" in said:
        raise BooksClosed("The books of that day were closed at this moment. Try again.") from error
    if "uq_ledger_transaction_reverses_id" in said or "ledger_transaction.reverses_id" in said:
        raise Conflict("It was reversed already.") from error
    raise error
