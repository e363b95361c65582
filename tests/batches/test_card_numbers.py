"""Card numbers where none belong: in a first row of data, in other cells, in names and in what a provider says."""

import random
from collections.abc import Sequence

import pytest
from sqlalchemy import func, select, text

from payadmin.actions.batches.card_numbers import without_cards
from payadmin.actions.batches.checking import HOLDS_CARD
from payadmin.db import Base, db
from payadmin.kernel.errors import Invalid
from payadmin.kernel.sheets import read_table
from payadmin.models.batches import Batch, BatchKind, BatchStatus
from payadmin.providers import StoredCard
from tests.support.batches import BatchRoom, card_number, csv_file

PAN = card_number("where none belongs")
FOURS = [PAN[at : at + 4] for at in range(0, 16, 4)]


def stored() -> str:
    """Every value of every table, as one text without what may stand between digits."""
    db.session.rollback()
    found = []
    for table in Base.metadata.sorted_tables:
        rows = db.session.execute(text(f"SELECT * FROM {table.name}")).all()
        found += [str(value) for row in rows for value in row]
    db.session.rollback()
    return "\n".join("".join(mark for mark in value if mark not in " /|,;-") for value in found)


def test_a_file_that_begins_with_data_is_refused_before_a_card_number_is_taken_for_a_columns_name(
    room: BatchRoom,
) -> None:
    for number in (PAN, " ".join(FOURS), "/".join(FOURS)):
        data = csv_file([room.payment(1, card_no=number), room.payment(2)]).split(b"\n", 1)[1]
        with pytest.raises(Invalid, match="The first row holds data; it must name the columns") as refused:
            room.upload(data)
        assert number not in refused.value.sentence
    assert db.session.scalar(select(func.count()).select_from(Batch)) == 0
    assert PAN not in stored()


@pytest.mark.parametrize(
    "data", [f"{PAN},x,{PAN}\n1,2,3\n", f"{PAN},x\n1,a\x07b\n", f"a,{PAN}\n1,a\x07b\n"], ids=["twice", "bell", "its"]
)
def test_no_refusal_of_a_table_says_a_card_number(data: str) -> None:
    with pytest.raises(Invalid) as refused:
        list(read_table(data.encode(), "x.csv").rows)
    assert PAN not in refused.value.sentence
    assert PAN not in str(refused.value.data)


@pytest.mark.parametrize("column", ["billing_number", "invoice_number", "customer_id"])
@pytest.mark.parametrize("said", [PAN, f"INV-{PAN}", " ".join(FOURS), f"77{PAN}"])
def test_a_number_that_is_a_card_of_the_file_is_an_error(room: BatchRoom, column: str, said: str) -> None:
    rows = [room.payment(1, card_no=card_number("another")) | {column: said}, room.payment(2, card_no=PAN)]
    first, last = room.checked(rows), room.checked([*rows[::-1], room.payment(3)])
    for batch, number in ((first, 2), (last, 3)):
        assert batch.status is BatchStatus.HAS_ERRORS
        assert room.errors(batch.id)[number][column] == HOLDS_CARD
    assert PAN not in stored()


@pytest.mark.parametrize("between", ["/", ",", ", ", " / ", "|", " | ", " - ", "'", "\u2009", "x"])
def test_a_card_number_is_found_whatever_stands_between_its_digits(room: BatchRoom, between: str) -> None:
    batch = room.checked([room.payment(1, description=f"Pay {between.join(FOURS)} soon")])
    assert room.errors(batch.id) == {2: {"description": HOLDS_CARD}}
    assert "".join(FOURS[:3]) not in stored()


def test_digits_of_other_scripts_are_digits() -> None:
    wide = PAN.translate({ord("0") + n: ord("\uff10") + n for n in range(10)})
    assert without_cards(f"Card {wide}!") == f"•••{wide[-4:]}"


def test_lists_of_days_and_dates_are_not_card_numbers(room: BatchRoom) -> None:
    days = "; ".join(str(day) for day in range(1, 19))
    dates = "; ".join(f"{room.office.day(n)}" for n in range(1, 200))
    rows = [
        room.registration(1, days=days, months="1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"),
        room.registration(2, schedule="FULL_DATE", days="", months="", dates=dates),
    ]
    batch = room.checked(rows, kind=BatchKind.REGISTRATION)
    assert room.errors(batch.id) == {}


def test_ordinary_descriptions_are_seldom_taken_for_cards() -> None:
    dice = random.Random(7)
    ibans = ["DE" + "".join(dice.choices("0123456789", k=20)) for _ in range(2_000)]
    assert [iban for iban in ibans if without_cards(iban) != iban] == []
    for fine in (
        "Order 2027-01-31 12:30:45, 3 chairs at 12.50",
        "Invoices 1001, 1002 and 1003 of 2027-01-31",
        "Tel. +44 7700 900123",
    ):
        assert without_cards(fine) == fine


def test_what_a_provider_says_of_a_card_is_kept_without_its_number(room: BatchRoom) -> None:
    def echoing(numbers: Sequence[str]) -> list[StoredCard]:
        return [StoredCard(None, f"Card {number} was refused.") for number in numbers]

    unknown_issuer = "1000000000000008"
    batch = room.checked([room.payment(1, card_no=PAN), room.payment(2, card_no=unknown_issuer)], store_cards=echoing)
    first, second = (wrong["card_no"] for wrong in room.errors(batch.id).values())
    assert first == f"Card {PAN[:6]}••••••{PAN[-4:]} was refused."
    assert unknown_issuer not in second
    assert PAN not in stored()
    assert unknown_issuer not in stored()


def test_a_card_number_in_a_files_name_is_not_kept(room: BatchRoom) -> None:
    for name in (f"{PAN}.csv", f"{','.join(FOURS)}.csv", f"{'x' * 195}{PAN}.csv"):
        batch = room.batch(room.upload([room.payment(1, description=f"{len(name)} signs")], name=name))
        assert PAN not in batch.file_name
    assert PAN not in stored()
