"""Mass payments: each row pays one payee once out of one organization's wallet, by its contract, or says why not."""

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import event, insert, select

from payadmin.actions import tariffs
from payadmin.actions.batches import check_again, discard_batch
from payadmin.actions.wallets import approve_application, reject_application
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.kernel.tariffs import ChargedTo, Term, TransactionType
from payadmin.models.batches import Batch, BatchStatus
from payadmin.models.ledger import AccountingPeriod, LedgerTransaction
from payadmin.models.parties import Customer, CustomerStatus, Organization, OrganizationStatus
from payadmin.models.payments import Unit, UnitStatus
from payadmin.models.tariffs import Contract
from payadmin.models.wallets import MoveStatus, Wallet, WalletStatus, WalletTransaction
from payadmin.permissions import Role
from payadmin.queries.batches import error_table
from tests.support.desk import trail
from tests.support.make import writing
from tests.support.payroll import MASS, Payroll

TERM = TransactionType.MASS_PAYMENT
EXECUTED, HELD = MoveStatus.EXECUTED, MoveStatus.HELD


def put(model: type, row_id: int, **values: object) -> None:
    """Change a row behind everybody's back."""
    writing()
    statement = model.__table__.update().where(model.__table__.c.id == row_id).values(**values)  # type: ignore[attr-defined]
    db.session.connection().execute(statement)
    db.session.commit()


def test_a_file_pays_payees_by_wallet_customer_e_mail_and_phone(payroll: Payroll) -> None:
    rows = [
        payroll.row(1),
        payroll.row(2, customer_id="", wallet=payroll.number(payroll.wallets[2])),
        payroll.row(3, customer_id="", email="c3@example.com"),
        payroll.row(4, customer_id="", phone="+39333004"),
        payroll.row(5, email="c5@example.com", phone="+39333005", wallet=payroll.number(payroll.wallets[5])),
    ]
    batch = payroll.checked(rows)
    assert (batch.status, batch.rows_valid, payroll.room.errors(batch.id)) == (BatchStatus.READY, 5, {})
    assert batch.totals["EUR"] == {
        "rows": 5, "minor": 50_00, "valid_rows": 5, "valid_minor": 50_00, "paid_minor": 50_00, "contract_version": 0,
    }  # fmt: skip
    assert payroll.left() == 1_000_00
    payroll.room.process(batch.id)
    payroll.room.office.work()
    batch = payroll.room.batch(batch.id)
    assert (batch.status, batch.rows_done, batch.rows_refused) == (BatchStatus.PROCESSED, 5, 0)
    assert [payroll.got(number) for number in range(1, 6)] == [10_00] * 5
    assert payroll.left() == 950_00
    row = payroll.room.rows(batch.id)[0]
    moved = payroll.purses.get(WalletTransaction, row.transaction_id)
    assert (moved.note, payroll.purses.journals(moved.id)) == ("January", ["J22"])
    assert payroll.purses.unsound() == []


def test_a_row_that_meets_a_closing_is_paid_on_the_first_open_day(payroll: Payroll, dialect: str) -> None:
    if dialect == "sqlite":
        pytest.skip("SQLite has one writer at a time: nobody closes while a row is paid")
    batch = payroll.checked([payroll.row(1)])
    payroll.room.process(batch.id)
    today, closed = utcnow().date(), []
    period = {"first_day": today, "last_day": today, "closed_by": "x", "reason": "y", "transactions": 0}

    def close(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "INSERT INTO ledger_transaction" in statement and not closed:
            closed.append(today)
            with db.engine.connect().execution_options(immediate=True) as other, other.begin():
                other.execute(insert(AccountingPeriod).values(**period))

    event.listen(db.engine, "before_cursor_execute", close)
    try:
        payroll.room.office.work()
    finally:
        event.remove(db.engine, "before_cursor_execute", close)
    batch = payroll.room.batch(batch.id)
    assert (closed, batch.rows_done, batch.rows_refused) == ([today], 1, 0)
    booked = select(LedgerTransaction.effective_on).where(LedgerTransaction.template == "J22")
    assert db.session.scalars(booked).all() == [today + dt.timedelta(days=1)]
    assert payroll.got() == 10_00


def test_an_organization_can_be_paid_by_the_number_of_its_wallet(payroll: Payroll) -> None:
    other = payroll.purses.wallet("Beta")
    payroll.paid([payroll.row(1, customer_id="", wallet=payroll.number(other))])
    assert payroll.purses.amounts(other).available_minor == 10_00


@pytest.mark.parametrize(
    ("charged_to", "left", "got"), [(ChargedTo.PAYER, 1_000_00 - 10_10, 10_00), (ChargedTo.PAYEE, 990_00, 9_90)]
)
def test_the_commission_is_that_of_the_payers_contract(
    payroll: Payroll, charged_to: ChargedTo, left: int, got: int
) -> None:
    payroll.purses.contract("MassPay", Term(TERM, "EUR", 10_000, charged_to=charged_to))
    batch = payroll.checked([payroll.row(1)])
    assert batch.totals["EUR"]["paid_minor"] == 1_000_00 - left
    payroll.room.process(batch.id)
    payroll.room.office.work()
    assert (payroll.left(), payroll.got()) == (left, got)


def test_each_currency_is_paid_out_of_the_wallet_in_it(payroll: Payroll) -> None:
    yen = payroll.purses.wallet("MassPay", "JPY", funds=5_000)
    to = payroll.purses.wallet(payroll.customer(1), "JPY")
    batch = payroll.paid([payroll.row(1), payroll.row(1, currency="JPY", amount="1200", reference="yen")])
    assert (batch.status, batch.rows_done) == (BatchStatus.PROCESSED, 2)
    assert payroll.purses.amounts(yen).available_minor == 3_800
    assert payroll.purses.amounts(to).available_minor == 1_200
    assert (payroll.left(), payroll.got()) == (990_00, 10_00)


@pytest.mark.parametrize(
    ("cells", "column", "words"),
    [
        ({"customer_id": ""}, "wallet", "Say who is paid"),
        ({"customer_id": "NOBODY"}, "customer_id", "no customer with this ID"),
        ({"customer_id": "", "email": "nobody@example.com"}, "email", "No customer has this e-mail"),
        ({"customer_id": "", "email": "twice@example.com"}, "email", "Several customers"),
        ({"customer_id": "", "phone": "+1"}, "phone", "No customer has this phone"),
        ({"customer_id": "", "wallet": "W-999999"}, "wallet", "no wallet with this number"),
        ({"customer_id": "", "wallet": "4242424242424242"}, "wallet", "card number"),
        ({"customer_id": "", "wallet": "POT"}, "wallet", "wallet that pays"),
        ({"customer_id": "", "wallet": "CLOSED"}, "wallet", "is closed"),
        ({"customer_id": "", "wallet": "OF BLOCKED"}, "wallet", "blocked or closed"),
        ({"customer_id": "", "wallet": "IN YEN"}, "currency", "holds JPY"),
        ({"email": "c2@example.com"}, "email", "somebody else"),
        ({"customer_id": "C-7"}, "customer_id", "no wallet in EUR"),
        ({"customer_id": "C-6"}, "customer_id", "is blocked"),
        ({"amount": ""}, "amount", "empty"),
        ({"amount": "0"}, "amount", "zero"),
        ({"amount": "-5"}, "amount", ""),
        ({"amount": "1.234"}, "amount", "decimal"),
        ({"amount": "1e3"}, "amount", ""),
        ({"amount": "=1+1"}, "amount", ""),
        ({"currency": "XXX"}, "currency", "not a currency"),
        ({"currency": "GBP"}, "currency", "no wallet in GBP"),
        ({"reference": ""}, "reference", "empty"),
        ({"reference": "x" * 61}, "reference", "61 characters"),
        ({"reference": "é"}, "reference", "English keyboard"),
        ({"reference": "USED"}, "reference", "used already"),
        ({"note": "x" * 141}, "note", "141 characters"),
        ({"note": "4242 4242 4242 4242"}, "note", "card number"),
    ],
)
def test_a_wrong_cell_is_said_at_the_cell_and_nothing_can_be_processed(
    payroll: Payroll, cells: dict[str, str], column: str, words: str
) -> None:
    _prepare(payroll)
    named = {
        "POT": payroll.pot, "CLOSED": payroll.wallets[3], "OF BLOCKED": payroll.wallets[4], "IN YEN": payroll.yen,
    }  # fmt: skip
    given = {key: payroll.number(named[text]) if text in named else text for key, text in cells.items()}
    batch = payroll.checked([payroll.row(2), payroll.row(1, **given)])
    assert batch.status is BatchStatus.HAS_ERRORS
    errors = payroll.room.errors(batch.id)
    assert list(errors) == [3]
    assert column in errors[3], errors
    assert words in str(errors[3][column])
    with pytest.raises(Conflict, match="nothing is paid until then"):
        payroll.room.process(batch.id)
    assert payroll.got(2) == 0


def _prepare(payroll: Payroll) -> None:
    """What the wrong cells name."""
    purses = payroll.purses
    payroll.paid([payroll.row(5, reference="USED")])
    payroll.yen = purses.wallet("Yen House", "JPY")  # type: ignore[attr-defined]
    put(Wallet, payroll.wallets[3], status="CLOSED")
    for number, values in ((4, {}), (6, {}), (8, {"email": "twice@example.com"}), (9, {"email": "twice@example.com"})):
        put(Customer, payroll.customer(number).id, **(values or {"status": CustomerStatus.BLOCKED.name}))


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("amount,currency,reference", "wallet, customer_id, email or phone is missing"),
        ("wallet,currency,reference", "column amount is missing"),
        ("wallet,amount,reference", "column currency is missing"),
        ("wallet,amount,currency", "column reference is missing"),
        ("wallet,amount,currency,reference,card_no", "not a column of this kind"),
        ("customer_id,Customer ID,amount,currency,reference", "stands there twice"),
    ],
)
def test_columns_that_are_missing_unknown_or_twice_are_named(payroll: Payroll, head: str, words: str) -> None:
    batch = payroll.checked(f"{head}\n{','.join('1' for _ in head.split(','))}\n".encode())
    assert batch.status is BatchStatus.HAS_ERRORS
    assert any(words in str(problem["sentence"]) for problem in batch.problems or ())


def test_a_reference_stands_once_in_a_file_and_is_used_once_by_an_organization(payroll: Payroll) -> None:
    batch = payroll.checked([payroll.row(1), payroll.row(2, reference="R-1")])
    assert "stands in row 2 too" in payroll.room.errors(batch.id)[3]["reference"]
    payroll.paid([payroll.row(1)])
    again = payroll.checked([payroll.row(1, amount="11")])
    assert "used already" in payroll.room.errors(again.id)[2]["reference"]
    assert payroll.got() == 10_00


def test_the_same_content_is_stopped_until_the_first_file_is_discarded(payroll: Payroll) -> None:
    first = payroll.checked([payroll.row(1)])
    with pytest.raises(Conflict, match="says the same"):
        payroll.upload([payroll.row(1)], name="other.csv")
    discard_batch(payroll.room.operator(), first.id, version=payroll.room.batch(first.id).version)
    assert payroll.paid([payroll.row(1)], name="other.csv").rows_done == 1
    assert payroll.got() == 10_00


def test_a_corrected_file_takes_the_place_of_the_first_one(payroll: Payroll) -> None:
    first = payroll.checked([payroll.row(1, amount="x")])
    second = payroll.paid([payroll.row(1)], replaces=first.id, version=payroll.room.batch(first.id).version)
    assert payroll.room.batch(first.id).status is BatchStatus.REPLACED
    assert (second.status, payroll.got()) == (BatchStatus.PROCESSED, 10_00)


def test_too_little_in_the_wallet_is_said_before_anything_happens(payroll: Payroll) -> None:
    payroll.purses.contract("MassPay", Term(TERM, "EUR", 0, 1_00, charged_to=ChargedTo.PAYER))
    batch = payroll.checked([payroll.row(1, amount="600"), payroll.row(2, amount="399")])
    with pytest.raises(Conflict, match=r"1,?000\.00 EUR available, and this batch takes 1,?001\.00 EUR.*1\.00 EUR are"):
        payroll.room.process(batch.id)
    assert payroll.room.batch(batch.id).status is BatchStatus.READY
    payroll.purses.fund(payroll.pot, 1_00)
    payroll.room.process(batch.id)
    payroll.room.office.work()
    assert (payroll.left(), payroll.got(1), payroll.got(2)) == (0, 600_00, 399_00)


def test_a_row_that_cannot_be_paid_says_why_and_the_others_are_paid(payroll: Payroll) -> None:
    batch = payroll.checked([payroll.row(1, amount="600"), payroll.row(2, amount="300"), payroll.row(3, amount="50")])
    payroll.room.process(batch.id)
    payroll.purses.transfer(payroll.pot, payroll.purses.wallet("Elsewhere"), 300_00)
    put(Wallet, payroll.wallets[3], status=WalletStatus.CLOSED.name)
    payroll.room.office.work()
    batch = payroll.room.batch(batch.id)
    assert (batch.status, batch.rows_done, batch.rows_refused) == (BatchStatus.PROCESSED, 1, 2)
    first, second, third = payroll.room.rows(batch.id)
    assert first.transaction_id is not None
    assert "100.00 EUR available, and 300.00 EUR would leave it" in str(second.message)
    assert "is closed" in str(third.message)
    assert (payroll.got(1), payroll.got(2), payroll.left()) == (600_00, 0, 100_00)
    _head, found = error_table(db.session(), batch)
    lines = list(found)
    assert [line[0] for line in lines] == [3, 4]
    assert "100.00 EUR available" in lines[0][1]
    again = payroll.paid([payroll.row(2, amount="100")], name="again.csv")
    assert (again.rows_done, payroll.got(2)) == (1, 100_00)
    assert payroll.purses.unsound() == []


def test_a_row_over_a_limit_waits_for_a_decision_and_its_row_says_so(payroll: Payroll) -> None:
    payroll.purses.contract("MassPay", Term(TERM, "EUR", limit_single_minor=50_00, limit_day_minor=80_00))
    rows = [payroll.row(1, amount="50"), payroll.row(2, amount="40"), payroll.row(3, amount="60")]
    batch = payroll.checked(rows)
    assert batch.status is BatchStatus.READY
    assert [row.message is not None for row in payroll.room.rows(batch.id)] == [False, False, True]
    payroll.room.process(batch.id)
    payroll.room.office.work()
    batch = payroll.room.batch(batch.id)
    assert (batch.status, batch.rows_done, batch.rows_refused) == (BatchStatus.PROCESSED, 3, 0)
    assert payroll.moves("R-1", "R-2", "R-3") == [(EXECUTED, 50_00, 50_00), (HELD, 40_00, 40_00), (HELD, 60_00, 60_00)]
    assert payroll.purses.amounts(payroll.pot).held_minor == 100_00
    _first, second, third = [row.transaction_id for row in payroll.room.rows(batch.id)]
    approve_application(payroll.purses.fraud, payroll.purses.application(second or 0).id)
    reject_application(payroll.purses.fraud, payroll.purses.application(third or 0).id, reason="Too much")
    assert (payroll.got(2), payroll.got(3), payroll.left()) == (40_00, 0, 910_00)
    assert payroll.purses.unsound() == []


def test_whoever_confirmed_the_file_lets_none_of_its_rows_pass_a_limit(payroll: Payroll) -> None:
    payroll.purses.contract("MassPay", Term(TERM, "EUR", limit_single_minor=5_00))
    both = payroll.purses.person(Role.PAYMENTS_OPERATOR, Role.ANTI_FRAUD)
    batch = payroll.checked([payroll.row(1)])
    payroll.room.process(batch.id, actor=both)
    payroll.room.office.work()
    number = payroll.purses.application(payroll.room.rows(batch.id)[0].transaction_id or 0).id
    with pytest.raises(Forbidden, match="yourself"):
        approve_application(both, number)
    assert payroll.got() == 0
    approve_application(payroll.purses.fraud, number)
    assert payroll.got() == 10_00


def test_a_contract_that_changed_after_the_check_is_not_taken_unseen(payroll: Payroll) -> None:
    contract_id = payroll.purses.contract("MassPay", Term(TERM, "EUR", 10_000, charged_to=ChargedTo.PAYER))
    batch = payroll.checked([payroll.row(1)])
    seen = payroll.purses.get(Contract, contract_id).version
    terms = (Term(TERM, "EUR", 20_000, charged_to=ChargedTo.PAYER),)
    tariffs.add_version(payroll.purses.cfo, contract_id, terms=terms, version=seen, valid_from=None, note=None)
    with pytest.raises(Conflict, match="contract of who pays has changed"):
        payroll.room.process(batch.id)
    check_again(payroll.room.operator(), batch.id, version=payroll.room.batch(batch.id).version)
    payroll.room.office.work()
    payroll.room.process(batch.id)
    payroll.room.office.work()
    assert payroll.left() == 1_000_00 - 10_20


@pytest.mark.parametrize("what", ["payee closed", "payee blocked", "reference used", "wallet blocked", "payer closed"])
def test_a_world_that_moved_on_since_the_check_stops_the_whole_before_anything_happens(
    payroll: Payroll, what: str
) -> None:
    batch = payroll.checked([payroll.row(1), payroll.row(2)])
    match what:
        case "payee closed":
            put(Wallet, payroll.wallets[1], status=WalletStatus.CLOSED.name)
        case "payee blocked":
            put(Customer, payroll.customer(1).id, status=CustomerStatus.BLOCKED.name)
        case "reference used":
            payroll.paid([payroll.row(1, amount="11")], name="other.csv")
        case "wallet blocked":
            put(Wallet, payroll.pot, status=WalletStatus.BLOCKED.name)
        case _:
            put(Organization, payroll.payer_id, status=OrganizationStatus.CLOSED.name)
    before = payroll.left()
    with pytest.raises(Conflict):
        payroll.room.process(batch.id)
    assert (payroll.room.batch(batch.id).status, payroll.left()) == (BatchStatus.READY, before)


def test_two_files_that_name_one_reference_pay_it_once(payroll: Payroll) -> None:
    first, second = payroll.checked([payroll.row(1)]), payroll.checked([payroll.row(1, amount="11")], name="b.csv")
    payroll.room.process(first.id)
    payroll.room.process(second.id)
    payroll.room.office.work()
    batches = [payroll.room.batch(each.id) for each in (first, second)]
    assert sorted((batch.rows_done, batch.rows_refused) for batch in batches) == [(0, 1), (1, 0)]
    assert payroll.got() in {10_00, 11_00}
    assert payroll.purses.count(WalletTransaction) == 1


@pytest.mark.parametrize("what", ["closed", "without a wallet", "nobody"])
def test_only_an_active_organization_with_a_wallet_pays(payroll: Payroll, what: str) -> None:
    payer_id = payroll.purses.make.organization("Poor").id if what == "without a wallet" else payroll.payer_id
    if what == "closed":
        put(Organization, payroll.payer_id, status=OrganizationStatus.CLOSED.name)
    with pytest.raises(Exception, match=r"active organization|no open wallet|no such record"):
        payroll.upload([payroll.row(1)], merchant_id=999_999 if what == "nobody" else payer_id)
    assert payroll.purses.count(Batch) == 0


def test_a_retired_unit_pays_nothing(payroll: Payroll) -> None:
    put(Unit, payroll.purses.make.unit("EUR").id, status=UnitStatus.RETIRED.name)
    batch = payroll.checked([payroll.row(1)])
    assert "was retired" in payroll.room.errors(batch.id)[2]["currency"]


def test_the_trail_names_the_row_and_who_ordered_it(payroll: Payroll) -> None:
    batch = payroll.paid([payroll.row(1)])
    [event] = trail(event="batches.row.paid")
    assert event.keys["batch_id"] == batch.id
    assert event.keys["reference"] == "R-1"
    assert event.keys["ordered_by"] == batch.processed_by


def test_other_roles_neither_upload_nor_process(payroll: Payroll) -> None:
    batch = payroll.checked([payroll.row(1)])
    admin = payroll.purses.person(Role.ADMIN)
    with pytest.raises(Forbidden):
        payroll.upload([payroll.row(2)], actor=admin)
    with pytest.raises((Forbidden, Invalid)):
        payroll.room.process(batch.id, actor=admin)
    assert payroll.left() == 1_000_00


@pytest.mark.parametrize(
    "values",
    [{"method": "card"}, {"provider": "simulator"}, {"kind": "SINGLE_PAYMENT"}, {"kind": "OTHER"}],
)
def test_the_database_keeps_wallets_and_providers_apart(payroll: Payroll, values: dict[str, Any]) -> None:
    batch_id = payroll.upload([payroll.row(1)])
    with pytest.raises(Exception, match=r"(?i)check|constraint|kind"):
        put(Batch, batch_id, **values)
    db.session.rollback()


def test_kinds_do_not_replace_each_other(payroll: Payroll) -> None:
    first = payroll.checked([payroll.row(1, amount="x")])
    with pytest.raises(Invalid, match="same type"):
        payroll.room.upload([payroll.room.payment(1)], replaces=first.id)
    assert first.kind is MASS
