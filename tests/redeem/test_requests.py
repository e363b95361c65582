"""Redeem requests: set aside at once, decided once, paid or given back once; and who is refused (RD1-RD3)."""

from typing import Any

import pytest
from sqlalchemy import func, select

from payadmin.actions import redeem
from payadmin.db import db, utcnow
from payadmin.kernel import iban
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.kernel.tariffs import ChargedTo, Term, TransactionType
from payadmin.models.audit import AuditEvent
from payadmin.models.ledger import LedgerAccount, LedgerBalance
from payadmin.models.parties import CustomerStatus, IdentificationStatus
from payadmin.models.redeem import RedeemRequest, RedeemStatus
from payadmin.models.system import Reveal
from payadmin.queries.redeem import account_of
from payadmin.work import Actor
from tests.redeem.conftest import BANK, CASH, IBAN, Redeeming

CASHED, BANKED = TransactionType.CASH_WITHDRAWAL, TransactionType.BANK_WITHDRAWAL
ON_TOP = {"charged_to": ChargedTo.PAYER}


def house(number: str, unit: str = "EUR") -> int:
    """What stands on an account of the house; debits above zero."""
    db.session.rollback()
    found = select(func.sum(LedgerBalance.balance_minor)).join(LedgerAccount)
    return int(db.session.scalar(found.where(LedgerAccount.number == number, LedgerAccount.unit == unit)) or 0)


# ---- submitting ----------------------------------------------------------------------------------------------------


def test_a_request_sets_amount_and_commission_aside_at_once(room: Redeeming) -> None:
    wallet = room.customer(100_00, of="Alpha")
    room.contract("Alpha", Term(CASHED, "EUR", 10_000, **ON_TOP))
    number = room.submit(wallet, 50_00, note="For the rent")
    row = room.row(number)
    assert (row.status, row.amount_minor, row.commission_minor) == (RedeemStatus.SUBMITTED, 50_00, 50)
    assert row.contract_version_id is not None
    amounts = room.amounts(wallet)
    assert (amounts.available_minor, amounts.held_minor) == (49_50, 50_50)
    assert room.booked(number) == ["J18"]
    assert room.unsound() == []


def test_a_commission_taken_from_the_amount_leaves_less_to_pay_out(room: Redeeming) -> None:
    wallet = room.customer(100_00, of="Alpha")
    room.contract("Alpha", Term(CASHED, "EUR", 10_000, limit_single_minor=100_00))
    row = room.row(room.submit(wallet, 100_00))
    assert (row.asked_minor, row.amount_minor, row.commission_minor) == (100_00, 99_00, 1_00)
    assert room.amounts(wallet).available_minor == 0


def test_each_channel_has_its_own_terms(room: Redeeming) -> None:
    wallet = room.customer(100_00, of="Alpha")
    room.contract("Alpha", Term(CASHED, "EUR", 0, 1_00, **ON_TOP), Term(BANKED, "EUR", 0, 25, **ON_TOP))
    assert room.row(room.submit(wallet, 10_00, CASH)).commission_minor == 1_00
    assert room.row(room.submit(wallet, 10_00, BANK)).commission_minor == 25


def test_a_request_that_comes_twice_is_one(room: Redeeming) -> None:
    wallet = room.customer(100_00)
    first = room.submit(wallet, 10_00, BANK, key="form")
    assert room.submit(wallet, 10_00, BANK, key="form") == first
    assert room.amounts(wallet).held_minor == 10_00
    with pytest.raises(Conflict, match="another request"):
        room.submit(wallet, 11_00, BANK, key="form")
    with pytest.raises(Conflict, match="another request"):
        room.submit(wallet, 10_00, BANK, key="form", account="GB82 WEST 1234 5698 7654 32")


@pytest.mark.parametrize("amount", [0, -1, 2**63])
def test_an_amount_is_above_zero_and_fits(room: Redeeming, amount: int) -> None:
    with pytest.raises(Invalid):
        room.submit(room.customer(100_00), amount)


def test_more_than_is_available_is_refused_and_nothing_is_set_aside(room: Redeeming) -> None:
    wallet = room.customer(100_00)
    room.submit(wallet, 60_00)
    with pytest.raises(Conflict, match=r"40\.00 EUR available, and 40\.01 EUR") as refused:
        room.submit(wallet, 40_01, by=room.accountant)
    assert refused.value.field == "amount"
    with pytest.raises(Conflict, match="not enough money") as refused:
        room.submit(wallet, 40_01, by=room.cashier)
    assert "40.00" not in refused.value.sentence
    assert room.count(RedeemRequest) == 1
    assert room.amounts(wallet).held_minor == 60_00


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"limit_single_minor": 30_00}, r"limit of one, 30\.00 EUR, by 5\.00 EUR"),
        ({"limit_day_minor": 50_00}, r"limit of a day, 50\.00 EUR: 20\.00 EUR count already.*5\.00 EUR"),
        ({"limit_month_minor": 54_99}, r"limit of a month, 54\.99 EUR: 20\.00 EUR count already.*0\.01 EUR"),
    ],
)
def test_above_a_limit_it_is_refused_with_the_limits_numbers(
    room: Redeeming, limits: dict[str, int], sentence: str
) -> None:
    wallet = room.customer(100_00, of="Alpha")
    room.contract("Alpha", Term(BANKED, "EUR", **limits))
    room.submit(wallet, 20_00, BANK)
    with pytest.raises(Conflict, match=sentence):
        room.submit(wallet, 35_00, BANK)
    assert room.submit(wallet, 35_00, CASH)  # the other channel has other limits


def test_what_was_cancelled_or_came_back_counts_against_no_limit(room: Redeeming) -> None:
    wallet = room.customer(100_00, of="Alpha")
    room.contract("Alpha", Term(BANKED, "EUR", limit_day_minor=50_00))
    first = room.submit(wallet, 50_00, BANK)
    room.cancel(first)
    second = room.submit(wallet, 50_00, BANK)
    room.approve(second)
    room.bank(redeem.sent, second)
    room.bank(redeem.paid_by_bank, second)
    with pytest.raises(Conflict, match="limit of a day"):
        room.submit(wallet, 1, BANK)
    room.bank(redeem.returned, second, code="AC04")
    assert room.submit(wallet, 50_00, BANK)


def test_only_customers_redeem(room: Redeeming) -> None:
    with pytest.raises(Conflict, match="wallets of customers"):
        room.submit(room.wallet("Alpha", funds=100_00), 1_00)


def test_a_blocked_customer_cannot_ask(room: Redeeming) -> None:
    wallet = room.customer(100_00)
    room.put(wallet, status=CustomerStatus.BLOCKED)
    with pytest.raises(Conflict, match="blocked"):
        room.submit(wallet, 1_00)


def test_a_cost_that_changed_after_the_preview_is_not_taken_unseen(room: Redeeming) -> None:
    wallet = room.customer(100_00, of="Alpha")
    room.contract("Alpha", Term(CASHED, "EUR", 10_000, **ON_TOP))
    with pytest.raises(Conflict, match="has changed"):
        room.submit(wallet, 10_00, seen=(10_00, 10_00))
    assert room.submit(wallet, 10_00, seen=(10_10, 10_00))


# ---- accounts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number",
    ["DE89370400440532013000", "GB82WEST12345698765432", "NO9386011117947", "MT84MALT011000012345MTLCAST001S"],
)
def test_ibans_of_the_register_pass(number: str) -> None:
    assert iban.is_iban(number)


@pytest.mark.parametrize(
    "number",
    [
        "DE89370400440532013001",  # a digit
        "DE8937040044053201300",  # too short
        "DE893704004405320130000",  # too long
        "ZZ89370400440532013000",  # no country
        "DE89-3704-0044",
        "",
        "4111111111111111",
        "de89370400440532013000",
        "DE٨٩370400440532013000",  # digits of another script
    ],
)
def test_what_is_no_iban_does_not(number: str) -> None:
    assert not iban.is_iban(number)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"account": "DE89370400440532013001"}, "account"),
        ({"account": None}, "account"),
        ({"holder_name": " "}, "holder_name"),
        ({"holder_name": "A" * 141}, "holder_name"),
        ({"bank_code": "COBA"}, "bank_code"),
    ],
)
def test_a_transfer_needs_an_account(room: Redeeming, more: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        room.submit(room.customer(100_00), 1_00, BANK, **more)
    assert refused.value.field == field


def test_the_account_is_encrypted_shown_masked_and_never_in_the_trail(room: Redeeming) -> None:
    row = room.row(room.submit(room.customer(100_00), 1_00, BANK))
    assert row.account_shown == "DE••• 3000"
    assert "0532" not in (row.account_sealed or "")
    assert account_of(row) == IBAN.replace(" ", "")
    trail = " ".join(str((each.before, each.after, each.keys)) for each in db.session.scalars(select(AuditEvent)))
    assert "0532" not in trail
    assert "Lovelace" not in trail


def test_the_whole_number_is_seen_for_a_reason_that_the_trail_keeps(room: Redeeming) -> None:
    number = room.submit(room.customer(100_00), 1_00, BANK)
    with pytest.raises(Invalid):
        redeem.reveal_account(room.accountant, number, reason="")
    with pytest.raises(Forbidden):
        redeem.reveal_account(room.cashier, number, reason="Complaint or dispute")
    assert redeem.reveal_account(room.accountant, number, reason="Complaint or dispute") == ("Ada Lovelace", IBAN)
    db.session.rollback()
    assert db.session.scalars(select(Reveal)).one().reason == "Complaint or dispute"
    said = select(AuditEvent.reason).where(AuditEvent.event == "records.personal_data.revealed")
    assert db.session.scalars(said).all() == ["Complaint or dispute"]


# ---- deciding ------------------------------------------------------------------------------------------------------


def test_an_approved_request_waits_with_its_money_set_aside(room: Redeeming) -> None:
    wallet = room.customer(100_00)
    number = room.submit(wallet, 40_00)
    row = room.approve(number)
    assert (row.status, row.decided_by_id) == (RedeemStatus.APPROVED, room.accountant.staff_id)
    assert room.amounts(wallet).held_minor == 40_00
    assert room.booked(number) == ["J18"]


def test_nobody_approves_what_they_entered_with_any_account_of_theirs(room: Redeeming) -> None:
    from payadmin.permissions import Role

    number = room.submit(room.customer(100_00), 1_00, by=room.accountant)
    again = room.person(Role.ACCOUNTANT, same_as=room.accountant)
    for actor in (room.accountant, again):
        with pytest.raises(Forbidden, match="Somebody else"):
            room.approve(number, by=actor)
    assert room.row(number).status is RedeemStatus.SUBMITTED
    room.approve(number, by=room.other)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"status": CustomerStatus.BLOCKED}, "blocked"),
        ({"identification": IdentificationStatus.UNIDENTIFIED}, "not identified"),
        ({"identification": IdentificationStatus.IN_REVIEW}, "not identified"),
        ({"identification": IdentificationStatus.REJECTED}, "not identified"),
    ],
)
def test_a_blocked_or_unidentified_customer_is_not_approved_but_gets_the_money_back(
    room: Redeeming, columns: dict[str, Any], sentence: str
) -> None:
    wallet = room.customer(100_00)
    number = room.submit(wallet, 40_00)
    room.put(wallet, **columns)
    with pytest.raises(Conflict, match=sentence):
        room.approve(number)
    assert room.row(number).status is RedeemStatus.SUBMITTED
    room.cancel(number)
    assert room.amounts(wallet).available_minor == 100_00


def test_somebody_who_is_not_identified_may_ask_and_waits(room: Redeeming) -> None:
    wallet = room.customer(100_00, identification=IdentificationStatus.UNIDENTIFIED)
    number = room.submit(wallet, 1_00)
    with pytest.raises(Conflict, match="not identified"):
        room.approve(number)
    room.put(wallet, identification=IdentificationStatus.IDENTIFIED)
    assert room.approve(number).status is RedeemStatus.APPROVED


def test_a_decision_on_what_changed_meanwhile_is_refused_and_a_repeated_one_changes_nothing(room: Redeeming) -> None:
    number = room.submit(room.customer(100_00), 1_00)
    with pytest.raises(Conflict, match="meanwhile"):
        room.approve(number, version=7)
    version = room.row(number).version
    room.approve(number, version=version)
    assert room.approve(number, version=version).version == version + 1
    with pytest.raises(Conflict, match="already"):
        room.approve(number, by=room.other, version=version)
    with pytest.raises(Conflict, match="already"):
        room.approve(number)


def test_cancelling_gives_everything_back_once_and_says_why(room: Redeeming) -> None:
    wallet = room.customer(100_00, of="Alpha")
    room.contract("Alpha", Term(CASHED, "EUR", 10_000, **ON_TOP))
    number = room.submit(wallet, 50_00)
    with pytest.raises(Invalid):
        room.cancel(number, reason="  ")
    version = room.row(number).version
    room.cancel(number, version=version)
    assert room.cancel(number, version=version).status is RedeemStatus.CANCELLED
    assert room.amounts(wallet).available_minor == 100_00
    assert room.booked(number) == ["J18", "J21"]
    assert (room.open_holds(), house("4010")) == (0, 0)
    with pytest.raises(Conflict, match="cancelled already"):
        room.cancel(number, by=room.other)
    with pytest.raises(Conflict, match="new request"):
        room.approve(number)
    assert room.unsound() == []


def test_an_approved_request_is_cancelled_until_the_bank_has_it(room: Redeeming) -> None:
    wallet = room.customer(100_00)
    first, second = room.submit(wallet, 1_00, BANK), room.submit(wallet, 1_00, BANK)
    room.approve(first)
    room.cancel(first)
    room.approve(second)
    room.bank(redeem.sent, second)
    with pytest.raises(Conflict, match="bank has it"):
        room.cancel(second)


@pytest.mark.parametrize("act", ["approve", "cancel"])
def test_a_cashier_decides_nothing(room: Redeeming, act: str) -> None:
    number = room.submit(room.customer(100_00), 1_00)
    with pytest.raises(Forbidden):
        getattr(room, act)(number, by=room.cashier)


def test_a_run_approves_row_by_row_and_repeats_nothing(room: Redeeming) -> None:
    number = room.submit(room.customer(100_00), 1_00)
    given: dict[str, Any] = {"key": "run:1", "run_data": {}, "row_data": {}}
    redeem.approve_in_run(room.accountant, number, **given)
    version = room.row(number).version
    redeem.approve_in_run(room.accountant, number, **given)
    assert room.row(number).version == version
    with pytest.raises(Conflict, match="already"):
        redeem.approve_in_run(room.other, number, **given)


# ---- the bank ------------------------------------------------------------------------------------------------------


def at_the_bank(room: Redeeming, wallet: int, amount: int = 50_00) -> int:
    """A transfer that is on its way."""
    number = room.submit(wallet, amount, BANK)
    room.approve(number)
    room.bank(redeem.sent, number)
    return number


def test_a_transfer_that_the_bank_paid_leaves_for_good(room: Redeeming) -> None:
    wallet = room.customer(100_00, of="Alpha")
    room.contract("Alpha", Term(BANKED, "EUR", 10_000, **ON_TOP))
    number = at_the_bank(room, wallet)
    at = utcnow()
    for _again in range(2):
        room.bank(redeem.sent, number) if _again == 0 else None
        room.bank(redeem.paid_by_bank, number, at=at)
    row = room.row(number)
    assert (row.status, row.paid_at) == (RedeemStatus.PAID, at)
    assert room.booked(number) == ["J18", "J19"]
    assert (house("1010"), house("4010"), room.open_holds()) == (-50_00, -50, 0)
    amounts = room.amounts(wallet)
    assert (amounts.available_minor, amounts.held_minor) == (49_50, 0)
    assert room.unsound() == []


def test_what_failed_stays_set_aside_and_is_approved_again_or_cancelled(room: Redeeming) -> None:
    wallet = room.customer(100_00)
    number = at_the_bank(room, wallet)
    for _again in range(2):
        room.bank(redeem.failed, number, code="AC04")
    row = room.row(number)
    assert (row.status, row.failure_code) == (RedeemStatus.FAILED, "AC04")
    assert room.amounts(wallet).held_minor == 50_00
    assert room.approve(number).failure_code is None
    room.bank(redeem.sent, number)
    room.bank(redeem.failed, number, code="AM04")
    room.cancel(number)
    assert (room.row(number).failure_code, room.amounts(wallet).available_minor) == ("AM04", 100_00)
    assert room.unsound() == []


@pytest.mark.parametrize(("gives_back", "wallet_has", "income"), [(False, 99_50, -50), (True, 100_00, 0)])
def test_what_came_back_is_the_customers_again_and_the_commission_what_the_contract_says(
    room: Redeeming, gives_back: bool, wallet_has: int, income: int
) -> None:
    wallet = room.customer(100_00, of="Alpha")
    room.contract("Alpha", Term(BANKED, "EUR", 10_000, returns_commission=gives_back, **ON_TOP))
    number = at_the_bank(room, wallet)
    room.bank(redeem.paid_by_bank, number)
    for _again in range(2):
        room.bank(redeem.returned, number, code="AC04")
        room.bank(redeem.paid_by_bank, number)  # an old statement comes once more
    row = room.row(number)
    assert (row.status, row.failure_code) == (RedeemStatus.RETURNED, "AC04")
    assert room.amounts(wallet).available_minor == wallet_has
    assert (house("1010"), house("4010"), room.open_holds()) == (0, income, 0)
    assert room.booked(number) == ["J18", "J19", "J19", "J21"]
    assert room.unsound() == []
    with pytest.raises(Conflict):
        room.cancel(number)


def test_money_that_comes_back_reaches_a_blocked_customer(room: Redeeming) -> None:
    wallet = room.customer(100_00)
    number = at_the_bank(room, wallet)
    room.bank(redeem.paid_by_bank, number)
    room.put(wallet, status=CustomerStatus.BLOCKED)
    room.bank(redeem.returned, number, code="AC06")
    assert room.amounts(wallet).available_minor == 100_00


def test_the_bank_is_not_sent_what_nobody_approved_or_whose_customer_was_blocked(room: Redeeming) -> None:
    wallet = room.customer(100_00)
    number, cash = room.submit(wallet, 1_00, BANK), room.submit(wallet, 1_00)
    room.approve(cash)
    for each in (number, cash):
        with pytest.raises(Conflict):
            room.bank(redeem.sent, each)
    room.approve(number)
    room.put(wallet, status=CustomerStatus.BLOCKED)
    with pytest.raises(Conflict, match="blocked"):
        room.bank(redeem.sent, number)


@pytest.mark.parametrize(
    ("act", "said"), [(redeem.paid_by_bank, {}), (redeem.failed, {"code": "X"}), (redeem.returned, {"code": "X"})]
)
def test_the_bank_says_nothing_about_what_it_does_not_have(room: Redeeming, act: Any, said: dict[str, str]) -> None:
    number = room.submit(room.customer(100_00), 1_00, BANK)
    room.approve(number)
    with pytest.raises(Conflict):
        room.bank(act, number, **said)
    assert room.row(number).status is RedeemStatus.APPROVED


def test_every_step_stands_in_the_trail(room: Redeeming) -> None:
    wallet = room.customer(100_00)
    number = at_the_bank(room, wallet)
    room.bank(redeem.paid_by_bank, number)
    room.bank(redeem.returned, number, code="AC04")
    db.session.rollback()
    wanted = select(AuditEvent.event).where(AuditEvent.entity == "redeem_request").order_by(AuditEvent.id)
    assert [event.rpartition(".")[2] for event in db.session.scalars(wanted)] == [
        "submitted", "approved", "sent", "paid", "returned",
    ]  # fmt: skip


def test_whoever_lacks_the_permission_submits_nothing(room: Redeeming) -> None:
    with pytest.raises(Forbidden):
        room.submit(room.customer(100_00), 1_00, by=Actor(staff_id=room.fraud.staff_id, name="x"))
