"""The pages of cash: a day at the own desk and its closing, who sees what, and what is refused, without a browser."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from payadmin.actions import treasury
from payadmin.actions.treasury import finding
from payadmin.actions.treasury.finding import MOST_MISSES
from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.db import db
from payadmin.kernel import codewords
from payadmin.kernel.errors import Conflict
from payadmin.kernel.tariffs import Term, TransactionType
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Customer, IdentificationStatus
from payadmin.models.treasury import CashDesk, CashDeskAssignment, CashDeskDay, CashOperation, DayStatus, DeskStatus
from payadmin.permissions import Role
from tests.support.make import Make
from tests.support.pages import post
from tests.support.signin import enter_as
from tests.treasury.conftest import CashOffice

Browse = Callable[..., FlaskClient]
OWN = "/cash-register-day/own/"
WORD = "Blue Heron 7"


def hidden(page: str) -> dict[str, str]:
    """What a page's form carries unseen."""
    found = re.findall(r"<input[^>]*type=\"hidden\"[^>]*>", page.partition("<main")[2] or page)
    pairs = ((re.search(r'name="([^"]+)"', each), re.search(r'value="([^"]*)"', each)) for each in found)
    return {name[1]: value[1] if value else "" for name, value in pairs if name and name[1] != "csrf_token"}


def customer(office: CashOffice, **values: Any) -> Customer:
    """Somebody with a codeword."""
    digest = codewords.digests(current_settings().totp_keys, WORD)[0]
    given = {"name": "Ada Lovelace", "identification": IdentificationStatus.IDENTIFIED, "codeword_digest": digest}
    found: Customer = office.make.customer(**given | values)
    return found


@pytest.fixture
def till(app: Flask, office: CashOffice) -> FlaskClient:
    """The cashier of the office in a browser."""
    assert office.cashier.staff_id is not None
    return enter_as(app, office.cashier.staff_id)


@pytest.fixture
def books(app: Flask, office: CashOffice) -> FlaskClient:
    """Its accountant."""
    assert office.accountant.staff_id is not None
    return enter_as(app, office.accountant.staff_id)


def ordered(client: FlaskClient, act: str, wallet_id: int, amount: str, **who: str) -> Any:
    """Find a customer and fill an order; the answer asks for confirmation, or says what is wrong."""
    found = post(client, f"{OWN}{act}/", **who or {"codeword": WORD})
    assert found.status_code == 200, found.text
    data = hidden(found.text) | {"wallet": str(wallet_id), "amount": amount, "note": ""}
    return post(client, f"{OWN}{act}/", **data)


def test_a_day_at_the_own_desk(office: CashOffice, till: FlaskClient, books: FlaskClient) -> None:
    assert "No cash desk is assigned" in till.get(OWN).text
    desk = office.desk(office.cashier, code="CENTRE", money={"EUR": 100_00})
    person = customer(office)
    wallet = office.wallet(funds=50_00, owner=person)
    assert "100.00" in till.get(OWN).text
    assert post(till, f"{OWN}open/").status_code == 303
    assert "Top-up" in till.get(OWN).text

    page = ordered(till, "top-up", wallet, "20.00")
    assert page.status_code == 200
    assert "Ada Lovelace" not in page.text
    assert WORD not in page.text
    confirmed = hidden(page.text) | {"confirm": "1"}
    first, second = (post(till, f"{OWN}top-up/", **confirmed) for _twice in range(2))
    assert (first.status_code, first.location) == (303, second.location)
    assert office.count_of(CashOperation) == 1
    shown = till.get(first.location).text
    assert re.search(r"CENTRE-\d{8}-0001", shown)
    assert "Ada Lovelace" not in shown
    receipt = post(till, f"{first.location}receipt/")
    assert receipt.data.startswith(b"%PDF")

    page = ordered(till, "withdraw", wallet, "30.00", who=person.external_id)
    assert post(till, f"{OWN}withdraw/", **hidden(page.text), confirm="1").status_code == 303
    assert office.in_desk(desk) == {"EUR": 90_00}

    day = db.session.scalars(select(CashDeskDay.id)).one()
    form = hidden(till.get(f"{OWN}count/").text)
    wrong = post(till, f"{OWN}count/", **form, count_EUR="89.00")
    assert wrong.status_code == 422
    assert "differs" in wrong.text
    assert "90.00" not in wrong.text
    pieces = {
        "count_EUR": "",
        "pieces_EUR_5000": "1",
        "pieces_EUR_2000": "1",
        "pieces_EUR_1000": "1",
        "pieces_EUR_900": "",
    }
    sent = post(till, f"{OWN}count/", **form, **pieces, note="Perhaps a wrong note")
    assert sent.status_code == 303, sent.text
    assert office.units(day) == {"EUR": (100_00, 90_00, 80_00)}
    waiting = till.get(f"/cash-register-day/{day}/").text
    assert "differs" in waiting
    assert "90.00" not in waiting
    assert "10.00 <small>EUR</small></span> short" not in waiting

    decide = books.get(f"/cash-register-day/{day}/").text
    assert "90.00" in decide
    assert "short" in decide
    assert re.findall(r'below num">(\d+) . ([\d.]+)<', decide) == [("1", "50.00"), ("1", "20.00"), ("1", "10.00")]
    assert f'href="/cash-report/?desk={desk}&amp;day={day}"' in decide
    assert f'href="/cash-report/?desk={desk}"' in books.get(f"/cash-desks/{desk}/").text
    assert "EUR: 8000" not in decide  # the history too says amounts, not minor units
    assert "Counts: 80.00 EUR" in re.sub(r"<[^>]+>", "", decide)
    back = hidden(books.get(f"/cash-register-day/{day}/return/").text)
    assert post(books, f"/cash-register-day/{day}/return/", **back, reason="").status_code == 422
    assert post(books, f"/cash-register-day/{day}/return/", **back, reason="Look below the tray").status_code == 303
    assert "Look below the tray" in till.get(OWN).text
    form = hidden(till.get(f"{OWN}count/").text)
    assert post(till, f"{OWN}count/", **form, count_EUR="90").status_code == 303
    last = hidden(books.get(f"/cash-register-day/{day}/close/").text)
    assert post(books, f"/cash-register-day/{day}/close/", **last, reason="").status_code == 303
    assert office.day(day).status is DayStatus.CLOSED
    assert "90.00" in till.get(f"/cash-register-day/{day}/").text


def test_codewords_are_tried_five_times_and_never_written_down(office: CashOffice, till: FlaskClient) -> None:
    office.desk(office.cashier)
    day = office.open(db.session.scalars(select(CashDesk.id)).one())
    customer(office)
    for _try in range(MOST_MISSES):
        missed = post(till, f"{OWN}top-up/", codeword="no such word")
        assert missed.status_code == 422
        assert "Nobody has this codeword" in missed.text
        assert "no such word" not in missed.text
    locked = post(till, f"{OWN}top-up/", codeword=WORD)
    assert locked.status_code == 409
    assert "Wait a quarter of an hour" in locked.text
    db.session.rollback()
    misses = select(func.count()).where(AuditEvent.event == str(Event.CASH_CODEWORD_MISSED))
    assert db.session.scalar(misses) == MOST_MISSES
    trail = repr([(row.reason, row.before, row.after, row.keys) for row in db.session.scalars(select(AuditEvent))])
    assert "no such word" not in trail
    assert WORD not in trail
    assert post(till, f"{OWN}top-up/", who="C-999999").status_code == 422, "other ways are still open"
    assert office.day(day).last_receipt == 0


def test_many_cashiers_together_find_no_codeword_by_trying(
    office: CashOffice, till: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "MOST_MISSES_OF_ALL", 4)
    office.open(office.desk(office.cashier))
    customer(office)
    keys = current_settings().totp_keys
    others = [office.person(Role.CASHIER) for _each in range(2)]
    for actor in others * 2:
        assert treasury.find_by_codeword(actor, word="no such word", keys=keys) == []
    shut = post(till, f"{OWN}top-up/", codeword=WORD)
    assert shut.status_code == 409
    assert "Too many codewords were wrong" in shut.text


def test_patience_finds_no_codeword_either(office: CashOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "WITHIN", dt.timedelta(0))  # a quarter of an hour has passed each time
    keys = current_settings().totp_keys
    for _try in range(finding.MOST_MISSES_A_DAY):
        assert treasury.find_by_codeword(office.cashier, word="no such word", keys=keys) == []
    with pytest.raises(Conflict, match="Too many codewords"):
        treasury.find_by_codeword(office.cashier, word="no such word", keys=keys)


def test_a_word_is_only_looked_up_as_a_codeword(office: CashOffice, till: FlaskClient) -> None:
    office.open(office.desk(office.cashier))
    person = customer(office)
    assert post(till, f"{OWN}top-up/", codeword=person.external_id).status_code == 422
    assert post(till, f"{OWN}top-up/", who=WORD).status_code == 422
    assert post(till, f"{OWN}top-up/").status_code == 422


def test_only_whom_a_cashier_found_can_be_served(app: Flask, office: CashOffice, make: Make, till: FlaskClient) -> None:
    office.open(office.desk(office.cashier))
    person = customer(office)
    mine, strange = office.wallet(owner=person), office.wallet()
    page = post(till, f"{OWN}top-up/", codeword=WORD).text
    data = hidden(page) | {"amount": "1.00", "note": ""}
    assert post(till, f"{OWN}top-up/", **data, wallet=str(strange)).status_code == 422
    assert post(till, f"{OWN}top-up/", **data | {"found": data["found"] + "x"}, wallet=str(mine)).status_code == 409
    other = make.browse(Role.CASHIER)
    treasury.assign(office.accountant, db.session.scalars(select(CashDesk.id)).one(), cashier_id=other.staff_id)
    assert post(other, f"{OWN}top-up/", **data, wallet=str(mine)).status_code == 409, "who was found is one's own"
    assert post(other, f"{OWN}top-up/", **data, wallet=str(mine), confirm="1").status_code == 409
    assert office.count_of(CashOperation) == 0


@pytest.mark.parametrize("amount", ["", "0", "-1", "abc", "1.234", "99999999999999999999"])
def test_an_order_without_a_usable_amount_says_so_at_its_field(
    office: CashOffice, till: FlaskClient, amount: str
) -> None:
    office.open(office.desk(office.cashier))
    wallet = office.wallet(owner=customer(office))
    page = ordered(till, "top-up", wallet, amount)
    assert page.status_code == 422
    assert 'aria-invalid="true"' in page.text
    assert office.count_of(CashOperation) == 0


def test_what_is_above_a_limit_the_wallet_or_the_desk_is_refused(office: CashOffice, till: FlaskClient) -> None:
    shop = office.contracted("Corner", Term(TransactionType.CASH_WITHDRAWAL, "EUR", limit_single_minor=100_00))
    wallet = office.wallet(funds=90_00, owner=customer(office, organization_id=shop.id))
    office.open(office.desk(office.cashier, money={"EUR": 50_00}))
    over = ordered(till, "withdraw", wallet, "101.00")
    assert over.status_code == 409
    assert "100.00 EUR" in over.text
    assert 'name="confirm"' not in over.text
    for amount in ("95.00", "60.00"):
        page = ordered(till, "withdraw", wallet, amount)
        refused = post(till, f"{OWN}withdraw/", **hidden(page.text), confirm="1") if page.status_code == 200 else page
        assert refused.status_code in {409, 422}
        assert amount in refused.text, "what was typed is kept"
    assert office.count_of(CashOperation) == 0


def test_an_approved_request_is_paid_once(office: CashOffice, till: FlaskClient) -> None:
    desk = office.desk(office.cashier, money={"EUR": 50_00})
    office.open(desk)
    number = office.redeem(office.wallet(funds=40_00, owner=customer(office)), 30_00)
    strange = office.redeem(office.wallet(funds=40_00), 10_00)
    assert post(till, f"{OWN}redeem/", number="999999").status_code == 422
    page = post(till, f"{OWN}redeem/", codeword=WORD).text
    assert f'name="request" value="{number}"' in page
    assert f'name="request" value="{strange}"' not in page
    form = hidden(page)
    assert post(till, f"{OWN}redeem/", **form | {"request": str(strange)}).status_code == 409
    # Whoever found a customer has not found the request of the same number.
    person = hidden(post(till, f"{OWN}top-up/", codeword=WORD).text)["found"]
    for act in ({}, {"confirm": "1", "key": "form:x"}):
        forged = form | {"found": person, "request": str(number)} | act
        assert post(till, f"{OWN}redeem/", **forged).status_code == 409
    form = hidden(post(till, f"{OWN}redeem/", **form).text)
    first, second = (post(till, f"{OWN}redeem/", **form, confirm="1") for _twice in range(2))
    assert (first.status_code, first.location) == (303, second.location)
    again = post(till, f"{OWN}redeem/", **form | {"key": "form:another"}, confirm="1")
    assert again.status_code == 409
    assert "paid already" in again.text
    assert office.in_desk(desk) == {"EUR": 20_00}


@pytest.mark.parametrize(
    "typed",
    [
        {},
        {"count_EUR": "-1"},
        {"count_EUR": "1.001"},
        {"count_EUR": "many"},
        {"count_EUR": "", "pieces_EUR_500": "1.5"},
        {"count_EUR": "1.00", "pieces_EUR_500": "2"},
        {"count_EUR": "", "pieces_EUR_500": "99999999"},
    ],
)
def test_a_count_that_makes_no_sense_is_refused_and_kept(
    office: CashOffice, till: FlaskClient, typed: dict[str, str]
) -> None:
    day = office.open(office.desk(office.cashier, money={"EUR": 10_00}))
    form = hidden(till.get(f"{OWN}count/").text)
    answer = post(till, f"{OWN}count/", **form, **typed)
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    for value in filter(None, typed.values()):
        assert f'value="{value}"' in answer.text
    assert office.day(day).status is DayStatus.OPEN


def test_a_count_of_an_older_state_is_refused(office: CashOffice, till: FlaskClient) -> None:
    day = office.open(office.desk(office.cashier, money={"EUR": 10_00}))
    form = hidden(till.get(f"{OWN}count/").text)
    office.top_up(office.wallet(), 5_00)
    assert post(till, f"{OWN}count/", **form, count_EUR="10.00").status_code == 409
    assert office.day(day).status is DayStatus.OPEN


def test_nothing_is_done_in_a_day_that_was_counted(office: CashOffice, till: FlaskClient) -> None:
    wallet = office.wallet(owner=customer(office))
    day = office.open(office.desk(office.cashier, money={"EUR": 10_00}))
    page = ordered(till, "top-up", wallet, "1.00")
    office.count(day)
    for act in ("top-up", "withdraw", "redeem"):
        assert till.get(f"{OWN}{act}/").status_code == 409
    assert post(till, f"{OWN}top-up/", **hidden(page.text), confirm="1").status_code == 409
    assert office.count_of(CashOperation) == 0


def test_cashiers_see_the_own_desk_and_nothing_else(
    app: Flask, office: CashOffice, make: Make, till: FlaskClient
) -> None:
    other = make.browse(Role.CASHIER)
    mine = office.desk(office.cashier, money={"EUR": 10_00})
    strange = office.desk(code="STRANGE")
    treasury.assign(office.accountant, strange, cashier_id=other.staff_id)
    day = office.open(mine)
    row = office.top_up(office.wallet(), 12_34).id
    assert "12.34" in till.get("/cash-operations/").text
    assert till.get(f"/cash-operations/{row}/").status_code == 200
    assert till.get(f"/cash-register-day/{day}/").status_code == 200
    for address in (f"/cash-operations/{row}/", f"/cash-register-day/{day}/"):
        assert other.get(address).status_code == 404
    assert post(other, f"/cash-operations/{row}/receipt/").status_code == 404
    assert "12.34" not in other.get("/cash-operations/").text
    assert "12.34" in till.get("/cash-operations/export/csv/").get_data(as_text=True)
    assert "12.34" not in other.get("/cash-operations/export/csv/").get_data(as_text=True)
    assert "12.34" in till.get(f"/cash-operations/?desk={mine}").text
    assert other.get(f"/cash-operations/?desk={mine}").status_code == 400
    assert "No. " not in other.get("/cash-register-day/").text.partition("<tbody>")[2]
    for address in (
        "/cash-desks/",
        f"/cash-desks/{mine}/",
        f"/cash-desks/live/?ids={mine}",
        f"/cash-desks/{mine}/status/",
    ):
        assert till.get(address).status_code == 403
    for address in (
        f"/cash-register-day/{day}/close/",
        f"/cash-register-day/{day}/return/",
        f"/cash-register-day/{day}/force/",
    ):
        assert till.get(address).status_code == 403
        assert post(till, address, reason="x", version="1").status_code == 403


def test_who_only_reads_decides_nothing(office: CashOffice, browse: Browse) -> None:
    day = office.open(office.desk(office.cashier, money={"EUR": 10_00}))
    cfo = browse(Role.CFO)
    assert cfo.get(OWN).location == "/cash-register-day/"
    assert cfo.get(f"/cash-register-day/{day}/").status_code == 200
    for act in ("close", "return", "force"):
        assert cfo.get(f"/cash-register-day/{day}/{act}/").status_code == 403
    for act in ("top-up", "withdraw", "redeem", "count"):
        assert cfo.get(f"{OWN}{act}/").status_code == 403
    assert post(cfo, f"{OWN}open/").status_code == 403


def test_a_day_that_was_left_open_is_counted_and_closed_by_force(office: CashOffice, books: FlaskClient) -> None:
    desk = office.desk(office.cashier, money={"EUR": 10_00})
    day = office.open(desk)
    form = hidden(books.get(f"/cash-register-day/{day}/force/").text)
    assert post(books, f"/cash-register-day/{day}/force/", **form, count_EUR="9.00").status_code == 422
    counted = {"count_EUR": "9.00", "pieces_EUR_500": "1", "pieces_EUR_200": "2"}
    done = post(books, f"/cash-register-day/{day}/force/", **form, **counted, reason="Went home ill")
    assert done.status_code == 303
    assert office.in_desk(desk) == {"EUR": 9_00}
    closed = books.get(f"/cash-register-day/{day}/").text
    assert "Went home ill" in closed
    assert re.findall(r'below num">(\d+) . ([\d.]+)<', closed) == [("1", "5.00"), ("2", "2.00")]


def test_desks_are_set_up_assigned_locked_and_closed(office: CashOffice, books: FlaskClient) -> None:
    shop = office.make.organization()
    refused = post(books, "/cash-desks/new/", code="small case", name="Centre", organization=str(shop.id))
    assert refused.status_code == 422
    assert "Centre" in refused.text
    made = post(books, "/cash-desks/new/", code="CENTRE", name="Centre", organization=str(shop.id))
    assert made.status_code == 303
    desk = db.session.scalars(select(CashDesk.id)).one()
    name = office.cashier.name
    assert name in books.get(f"/cash-desks/cashiers/?q={name[:3]}").text
    assert post(books, f"/cash-desks/{desk}/assign/", cashier=str(office.cashier.staff_id)).status_code == 303
    again = post(books, f"/cash-desks/{desk}/assign/", cashier=str(office.cashier.staff_id))
    assert again.status_code == 409
    assert "already" in again.text
    assert name in books.get(f"/cash-desks/{desk}/").text
    assert name in books.get("/cash-desks/").text
    office.invest(desk, "EUR", 10_00)
    office.invest(desk, "JPY", 700)
    live = books.get(f"/cash-desks/live/?ids={desk}").text
    assert f'id="desk-{desk}-balances"' in live
    assert "10.00" in live
    assert "700" in live
    assert "10.00" in books.get(f"/cash-desks/{desk}/status/").text
    row = db.session.scalars(select(CashDeskAssignment.id)).one()
    other = office.desk()
    assert post(books, f"/cash-desks/{other}/end/{row}/").status_code == 404
    assert post(books, f"/cash-desks/{desk}/end/{row}/").status_code == 303
    form = hidden(books.get(f"/cash-desks/{desk}/lock/").text)
    assert post(books, f"/cash-desks/{desk}/lock/", **form, reason="Broken glass").status_code == 303
    assert office.get(CashDesk, desk).status is DeskStatus.LOCKED
    version = str(office.get(CashDesk, desk).version)
    assert post(books, f"/cash-desks/{desk}/unlock/", version=version).status_code == 303
    assert office.get(CashDesk, desk).status is DeskStatus.ACTIVE
    version = str(office.get(CashDesk, desk).version)
    post(books, f"/cash-desks/{desk}/close/", version=version)
    assert office.get(CashDesk, desk).status is DeskStatus.ACTIVE, "there is money in it"
    form = hidden(books.get(f"/cash-desks/{other}/edit/").text)
    assert post(books, f"/cash-desks/{other}/edit/", **form, name="South", organization=str(shop.id)).status_code == 303
    version = str(office.get(CashDesk, other).version)
    post(books, f"/cash-desks/{other}/close/", version=version)
    assert office.get(CashDesk, other).status is DeskStatus.CLOSED


def test_a_receipt_is_found_by_its_name_and_printed_again_as_a_copy(
    office: CashOffice, till: FlaskClient, books: FlaskClient
) -> None:
    desk = office.desk(office.cashier, code="A-1")
    day = office.open(desk)
    row = office.top_up(office.wallet(owner=customer(office)), 5_00)
    row_id = row.id
    name = f"A-1-{office.day(day).business_date:%Y%m%d}-0001"
    assert name in books.get(f"/cash-operations/?search={name}").text
    shown = books.get(f"/cash-operations/{row_id}/").text  # with what the books say, which cashiers do not see
    assert name in shown
    assert "1110:desk:A-1" in shown
    assert "1110:desk:A-1" not in till.get(f"/cash-operations/{row_id}/").text
    assert "Nothing found" in books.get("/cash-operations/?search=A-1-20200101-0001").text
    assert 'id="h-ledger"' in books.get(f"/cash-operations/{row_id}/").text
    assert 'id="h-ledger"' not in till.get(f"/cash-operations/{row_id}/").text
    original, copy = (post(till, f"/cash-operations/{row_id}/receipt/").data for _twice in range(2))
    assert original != copy
    assert post(books, f"/cash-operations/{row_id}/receipt/").status_code == 200
    assert db.session.scalar(select(func.count()).where(AuditEvent.event == str(Event.CASH_RECEIPT_PRINTED))) == 3
