"""Rates and units: in force at once, never changed, never from the future; retired only when nothing is left."""

import datetime as dt
import io
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DatabaseError

from payadmin.actions import ledger, tariffs
from payadmin.db import db, utcnow
from payadmin.kernel.errors import Conflict, Forbidden, Invalid, NotFound
from payadmin.kernel.rates import DayRates, published_at, read_office
from payadmin.models.approvals import ApprovalRequest
from payadmin.models.parties import OrganizationKind
from payadmin.models.payments import Unit, UnitKind, UnitStatus
from payadmin.models.tariffs import ExchangeRate
from payadmin.permissions import Role
from payadmin.queries.tariffs import quoted
from payadmin.work import SYSTEM, Actor
from tests.support.approvals import Room
from tests.support.desk import Desk
from tests.support.pages import post

DAY = dt.timedelta(days=1)
FRIDAY, SATURDAY, MONDAY = dt.date(2026, 10, 23), dt.date(2026, 10, 24), dt.date(2026, 10, 26)


@pytest.fixture
def specialist(room: Room) -> Actor:
    return room.person(Role.FINANCIAL_SPECIALIST)


def add(actor: Actor, rate: str = "1.0842", **values: object) -> ExchangeRate:
    given = {"base": "EUR", "quote": "USD", "rate": Decimal(rate)} | values
    found: ExchangeRate = tariffs.add_rate(actor, **given)
    return found


def rate_at(base: str, quote: str, at: dt.datetime | None = None, **whose: int) -> Fraction | None:
    db.session.rollback()
    found = quoted(db.session(), base, quote, at or utcnow(), **whose)
    return found.rate if found is not None else None


def test_a_specialists_rate_is_in_force_at_once_and_nobody_has_to_approve(specialist: Actor) -> None:
    add(specialist)
    assert rate_at("EUR", "USD") == Fraction("1.0842")
    assert db.session.query(ApprovalRequest).count() == 0
    add(specialist, "1.09")
    assert rate_at("EUR", "USD") == Fraction("1.09")
    assert db.session.query(ExchangeRate).count() == 2


def test_bad_rates_are_refused(specialist: Actor) -> None:
    for values in (
        {"rate": Decimal(0)},
        {"rate": Decimal(-1)},
        {"valid_from": utcnow() + DAY},
        {"quote": "EUR"},
        {"quote": "XXX"},
    ):
        with pytest.raises(Invalid):
            add(specialist, **values)
    assert db.session.query(ExchangeRate).count() == 0


def test_a_rate_a_thousand_times_the_last_is_asked_about(specialist: Actor) -> None:
    add(specialist)
    with pytest.raises(Conflict) as caught:
        add(specialist, "1084.2")
    assert caught.value.data["ask"] == "1.0842"
    assert rate_at("EUR", "USD") == Fraction("1.0842")
    add(specialist, "1084.2", is_sure=True)
    assert rate_at("EUR", "USD") == Fraction("1084.2")


def test_the_pair_is_turned_round_or_goes_through_the_euro(specialist: Actor) -> None:
    add(specialist, "1.25")
    add(specialist, "0.8", quote="GBP")
    assert rate_at("USD", "EUR") == Fraction("0.8")
    assert rate_at("USD", "GBP") == Fraction("0.64")
    assert rate_at("GBP", "GBP") == 1
    assert rate_at("USD", "JPY") is None


def test_an_offices_rates_are_its_own(room: Room, specialist: Actor) -> None:
    office = room.make.organization("Exchange Ltd", kind=OrganizationKind.EXCHANGE_OFFICE)
    add(specialist, "1.10")
    add(specialist, "1.07", office_id=office.id)
    assert rate_at("EUR", "USD") == Fraction("1.10")
    assert rate_at("EUR", "USD", office_id=office.id) == Fraction("1.07")
    with pytest.raises(Invalid):
        add(specialist, "1.07", office_id=room.make.organization("Shop").id)


def test_the_ecbs_days_are_added_once_and_the_last_earlier_day_counts(specialist: Actor) -> None:
    days = [
        DayRates(FRIDAY, {"USD": Decimal("1.08"), "CYP": Decimal("0.5")}),
        DayRates(MONDAY, {"USD": Decimal("1.09"), "JPY": Decimal(163)}),
    ]
    found = tariffs.import_ecb(specialist, days=days, sha256="0" * 64)
    assert (found.added, found.known, found.unknown) == (3, 0, ("CYP",))
    assert rate_at("EUR", "USD", published_at(SATURDAY)) == Fraction("1.08")
    assert rate_at("EUR", "USD", published_at(FRIDAY) - dt.timedelta(seconds=1)) is None
    assert rate_at("EUR", "USD", published_at(MONDAY)) == Fraction("1.09")
    again = tariffs.import_ecb(specialist, days=days, sha256="0" * 64)
    assert (again.added, again.known) == (0, 3)
    other = tariffs.import_ecb(specialist, days=[DayRates(FRIDAY, {"USD": Decimal(2)})], sha256="1" * 64)
    assert other.different == ("2026-10-23 USD",)
    assert rate_at("EUR", "USD", published_at(FRIDAY)) == Fraction("1.08")


def test_an_offices_file_is_added_once_and_never_changed(room: Room, specialist: Actor) -> None:
    room.make.organization("Exchange Ltd", kind=OrganizationKind.EXCHANGE_OFFICE)
    lines = "base,quote,rate,valid_from\nEUR,USD,1.07,2026-10-23T09:00\nEUR,GBP,0.85,2026-10-23T09:00+00:00\n"
    rates = list(read_office(lines, ZoneInfo("Europe/Berlin")))
    given = {"office": "Exchange Ltd", "sha256": "0" * 64}
    assert tariffs.import_office_rates(specialist, rates=rates, **given) == 2
    assert tariffs.import_office_rates(specialist, rates=rates, **given) == 0
    other = [replace(rates[0], rate=Decimal(2))]
    with pytest.raises(Conflict, match="another rate is kept"):
        tariffs.import_office_rates(specialist, rates=other, **given)
    with pytest.raises(NotFound):
        tariffs.import_office_rates(specialist, office="Nobody", rates=rates, sha256="0" * 64)
    late = [replace(rates[0], valid_from=utcnow() + DAY)]
    with pytest.raises(Invalid, match="future"):
        tariffs.import_office_rates(specialist, rates=late, **given)


def test_a_file_with_a_day_of_the_future_adds_nothing(specialist: Actor) -> None:
    days = [DayRates(FRIDAY, {"USD": Decimal(1)}), DayRates(utcnow().date() + 3 * DAY, {"USD": Decimal(1)})]
    with pytest.raises(Invalid, match="future"):
        tariffs.import_ecb(specialist, days=days, sha256="0" * 64)
    assert db.session.scalar(select(func.count()).select_from(ExchangeRate)) == 0


def test_a_file_with_a_rate_that_begins_later_today_or_tomorrow_adds_nothing(
    specialist: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from payadmin import work

    noon = dt.datetime(2026, 10, 26, 11, tzinfo=dt.UTC)  # Monday in Frankfurt, three hours before the ECB publishes
    monkeypatch.setattr(work, "utcnow", lambda: noon)
    for day in (MONDAY, MONDAY + DAY):
        with pytest.raises(Invalid, match="begin at 16:00 in Frankfurt"):
            tariffs.import_ecb(specialist, days=[DayRates(day, {"USD": Decimal(1)})], sha256="0" * 64)
    assert tariffs.import_ecb(specialist, days=[DayRates(FRIDAY, {"USD": Decimal(1)})], sha256="0" * 64).added == 1


def test_rates_of_a_file_that_are_far_from_the_ones_before_are_asked_about(room: Room, specialist: Actor) -> None:
    given = {"sha256": "0" * 64}
    tariffs.import_ecb(specialist, days=[DayRates(FRIDAY, {"USD": Decimal("1.08")})], **given)
    slip = [DayRates(MONDAY, {"USD": Decimal(1084), "JPY": Decimal(163)})]
    inside = [DayRates(FRIDAY, {"GBP": Decimal("0.8")}), DayRates(MONDAY, {"GBP": Decimal("800")})]
    for days in (slip, inside):
        with pytest.raises(Conflict, match="far from the ones before") as caught:
            tariffs.import_ecb(specialist, days=days, **given)
        assert caught.value.data["ask"].startswith("2026-10-26")
    assert db.session.query(ExchangeRate).count() == 1
    assert tariffs.import_ecb(specialist, days=slip, is_sure=True, **given).added == 2
    room.make.organization("Exchange Ltd", kind=OrganizationKind.EXCHANGE_OFFICE)
    text = "base,quote,rate,valid_from\nEUR,USD,1070,2026-10-24T09:00\nEUR,USD,1.07,2026-10-23T09:00\n"
    rates = list(read_office(text, ZoneInfo("Europe/Berlin")))
    with pytest.raises(Conflict, match="EUR/USD 1070"):
        tariffs.import_office_rates(specialist, office="Exchange Ltd", rates=rates, **given)
    assert tariffs.import_office_rates(specialist, office="Exchange Ltd", rates=rates, is_sure=True, **given) == 2


def test_files_of_the_ecb_and_of_offices_are_imported_on_the_page(room: Room) -> None:
    room.make.organization("Exchange <b>Ltd</b>", kind=OrganizationKind.EXCHANGE_OFFICE)
    client = room.make.browse(Role.FINANCIAL_SPECIALIST)
    assert "Exchange &lt;b&gt;Ltd" in client.get("/exchange-rates/import/").text

    def send(text: str, **data: str) -> Any:
        file = (io.BytesIO(text.encode()), "rates.csv")
        return post(client, "/exchange-rates/import/", file=file, **data)

    assert "1 rate added" in send("Date,USD,\n2026-10-23,1.08,\n").text
    lines = "base,quote,rate,valid_from\nEUR,USD,{rate},{day}T09:00\n"
    office = {"office": "Exchange <b>Ltd</b>"}
    assert "1 rate added" in send(lines.format(rate="1.07", day="2026-10-23"), **office).text
    assert "1 rate was known" in send(lines.format(rate="1.07", day="2026-10-23"), **office).text
    far = send(lines.format(rate="1070", day="2026-10-24"), **office)
    assert (far.status_code, "EUR/USD 1070" in far.text, 'name="is_sure"' in far.text) == (409, True, True)
    assert send(lines.format(rate="1070", day="2026-10-24"), is_sure="y", **office).status_code == 200
    assert send(lines.format(rate="1", day="2026-10-24"), office="Nobody").status_code == 422
    assert send("Date,USD,\n2026-10-23,1.08,\n", **office).status_code == 422
    assert send("").status_code == 422
    listed = client.get("/exchange-rates/").text
    assert "Exchange &lt;b&gt;Ltd" in listed
    assert "1070" in listed


def test_a_rate_is_entered_on_its_page_asked_about_and_in_force(room: Room) -> None:
    client = room.make.browse(Role.FINANCIAL_SPECIALIST)
    form = {"base": "EUR", "quote": "USD", "rate": "1.0842", "valid_from": "", "note": ""}
    assert post(client, "/exchange-rates/new/", **form).status_code == 303
    far = post(client, "/exchange-rates/new/", **form | {"rate": "1084.2"})
    assert (far.status_code, "far from this one" in far.text) == (409, True)
    assert post(client, "/exchange-rates/new/", **form | {"rate": "1084.2", "is_sure": "y"}).status_code == 303
    assert post(client, "/exchange-rates/new/", **form | {"rate": "0"}).status_code == 422
    late = (utcnow() + 2 * DAY).strftime("%Y-%m-%dT%H:%M")
    assert post(client, "/exchange-rates/new/", **form | {"valid_from": late}).status_code == 422
    assert rate_at("EUR", "USD") == Fraction("1084.2")
    assert "1,084.20 USD" in client.get("/exchange-rates/pair/?base=EUR&quote=USD&amount=1").text


def test_customers_and_merchants_never_see_rates(room: Room) -> None:
    for role in (Role.PARTNER, Role.ISSUER, Role.PAYMENTS_OPERATOR, Role.SUPPORT_MANAGER):
        client = room.make.browse(role)
        for path in ("", "pair/", "new/", "import/"):
            assert client.get(f"/exchange-rates/{path}").status_code == 403


def test_only_the_cfo_and_specialists_touch_rates(room: Room) -> None:
    for role in set(Role) - {Role.CFO, Role.FINANCIAL_SPECIALIST}:
        with pytest.raises(Forbidden):
            add(room.person(role))


def test_the_database_refuses_to_change_a_rate(specialist: Actor) -> None:
    add(specialist)
    for statement in ("UPDATE exchange_rate SET rate = '2'", "DELETE FROM exchange_rate"):
        with pytest.raises(DatabaseError, match="never changed"):
            db.session.execute(text(statement))
        db.session.rollback()
    assert rate_at("EUR", "USD") == Fraction("1.0842")


# --- units ------------------------------------------------------------------------------------------------------------


def unit(code: str) -> Unit:
    db.session.rollback()
    return db.session.query(Unit).filter_by(code=code).one()


def test_a_currency_has_the_decimals_of_iso_and_others_choose(room: Room) -> None:
    admin = room.person(Role.ADMIN)
    tariffs.add_unit(admin, code="bhd", name="Bahraini dinar", kind=UnitKind.FIAT, scale=7)
    tariffs.add_unit(admin, code="POINTS", name="Points", kind=UnitKind.BONUS, scale=0)
    tariffs.add_unit(admin, code="EMONEY", name="E-euro", kind=UnitKind.E_MONEY, scale=2, reference="EUR")
    assert [unit(code).scale for code in ("BHD", "POINTS", "EMONEY")] == [3, 0, 2]
    for values, field in (
        ({"code": "QQQ", "kind": UnitKind.FIAT}, "code"),
        ({"code": "USD", "kind": UnitKind.BONUS, "scale": 0}, "code"),
        ({"code": "STARS", "kind": UnitKind.BONUS, "scale": 9}, "scale"),
        ({"code": "STARS", "kind": UnitKind.BONUS, "scale": 0, "reference": "EUR"}, "reference"),
    ):
        with pytest.raises(Invalid) as caught:
            tariffs.add_unit(admin, name="x", **values)
        assert caught.value.field == field
    with pytest.raises(Conflict):
        tariffs.add_unit(admin, code="POINTS", name="x", kind=UnitKind.BONUS, scale=0)


def test_a_unit_without_balances_is_retired_and_used_again(room: Room, specialist: Actor) -> None:
    admin = room.person(Role.ADMIN)
    pound = unit("GBP")
    tariffs.set_unit_status(admin, pound.id, is_active=False, version=pound.version)
    assert unit("GBP").status is UnitStatus.RETIRED
    with pytest.raises(Invalid):
        add(specialist, quote="GBP")
    with pytest.raises(Conflict):
        tariffs.set_unit_status(admin, pound.id, is_active=False, version=unit("GBP").version)
    tariffs.set_unit_status(admin, pound.id, is_active=True, version=unit("GBP").version)
    tariffs.rename_unit(admin, pound.id, name="Pound", version=unit("GBP").version)
    assert (unit("GBP").status, unit("GBP").name) == (UnitStatus.ACTIVE, "Pound")


def test_a_unit_with_a_balance_or_that_something_stands_for_is_not_retired(room: Room, desk: Desk) -> None:
    admin = room.person(Role.ADMIN)
    tariffs.add_unit(admin, code="EDOLLAR", name="x", kind=UnitKind.E_MONEY, scale=2, reference="USD")
    dollar = unit("USD")
    with pytest.raises(Conflict, match="EDOLLAR stands for it"):
        tariffs.set_unit_status(admin, dollar.id, is_active=False, version=dollar.version)
    desk.paid()

    ledger.book_recorded(SYSTEM, after_id=0)
    euro = unit("EUR")
    with pytest.raises(Conflict, match="Accounts have a balance"):
        tariffs.set_unit_status(admin, euro.id, is_active=False, version=euro.version)
    assert unit("EUR").status is UnitStatus.ACTIVE
