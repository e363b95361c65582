"""The summary: everything in one order, each once, page after page; totals that never mix units (K-72)."""

import datetime as dt
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, update

from payadmin.config import current_settings
from payadmin.db import db
from payadmin.models.payments import Mode, Payment
from payadmin.models.wallets import WalletTransaction
from payadmin.permissions import Role
from payadmin.queries.reporting import Span
from payadmin.queries.risk import summary
from payadmin.queries.risk.summary import Place, Source, Wanted, every_line, page_of, totals_of
from tests.risk.conftest import Watch
from tests.support.cash_office import CashOffice
from tests.support.make import Make

Browse = Callable[..., FlaskClient]
ZONE = ZoneInfo("UTC")
NOW = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
MAY = Wanted(Mode.LIVE, Span(dt.date(2026, 5, 1), dt.date(2026, 5, 31)), ZONE)


@pytest.fixture
def filled(watch: Watch) -> list[tuple[Source, int]]:
    """Eight payments and six transfers, many at the very same moment; in the order of the page."""
    payer, payee = watch.wallet("Alpha", funds=100_00), watch.wallet("Beta")
    payments = [
        watch.make.payment(created_at=NOW, amount_minor=10_00, unit="GBP" if n % 2 else "EUR").id for n in range(8)
    ]
    moves = [watch.transfer(payer, payee, 1_00).id for _ in range(6)]
    with db.engine.begin() as connection:
        connection.execute(update(WalletTransaction).values(created_at=NOW))
        for model, row_id, minutes in ((Payment, payments[0], 5), (WalletTransaction, moves[0], -5)):
            later = NOW + dt.timedelta(minutes=minutes)
            connection.execute(update(model).where(model.id == row_id).values(created_at=later))
    watch.make.payment(created_at=NOW, mode=Mode.TEST)
    watch.make.payment(created_at=NOW - dt.timedelta(days=40))
    order = [(Source.PAYMENT, payments[0])]
    order += [(Source.PAYMENT, row_id) for row_id in reversed(payments[1:])]
    order += [(Source.WALLET, row_id) for row_id in reversed(moves[1:])]
    return [*order, (Source.WALLET, moves[0])]


def ids(lines) -> list[tuple[Source, int]]:  # type: ignore[no-untyped-def]
    return [(line.source, line.row_id) for line in lines]


@pytest.mark.parametrize("size", [1, 3, 5, 14, 20])
def test_page_after_page_shows_each_once_in_order_and_back_again(filled: list[tuple[Source, int]], size: int) -> None:
    session, seen, after, pages = db.session(), [], None, []
    while True:
        page = page_of(session, MAY, size=size, after=after)
        seen += ids(page.lines)
        pages.append(page)
        if page.following is None:
            break
        after = page.following
        assert Place.read(str(after)) == after
    assert seen == filled
    back = [ids(pages[-1].lines)]
    before = pages[-1].previous
    while before is not None:
        page = page_of(session, MAY, size=size, before=before)
        back.insert(0, ids(page.lines))
        before = page.previous
    assert [row for rows in back for row in rows] == filled


def test_an_export_holds_what_the_pages_show(filled: list[tuple[Source, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "AT_ONCE", 4)
    assert ids(every_line(db.session(), MAY)) == filled


def test_totals_are_told_by_unit(filled: list[tuple[Source, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    assert filled
    totals = {total.unit: total for total in totals_of(db.session(), MAY, ["EUR", "GBP"]) or []}
    assert totals["EUR"].minors == {Source.PAYMENT: 40_00, Source.WALLET: 6_00}
    assert totals["GBP"].minors == {Source.PAYMENT: 40_00}
    assert (totals["EUR"].count, totals["GBP"].count) == (10, 4)
    monkeypatch.setattr(summary, "MOST_ADDED", 5)
    assert totals_of(db.session(), MAY, ["EUR"]) is None


def test_cash_operations_stand_beside_the_rest_once(app: Flask, make: Make, browse: Browse) -> None:
    office = CashOffice(app, make)
    wallet = office.wallet(funds=50_00)
    office.open(office.desk(office.cashier, money={"EUR": 100_00}))
    ids_of_cash = [office.top_up(wallet, 10_00).id, office.withdraw(wallet, 4_00).id]
    db.session.rollback()
    today = Wanted(Mode.LIVE, Span(office.today(), office.today()), current_settings().zone)
    lines = page_of(db.session(), today, size=20).lines
    assert ids(lines) == [(Source.CASH, each) for each in reversed(ids_of_cash)], "no second line for the wallet's side"
    [total] = totals_of(db.session(), today, ["EUR"]) or []
    assert (total.unit, total.counts, total.minors) == ("EUR", {Source.CASH: 2}, {Source.CASH: 14_00})
    client = browse(Role.ANTI_FRAUD)
    page = client.get("/transactions-summary/?source=CASH").text
    assert ("Top-up" in page, "Withdrawal" in page, "14.00 EUR" in page) == (True, True, True)
    assert "Top-up" not in client.get("/transactions-summary/?source=WALLET").text
    file = client.get("/transactions-summary/file/csv/?source=CASH").text.strip().splitlines()
    assert (len(file), sum("Cash operation" in line for line in file)) == (3, 2)


def test_test_payments_stand_alone(filled: list[tuple[Source, int]]) -> None:
    assert filled
    page = page_of(db.session(), Wanted(Mode.TEST, MAY.span, ZONE), size=50)
    assert [line.source for line in page.lines] == [Source.PAYMENT]


def test_no_page_sorts_a_table(filled: list[tuple[Source, int]], dialect: str) -> None:
    if dialect != "sqlite":
        pytest.skip("PostgreSQL walks small tables, and rightly")
    session, plans = db.session(), []
    deep = page_of(session, MAY, size=5).following

    def look(_connection, cursor, statement, parameters, _context, _many) -> None:  # type: ignore[no-untyped-def]
        other = cursor.connection.cursor()
        plans.extend(str(row[-1]) for row in other.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))
        other.close()

    event.listen(db.engine, "before_cursor_execute", look)
    try:
        page_of(session, MAY, size=5, after=deep)
    finally:
        event.remove(db.engine, "before_cursor_execute", look)
    assert filled
    assert not [
        plan
        for plan in plans
        if plan.startswith(("SCAN payment", "SCAN wallet_transaction", "SCAN cash_operation")) and "USING" not in plan
    ]
    assert any("ix_payment_mode_created_at_id" in plan for plan in plans)
    assert any("ix_wallet_transaction_created_at_id" in plan for plan in plans)


def test_the_page_answers_its_readers_only_and_says_what_is_wrong(
    filled: list[tuple[Source, int]], browse: Browse
) -> None:
    assert filled
    client = browse(Role.ANTI_FRAUD)
    page = client.get("/transactions-summary/?from=2026-05-01&to=2026-05-31&size=20")
    assert page.status_code == 200
    assert page.text.count("Wallet transaction</td>") == 6
    assert (
        "The last day lies before the first." in client.get("/transactions-summary/?from=2026-05-02&to=2026-05-01").text
    )
    assert client.get("/transactions-summary/?after=9.9.x&from=2026-05-01&to=2026-05-31").status_code == 200
    file = client.get("/transactions-summary/file/csv/?from=2026-05-01&to=2026-05-31")
    assert len(file.text.strip().splitlines()) == 15
    assert browse(Role.SUPPORT_MANAGER).get("/transactions-summary/").status_code == 403
    assert browse(Role.PAYMENTS_OPERATOR).get("/transactions-summary/file/csv/").status_code == 403
