"""The pages of wallets: what they show is what the books say, and every order is shown before it is confirmed."""

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from payadmin.actions import tariffs, wallets
from payadmin.db import db
from payadmin.kernel.tariffs import ChargedTo, Term, TransactionType
from payadmin.models.approvals import ApprovalRequest
from payadmin.models.ledger import LedgerTransaction
from payadmin.models.parties import Organization
from payadmin.models.payments import UnitKind
from payadmin.models.wallets import MoveStatus, Wallet, WalletStatus, WalletTransaction
from payadmin.permissions import GRANTS, Permission, Role
from tests.support.pages import post
from tests.wallets.conftest import Purses

Browse = Callable[..., FlaskClient]
TRANSFER, EXCHANGE = TransactionType.TRANSFER, TransactionType.EXCHANGE


def hidden(page: str) -> dict[str, str]:
    """What a page's form carries."""
    return {
        name: value
        for name, value in re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page)
        if name != "csrf_token"
    }


def order(client: FlaskClient, kind: str, payer: int, payee: int, amount: str) -> str:
    """Fill an order's form; the page that asks for confirmation, or says what is wrong."""
    page = client.get(f"/wallet-transactions/{kind}/?from={payer}").text
    key = re.search(r'name="key"[^>]*value="([^"]+)"', page)
    assert key is not None
    data = {"from_wallet": str(payer), "to_wallet": str(payee), "amount": amount, "note": "", "key": key[1]}
    return post(client, f"/wallet-transactions/{kind}/", **data).text


def test_a_wallet_shows_what_the_books_say(purses: Purses, browse: Browse) -> None:
    payer, payee = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta")
    purses.contract("Alpha", Term(TRANSFER, "EUR", limit_single_minor=30_00))
    purses.transfer(payer, payee, 20_00)
    purses.transfer(payer, payee, 40_00)
    client = browse(Role.ADMIN)
    listed = client.get("/coins/").text
    assert "Alpha" in listed
    assert "80.00" in listed
    page = client.get(f"/coins/{payer}/").text
    for amount in ("40.00", "80.00", "J22 Transfer", "J25 Money set aside"):
        assert amount in page
    assert "Paid by this wallet" in page


def test_a_transfer_is_shown_before_it_is_confirmed(purses: Purses, browse: Browse) -> None:
    payer, payee = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta")
    purses.contract("Alpha", Term(TRANSFER, "EUR", 10_000, charged_to=ChargedTo.PAYER))
    client = browse(Role.ADMIN)
    page = order(client, "transfer", payer, payee, "10.00")
    assert "10.10 EUR" in page
    assert "1% of 10.00 EUR is 0.10 EUR" in page
    assert purses.count(WalletTransaction) == 0
    confirmed = hidden(page) | {"confirm": "1"}
    answer = post(client, "/wallet-transactions/transfer/", **confirmed)
    assert answer.status_code == 303
    again = post(client, "/wallet-transactions/transfer/", **confirmed)
    assert again.location == answer.location
    assert purses.amounts(payee).available_minor == 10_00
    shown = client.get(answer.location).text
    assert "J22 Transfer" in shown
    journal = re.search(r'href="(/journal/\d+/)">J22', shown)
    assert journal is not None
    assert answer.location.rstrip("/") in client.get(journal[1]).text


def test_an_exchange_tells_its_rate_before_it_is_confirmed(purses: Purses, browse: Browse) -> None:
    sold, bought = purses.wallet("Alpha", funds=100_00), purses.wallet("Alpha", "USD")
    purses.contract("Alpha", Term(EXCHANGE, "EUR", 10_000))
    purses.rate("EUR", "USD", "1.25")
    client = browse(Role.ADMIN)
    page = order(client, "exchange", sold, bought, "10.00")
    assert "One EUR costs 1.25 USD" in page
    assert "12.37 USD" in page or "12.38 USD" in page
    purses.rate("EUR", "USD", "1.5")
    refused = post(client, "/wallet-transactions/exchange/", **hidden(page), confirm="1")
    assert refused.status_code == 409
    assert "has changed" in refused.text
    assert purses.count(WalletTransaction) == 0
    page = order(client, "exchange", sold, bought, "10.00")
    assert post(client, "/wallet-transactions/exchange/", **hidden(page), confirm="1").status_code == 303
    assert purses.amounts(bought).available_minor in {14_85, 14_86}


@pytest.mark.parametrize("amount", ["", "0", "-1", "abc", "1.234", "99999999999999999999"])
def test_an_order_without_a_usable_amount_says_so_at_its_field(purses: Purses, browse: Browse, amount: str) -> None:
    payer, payee = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta")
    page = order(browse(Role.ADMIN), "transfer", payer, payee, amount)
    assert 'aria-invalid="true"' in page
    assert purses.count(WalletTransaction) == 0


@pytest.mark.parametrize("blank", ["from_wallet", "to_wallet", "amount"])
@pytest.mark.parametrize("step", [{}, {"confirm": "1", "seen_paid": "100", "seen_received": "100"}])
def test_blanks_are_no_answer_to_an_order(purses: Purses, browse: Browse, blank: str, step: dict[str, str]) -> None:
    payer, payee = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta")
    data = {"from_wallet": str(payer), "to_wallet": str(payee), "amount": "1.00", "key": "form:1"}
    answer = post(browse(Role.ADMIN), "/wallet-transactions/transfer/", **data | {blank: " "} | step)
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    assert purses.count(WalletTransaction) == 0


def test_blanks_and_a_form_without_its_token_issue_nothing(purses: Purses, browse: Browse) -> None:
    unit_id = tariffs.add_unit(purses.admin, code="POINTS", name="Points", kind=UnitKind.BONUS, scale=0)
    shop = purses.make.organization("Alpha").id
    form = {"organization": str(shop), "amount": "12", "reason": "Promotion", "key": "one"}
    client = browse(Role.ADMIN)
    for wrong in (form | {"amount": " "}, form | {"organization": " "}, {k: form[k] for k in form if k != "key"}):
        assert post(client, f"/units/{unit_id}/issue/", **wrong).status_code == 422
    assert purses.count(LedgerTransaction) == 0


def test_an_order_to_itself_or_across_units_says_so(purses: Purses, browse: Browse) -> None:
    payer, other = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta", "USD")
    client = browse(Role.ADMIN)
    assert "Both wallets are the same one." in order(client, "transfer", payer, payer, "1.00")
    assert "exchange first" in order(client, "transfer", payer, other, "1.00")
    assert "make a transfer" not in order(client, "exchange", payer, other, "1.00")


def test_more_than_is_available_cannot_be_confirmed(purses: Purses, browse: Browse) -> None:
    payer, payee = purses.wallet("Alpha", funds=1_00), purses.wallet("Beta")
    client = browse(Role.ADMIN)
    page = order(client, "transfer", payer, payee, "10.00")
    assert "Only 1.00 EUR are available" in page
    assert 'name="confirm"' not in page
    refused = post(client, "/wallet-transactions/transfer/", **hidden(page), confirm="1")
    assert refused.status_code == 409


def test_what_is_over_a_limit_says_that_it_will_wait(purses: Purses, browse: Browse) -> None:
    payer, payee = purses.wallet("Alpha", funds=100_00), purses.wallet("Beta")
    purses.contract("Alpha", Term(TRANSFER, "EUR", limit_single_minor=5_00))
    client = browse(Role.ADMIN)
    page = order(client, "transfer", payer, payee, "10.00")
    assert "limit of one of 5.00 EUR" in page
    answer = post(client, "/wallet-transactions/transfer/", **hidden(page), confirm="1")
    row_id = int(answer.location.rstrip("/").rpartition("/")[2])
    assert purses.get(WalletTransaction, row_id).status is MoveStatus.HELD
    assert "Withdraw" in client.get(answer.location).text
    fraud = browse(Role.ANTI_FRAUD)
    number = purses.application(row_id).id
    assert "Limit of one" in fraud.get("/applications/").text
    assert fraud.get(f"/applications/{number}/").status_code == 200
    withdrawn = post(client, f"/wallet-transactions/{row_id}/withdraw/", reason="Typed wrong")
    assert withdrawn.status_code == 303
    again = post(client, "/wallet-transactions/transfer/", **hidden(page), confirm="1")
    assert again.location == answer.location
    assert "the money has moved" not in client.get(again.location).text
    assert purses.amounts(payer).available_minor == 100_00


def test_a_wallet_is_opened_closed_and_opened_again(purses: Purses, browse: Browse) -> None:
    organization_id = purses.make.organization("Alpha").id
    client = browse(Role.ADMIN)
    assert client.get(f"/coins/new/?organization={organization_id}").status_code == 200
    answer = post(client, "/coins/new/", organization=str(organization_id), unit="EUR")
    assert answer.status_code == 303
    again = post(client, "/coins/new/", organization=str(organization_id), unit="EUR")
    assert again.status_code == 409
    neither = post(client, "/coins/new/", unit="EUR")
    assert neither.status_code == 422
    wallet_id = int(answer.location.rstrip("/").rpartition("/")[2])
    post(client, f"{answer.location}close/", version=str(purses.get(Wallet, wallet_id).version))
    assert purses.get(Wallet, wallet_id).status is WalletStatus.CLOSED
    assert "Open again" in client.get(answer.location).text
    post(client, f"{answer.location}open/")
    assert purses.get(Wallet, wallet_id).status is WalletStatus.OPEN


def test_an_adjustment_and_a_reversal_are_asked_for_and_not_done(purses: Purses, browse: Browse) -> None:
    wallet_id, other = purses.wallet("Alpha", funds=10_00), purses.wallet("Beta")
    row_id = purses.transfer(wallet_id, other, 1_00).id
    client = browse(Role.ADMIN)
    data = {"direction": "in", "amount": "2.00", "reason": "Counted twice", "key": "form:1"}
    assert post(client, f"/coins/{wallet_id}/adjust/", **data).status_code == 303
    assert post(client, f"/wallet-transactions/{row_id}/reverse/", reason="Wrong").status_code == 303
    db.session.rollback()
    request_id = db.session.scalars(select(ApprovalRequest.id).order_by(ApprovalRequest.id)).first()
    inbox = browse(Role.CFO).get(f"/approvals/{request_id}/")
    assert "Counted twice" in inbox.text
    titles = db.session.scalars(select(ApprovalRequest.title).order_by(ApprovalRequest.id)).all()
    number = purses.get(Wallet, wallet_id).number
    assert titles == [f"Put 2.00 EUR into wallet {number}", f"Reverse wallet transaction no. {row_id}"]
    assert purses.amounts(wallet_id).available_minor == 9_00
    assert post(client, f"/coins/{wallet_id}/adjust/", **data | {"amount": "0"}).status_code == 422


def test_an_organization_shows_its_wallets_and_its_contract_in_force(purses: Purses, browse: Browse) -> None:
    purses.wallet("Alpha", funds=77_00)
    purses.contract("Alpha", Term(TRANSFER, "EUR"))
    client = browse(Role.ADMIN)
    organization_id = db.session.scalars(select(Organization.id).where(Organization.name == "Alpha")).one()
    page = client.get(f"/organizations/{organization_id}/").text
    assert "77.00" in page
    assert "C-ALPHA" in page
    assert "Version 1" in page
    assert "Alpha" in client.get("/organizations/").text


@pytest.mark.parametrize("typed", ["W-", "Alp", "Customer", "", "x" * 300])
def test_wallets_are_looked_up_by_number_and_owner(purses: Purses, browse: Browse, typed: str) -> None:
    purses.wallet("Alpha")
    purses.wallet(purses.make.customer())
    found = browse(Role.ADMIN).get("/coins/wallets/", query_string={"q": typed}).get_json()
    assert len(found) == {"W-": 2, "Alp": 1, "Customer": 1}.get(typed, 0)


def test_names_of_customers_are_hidden_from_who_may_not_read_them(
    purses: Purses, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(GRANTS, Role.ADMIN, GRANTS[Role.ADMIN] - {Permission.PARTIES_PERSONAL_READ})
    wallet_id = purses.wallet(purses.make.customer(name="Ana Lopez"), funds=10_00)
    client = browse(Role.ADMIN)
    pages = (
        "/coins/",
        f"/coins/{wallet_id}/",
        "/coins/wallets/?q=W-",
        f"/wallet-transactions/transfer/?from={wallet_id}",
    )
    for address in (*pages, "/coins/customers/?q=C"):
        answer = client.get(address)
        assert answer.status_code == 200
        assert "Lopez" not in answer.text


def test_other_roles_see_and_move_nothing(purses: Purses, browse: Browse) -> None:
    payer = purses.wallet("Alpha", funds=10_00)
    client = browse(Role.FINANCIAL_SPECIALIST)
    for address in ("/coins/", f"/coins/{payer}/", "/wallet-transactions/", "/wallet-transactions/transfer/"):
        assert client.get(address).status_code in {403, 404}
    assert browse(Role.ADMIN).get("/applications/").status_code in {403, 404}


def test_hostile_names_and_notes_stay_text(purses: Purses, browse: Browse) -> None:
    payer, payee = purses.wallet("<script>alert(1)</script>", funds=10_00), purses.wallet("Beta")
    row = wallets.transfer(purses.admin, payer, to_id=payee, amount_minor=1, key="k", note="<img src=x onerror=1>")
    client = browse(Role.ADMIN)
    for address in ("/coins/", f"/coins/{payer}/", f"/wallet-transactions/{row.id}/"):
        page = client.get(address).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page
