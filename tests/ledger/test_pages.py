"""The books' pages: health, statements, journal, trial balance, periods; and the way from a payment and back."""

import csv
import datetime as dt
import io
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial

import openpyxl
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, func, select, text
from werkzeug.test import EnvironBuilder

from payadmin import step_up
from payadmin.actions import ledger
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.ledger import checks, recipes
from payadmin.ledger.posting import Posting
from payadmin.ledger.posting import post as post_facts
from payadmin.models.ledger import AccountingPeriod, LedgerAccount, LedgerClosing, LedgerTransaction
from payadmin.permissions import Role
from payadmin.queries.ledger import sums_of, trial_balance
from payadmin.work import SYSTEM
from tests.ledger.conftest import Books, Pen
from tests.support.approvals import Room, asked_refund
from tests.support.desk import Desk, trail
from tests.support.make import Make, writing
from tests.support.pages import post
from tests.support.races import at_once

Browse = Callable[..., FlaskClient]
YESTERDAY = dt.timedelta(days=1)


@pytest.fixture
def booked(make: Make, books: Books) -> int:
    """A payment of yesterday that is booked; its id."""
    payment_id = make.payment(created_at=utcnow() - 2 * YESTERDAY).id
    make.payment(amount_minor=25_00, created_at=utcnow() - YESTERDAY)
    book()
    return payment_id


def book() -> None:
    last: int | None = 0
    while last is not None:
        last = ledger.book_recorded(SYSTEM, after_id=last).last_id
    db.session.rollback()


def account_of(code_start: str) -> LedgerAccount:
    return db.session.scalars(select(LedgerAccount).where(LedgerAccount.code.startswith(code_start))).one()


def run_checks() -> list[checks.Result]:
    found = list(checks.run(db.session(), ()))
    db.session.rollback()
    return found


def check() -> None:
    check_id = ledger.start_check(SYSTEM, by_job=False)
    results = run_checks()
    ledger.note_result(SYSTEM, check_id, results=results)


def test_from_a_payment_to_its_entries_and_back(booked: int, browse: Browse) -> None:
    client = browse(Role.CFO)
    page = client.get(f"/transactions/{booked}/").text
    address = re.search(r'href="(/journal/\d+/)">J01 Payment paid', page)
    assert address is not None
    journal = client.get(address[1]).text
    assert f'href="/transactions/{booked}/"' in journal
    statement = re.search(r'href="(/ledger-accounts/\d+/)">2010 Wallet', journal)
    assert statement is not None
    assert "100.00" in client.get(statement[1]).text


def test_whoever_may_not_look_into_the_books_sees_nothing_of_them(booked: int, browse: Browse) -> None:
    client = browse(Role.PAYMENTS_OPERATOR)
    assert "J01" not in client.get(f"/transactions/{booked}/").text
    for address in ("/ledger/", "/ledger-accounts/", "/journal/", "/trial-balance/", "/accounting-periods/"):
        assert client.get(address).status_code in {403, 404}
    assert browse(Role.ADMIN).get("/accounting-periods/close/").status_code == 403


def test_a_statement_is_what_the_ledger_says_page_by_page(make: Make, books: Books, browse: Browse) -> None:
    for number in range(60):
        make.payment(amount_minor=1_00 + number, created_at=utcnow() - YESTERDAY)
    book()
    account = account_of("2010:")
    client = browse(Role.ACCOUNTANT)
    page = client.get(f"/ledger-accounts/{account.id}/").text
    following = re.search(r'rel="next" href="([^"]+)"', page)
    assert following is not None
    second = client.get(f"/ledger-accounts/{account.id}/{following[1].replace('&amp;', '&')}").text
    assert page.count("J01 Payment paid") == 50
    assert second.count("J01 Payment paid") == 10
    closing = sum(1_00 + number for number in range(60))
    assert f"{closing / 100:.2f}" in second
    day = (utcnow() - YESTERDAY).date()
    sums = sums_of(db.session(), account, day - YESTERDAY, day + YESTERDAY)
    assert (sums.opening_minor, sums.closing_minor, sums.entries) == (0, closing, 60)
    forged = client.get(f"/ledger-accounts/{account.id}/?after=x")
    assert forged.status_code == 422


@pytest.mark.parametrize("kind", ["csv", "xlsx", "pdf"])
def test_statements_and_trial_balances_leave_as_files_and_are_written_down(
    booked: int, browse: Browse, kind: str
) -> None:
    client = browse(Role.CFO)
    account = account_of("2010:").id
    for address in (f"/ledger-accounts/{account}/statement/{kind}/", f"/trial-balance/file/{kind}/"):
        answer = client.get(address)
        assert answer.status_code == 200
        assert answer.headers["Content-Disposition"].endswith(f'.{kind}"')
        if kind == "csv":
            assert "125.00" in answer.text
        elif kind == "xlsx":
            rows = list(openpyxl.load_workbook(io.BytesIO(answer.data)).active.values)  # type: ignore[union-attr]
            assert any("125" in str(cell) for row in rows for cell in row)
        else:
            assert answer.data.startswith(b"%PDF-")
    written = trail(event="reporting.export.finished")
    assert len(written) == 2
    assert all((each.keys or {})["sha256"] for each in written)


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
@pytest.mark.parametrize("page", ["statement", "trial balance"])
def test_files_are_sent_although_the_request_has_ended(booked: int, browse: Browse, page: str, kind: str) -> None:
    client, account = browse(Role.CFO), account_of("2010:").id
    address = f"/ledger-accounts/{account}/statement/{kind}/"
    if page == "trial balance":
        address = f"/trial-balance/file/{kind}/"
    cookie = client.get_cookie(client.application.config["SESSION_COOKIE_NAME"])
    assert cookie is not None
    asked = EnvironBuilder(path=address, headers={"Cookie": f"{cookie.key}={cookie.value}"}).get_environ()

    def serve() -> bytes:
        """As a server does: what the application answers is read when the request is over."""
        return b"".join(client.application.wsgi_app(asked, lambda *_told: None))

    with ThreadPoolExecutor(1) as server:  # outside the application context that the test itself is in
        assert len(server.submit(serve).result()) > 100


def test_accounts_stand_with_their_balances_on_their_usual_side_on_the_page_and_in_its_file(
    booked: int, browse: Browse
) -> None:
    client = browse(Role.CFO)
    assert client.get("/ledger-accounts/").text.count("125.00") == 2
    file = client.get("/ledger-accounts/export/csv/").text.removeprefix("\ufeff")
    balances = {row["Account"][:4]: row["Balance"] for row in csv.DictReader(io.StringIO(file))}
    assert balances["2010"] == "125.00"
    assert set(balances.values()) == {"125.00"}
    assert client.get("/ledger-accounts/?sort=balance").status_code == 400


def test_a_statement_adds_up_although_something_is_booked_while_it_is_made(
    booked: int, desk: Desk, browse: Browse
) -> None:
    client = browse(Role.CFO)
    account = account_of("2010:").id
    desk.make.payment(amount_minor=3_00)

    def meanwhile() -> None:
        with desk.app.app_context():
            try:
                book()
            finally:
                db.session.remove()

    asked: list[str] = []

    def after(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "sum(ledger_turnover.entries)" in statement and not asked:
            asked.append(statement)
            with ThreadPoolExecutor(1) as pool:
                pool.submit(meanwhile).result(timeout=30)

    event.listen(db.engine, "after_cursor_execute", after)
    try:
        lines = list(csv.reader(io.StringIO(client.get(f"/ledger-accounts/{account}/statement/csv/").text)))
    finally:
        event.remove(db.engine, "after_cursor_execute", after)
    assert asked
    balance, credit = lines[0].index("Balance"), lines[0].index("Credit")
    assert lines[-1][balance] == lines[-2][balance]
    assert Decimal(lines[-1][credit]) == sum(Decimal(line[credit]) for line in lines[2:-1])


def test_whose_wallet_an_account_is_shows_only_to_those_who_may_know(make: Make, books: Books, browse: Browse) -> None:
    customer = make.customer(name="Ada Lovelace")
    books.fund(f"customer:{customer.id}", 5_00)
    account, number = account_of("2010:customer").id, db.session.scalars(select(LedgerTransaction.id)).one()
    addresses = ("/ledger-accounts/", f"/ledger-accounts/{account}/", f"/journal/{number}/")
    for role, shows in ((Role.ADMIN, True), (Role.ACCOUNTANT, False)):
        pages = [browse(role).get(address) for address in addresses]
        assert [("Ada Lovelace" in page.text, page.status_code) for page in pages] == [(shows, 200)] * 3


def test_a_trial_balance_balances(booked: int, browse: Browse) -> None:
    client = browse(Role.ACCOUNTANT)
    page = client.get("/trial-balance/").text
    assert "Balanced" in page
    assert "2010 Wallet" in page
    today = utcnow().date()
    lines = list(trial_balance(db.session(), "EUR", today - 9 * YESTERDAY, today))
    assert sum(line.debit_minor for line in lines) == sum(line.credit_minor for line in lines) == 125_00
    assert client.get("/trial-balance/?unit=XXX").status_code == 422
    for days, words in (("from=nonsense", "Write days as"), ("from=2026-02-02&to=2026-01-01", "lies before the first")):
        assert words in client.get(f"/trial-balance/?{days}").text
        assert client.get(f"/trial-balance/file/csv/?{days}").status_code == 422


def test_ledger_health_checks_on_request_and_names_what_is_broken(
    booked: int, desk: Desk, browse: Browse, dialect: str
) -> None:
    client = browse(Role.ACCOUNTANT)
    assert "never checked" in client.get("/ledger/").text
    assert post(client, "/ledger/").status_code == 303
    assert "being checked" in client.get("/ledger/status/").text
    desk.work()
    page = client.get("/ledger/").text
    assert "The books are sound." in page
    assert page.count("Holds") == 10
    assert post(browse(Role.PAYMENTS_OPERATOR), "/ledger/").status_code == 403
    # Somebody with the rights of the owner switches the rules off and edits a row.
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        rule = {"sqlite": "no_update", "postgresql": "append_only ON ledger_transaction"}[dialect]
        connection.execute(text(f"DROP TRIGGER ledger_transaction_{rule}"))
        connection.execute(text("UPDATE ledger_transaction SET memo = 'x' WHERE id = 1"))
    ledger.start_check(SYSTEM)
    desk.work()
    page = client.get("/ledger/").text
    assert "The books are broken in 2 places." in page
    assert "Transaction 1 is not as payadmin wrote it." in page
    assert "does not have its rule any more" in page


# ---- closing -------------------------------------------------------------------------------------------------------


def close(desk: Desk, room: Room, day: dt.date, role: Role = Role.CFO, **more: str) -> AccountingPeriod:
    actor = room.person(role)
    with desk.app.test_request_context():
        offer = step_up.offer(actor, ledger.CLOSE_ACT, ledger.closing_facts(day))
    values = {"reason": "November is over.", "offer": offer, "code": room.code(actor)} | more
    return ledger.close_period(actor, last_day=day, **values)


def test_a_period_is_closed_for_good_and_later_facts_go_into_the_next(booked: int, desk: Desk) -> None:
    room = Room(desk.app, desk.make)
    check()
    day = (utcnow() - YESTERDAY).date()
    period = close(desk, room, day)
    assert (period.last_day, period.transactions) == (day, 2)
    kept = dict(db.session.execute(select(LedgerClosing.account_id, LedgerClosing.balance_minor)).all())
    assert sum(kept.values()) == 0
    assert set(map(abs, kept.values())) == {125_00}
    desk.make.payment(amount_minor=7_00, created_at=utcnow() - 3 * YESTERDAY)
    book()
    newest = db.session.scalars(select(LedgerTransaction).order_by(LedgerTransaction.id.desc())).first()
    assert newest is not None
    assert newest.effective_on == day + YESTERDAY
    with pytest.raises(Conflict, match="closed already"):
        close(desk, room, day)
    assert len(trail(event="ledger.period.closed")) == 1


def test_a_closing_says_everything_that_stands_in_its_way_and_changes_nothing(booked: int, desk: Desk) -> None:
    room = Room(desk.app, desk.make)
    asked_refund(room, desk)
    desk.make.payment(created_at=utcnow() - 3 * YESTERDAY)
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        kept = {"sqlite": "approval_request_written_once", "postgresql": "approval_request_kept ON approval_request"}
        connection.execute(text(f"DROP TRIGGER {kept[connection.dialect.name]}"))
        long_ago = (utcnow() - 2 * YESTERDAY).replace(tzinfo=None).isoformat(sep=" ")
        connection.execute(text("UPDATE approval_request SET created_at = :at"), {"at": long_ago})
    with pytest.raises(Conflict) as refused:
        close(desk, room, (utcnow() - YESTERDAY).date())
    said = refused.value.sentence
    assert "1 requests about money" in said
    assert "1 payments of these days are not booked yet" in said
    assert "not checked during the last day" in said
    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(AccountingPeriod)) == 0


def test_what_is_posted_while_the_books_are_being_closed_is_counted_and_never_called_late(
    booked: int, desk: Desk
) -> None:
    """Somebody posts, begins before the closing and ends in the middle of it: the closing waits, then counts it."""
    room = Room(desk.app, desk.make)
    check()
    day = (utcnow() - YESTERDAY).date()
    closer = room.person(Role.CFO)
    with desk.app.test_request_context():
        offer = step_up.offer(closer, ledger.CLOSE_ACT, ledger.closing_facts(day))
    values = {"last_day": day, "reason": "Over.", "offer": offer, "code": room.code(closer)}

    def close_meanwhile() -> int:
        with desk.app.app_context():
            try:
                return ledger.close_period(closer, **values).id
            finally:
                db.session.remove()

    def posting(key: str) -> Posting:
        recipe = recipes.payment_paid(unit="EUR", provider="other", merchant="customer:1", amount=1_00)
        return Posting(key, recipe, "test", 1, day)

    with ThreadPoolExecutor(1) as pool:
        writing()
        session = db.session()
        post_facts(Pen(session), [posting("first")])
        closing = pool.submit(close_meanwhile)
        time.sleep(1.5)  # it has begun, and waits
        post_facts(Pen(session, now=utcnow()), [posting("second")])
        session.commit()
        period_id = closing.result(timeout=30)
    db.session.rollback()
    assert db.session.get_one(AccountingPeriod, period_id).transactions == 4
    assert [each.rows for each in run_checks() if each.number == "I9"] == [[]]


def test_what_is_slipped_into_a_closed_period_shows_even_if_no_balance_tells(
    booked: int, desk: Desk, dialect: str
) -> None:
    room = Room(desk.app, desk.make)
    check()
    day = (utcnow() - YESTERDAY).date()
    close(desk, room, day)
    with db.engine.connect().execution_options(immediate=True) as connection, connection.begin():
        if dialect == "sqlite":
            connection.execute(text("DROP TRIGGER ledger_transaction_check"))
            connection.execute(text("DROP TRIGGER ledger_transaction_post"))
        else:
            connection.execute(text("ALTER TABLE ledger_transaction DISABLE TRIGGER USER"))
        row = "'slipped', 'J01', 'test', 1, effective_on, posted_at, 'x', legs FROM ledger_transaction WHERE id = 1"
        columns = "key, template, business, business_id, effective_on, posted_at, posted_by, legs"
        connection.execute(text(f"INSERT INTO ledger_transaction ({columns}) SELECT {row}"))
    found = [row["sentence"] for each in run_checks() if each.number == "I9" for row in each.rows]
    assert found == [f"3 transactions stand in the days to {day}; 2 did when they were closed."]


def test_two_who_close_the_books_at_once_close_them_once(booked: int, desk: Desk) -> None:
    room = Room(desk.app, desk.make)
    check()
    day = (utcnow() - YESTERDAY).date()
    closers = [room.person(Role.CFO), room.person(Role.ACCOUNTANT)]
    given = []
    for each in closers:
        with desk.app.test_request_context():
            offer = step_up.offer(each, ledger.CLOSE_ACT, ledger.closing_facts(day))
        given.append({"last_day": day, "reason": "Over.", "offer": offer, "code": room.code(each)})
    acts = [partial(ledger.close_period, who, **values) for who, values in zip(closers, given, strict=True)]
    answers = at_once(desk.app, acts)
    assert sorted(type(each).__name__ for each in answers) == ["AccountingPeriod", "Conflict"]


def test_a_closing_needs_the_right_a_reason_a_code_and_a_day_that_is_over(booked: int, desk: Desk) -> None:
    room = Room(desk.app, desk.make)
    check()
    day = (utcnow() - YESTERDAY).date()
    with pytest.raises(Forbidden):
        close(desk, room, day, Role.ADMIN)
    with pytest.raises(Invalid):
        close(desk, room, day, reason=" ")
    with pytest.raises(Invalid):
        close(desk, room, day, code="000000")
    with pytest.raises(Conflict, match="Only days that are over"):
        close(desk, room, utcnow().date() + YESTERDAY)


def test_the_closing_page_shows_the_way(booked: int, desk: Desk, browse: Browse) -> None:
    client = browse(Role.ACCOUNTANT)
    assert "cannot be closed" in client.get("/accounting-periods/close/").text
    check()
    page = client.get("/accounting-periods/close/").text
    assert "Close for good" in page
    refused = post(client, "/accounting-periods/close/", last_day=utcnow().date().isoformat(), reason="x")
    assert refused.status_code in {409, 422}


def test_nothing_to_close_in_empty_books(app: Flask, browse: Browse) -> None:
    client = browse(Role.CFO)
    assert "nothing to close" in client.get("/accounting-periods/close/").text
    assert "Nothing is booked" in client.get("/trial-balance/").text
