"""What is hidden stays hidden, and what is no card number stays readable."""

import io
import logging
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payadmin.kernel.masks import (
    PanFilter,
    card_number_digits,
    luhn_ok,
    mask,
    mask_email,
    mask_name,
    mask_pan_in_text,
    mask_phone,
)

pytestmark = pytest.mark.once

VISA = "4111111111111111"


def card_numbers(count: int) -> list[str]:
    chance = random.Random(7)
    cards = []
    for _ in range(count):
        start = chance.choice(["4", "51", "55", "2221", "2720", "34", "37", "6011", "65", "3528", "36", "62"])
        size = 15 if start in {"34", "37"} else 14 if start == "36" else 16
        body = start + "".join(str(chance.randrange(10)) for _ in range(size - len(start) - 1))
        cards.append(next(body + str(check) for check in range(10) if luhn_ok(body + str(check))))
    return cards


@pytest.mark.parametrize(
    ("email", "masked"),
    [("ana@example.com", "a•••@example.com"), ("a@b", "a•••@b"), ("", ""), ("nonsense", "n•••"), ("@x.y", "•••@x.y")],
)
def test_an_email_shows_its_first_letter_and_domain(email: str, masked: str):
    assert mask_email(email) == masked


@pytest.mark.parametrize(
    ("phone", "masked"), [("+44 20 7946 0947", "•••47"), ("12345", "•••"), ("", ""), ("none", "•••")]
)
def test_a_phone_shows_its_last_two_digits(phone: str, masked: str):
    assert mask_phone(phone) == masked


@pytest.mark.parametrize(("name", "masked"), [("Ana  López", "A••• L•••"), ("", ""), ("X", "X•••")])
def test_a_name_shows_its_initials(name: str, masked: str):
    assert mask_name(name) == masked


@pytest.mark.parametrize(
    ("kind", "value", "masked"),
    [
        ("email", "ana@example.com", "a•••@example.com"),
        ("phone", "+44 20 7946 0947", "•••47"),
        ("name", "Ana", "A•••"),
        ("card", VISA, "•••1111"),
        ("card", "1111", "1111"),
    ],
)
def test_a_column_names_its_mask(kind: str, value: str, masked: str):
    assert mask(kind, value) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (VISA, "411111••••••1111"),
        ("card 4111 1111 1111 1111 declined", "card 411111••••••1111 declined"),
        ("4111-1111-1111-1111", "411111••••••1111"),
        ("?q=4111+1111+1111+1111&p=1", "?q=411111••••••1111&p=1"),
        ("?q=4111%201111%201111%201111", "?q=411111••••••1111"),
        ("order 77 4111 1111 1111 1111", "order 77 411111••••••1111"),
        (f"{VISA} {VISA}", "411111••••••1111 411111••••••1111"),
        ("378282246310005", "378282•••••0005"),
        ("4111111111111112", "4111111111111112"),
        ("9999999999999995", "9999999999999995"),
        ("BCC-000012345", "BCC-000012345"),
        ("2026-03-04 12:30:15", "2026-03-04 12:30:15"),
        ("", ""),
    ],
)
def test_only_card_numbers_are_masked_in_text(text: str, masked: str):
    assert mask_pan_in_text(text) == masked


@pytest.mark.parametrize("written", ["{}", "card={};", "{} expired"])
def test_no_card_number_stays_readable(written: str):
    for card in card_numbers(2_000):
        spaced = " ".join(card[at : at + 4] for at in range(0, len(card), 4))
        for shown in (card, spaced):
            masked = mask_pan_in_text(written.format(shown))
            assert card not in masked.replace(" ", "")
            assert card[:6] in masked
            assert masked.count("•") == len(card) - 10


def test_few_random_numbers_are_mistaken_for_cards():
    chance = random.Random(3)
    numbers = [f"{chance.randrange(10**15, 10**16)}" for _ in range(5_000)]
    assert sum(mask_pan_in_text(number) != number for number in numbers) < 250


@given(st.text(alphabet="0123456789 -abc%+", max_size=80))
def test_masking_twice_changes_nothing_more(text: str):
    once = mask_pan_in_text(text)
    assert mask_pan_in_text(once) == once


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        (VISA, VISA),
        (" 4111 1111 1111 1111 ", VISA),
        ("4111-1111-1111-1111", VISA),
        ("4111111111111112", None),
        ("1111", None),
        ("", None),
        ("4111111111111111x", None),
        ("9999999999999995", None),
        ("\N{FULLWIDTH DIGIT FOUR}111111111111111", None),
    ],
)
def test_a_typed_card_number_is_recognised(text: str, digits: str | None):
    assert card_number_digits(text) == digits


@pytest.mark.parametrize(
    ("digits", "sound"), [(VISA, True), ("0", True), ("", False), ("79927398713", True), ("18", True)]
)
def test_the_check_digit_is_checked(digits: str, sound: bool):
    assert luhn_ok(digits) is sound


def test_a_log_never_holds_a_card_number():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s %(path)s"))
    handler.addFilter(PanFilter())
    logger = logging.getLogger("payadmin.test.pan")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        int(f"{VISA}x")
    except ValueError:
        logger.exception("charge of %s failed", VISA, extra={"path": f"/search?q={VISA}"})
    assert VISA not in stream.getvalue()
    assert stream.getvalue().count("411111••••••1111") >= 3


def test_a_fingerprint_is_no_card_number_even_where_its_digits_look_like_one() -> None:
    digest = "eb43ce15a5eaac0b96473d3406362047645d861827c4abfa67109f5caeb53085"
    assert mask_pan_in_text(f"sha256 {digest} of 4111111111111111") == f"sha256 {digest} of 411111••••••1111"
    assert mask_pan_in_text("card4111111111111111") == "card411111••••••1111"
