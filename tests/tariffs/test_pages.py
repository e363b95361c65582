"""Contracts, cashback profiles, units and requests as people use them: forms, mistakes at their field, what pages tell."""

import datetime as dt
import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from payadmin.db import db, utcnow
from payadmin.models.approvals import ApprovalRequest
from payadmin.models.parties import Organization, OrganizationKind
from payadmin.models.payments import Unit, UnitStatus
from payadmin.models.tariffs import CashbackProfile, Contract, ContractStatus, ContractVersion
from payadmin.permissions import Role
from tests.support.approvals import Room
from tests.support.pages import post

DAY = dt.timedelta(days=1)
WRONG = 'aria-invalid="true"'


def term(place: int = 0, **values: str) -> dict[str, str]:
    """What the form of a version carries of one term: 2.5 % and 0.30 EUR of payments, paid by the payee."""
    given = {"transaction_type": "PAYMENT", "unit": "EUR", "rate_ppm": "2.5", "fixed_minor": "0.30"}
    return {f"terms-{place}-{name}": value for name, value in (given | {"charged_to": "PAYEE"} | values).items()}


def seen(client: FlaskClient, address: str) -> str:
    """The version of a record that its form carries."""
    found = re.search(r'name="(?:seen_)?version"[^>]*value="(\d+)"', client.get(address).text)
    assert found is not None, address
    return found[1]


def count(model: Any) -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(model)) or 0


@pytest.fixture
def cfo(room: Room) -> FlaskClient:
    return room.make.browse(Role.CFO)


@pytest.fixture
def specialist(room: Room) -> FlaskClient:
    return room.make.browse(Role.FINANCIAL_SPECIALIST)


@pytest.fixture
def contract(cfo: FlaskClient) -> str:
    """The address of a contract with one version in force."""
    limits = {"max_minor": "50.00", "limit_single_minor": "1000", "limit_month_minor": "9000"}
    answer = post(cfo, "/contracts/new/", code="RETAIL-1", name="Retail", note="First", **term(**limits))
    assert answer.status_code == 303, answer.text
    return str(answer.location)


# ---- contracts -------------------------------------------------------------------------------------------------------


def test_a_contract_shows_the_terms_of_the_version_in_force(cfo: FlaskClient, contract: str) -> None:
    page = cfo.get(contract).text
    for words in ("Terms of version 1", "In force", "Payment in EUR", "2.5%", "0.30 EUR", "50.00 EUR", "1,000.00 EUR",
                  "9,000.00 EUR", "First", "Nobody uses it."):  # fmt: skip
        assert words in page, words
    assert "RETAIL-1" in cfo.get("/contracts/").text


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("term=PAYMENT:EUR&amount=125.00", "2.5% of 125.00 EUR is 3.125, rounded to 3.12 EUR."),
        ("term=PAYMENT:EUR&amount=125.00", "3.42 EUR"),
        ("term=PAYMENT:EUR&amount=5000", "That is above the maximum, so it is 50.00 EUR."),
        ("term=PAYMENT:EUR&amount=5000", "It is above the limit of one transaction, 1,000.00 EUR."),
        ("term=PAYMENT:EUR&amount=", "Type an amount"),
        ("term=TRANSFER:EUR&amount=1", "Choose what is moved"),
        ("amount=1", "Choose what is moved"),
        ("term=PAYMENT:EUR&amount=1.234", "decimal"),
        ("term=PAYMENT:EUR&amount=-1", "err"),
        ("term=PAYMENT:EUR&amount=0", "err"),
    ],
)
def test_what_an_amount_would_cost_is_told_and_why(cfo: FlaskClient, contract: str, asked: str, words: str) -> None:
    assert words in cfo.get(f"{contract}preview/?version=1&{asked}").text
    whole = cfo.get(f"{contract}?version=1&{asked}").text  # without scripts
    assert words in whole
    assert "Terms of version 1" in whole


@pytest.mark.parametrize(
    "terms",
    [
        term(rate_ppm="100.01"),
        term(rate_ppm="-1"),
        term(rate_ppm="1e2"),
        term(fixed_minor="-1"),
        term(fixed_minor="0.305"),
        term(min_minor="5", max_minor="4"),
        term(limit_single_minor="-5"),
        term(limit_day_minor="0"),
        term(limit_single_minor="50", limit_day_minor="40"),
        term(unit="XXX"),
        term(transaction_type="NOTHING"),
        term(charged_to="PAYER"),
        term(rate_ppm="1") | term(1, rate_ppm="2"),
    ],
    ids=lambda terms: " ".join(value for value in terms.values() if value),
)
def test_a_term_that_makes_no_sense_is_said_at_its_field(cfo: FlaskClient, terms: dict[str, str]) -> None:
    answer = post(cfo, "/contracts/new/", code="RETAIL-1", name="Retail", **terms)
    assert (answer.status_code, WRONG in answer.text) == (422, True)
    assert count(Contract) == 0


@pytest.mark.parametrize(
    ("values", "status"),
    [({"code": "retail 1"}, 422), ({"code": ""}, 422), ({"name": " "}, 422), ({"code": "RETAIL-1"}, 409)],
)
def test_a_code_is_written_in_one_way_and_given_once(
    cfo: FlaskClient, contract: str, values: dict[str, str], status: int
) -> None:
    answer = post(cfo, "/contracts/new/", **{"code": "RETAIL-2", "name": "Retail"} | values, **term())
    assert (answer.status_code, WRONG in answer.text) == (status, True)
    assert count(Contract) == 1


def test_a_term_is_added_to_the_form_and_left_out(cfo: FlaskClient) -> None:
    more = post(cfo, "/contracts/new/", code="A-1", name="A", more="1", **term()).text
    assert "Term 2" in more
    assert 'value="2.5"' in more
    dropped = term() | term(1, rate_ppm="999") | {"terms-1-is_dropped": "y"}
    assert post(cfo, "/contracts/new/", code="A-1", name="A", **dropped).status_code == 303


def test_two_versions_stand_side_by_side(cfo: FlaskClient, contract: str) -> None:
    form = f"{contract}version/"
    assert 'value="2.5"' in cfo.get(form).text
    changed = term(rate_ppm="3") | term(1, transaction_type="TRANSFER", unit="GBP")
    assert post(cfo, form, seen_version=seen(cfo, form), **changed).status_code == 303
    page = cfo.get(f"{contract}compare/?a=1&b=2").text
    for words in ("Changed", "Added", "2.5%", "3%", "Transfer in GBP", "cell-changed"):
        assert words in page, words
    assert "Left out" in cfo.get(f"{contract}compare/?a=2&b=1").text
    assert cfo.get(f"{contract}compare/?a=1&b=9").status_code == 404
    assert cfo.get(f"{contract}compare/?a=x").status_code == 404
    assert "Terms of version 1" in cfo.get(f"{contract}?version=1").text


def test_a_form_that_is_out_of_date_says_so_and_writes_nothing(cfo: FlaskClient, contract: str) -> None:
    form = f"{contract}version/"
    old = seen(cfo, form)
    assert post(cfo, form, seen_version=old, **term(rate_ppm="3")).status_code == 303
    late = post(cfo, form, seen_version=old, **term(rate_ppm="4"))
    assert (late.status_code, "Somebody else changed this contract" in late.text) == (409, True)
    same = post(cfo, form, seen_version=seen(cfo, form), **term(rate_ppm="3"))
    assert (same.status_code, "Change something first" in same.text) == (422, True)
    assert count(ContractVersion) == 2


def test_a_version_begins_on_its_day_never_in_the_past_and_is_withdrawn_before(
    cfo: FlaskClient, contract: str
) -> None:
    form, today = f"{contract}version/", utcnow().date()
    for day in (today - 2 * DAY, today + 20 * 365 * DAY):
        late = post(cfo, form, seen_version=seen(cfo, form), valid_from=day.isoformat(), **term(rate_ppm="3"))
        assert (late.status_code, WRONG in late.text) == (422, True)
    later = (today + 5 * DAY).isoformat()
    changed = {"seen_version": seen(cfo, form), "valid_from": later}
    assert post(cfo, form, **changed, **term(rate_ppm="3")).status_code == 303
    page = cfo.get(contract).text
    assert "Not yet in force" in page
    assert "Terms of version 1" in page
    twice = {"seen_version": seen(cfo, form), "valid_from": later}
    same = post(cfo, form, **twice, **term(rate_ppm="4"))
    assert (same.status_code, "Another version begins at this moment" in same.text) == (409, True)
    post(cfo, f"{contract}withdraw/2/", version=seen(cfo, form))
    assert "Withdrawn" in cfo.get(contract).text
    post(cfo, f"{contract}withdraw/1/", version=seen(cfo, form))
    assert "This version has begun" in cfo.get(contract).text


def test_a_contract_tells_who_uses_it_and_is_closed_when_nobody_does(
    room: Room, cfo: FlaskClient, contract: str
) -> None:
    shop = room.make.organization("Corner <b>Shop</b>").id
    assert cfo.get("/contracts/organizations/?q=Corner").json[0]["id"] == shop
    assert post(cfo, f"{contract}organizations/new/", organization="999999").status_code in {404, 422}
    assert post(cfo, f"{contract}organizations/new/", organization=str(shop)).status_code == 303
    page = cfo.get(contract).text
    assert "Corner &lt;b&gt;Shop" in page
    assert "give them another one first" in page
    version = seen(cfo, f"{contract}edit/")
    post(cfo, f"{contract}status/close/", version=version)
    assert "One organization has this contract" in cfo.get(contract).text
    post(cfo, f"{contract}organizations/{shop}/remove/")
    post(cfo, f"{contract}status/close/", version=version)
    assert "Open again" in cfo.get(contract).text
    db.session.rollback()
    assert db.session.scalars(select(Contract.status)).one() is ContractStatus.CLOSED
    refused = post(cfo, f"{contract}organizations/new/", organization=str(shop))
    assert (refused.status_code, "closed" in refused.text) == (409, True)


def test_an_old_page_takes_no_other_contract_away(room: Room, cfo: FlaskClient, contract: str) -> None:
    shop = room.make.organization().id
    other = post(cfo, "/contracts/new/", code="OTHER-1", name="Other", **term()).location
    for address in (contract, other):
        assert post(cfo, f"{address}organizations/new/", organization=str(shop)).status_code == 303
    post(cfo, f"{contract}organizations/{shop}/remove/")
    assert "another contract by now" in cfo.get(contract).text
    db.session.rollback()
    kept = db.session.get_one(Organization, shop).contract_id
    assert other.rstrip("/").endswith(f"/{kept}")


def test_a_contract_is_renamed(cfo: FlaskClient, contract: str) -> None:
    form = f"{contract}edit/"
    old = seen(cfo, form)
    assert post(cfo, form, seen_version=old, name="Shops").status_code == 303
    assert "Shops" in cfo.get(contract).text
    assert post(cfo, form, seen_version=old, name="Stalls").status_code == 409


# ---- the Financial specialist and the CFO ----------------------------------------------------------------------------


def test_what_a_specialist_proposes_is_shown_to_the_cfo_as_what_is_and_what_would_be(
    cfo: FlaskClient, specialist: FlaskClient, contract: str
) -> None:
    form = f"{contract}version/"
    assert "The CFO decides; until then nothing changes." in specialist.get(form).text
    assert post(specialist, form, seen_version=seen(specialist, form), **term(rate_ppm="3.75")).status_code == 303
    assert count(ContractVersion) == 1
    listed = cfo.get("/requests/").text
    assert "New version of contract RETAIL-1" in listed
    request_id = db.session.scalars(select(ApprovalRequest.id)).one()
    shown = cfo.get(f"/requests/{request_id}/").text
    assert "2.5%" in shown
    assert "3.75%" in shown
    second = post(specialist, form, seen_version=seen(specialist, form), **term(rate_ppm="4"))
    assert (second.status_code, "decided or cancelled first" in second.text) == (409, True)


def test_the_page_of_requests_says_so_when_there_is_nothing(cfo: FlaskClient, specialist: FlaskClient) -> None:
    assert "Financial specialists have proposed nothing yet." in cfo.get("/requests/").text
    assert "Nothing to decide" in cfo.get("/requests/?queue=to-decide").text
    assert "Nothing of yours waits" in specialist.get("/requests/?queue=mine").text


@pytest.mark.parametrize("address", ["contracts", "cashback-profiles", "requests"])
def test_nobody_else_sees_tariffs(room: Room, contract: str, address: str) -> None:
    for role in (Role.ADMIN, Role.ACCOUNTANT, Role.PAYMENTS_OPERATOR, Role.PARTNER):
        assert room.make.browse(role).get(f"/{address}/").status_code == 403


# ---- cashback --------------------------------------------------------------------------------------------------------


def profile(**values: str) -> dict[str, str]:
    return {
        "name": "Spring", "unit": "EUR", "rate_ppm": "1.5", "cap_minor": "5.00", "cap_month_minor": "20",
        "funded_by": "SYSTEM", "valid_from": "2026-01-01", "valid_to": "", "is_on": "y",
    } | values  # fmt: skip


def test_a_profile_is_written_changed_and_given_to_a_merchant(room: Room, cfo: FlaskClient) -> None:
    shop, bank = room.make.organization("Corner Shop").id, room.make.organization("Bank", kind=OrganizationKind.ISSUER)
    bank_id = bank.id
    answer = post(cfo, "/cashback-profiles/new/", **profile())
    assert answer.status_code == 303, answer.text
    address = answer.location
    page = cfo.get(address).text
    for words in ("Spring", "1.5%", "5.00 EUR", "20.00 EUR", "The system", "Nobody uses it."):
        assert words in page, words
    old = seen(cfo, f"{address}edit/")
    assert post(cfo, f"{address}edit/", seen_version=old, **profile(rate_ppm="2")).status_code == 303
    late = post(cfo, f"{address}edit/", seen_version=old, **profile(rate_ppm="3"))
    assert (late.status_code, "2%" in late.text) == (409, True)
    assert post(cfo, "/cashback-profiles/new/", **profile()).status_code == 409
    assert post(cfo, f"{address}merchants/new/", organization=str(bank_id)).status_code == 422
    assert post(cfo, f"{address}merchants/new/", organization=str(shop)).status_code == 303
    assert "Corner Shop" in cfo.get(address).text
    post(cfo, f"{address}merchants/{shop}/remove/")
    assert "Nobody uses it." in cfo.get(address).text
    assert [each["id"] for each in cfo.get("/cashback-profiles/merchants/?q=Corner").json] == [shop]


@pytest.mark.parametrize(
    "values",
    [
        {"rate_ppm": "0"},
        {"rate_ppm": "100.1"},
        {"rate_ppm": ""},
        {"cap_minor": "0"},
        {"cap_minor": "-1"},
        {"cap_minor": "21"},
        {"unit": "XXX"},
        {"unit": "JPY", "cap_minor": "5.50"},
        {"valid_to": "2025-12-31"},
        {"valid_from": ""},
        {"funded_by": "NOBODY"},
        {"name": ""},
    ],
    ids=str,
)
def test_a_profile_that_makes_no_sense_is_said_at_its_field(cfo: FlaskClient, values: dict[str, str]) -> None:
    answer = post(cfo, "/cashback-profiles/new/", **profile(**values))
    assert (answer.status_code, WRONG in answer.text) == (422, True)
    assert count(CashbackProfile) == 0


def test_a_profile_that_a_specialist_proposes_waits_for_the_cfo(cfo: FlaskClient, specialist: FlaskClient) -> None:
    assert post(specialist, "/cashback-profiles/new/", **profile()).status_code == 303
    assert count(CashbackProfile) == 0
    assert "New cashback profile Spring" in cfo.get("/requests/").text


# ---- units -----------------------------------------------------------------------------------------------------------


def test_units_are_added_renamed_retired_and_used_again(room: Room) -> None:
    admin = room.make.browse(Role.ADMIN)
    made = post(admin, "/units/new/", kind="E_MONEY", code="EMONEY", name="E-euro", scale="2", reference="EUR")
    assert made.status_code == 303, made.text
    assert "Nothing is left of it" in admin.get(made.location).text
    old = seen(admin, f"{made.location}edit/")
    assert post(admin, f"{made.location}edit/", seen_version=old, name="Euro of the house").status_code == 303
    assert post(admin, f"{made.location}edit/", seen_version=old, name="Late").status_code == 409
    for act, status in (("retire", UnitStatus.RETIRED), ("restore", UnitStatus.ACTIVE)):
        post(admin, f"{made.location}status/{act}/", version=seen(admin, f"{made.location}edit/"))
        db.session.rollback()
        assert db.session.scalars(select(Unit.status).where(Unit.code == "EMONEY")).one() is status
    assert post(admin, "/units/new/", kind="FIAT", code="BHD", name="Dinar").status_code == 303
    db.session.rollback()
    assert db.session.scalars(select(Unit.scale).where(Unit.code == "BHD")).one() == 3


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"kind": "FIAT", "code": "QQQ"}, 422),
        ({"kind": "BONUS", "code": "USD", "scale": "0"}, 422),
        ({"kind": "BONUS", "code": "STARS", "scale": "9"}, 422),
        ({"kind": "BONUS", "code": "STARS", "scale": ""}, 422),
        ({"kind": "BONUS", "code": "STARS", "scale": "0", "reference": "EUR"}, 422),
        ({"kind": "", "code": "STARS", "scale": "0"}, 422),
        ({"kind": "FIAT", "code": "EUR"}, 409),
    ],
    ids=str,
)
def test_a_unit_that_makes_no_sense_is_said_at_its_field(room: Room, values: dict[str, str], status: int) -> None:
    before = count(Unit)
    answer = post(room.make.browse(Role.ADMIN), "/units/new/", name="x", **values)
    assert (answer.status_code, WRONG in answer.text) == (status, True)
    assert count(Unit) == before
