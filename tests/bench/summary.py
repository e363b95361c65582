"""The summary of all transactions at any size: its deep page beside its first one, of two years of payments."""

import datetime as dt
from urllib.parse import urlencode

from flask import Flask
from sqlalchemy import func, insert, select

from payadmin.actions import wallets
from payadmin.config import current_settings
from payadmin.db import db, utcnow
from payadmin.jobs.reporting import rebuild
from payadmin.models.parties import Organization
from payadmin.models.payments import Mode, Payment
from payadmin.models.wallets import MoveStatus, WalletKind, WalletTransaction
from payadmin.permissions import Role
from payadmin.queries.reporting import Span
from payadmin.queries.risk.summary import RANKS, Place, Source, Wanted, page_of
from payadmin.work import SYSTEM
from tests.bench.figures import Goal, Report, Say, shorter
from tests.bench.list import ask
from tests.support.signin import sign_in

ADDRESS = "/transactions-summary/"
REPEATS, AT_ONCE = 15, 5_000
FLAT_LIMIT = 1.5
UNIT = "EUR"


def summary(report: Report, app: Flask, rows: int, say: Say) -> None:
    """Add wallet transactions to a payment history, and time the first and a deep page of the table of both."""
    zone = current_settings().zone
    rebuild(zone, afresh=True, step=lambda _done, _total: None)
    move_money(rows // 10)
    say(f"{rows // 10} wallet transactions")
    today = utcnow().astimezone(zone).date()
    span = Span(today - dt.timedelta(days=760), today)
    total = db.session.scalar(select(func.count()).select_from(Payment).where(Payment.mode == Mode.LIVE)) or 0
    middle = db.session.execute(
        select(Payment.created_at, Payment.id)
        .where(Payment.mode == Mode.LIVE)
        .order_by(Payment.created_at.desc(), Payment.id.desc())
        .offset(total // 2)
        .limit(1)
    ).one()
    db.session.rollback()
    place = Place(middle.created_at, RANKS[Source.PAYMENT], middle.id)
    assert page_of(db.session(), Wanted(Mode.LIVE, span, zone), size=50, after=place).following is not None
    db.session.rollback()
    days = {"from": span.first.isoformat(), "to": span.last.isoformat()}
    client = sign_in(app, Role.ANTI_FRAUD)
    first = ask(client, f"{ADDRESS}?{urlencode(days)}", db.engine, most=REPEATS)
    deep = ask(client, f"{ADDRESS}?{urlencode(days | {'after': str(place)})}", db.engine, most=REPEATS)
    report.figures |= {"summary_first_page": first.figures(), "summary_deep_page": deep.figures()}
    report.ratios["summary_deep_over_first"] = shorter(deep.p50_ms / first.p50_ms)
    report.goals["summary_deep_over_first"] = Goal(report.ratios["summary_deep_over_first"], FLAT_LIMIT)
    report.notes.append("Summary: 50 rows of payments and wallet transactions of two years, with totals per currency.")
    say(f"summary: first {first.p50_ms} ms, deep {deep.p50_ms} ms")


def move_money(count: int) -> None:
    """Wallet transactions of the last two years, written straight into their table."""
    owners = db.session.scalars(select(Organization.id).order_by(Organization.id).limit(2)).all()
    ids = [wallets.open_wallet(SYSTEM, unit=UNIT, organization_id=owner).id for owner in owners]
    now = utcnow()
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        for start in range(0, count, AT_ONCE):
            made = [
                {
                    "key": f"bench:{number}", "kind": WalletKind.TRANSFER, "from_wallet_id": ids[0],
                    "to_wallet_id": ids[1], "unit": UNIT, "amount_minor": 1_00 + number % 900, "commission_minor": 0,
                    "paid_minor": 1_00 + number % 900, "to_unit": UNIT, "received_minor": 1_00 + number % 900,
                    "spread_minor": 0, "status": MoveStatus.EXECUTED, "day": now.date(), "version": 1,
                    "created_at": now - dt.timedelta(seconds=number * 63_072_000 // max(count, 1)), "updated_at": now,
                }
                for number in range(start, min(start + AT_ONCE, count))
            ]  # fmt: skip
            connection.execute(insert(WalletTransaction), made)
