"""The pages of redeem requests: the queue, the form, the decision, and who sees what."""

import re
from collections.abc import Callable
from html import unescape

import pytest
from flask.testing import FlaskClient

from payadmin.kernel.tariffs import ChargedTo, Term, TransactionType
from payadmin.models.parties import CustomerStatus, IdentificationStatus
from payadmin.models.redeem import RedeemRequest, RedeemStatus
from payadmin.permissions import Role
from tests.redeem.conftest import BANK, IBAN, Redeeming
from tests.support.pages import post

Browse = Callable[..., FlaskClient]
NEW = "/redeem-requests/new/"


def hidden(page: str) -> dict[str, str]:
    """What a page's form carries."""
    return {
        name: value
        for name, value in re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"', page)
        if name != "csrf_token"
    }


def filled(client: FlaskClient, wallet_id: int, /, **more: str) -> dict[str, str]:
    """The form, filled in."""
    key = re.search(r'name="key"[^>]*value="([^"]+)"', client.get(NEW).text)
    assert key is not None
    form = {"wallet": str(wallet_id), "amount": "10.00", "channel": "CASH_DESK", "note": "", "key": key[1]}
    return form | {"holder_name": "", "account": "", "bank_code": ""} | more


def version_in(page: str) -> str:
    found = re.search(r'name="version"[^>]*value="(\d+)"', page)
    assert found is not None
    return found[1]


def test_a_request_is_shown_before_it_is_entered_and_entered_once(room: Redeeming, browse: Browse) -> None:
    wallet = room.customer(100_00, of="Alpha")
    room.contract("Alpha", Term(TransactionType.BANK_WITHDRAWAL, "EUR", 10_000, charged_to=ChargedTo.PAYER))
    client = browse(Role.ACCOUNTANT)
    form = filled(client, wallet, channel="BANK_TRANSFER", holder_name="Ada Lovelace", account=IBAN.lower())
    page = post(client, NEW, **form).text
    assert "10.10 EUR" in page
    assert "1% of 10.00 EUR is 0.10 EUR" in page
    assert IBAN in page
    assert room.count(RedeemRequest) == 0
    confirmed = hidden(page) | {"confirm": "1"}
    answer = post(client, NEW, **confirmed)
    assert answer.status_code == 303
    assert post(client, NEW, **confirmed).location == answer.location
    assert room.count(RedeemRequest) == 1
    shown = client.get(answer.location).text
    assert "DE••• 3000" in shown
    assert "Lovelace" not in shown, "accountants see names masked"
    assert "J18 Redeem submitted" in shown
    assert "10.10 EUR are set aside" in shown


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"amount": "0"}, "more than zero"),
        ({"amount": "x"}, "aria-invalid"),
        ({"amount": "100.01"}, "There is not enough money in the wallet"),
        ({"wallet": ""}, "Choose one."),
        ({"wallet": "99999"}, "Choose one"),
        ({"channel": "PIGEON"}, "aria-invalid"),
        ({"channel": "BANK_TRANSFER", "holder_name": "Ada", "account": "DE11 1111"}, "This is no IBAN"),
        ({"channel": "BANK_TRANSFER", "account": IBAN}, "Write the name of the account"),
        ({"channel": "BANK_TRANSFER", "account": IBAN, "holder_name": "夏目漱石"}, "No bank can write this name"),
    ],
)
def test_what_is_wrong_stands_at_its_field_and_nothing_is_entered(
    room: Redeeming, browse: Browse, more: dict[str, str], sentence: str
) -> None:
    wallet = room.customer(100_00)
    client = browse(Role.CASHIER)
    form = filled(client, wallet, **more)
    page = post(client, NEW, **form).text
    assert sentence in page
    if "not enough" not in sentence:
        assert "confirm" not in hidden(page)
    post(client, NEW, **form, confirm="1", seen_whole="1000", seen_amount="1000")
    assert room.count(RedeemRequest) == 0


def test_above_a_limit_the_form_says_by_how_much(room: Redeeming, browse: Browse) -> None:
    wallet = room.customer(100_00, of="Alpha")
    room.contract("Alpha", Term(TransactionType.CASH_WITHDRAWAL, "EUR", limit_single_minor=5_00))
    client = browse(Role.CASHIER)
    answer = post(client, NEW, **filled(client, wallet))
    assert answer.status_code == 409
    assert "above the limit of one, 5.00 EUR, by 5.00 EUR" in answer.text


def test_the_queue_comes_first_and_the_oldest_on_top(room: Redeeming, browse: Browse) -> None:
    wallet = room.customer(100_00)
    numbers = [room.submit(wallet, 1_00) for _each in range(3)]
    room.approve(numbers[1])
    client = browse(Role.ACCOUNTANT)
    page = client.get("/redeem-requests/", follow_redirects=True).text
    assert re.findall(r'href="/redeem-requests/(\d+)/"', page)[0] == str(numbers[0])
    assert f'href="/redeem-requests/{numbers[1]}/"' not in page
    everything = client.get("/redeem-requests/?sort=-created_at").text
    assert re.findall(r'href="/redeem-requests/(\d+)/"', everything)[0] == str(numbers[2])


def test_the_list_is_filtered_by_customer_and_exported_masked(room: Redeeming, browse: Browse) -> None:
    first, second = room.customer(100_00, name="Ada Lovelace"), room.customer(100_00, name="Grace Hopper")
    room.submit(first, 1_00, BANK), room.submit(second, 2_00)
    from payadmin.models.wallets import Wallet

    customer = room.get(Wallet, first).customer_id
    client = browse(Role.ACCOUNTANT)
    page = client.get(f"/redeem-requests/?customer={customer}").text
    assert "A••• L•••" in page
    assert "G••• H•••" not in page
    file = client.get("/redeem-requests/export/csv/?sort=-created_at").text
    assert "A••• L•••" in file
    assert "Lovelace" not in file
    assert "0532" not in file


def test_a_request_is_approved_and_cancelled_on_pages_of_their_own(room: Redeeming, browse: Browse) -> None:
    wallet = room.customer(100_00)
    number = room.submit(wallet, 10_00)
    client = browse(Role.ACCOUNTANT)
    address = f"/redeem-requests/{number}/"
    version = version_in(client.get(f"{address}approve/").text)
    assert post(client, f"{address}approve/", version=version).status_code == 303
    assert room.row(number).status is RedeemStatus.APPROVED
    assert post(client, f"{address}approve/", version=version).status_code == 303, "the same yes, sent twice"
    version = version_in(client.get(f"{address}cancel/").text)
    assert post(client, f"{address}cancel/", version=version, reason=" ").status_code == 422
    assert post(client, f"{address}cancel/", version="1", reason="No").status_code == 409
    assert post(client, f"{address}cancel/", version=version, reason="No").status_code == 303
    assert room.amounts(wallet).available_minor == 100_00
    page = client.get(address).text
    assert "J21 Redeem cancelled" in page
    assert "cancelled already" in page


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"status": CustomerStatus.BLOCKED}, "blocked"),
        ({"identification": IdentificationStatus.UNIDENTIFIED}, "not identified"),
    ],
)
def test_the_page_tells_why_a_request_cannot_be_approved(
    room: Redeeming, browse: Browse, columns: dict[str, object], sentence: str
) -> None:
    wallet = room.customer(100_00)
    number = room.submit(wallet, 10_00)
    room.put(wallet, **columns)
    client = browse(Role.ACCOUNTANT)
    page = client.get(f"/redeem-requests/{number}/").text
    assert re.search(rf'aria-disabled="true"[^>]*title="[^"]*{sentence}', page)
    answer = client.get(f"/redeem-requests/{number}/approve/").text
    assert sentence in answer
    assert post(client, f"/redeem-requests/{number}/approve/", version="1").status_code == 409
    assert room.row(number).status is RedeemStatus.SUBMITTED


def test_whoever_entered_it_is_told_that_somebody_else_approves(room: Redeeming, browse: Browse) -> None:
    wallet = room.customer(100_00)
    client = browse(Role.ACCOUNTANT)
    page = post(client, NEW, **filled(client, wallet)).text
    address = post(client, NEW, **hidden(page), confirm="1").location
    assert "Somebody else has to approve it" in client.get(address).text
    assert post(client, f"{address}approve/", version="1").status_code == 403


def test_the_account_is_shown_once_for_a_reason(room: Redeeming, browse: Browse) -> None:
    number = room.submit(room.customer(100_00), 1_00, BANK)
    client = browse(Role.ACCOUNTANT)
    address = f"/redeem-requests/{number}/account/"
    assert IBAN not in client.get(address).text
    assert post(client, address, reason="").status_code == 422
    answer = post(client, address, reason="Complaint or dispute")
    assert IBAN in answer.text
    assert "no-store" in answer.headers["Cache-Control"]
    assert browse(Role.CASHIER).get(address).status_code in {403, 404}


def test_a_cashier_sees_only_what_they_entered(room: Redeeming, browse: Browse) -> None:
    wallet = room.customer(100_00)
    other = room.submit(wallet, 1_00)
    client = browse(Role.CASHIER)
    page = post(client, NEW, **filled(client, wallet)).text
    own = post(client, NEW, **hidden(page), confirm="1").location
    assert client.get(own).status_code == 200
    assert client.get(f"/redeem-requests/{other}/").status_code == 404
    listed = client.get("/redeem-requests/?sort=-created_at").text
    assert own in listed
    assert f'href="/redeem-requests/{other}/"' not in listed
    for address in (f"{own}approve/", f"{own}cancel/", f"{own}account/", "/redeem-requests/export/csv/"):
        assert client.get(address).status_code == 403
    assert f'href="/redeem-requests/{other}/"' not in client.get(f"/search/?q=R-{other}").text


def test_the_search_over_everything_finds_a_request_by_its_number(room: Redeeming, browse: Browse) -> None:
    number = room.submit(room.customer(100_00), 1_00)
    client = browse(Role.ACCOUNTANT)
    for term in (f"R-{number}", f"r-{number:06d}", str(number)):
        assert f'href="/redeem-requests/{number}/"' in client.get(f"/search/?q={term}").text
    assert f'href="/redeem-requests/{number}/"' not in client.get(f"/search/?q=R-{number}0").text


@pytest.mark.parametrize("typed", ["phone", "email", "external_id", "number"])
def test_the_picker_finds_wallets_by_what_the_customer_says(room: Redeeming, browse: Browse, typed: str) -> None:
    from payadmin.models.parties import Customer
    from payadmin.models.wallets import Wallet

    wallet = room.customer(100_00, phone="+4915112345678", email="ada@example.com", name="Ada Lovelace")
    room.wallet("Alpha")
    row = room.get(Wallet, wallet)
    said = row.number if typed == "number" else getattr(room.get(Customer, row.customer_id), typed)
    client = browse(Role.CASHIER)
    found = client.get("/redeem-requests/wallets/", query_string={"q": said}).json
    assert [each["id"] for each in found] == [wallet]
    assert "A••• L•••" in found[0]["text"]
    assert client.get("/redeem-requests/wallets/", query_string={"q": said[:-2]}).json in ([], found)
    assert client.get("/redeem-requests/wallets/", query_string={"q": "Ada L"}).json == []


@pytest.mark.parametrize("role", [Role.ADMIN, Role.CFO, Role.ANTI_FRAUD, Role.SUPPORT_AGENT, Role.COMPLIANCE])
def test_others_have_no_redeem_requests(room: Redeeming, browse: Browse, role: Role) -> None:
    number = room.submit(room.customer(100_00), 1_00)
    client = browse(role)
    for address in ("/redeem-requests/", f"/redeem-requests/{number}/", NEW):
        assert client.get(address).status_code == 403


def test_the_confirmation_carries_on_everything_that_was_filled_in_and_what_it_shows(
    room: Redeeming, browse: Browse
) -> None:
    wallet = room.customer(100_00)
    client = browse(Role.ACCOUNTANT)
    form = filled(client, wallet, channel="BANK_TRANSFER", holder_name='"O\'Hara"', account=IBAN, bank_code="COBADEFF")
    page = post(client, NEW, **form | {"note": "by <hand>"}).text
    carried = {name: unescape(value) for name, value in hidden(page).items()}
    wanted = form | {"note": "by <hand>", "seen_whole": "1000", "seen_amount": "1000"}
    assert {name: carried.get(name) for name in wanted} == wanted


def test_only_whoever_decides_sees_what_is_available(room: Redeeming, browse: Browse) -> None:
    wallet = room.customer(123_45)
    for role, sees in ((Role.ACCOUNTANT, True), (Role.CASHIER, False)):
        client = browse(role)
        for amount in ("10.00", "500.00"):
            page = post(client, NEW, **filled(client, wallet, amount=amount)).text
            assert ("123.45" in page, "Available now" in page) == (sees, sees), (role, amount)
        seen = {"seen_whole": "50000", "seen_amount": "50000"}
        refused = post(client, NEW, **filled(client, wallet, amount="500.00"), **seen, confirm="1")
        assert (refused.status_code, "123.45" in refused.text) == (409, sees)
    assert room.count(RedeemRequest) == 0
