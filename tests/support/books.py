"""Rows of the books and of tariffs that cannot be made up column by column: the database has rules about them."""

import datetime as dt
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import select, text

from payadmin.db import db, utcnow
from payadmin.kernel.papers import PaperType
from payadmin.ledger import recipes
from payadmin.ledger.chart import CHART, organization, wallet
from payadmin.ledger.posting import Posting, post
from payadmin.models.banking import BankLine, BankMessage, Mismatch
from payadmin.models.batches import Batch, BatchKind
from payadmin.models.identification import DocumentKind, DocumentOrigin, IdentityDocument
from payadmin.models.ledger import AccountingPeriod, LedgerAccount, LedgerTransaction
from payadmin.models.ledger_rules import SQLITE
from payadmin.models.tariffs import ExchangeRate
from payadmin.models.treasury import CashSource, SystemKind, SystemOperation
from payadmin.models.wallets import (
    LimitApplication,
    LimitRule,
    Wallet,
    WalletKind,
    WalletTransaction,
    wallet_number,
)
from payadmin.permissions import Role
from payadmin.work import SYSTEM, Actor
from tests.support.make import Make, writing

_numbers = itertools.count(1)
DAY = dt.timedelta(days=1)


@dataclass
class Pen:
    """A writer with the session as it is."""

    session: Any
    actor: Actor = SYSTEM
    now: dt.datetime = field(default_factory=utcnow)


GUARDED = (
    "ledger_account", "ledger_transaction", "ledger_entry", "ledger_balance", "ledger_turnover", "ledger_hold",
    "accounting_period",
)  # fmt: skip


def by_the_owner(*statements: str) -> None:
    """What only somebody with the rights of the database's owner can do: the rules are away meanwhile, then back."""
    db.session.remove()
    is_sqlite = db.engine.dialect.name == "sqlite"
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        if is_sqlite:
            for rule in SQLITE:
                connection.execute(text(f"DROP TRIGGER {rule.split()[2]}"))
        else:
            for table in GUARDED:
                connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        for statement in statements:
            connection.execute(text(statement.replace(":", "\\:")))
        if is_sqlite:
            for rule in SQLITE:
                connection.exec_driver_sql(rule)
        else:
            for table in GUARDED:
                connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))


def ledger_account(make: Make) -> LedgerAccount:
    make.unit()
    account = wallet(organization(10_000 + next(_numbers)), "EUR")
    row = LedgerAccount(
        code=account.code, number=account.number, owner=account.owner, unit="EUR", guard=CHART["2010"].guard
    )
    made: LedgerAccount = make._save(row)
    return made


def ledger_transaction(make: Make) -> LedgerTransaction:
    make.unit()
    number = next(_numbers)
    recipe = recipes.payment_paid(unit="EUR", provider="simulator", merchant=f"organization:{number}", amount=100)
    writing()
    done = post(Pen(db.session()), [Posting(f"made:{number}", recipe, "test", number, dt.date(2026, 11, 1))])
    db.session.commit()
    return db.session.scalars(select(LedgerTransaction).where(LedgerTransaction.id.in_(done.values()))).one()


def accounting_period(make: Make) -> AccountingPeriod:
    day = dt.date(2001, 1, 1) + next(_numbers) * DAY
    made: AccountingPeriod = make._save(
        AccountingPeriod(first_day=day, last_day=day, closed_by="somebody", reason="The year is over", transactions=0)
    )
    return made


def exchange_rate(make: Make) -> ExchangeRate:
    make.unit("EUR"), make.unit("USD")
    begins = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + next(_numbers) * DAY
    made: ExchangeRate = make._save(ExchangeRate(base="EUR", quote="USD", rate=Decimal("1.0842"), valid_from=begins))
    return made


def batch(make: Make) -> Batch:
    number = next(_numbers)
    row = Batch(
        kind=BatchKind.REGISTRATION,
        file_name=f"file-{number}.csv",
        format="csv",
        content_hash=f"{number:064}",
        merchant_id=make.organization().id,
        method=make.method().code,
        provider="simulator",
        uploaded_by="somebody",
        columns=[],
        rows_total=1,
    )
    made: Batch = make._save(row)
    return made


def wallet_row(make: Make) -> Wallet:
    customer_id = make.customer().id
    account = ledger_account(make)
    made: Wallet = make._save(
        Wallet(number=wallet_number(account.id), customer_id=customer_id, unit="EUR", account_id=account.id)
    )
    return made


def wallet_transaction(make: Make) -> WalletTransaction:
    payer, payee = wallet_row(make).id, wallet_row(make).id
    amounts = {"amount_minor": 100, "paid_minor": 100, "received_minor": 100, "unit": "EUR", "to_unit": "EUR"}
    made: WalletTransaction = make._save(
        WalletTransaction(
            key=f"made:{next(_numbers)}",
            kind=WalletKind.TRANSFER,
            from_wallet_id=payer,
            to_wallet_id=payee,
            day=dt.date(2026, 11, 1),
            **amounts,
        )
    )
    return made


def limit_application(make: Make) -> LimitApplication:
    row_id = wallet_transaction(make).id
    made: LimitApplication = make._save(
        LimitApplication(
            transaction_id=row_id,
            rule=LimitRule.SINGLE,
            unit="EUR",
            limit_minor=60,
            counted_minor=0,
            actual_minor=100,
            excess_minor=40,
            expires_at=utcnow() + DAY,
        )
    )
    return made


def system_operation(make: Make) -> SystemOperation:
    from tests.support.signin import make_staff

    made: SystemOperation = make._save(
        SystemOperation(
            key=f"made:{next(_numbers)}",
            kind=SystemKind.CASH_INPUT,
            source=CashSource.BANK,
            unit=make.unit().code,
            amount_minor=100,
            initiated_by_id=make_staff(Role.ACCOUNTANT).id,
        )
    )
    return made


def identity_document(make: Make) -> IdentityDocument:
    number = next(_numbers)
    made: IdentityDocument = make._save(
        IdentityDocument(
            customer_id=make.customer().id,
            kind=DocumentKind.PASSPORT,
            origin=next(iter(DocumentOrigin)),
            brought_by="somebody",
            file_name="passport.png",
            media=PaperType.PNG,
            size_bytes=1,
            pages=1,
            sha256=f"{number:064}",
            file=f"{number:032}",
        )
    )
    return made


def bank_line(make: Make) -> BankLine:
    from tests.support.rows import one

    number = next(_numbers)
    made: BankLine = make._save(
        BankLine(
            message_id=one(make, BankMessage).id,
            account="DE89370400440532013000",
            statement_id=f"S-{number}",
            number=number,
            is_credit=True,
            unit=make.unit().code,
            amount_minor=100,
            booked_on=dt.date(2026, 11, 1),
            value_date=dt.date(2026, 11, 1),
            mismatch=next(iter(Mismatch)),
        )
    )
    return made


BOOKS: dict[str, Callable[[Make], Any]] = {
    "accounting_period": accounting_period,
    "bank_line": bank_line,
    "batch": batch,
    "exchange_rate": exchange_rate,
    "identity_document": identity_document,
    "ledger_account": ledger_account,
    "ledger_transaction": ledger_transaction,
    "limit_application": limit_application,
    "system_operation": system_operation,
    "wallet": wallet_row,
    "wallet_transaction": wallet_transaction,
}
