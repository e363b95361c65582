"""Amounts: what is accepted, what is refused, and that nothing is lost on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payadmin.kernel.errors import Invalid
from payadmin.kernel.money import MAX_MINOR, MAX_SCALE, Money, decimal_text, format_minor, parse_minor, scale_of, split

pytestmark = pytest.mark.once

scales = st.integers(0, MAX_SCALE)
amounts = st.integers(-(10**20), 10**20)


@pytest.mark.parametrize(
    ("text", "scale", "minor"),
    [
        ("12.34", 2, 1234),
        ("12.3", 2, 1230),
        ("12", 2, 1200),
        (" 12.34 ", 2, 1234),
        ("1,234.50", 2, 123450),
        ("1,234,567", 0, 1234567),
        ("0.01", 2, 1),
        ("007.00", 2, 700),
        ("1.234", 3, 1234),
        ("0.00000001", 8, 1),
        ("10,000,000,000,000.00", 2, MAX_MINOR),
    ],
)
def test_an_amount_is_read_exactly(text: str, scale: int, minor: int):
    assert parse_minor(text, scale) == minor


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("", 2),
        ("   ", 2),
        ("NaN", 2),
        ("Infinity", 2),
        ("1e30", 2),
        ("1e3", 2),
        ("1E500000", 2),
        ("-5", 2),
        ("+5", 2),
        ("\N{MINUS SIGN}5", 2),
        ("(5)", 2),
        ("12.345", 2),
        ("1.5", 0),
        ("1.", 2),
        (".5", 2),
        ("1_000", 2),
        ("١٢٣", 2),
        ("\N{FULLWIDTH DIGIT ONE}2", 2),
        ("\N{MATHEMATICAL BOLD DIGIT ONE}2", 2),
        ("1\N{NO-BREAK SPACE}000", 2),
        ("\N{NO-BREAK SPACE}1", 2),
        ("1 000", 2),
        ("1,23", 2),
        ("12,34.50", 2),
        (",123", 2),
        ("1,,234", 2),
        ("1.234,50", 2),
        ("1'234", 2),
        ("0x10", 2),
        ("€5", 2),
        ("5 EUR", 2),
        ("5\n", 2),
        ("5\x00", 2),
        ("1.2.3", 2),
        ("0", 2),
        ("0.00", 2),
        ("10,000,000,000,000.01", 2),
        ("9" * 5000, 2),
        ("0" * 5000, 2),
    ],
)
def test_anything_ambiguous_or_absurd_is_refused_with_a_sentence(text: str, scale: int):
    with pytest.raises(Invalid) as refused:
        parse_minor(text, scale)
    assert refused.value.sentence.endswith(".")
    assert refused.value.sentence.isprintable()
    assert len(refused.value.sentence) < 200


def test_zero_is_allowed_where_asked_for():
    assert parse_minor("0.00", 2, allow_zero=True) == 0


def test_the_limit_can_be_lowered_and_is_named():
    with pytest.raises(Invalid, match=r"at most 100\.00"):
        parse_minor("100.01", 2, max_minor=10_000)


@pytest.mark.parametrize(
    ("minor", "scale", "shown", "plain"),
    [
        (123450, 2, "1,234.50", "1234.50"),
        (5, 2, "0.05", "0.05"),
        (-5, 2, "-0.05", "-0.05"),
        (-123456789, 2, "-1,234,567.89", "-1234567.89"),
        (0, 2, "0.00", "0.00"),
        (1234, 0, "1,234", "1234"),
        (1, 8, "0.00000001", "0.00000001"),
    ],
)
def test_an_amount_is_written_for_people_and_for_files(minor: int, scale: int, shown: str, plain: str):
    assert format_minor(minor, scale) == shown
    assert decimal_text(minor, scale) == plain
    assert str(Money(minor, "EUR", scale)) == f"{shown} EUR"
    assert Money(minor, "EUR", scale).decimal_text == plain


@given(minor=st.integers(0, MAX_MINOR), scale=scales)
def test_what_is_written_is_read_back(minor: int, scale: int):
    assert parse_minor(format_minor(minor, scale), scale, allow_zero=True) == minor
    assert parse_minor(decimal_text(minor, scale), scale, allow_zero=True) == minor


@given(text=st.text(max_size=30), scale=scales)
def test_any_text_is_read_or_refused_and_never_crashes(text: str, scale: int):
    try:
        minor = parse_minor(text, scale)
    except Invalid:
        return
    assert text.strip(" ").replace(",", "").replace(".", "").isascii()
    assert 0 < minor <= MAX_MINOR


@given(minor=amounts, parts=st.integers(1, 500))
def test_shares_sum_to_the_whole_and_differ_by_at_most_one(minor: int, parts: int):
    shares = split(minor, parts)
    assert sum(shares) == minor
    assert len(shares) == parts
    assert max(shares) - min(shares) <= 1


@given(left=amounts, right=amounts, scale=scales)
def test_adding_and_taking_away_cancel_out(left: int, right: int, scale: int):
    a, b = Money(left, "EUR", scale), Money(right, "EUR", scale)
    assert a + b - b == a
    assert (a < b, a <= b, a > b, a >= b) == (left < right, left <= right, left > right, left >= right)
    assert -a + a == Money(0, "EUR", scale)
    assert bool(a) == (left != 0)


def test_different_units_are_never_mixed():
    euro, yen = Money(1, "EUR", 2), Money(1, "JPY", 0)
    for mixed in (lambda: euro + yen, lambda: euro - yen, lambda: euro < yen, lambda: euro >= yen):
        with pytest.raises(Invalid, match="EUR and JPY"):
            mixed()
    assert euro != yen


def test_a_split_keeps_the_unit():
    assert Money(100, "KWD", 3).split(3) == [Money(34, "KWD", 3), Money(33, "KWD", 3), Money(33, "KWD", 3)]
    with pytest.raises(Invalid):
        split(100, 0)


@pytest.mark.parametrize(
    ("code", "scale"), [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("RSD", 2), ("MGA", 2), ("HRK", 2)]
)
def test_a_currency_has_the_decimals_of_iso_4217(code: str, scale: int):
    assert scale_of(code) == scale


@pytest.mark.parametrize(
    "code",
    ["", "EU", "eur", "ZZZ", "XAU", "XXX", "EUR ", "€€€", "\N{FULLWIDTH LATIN CAPITAL LETTER A}", "\x00", "A" * 500],
)
def test_an_unknown_currency_is_refused(code: str):
    with pytest.raises(Invalid):
        scale_of(code)
