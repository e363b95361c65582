"""The streamed workbook: opened by two independent readers, typed, and harmless."""

import enum
import io
import itertools
import zipfile
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from python_calamine import CalamineWorkbook

from payadmin.kernel.money import Money
from payadmin.kernel.xlsx import column_letters, xlsx

pytestmark = pytest.mark.once


class Status(enum.StrEnum):
    PAID = "paid"


class Kind(enum.Enum):
    DIRECT = 1


def open_with_openpyxl(data: bytes) -> openpyxl.Workbook:
    return openpyxl.load_workbook(io.BytesIO(data))


def read_with_calamine(data: bytes) -> list[list[object]]:
    return CalamineWorkbook.from_filelike(io.BytesIO(data)).get_sheet_by_index(0).to_python(skip_empty_area=False)


def test_every_kind_of_cell_keeps_its_type():
    noon = datetime(2026, 3, 4, 12, 30, 15, tzinfo=UTC)
    row = ["Ana & <Co>", 42, Decimal("1234.50"), noon, date(2026, 3, 4), True, None, Status.PAID, Kind.DIRECT]
    data = b"".join(xlsx([f"h{n}" for n in range(10)], [[*row, Money(-5, "EUR", 2)]]))
    cells = open_with_openpyxl(data).active[2]
    assert [cell.value for cell in cells] == [
        "Ana & <Co>",
        42,
        1234.5,
        datetime.fromisoformat("2026-03-04T12:30:15"),
        datetime.fromisoformat("2026-03-04"),
        True,
        None,
        "paid",
        "DIRECT",
        -0.05,
    ]
    assert cells[2].number_format == "#,##0.00"
    assert cells[4].number_format == r"yyyy\-mm\-dd"
    assert read_with_calamine(data)[1] == [
        "Ana & <Co>",
        42,
        1234.5,
        datetime.fromisoformat("2026-03-04T12:30:15"),
        date(2026, 3, 4),
        True,
        "",
        "paid",
        "DIRECT",
        -0.05,
    ]


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "=HYPERLINK(x)", "\t=1", "007", "1e5", "TRUE", "#N/A"]
)
def test_text_stays_text_whatever_it_looks_like(text: str):
    cell = open_with_openpyxl(b"".join(xlsx(["a"], [[text]]))).active["A2"]
    assert (cell.value, cell.data_type) == (text, "s")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a\x00b\x1fc\ud800", "abc"),
        ("line\nbreak", "line\nbreak"),
        ("  padded  ", "  padded  "),
        ("]]>&lt;", "]]>&lt;"),
        ("é漢😀", "é漢😀"),
        ("x" * 40_000, "x" * 32_766 + "…"),
        ("", None),
    ],
)
def test_hostile_text_gives_a_readable_file(text: str, read: str | None):
    assert open_with_openpyxl(b"".join(xlsx(["a"], [[text]]))).active["A2"].value == read


def test_text_that_looks_like_an_excel_escape_is_escaped():
    with zipfile.ZipFile(io.BytesIO(b"".join(xlsx(["a"], [["_x0041_ _x12"]])))) as archive:
        assert b"<t>_x005F_x0041_ _x12</t>" in archive.read("xl/worksheets/sheet1.xml")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (10**15 - 1, 10**15 - 1),
        (10**15, "1000000000000000"),
        (4111111111111111, "4111111111111111"),
        (Decimal("12345678901234.56"), "12345678901234.56"),
        (Decimal("1E+3"), 1000),
        (Decimal("NaN"), "NaN"),
        (date(1850, 1, 1), "1850-01-01"),
        (datetime(1899, 12, 31, tzinfo=UTC), "1899-12-31 00:00:00+00:00"),
        (datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), datetime.fromisoformat("2025-12-31T23:00")),
    ],
)
def test_no_digit_is_lost_and_times_are_utc(value: object, read: object):
    assert open_with_openpyxl(b"".join(xlsx(["a"], [[value]]))).active["A2"].value == read


def test_the_header_is_bold_frozen_and_filtered():
    sheet = open_with_openpyxl(b"".join(xlsx(["Id", "Name"], [[1, "a"], [2, "b"]], widths=[8, 30]))).active
    assert [cell.value for cell in sheet[1]] == ["Id", "Name"]
    assert all(cell.font.bold for cell in sheet[1])
    assert not sheet["A2"].font.bold
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:B3"
    assert sheet.column_dimensions["B"].width == 30


def test_a_table_without_rows_is_still_a_workbook():
    sheet = open_with_openpyxl(b"".join(xlsx(["Id"], []))).active
    assert [[cell.value for cell in row] for row in sheet] == [["Id"]]


@pytest.mark.parametrize(("rows", "sizes"), [(3, [3]), (4, [3, 1]), (6, [3, 3]), (7, [3, 3, 1])])
def test_a_full_sheet_continues_on_the_next_one(rows: int, sizes: list[int]):
    book = open_with_openpyxl(b"".join(xlsx(["n"], ([n] for n in range(rows)), sheet_rows=3)))
    assert [sheet.max_row - 1 for sheet in book] == sizes
    assert [cell.value for sheet in book for (cell,) in sheet.iter_rows(min_row=2)] == list(range(rows))
    assert book.sheetnames == ["Data", "Data 2", "Data 3"][: len(sizes)]


def test_the_first_bytes_leave_before_the_last_row_is_asked_for():
    asked = itertools.count()
    pieces = xlsx(["n"], ([next(asked)] for _ in range(100_000)))
    assert next(pieces)[:2] == b"PK"
    assert next(asked) < 50_000


def test_the_parts_are_sound():
    with zipfile.ZipFile(io.BytesIO(b"".join(xlsx(["n"], [[1]])))) as archive:
        assert archive.testzip() is None
        assert "[Content_Types].xml" in archive.namelist()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(
            st.one_of(st.text(max_size=20), st.integers(), st.none(), st.booleans(), st.decimals(places=2)),
            min_size=1,
            max_size=4,
        ),
        max_size=5,
    )
)
def test_any_rows_give_a_workbook_both_readers_accept(rows: list[list[object]]):
    data = b"".join(xlsx(["a", "b"], rows))
    assert open_with_openpyxl(data).active.max_row == len(rows) + 1
    assert len(read_with_calamine(data)) >= 1


@pytest.mark.parametrize(("place", "letters"), [(1, "A"), (26, "Z"), (27, "AA"), (702, "ZZ"), (703, "AAA")])
def test_columns_have_letters(place: int, letters: str):
    assert column_letters(place) == letters
