"""What tests of the books share: a writer without a use case, and accounts with money on them."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from payadmin.db import db, utcnow
from payadmin.ledger import recipes
from payadmin.ledger.posting import Posting, post
from payadmin.models.ledger import LedgerAccount, LedgerBalance, LedgerEntry
from payadmin.work import SYSTEM, Actor
from tests.support.desk_fixtures import desk, provider_process, simulator
from tests.support.make import Make, writing

TODAY = dt.date(2026, 11, 20)


@dataclass
class Pen:
    """A writer with a transaction of its own."""

    session: Session
    actor: Actor = SYSTEM
    now: dt.datetime = field(default_factory=utcnow)


class Books:
    """The books as tests write and read them."""

    def __init__(self, make: Make) -> None:
        for code in ("EUR", "JPY", "KWD"):
            make.unit(code)

    @contextmanager
    def writing(self) -> Iterator[Pen]:
        """One transaction: committed, or rolled back as a whole."""
        writing()
        try:
            yield Pen(db.session())
            db.session.commit()
        finally:
            db.session.rollback()

    def post(self, *postings: Posting) -> dict[str, int]:
        """Post in a transaction of its own."""
        with self.writing() as pen:
            return post(pen, postings)

    def fund(self, owner: str, amount: int, unit: str = "EUR", *, key: str | None = None) -> int:
        """Give a wallet money."""
        key = key or f"fund:{owner}:{unit}:{amount}"
        recipe = recipes.payment_paid(unit=unit, provider="simulator", merchant=owner, amount=amount)
        return self.post(fact(key, recipe))[key]

    def balance(self, code: str) -> int:
        """What an account comes to: debits less credits."""
        db.session.rollback()
        of = select(LedgerAccount.id).where(LedgerAccount.code == code).scalar_subquery()
        found = select(func.coalesce(func.sum(LedgerBalance.balance_minor), 0)).where(LedgerBalance.account_id == of)
        return int(db.session.scalar(found) or 0)

    def entries(self) -> int:
        """How many entries there are."""
        db.session.rollback()
        return db.session.scalar(select(func.count()).select_from(LedgerEntry)) or 0


def fact(key: str, recipe: recipes.Recipe, **more: Any) -> Posting:
    """A posting about nothing in particular."""
    return Posting(key, recipe, "test", 1, more.pop("on", TODAY), **more)


def transfer(key: str, payer: str, payee: str, amount: int, commission: int = 0) -> Posting:
    """A transfer between two wallets in EUR."""
    return fact(key, recipes.transfer(unit="EUR", payer=payer, payee=payee, amount=amount, commission=commission))


@pytest.fixture
def books(app: Flask, make: Make) -> Books:
    return Books(make)


__all__ = ["Books", "Pen", "books", "desk", "fact", "provider_process", "simulator", "transfer"]
