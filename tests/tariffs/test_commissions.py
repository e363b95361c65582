"""Commissions and cashback, as the tables that a CFO can read say; pure, so on no database."""

import csv
import itertools
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from payadmin.kernel.errors import Invalid
from payadmin.kernel.money import decimal_text
from payadmin.kernel.rates import (
    MOST_OFFICE_ROWS,
    convert,
    is_doubtful,
    parse_rate,
    rate_text,
    read_ecb,
    read_office,
)
from payadmin.kernel.tariffs import (
    WHOLE_PPM,
    Bound,
    Cashback,
    ChargedTo,
    Term,
    TransactionType,
    cashback,
    check_terms,
    commission,
    differences,
    parse_percent,
    percent_text,
    returned,
    taken_back,
    told,
)

pytestmark = pytest.mark.once

GOLDEN = Path(__file__).parent / "golden"
SCALES = {"EUR": 2, "JPY": 0, "KWD": 3}
K = TransactionType


def rows(name: str) -> list[dict[str, str]]:
    with (GOLDEN / name).open() as file:
        return list(csv.DictReader(file))


def minor(text: str, scale: int) -> int:
    return int(Decimal(text).scaleb(scale))


def maybe(text: str, scale: int) -> int | None:
    return minor(text, scale) if text else None


@pytest.mark.parametrize("row", rows("commissions.csv"), ids=lambda row: " ".join(row.values()))
def test_a_commission_is_what_the_table_says(row: dict[str, str]) -> None:
    scale = SCALES[row["Currency"]]
    term = Term(
        K.PAYMENT,
        row["Currency"],
        rate_ppm=parse_percent(row["Percentage"] or "0"),
        fixed_minor=minor(row["Fixed"] or "0", scale),
        min_minor=maybe(row["Minimum"], scale),
        max_minor=maybe(row["Maximum"], scale),
        charged_to=ChargedTo(row["Paid by"]),
    )
    found = commission(term, minor(row["Amount"], scale))
    said = [decimal_text(each, scale) for each in (found.minor, found.payer_minor, found.payee_minor)]
    assert said == [row["Commission"], row["Payer pays"], row["Payee gets"]]
    assert (found.exact != found.rounded_minor) == ("is rounded" in row["Why"])
    assert told(term, found, scale)


@pytest.mark.parametrize("row", rows("cashback.csv"), ids=lambda row: " ".join(row.values()))
def test_cashback_is_what_the_table_says(row: dict[str, str]) -> None:
    scale = SCALES[row["Currency"]]
    profile = Cashback(
        row["Currency"],
        parse_percent(row["Percentage"]),
        cap_minor=maybe(row["Cap of a payment"], scale),
        cap_month_minor=maybe(row["Cap of a month"], scale),
    )
    given = minor(row["Given this month"] or "0", scale)
    found = cashback(profile, unit=row["Paid in"], paid_minor=minor(row["Paid"], scale), given_minor=given)
    assert decimal_text(found, scale) == row["Cashback"]


def test_the_tables_have_every_scale_payer_and_bound() -> None:
    found = rows("commissions.csv")
    assert len(found) >= 60
    assert {(row["Currency"], row["Paid by"]) for row in found} == set(
        itertools.product(SCALES, [each.value for each in ChargedTo])
    )
    for reason in ("plain", "rounded", "minimum", "maximum", "never more"):
        assert any(reason in row["Why"] for row in found), reason


def test_no_money_is_made_or_lost_whatever_the_term() -> None:
    amounts = (1, 2, 3, 99, 12_345, 10**12 + 7)
    parts = itertools.product((0, 1, 33_333, 999_999, WHOLE_PPM), (0, 30), (None, 50), (None, 100), ChargedTo)
    for (ppm, fixed, least, most, payer), amount in itertools.product(parts, amounts):
        term = Term(K.TRANSFER, "EUR", ppm, fixed, least, most, payer)
        found = commission(term, amount)
        assert found.payer_minor - found.payee_minor == found.minor >= 0
        assert found.payee_minor >= 0
        assert most is None or found.minor <= most
        assert abs(Fraction(amount * ppm, WHOLE_PPM) - found.rounded_minor) <= Fraction(1, 2)


def test_what_a_commission_came_to_is_told_step_by_step() -> None:
    term = Term(K.PAYMENT, "EUR", 25_000, 30, 100, 300)
    found = commission(term, 125_00)
    assert found.bound is Bound.MAXIMUM
    assert [str(step) for step in told(term, found, 2)] == [
        "2.5% of 125.00 EUR is 3.125, rounded to 3.12 EUR.",
        "With the fixed part of 0.30 EUR it is 3.42 EUR.",
        "That is above the maximum, so it is 3.00 EUR.",
        "The payee pays it: 125.00 EUR leave the payer, 122.00 EUR reach the payee.",
    ]


PARTS = ((10_000,), (3_333, 3_333, 3_334), (1, 9_999), (2_500,) * 4)


def test_a_total_refund_in_parts_takes_back_all_of_the_cashback_and_never_more() -> None:
    for parts in PARTS:
        before, back = 0, 0
        for part in parts:
            back += taken_back(347, amount_minor=10_000, refunded_minor=before, refund_minor=part)
            before += part
            assert back <= 347 * before / 10_000
        assert back == 347


def test_a_refund_gives_back_its_share_of_the_commission_rounded_down() -> None:
    for parts in PARTS:
        back = [returned(347, amount_minor=10_000, refund_minor=part) for part in parts]
        assert 347 - len(parts) < sum(back) <= 347


@pytest.mark.parametrize(("typed", "ppm"), [("2.5", 25_000), ("2.5%", 25_000), ("100", 10**6), ("0.0001", 1)])
def test_percentages_are_read_exactly(typed: str, ppm: int) -> None:
    assert parse_percent(typed) == ppm
    assert percent_text(ppm) == typed.removesuffix("%") + "%"


@pytest.mark.parametrize("typed", ["", "-1", "100.0001", "1e2", "2,5", "0.00001", "٢", "NaN"])
def test_percentages_that_make_no_sense_are_refused(typed: str) -> None:
    with pytest.raises(Invalid):
        parse_percent(typed)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ([], None),
        ([Term(K.PAYMENT, "EUR"), Term(K.PAYMENT, "EUR", 10)], "unit"),
        ([Term(K.PAYMENT, "EUR", WHOLE_PPM + 1)], "rate_ppm"),
        ([Term(K.PAYMENT, "EUR", spread_ppm=1)], "spread_ppm"),
        ([Term(K.EXCHANGE, "EUR", spread_ppm=WHOLE_PPM)], "spread_ppm"),
        ([Term(K.EXCHANGE, "EUR", spread_ppm=-1)], "spread_ppm"),
        ([Term(K.PAYMENT, "EUR", fixed_minor=-1)], "fixed_minor"),
        ([Term(K.PAYMENT, "EUR", min_minor=5, max_minor=4)], "min_minor"),
        ([Term(K.PAYMENT, "EUR", limit_single_minor=-5)], "limit_single_minor"),
        ([Term(K.PAYMENT, "EUR", limit_day_minor=0)], "limit_day_minor"),
        ([Term(K.PAYMENT, "EUR", limit_single_minor=5, limit_month_minor=4)], "limit_single_minor"),
    ],
)
def test_terms_that_make_no_sense_are_refused_at_their_place(terms: list[Term], field: str | None) -> None:
    with pytest.raises(Invalid) as caught:
        check_terms(terms)
    assert caught.value.field == field


def test_two_versions_are_compared_term_by_term() -> None:
    before = [Term(K.PAYMENT, "EUR", 10), Term(K.TOP_UP, "EUR")]
    after = [Term(K.PAYMENT, "EUR", 20), Term(K.TRANSFER, "JPY")]
    found = [(each.before is None, each.after is None, sorted(each.changed)) for each in differences(before, after)]
    assert found == [(False, False, ["rate_ppm"]), (False, True, []), (True, False, [])]


@pytest.mark.parametrize(
    ("minor_units", "scale", "rate", "to_scale", "found"),
    [
        (100_00, 2, "1.0842", 2, 108_42),
        (100_00, 2, "163.27", 0, 16_327),
        (1, 2, "0.5", 2, 0),  # 0.5 of a cent, to the even cent
        (3, 2, "0.5", 2, 2),
        (1, 0, "0.00613", 3, 6),
        (10**15, 8, "1", 0, 10**7),
    ],
)
def test_conversions_are_rounded_once_half_to_even(
    minor_units: int, scale: int, rate: str, to_scale: int, found: int
) -> None:
    assert convert(minor_units, scale, Fraction(rate), to_scale) == found


@pytest.mark.parametrize(
    "typed", ["0", "0.000", "-1", "", "1e5", "1.0000000000001", "inf", "1" * 16, "1,0842", "1,08", "1,2345.6", ",5"]
)
def test_rates_that_are_none_are_refused(typed: str) -> None:
    with pytest.raises(Invalid):
        parse_rate(typed)


def test_rates_keep_their_digits_and_far_ones_are_doubted() -> None:
    assert parse_rate("17,310.50") == Decimal("17310.5")
    assert rate_text(1 / Fraction("1.0842")) == "0.922339051835"
    assert is_doubtful(Decimal(1084), Decimal("1.084"))
    assert is_doubtful(Decimal("0.4"), Decimal(1))
    assert not is_doubtful(Decimal(2), Decimal(1))


def test_the_file_of_the_ecb_is_read_without_what_it_does_not_quote() -> None:
    days = list(read_ecb("Date,USD,JPY,CYP,\n2026-10-30,1.0842,163.27,N/A,\n2026-10-29,1.08,163,N/A,\n"))
    assert [day.day.isoformat() for day in days] == ["2026-10-30", "2026-10-29"]
    assert days[0].rates == {"USD": Decimal("1.0842"), "JPY": Decimal("163.27")}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Day,USD\n2026-10-30,1\n",
        "Date,USD,USD\n",
        "Date,USD\n30.10.2026,1\n",
        "Date,USD\n2026-10-30,zero\n",
        "Date,USD\n2026-10-30,0\n",
        "Date,USD,JPY\n2026-10-30,1\n",
        "Date,USD\n2026-10-30,1\n2026-10-30,1\n",
        f"Date,USD\n2026-10-30,{'1' * 200_000}\n",
    ],
)
def test_a_file_that_is_not_the_ecbs_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(Invalid):
        list(read_ecb(text))


OFFICE = "base,quote,rate,valid_from\n"


def test_an_offices_file_is_read_in_any_order_of_columns() -> None:
    text = "valid_from,rate,quote,base\n2026-10-30T09:00, 1.07 ,USD,EUR\n\n"
    [found] = read_office(text, ZoneInfo("Europe/Berlin"))
    assert (found.line, found.base, found.quote, found.rate) == (2, "EUR", "USD", Decimal("1.07"))
    assert found.valid_from.isoformat() == "2026-10-30T09:00:00+01:00"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "base,quote,rate\n",
        "base,quote,rate,valid_from,more\n",
        "base,base,rate,valid_from\n",
        f"{OFFICE}EUR,USD,0,2026-10-30T09:00\n",
        f"{OFFICE}EUR,USD,-1,2026-10-30T09:00\n",
        f"{OFFICE}EUR,USD,1.07\n",
        f"{OFFICE}EUR,USD,1.07,2026-10-30T09:00,x\n",
        f"{OFFICE}EUR,USD,1.07,yesterday\n",
        f"{OFFICE}EUR,USD,1.07,0001-01-01T00:00+14:00\n",
        f"{OFFICE}EUR,USD,1.07,9999-12-31T23:59-14:00\n",
        f"{OFFICE}EUR,USD,{'1' * 200_000},2026-10-30T09:00\n",
        OFFICE + "EUR,USD,1.07,2026-10-30T09:00\n" * MOST_OFFICE_ROWS,
    ],
    ids=lambda text: text[:60],
)
def test_a_file_that_is_no_offices_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        list(read_office(text, ZoneInfo("Europe/Berlin")))
