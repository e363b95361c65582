"""Files from outside: read exactly, or refused with a sentence; files to outside: no live formulas."""

import csv
import gzip
import io
import itertools
import struct
import time
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payadmin.kernel.errors import Invalid
from payadmin.kernel.money import Money
from payadmin.kernel.sheets import Kind, content_hash, csv_rows, defuse, read_table, text_of
from payadmin.kernel.xlsx import xlsx

pytestmark = pytest.mark.once

DATA = Path(__file__).parents[1] / "data"


def workbook(name: str) -> bytes:
    return gzip.decompress((DATA / f"birmingham_upload_{name}.xls.gz").read_bytes())


def read(data: bytes | str, name: str = "file.csv", **limits: int) -> tuple[tuple[str, ...], list[list[object]]]:
    table = read_table(data.encode() if isinstance(data, str) else data, name, **limits)
    return table.header, [values for _, values in table.rows]


def refusal(data: bytes | str, name: str = "file.csv", **limits: int) -> str:
    with pytest.raises(Invalid) as refused:
        read(data, name, **limits)
    assert refused.value.sentence.isprintable()
    return refused.value.sentence


def repacked(data: bytes, **changed: bytes | None) -> bytes:
    """The workbook with parts replaced, added or (None) left out; `__` in a name stands for a slash."""
    changed = {name.replace("__", "/").replace("_dot_", "."): content for name, content in changed.items()}
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in changed:
                new.writestr(name, old.read(name))
        for name, content in changed.items():
            if content is not None:
                new.writestr(name, content)
    return out.getvalue()


def small_workbook() -> bytes:
    return b"".join(xlsx(["id", "name"], [[1, "Ana"], [2, "Bo"]]))


def with_sheet(cells: str) -> bytes:
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    sheet = f'<worksheet xmlns="{space}"><sheetData>{cells}</sheetData></worksheet>'
    return repacked(small_workbook(), xl__worksheets__sheet1_dot_xml=sheet.encode())


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\0=1", "'\0=1"),
        ("\N{FULLWIDTH EQUALS SIGN}1", "'\N{FULLWIDTH EQUALS SIGN}1"),
        ("\N{FULLWIDTH COMMERCIAL AT}a", "'\N{FULLWIDTH COMMERCIAL AT}a"),
        ("plain", "plain"),
        ("", ""),
        ("1-2", "1-2"),
        (-12, -12),
        (Decimal("-12.50"), Decimal("-12.50")),
        (None, None),
    ],
)
def test_text_that_would_run_is_defused_and_numbers_are_not(value: object, safe: object):
    assert defuse(value) == safe


def test_csv_is_written_in_pieces_with_plain_values():
    moment = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
    rows = [["=x", Decimal("-1.50"), moment, date(2026, 3, 4), True, None, Money(5, "EUR", 2), Kind.CSV, 'a"b,c\nd']]
    text = "".join(csv_rows(["=id", *"bcdefghi"], rows))
    assert next(csv.reader(io.StringIO(text))) == ["'=id", *"bcdefghi"]
    assert list(csv.reader(io.StringIO(text, newline="")))[1] == [
        "'=x",
        "-1.50",
        "2026-03-04 12:30:00+00:00",
        "2026-03-04",
        "TRUE",
        "",
        "0.05",
        "CSV",
        'a"b,c\nd',
    ]


def test_csv_leaves_before_the_last_row_is_asked_for():
    asked = itertools.count()
    next(csv_rows(["n"], ([next(asked)] for _ in range(100_000))))
    assert next(asked) < 1_000


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_is_read_with_its_own_delimiter(delimiter: str, start: str, end: str):
    text = start + end.join(["id;name|x".replace(";", delimiter).replace("|x", ""), f'1{delimiter}"Ana, ""B"""', ""])
    assert read(text) == (("id", "name"), [["1", 'Ana, "B"']])


def test_rows_are_numbered_as_a_spreadsheet_shows_them():
    table = read_table(b'id,name\n1,"two\nlines"\n\n\n4,d\n', "f.csv")
    assert [number for number, _ in table.rows] == [2, 5]


def test_a_file_in_another_encoding_is_read_and_reported():
    table = read_table("id,name\n1,Zoë\n".encode("cp1252"), "f.csv")
    assert [values for _, values in table.rows] == [["1", "Zoë"]]
    assert table.notes == ("Line 2 is not UTF-8, so the file was read as Windows-1252; check accented letters.",)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "The file is empty."),
        (b" \r\n ", "The file is empty."),
        (b"\xef\xbb\xbf", "The first row is empty"),
        (b"id,name\n1,a\x00b\n", "Line 2 holds a NUL byte"),
        ("id,name\n1,a\n".encode("utf-16"), "UTF-16"),
        (b"id,name\n1,\x81\xff\n", "Line 2 is not UTF-8"),
        (b"<!DOCTYPE html><table><tr><td>1</td></tr></table>", "is a web page"),
        (b"\n<html><body>", "is a web page"),
        (b"<?xml version='1.0'?><Workbook/>", "web page or XML"),
        (b"%PDF-1.7", "not a table"),
        (b"\x89PNG\r\n", "not a table"),
        (b'id,name\n1,"open\n2,b\n3,c\n', "Row 2 cannot be read: a quote that opens there is never closed."),
        (b'id,name\n1,"a"b\n', "text after a closing quote"),
        (b"id,ID\n1,2\n", 'Columns A and B have the same name, "ID".'),
        (b"id,,name\n1,2,3\n", "Column B has no name"),
        (b"id,name\n1\n", "Row 2 has 1 cells instead of 2."),
        (b"id,name\n1,2,3\n", "Row 2 has 3 cells, but the first row names 2 columns."),
        (b"id,name\n1,a\x07\n", "Row 2, column B (name) holds hidden control characters."),
        ("id,name\n1,a\u202eb\n".encode(), "Row 2, column B (name) holds hidden control characters."),
        (b"id,name\n1," + b"x" * 40_000 + b"\n", "Row 2, column B (name) is too long."),
        (b"id,name\n1," + b"x" * 200_000 + b"\n", "Row 2 cannot be read: a cell is too long"),
        (b"PK\x03\x04 not really", "damaged"),
        (bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 600, "damaged"),
        (bytes.fromhex("d0cf11e0a1b11ae1"), "damaged"),
    ],
)
def test_what_cannot_be_read_for_certain_is_refused_with_its_place(data: bytes, says: str):
    assert says in refusal(data, "file.xls")


def test_the_limits_are_named():
    assert "3 columns; at most 2" in refusal("a,b,c\n1,2,3\n", max_columns=2)
    assert "more than 2 rows" in refusal("a\n1\n2\n3\n", max_rows=2)
    assert "12 bytes; at most 10" in refusal("a\n1234567890", max_bytes=10)
    assert "at most 1 rows" in refusal(small_workbook(), max_rows=1)
    assert "at most 1 columns" in refusal(small_workbook(), max_columns=1)
    assert "at most 100 rows" in refusal(workbook("2015-08"), max_rows=100)
    assert "reaches column K" in refusal(workbook("2015-08"), max_columns=10)


def test_a_path_is_read_like_bytes(tmp_path: Path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"id\n1\n")
    assert read_table(path, path.name).header == ("id",)


def test_a_workbook_keeps_the_types_of_its_cells():
    moment = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
    row = [1, Decimal("12.50"), "  text ", moment, date(2026, 3, 4), True, None, "007"]
    table = read_table(b"".join(xlsx(list("abcdefgh"), [row])), "f.xlsx")
    assert (table.kind, table.notes) == (Kind.XLSX, ())
    number, values = next(table.rows)
    assert number == 2
    assert values == [Decimal(1), Decimal("12.5"), "text", moment, date(2026, 3, 4), True, None, "007"]
    assert [text_of(value) for value in values] == [
        "1",
        "12.5",
        "text",
        "2026-03-04 12:30:00+00:00",
        "2026-03-04",
        "TRUE",
        "",
        "007",
    ]


def test_a_workbook_by_another_writer_is_read():
    book = openpyxl.Workbook()
    book.active.append(["id", "amount"])
    book.active.append(["a", 0.1])
    book.create_sheet("more")
    out = io.BytesIO()
    book.save(out)
    table = read_table(out.getvalue(), "f.csv")
    assert [values for _, values in table.rows] == [["a", Decimal("0.1")]]
    assert table.notes == (
        'Only the first sheet, "Sheet", was read; 1 more were not.',
        "The name ends in .csv but the content is XLSX; it was read as XLSX.",
    )


def test_rows_keep_their_numbers_when_the_sheet_has_gaps():
    cells = '<row r="1"><c r="A1"><v>5</v></c></row><row r="4"><c r="A4"><v>6</v></c></row>'
    assert [number for number, _ in read_table(with_sheet(cells), "f.xlsx").rows] == [4]


def test_legacy_workbooks_are_read():
    table = read_table(workbook("2015-08"), "birmingham.xls")
    rows = list(table.rows)
    assert table.kind == Kind.XLS
    assert table.header[:5] == ("TRANS DATE", "TRANS VAT DESC", "ORIGINAL GROSS AMT", "MERCHANT NAME", "CARD NUMBER")
    assert len(rows) == 2_062
    assert rows[0][1][:5] == [date(2015, 8, 4), "VR", Decimal("50.32"), "shell kings 587", "************5770"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (repacked(small_workbook(), xl__vbaProject_dot_bin=b"x"), "macros"),
        (repacked(small_workbook(), xl__externalLinks__externalLink1_dot_xml=b"<x/>"), "links to other files"),
        (repacked(small_workbook(), xl__embeddings__oleObject1_dot_bin=b"x"), "embedded files"),
        (repacked(small_workbook(), xl__workbook_dot_xml=None), "ZIP archive"),
        (repacked(small_workbook(), **{f"part{n}": b"" for n in range(70)}), "76 parts; at most 64"),
        (repacked(small_workbook(), bomb=b"\0" * 5_000_000), "suspiciously much"),
        (repacked(small_workbook(), bomb=bytes(range(256)) * 300_000), "more than 67,108,864 bytes"),
        (small_workbook()[:400], "damaged"),
        (with_sheet('<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'), "reaches row 1,048,576"),
        (with_sheet("<row r='1'><c r = 'XFD1'><v>1</v></c></row>"), "reaches column XFD"),
        (with_sheet('<row r="1"><c r="A1"><f>1+1</f><v>2</v></c></row>'), "Cell A1 holds a formula"),
        (with_sheet('<row r="1"><c r="A1"><v>1e999</v></c></row>'), "Row 1, column A holds a number that is none"),
        (with_sheet("<row/>" * 100_000 + "<row><c><v>1</v></c></row>"), "reaches row 50,002"),
        (with_sheet(f"<row>{'<c/>' * 1_000}<c><v>1</v></c></row>"), "reaches column BM"),
        (with_sheet(""), "empty"),
        (with_sheet("<row"), "damaged"),
        (repacked(small_workbook(), xl__styles_dot_xml=b"<!DOCTYPE x [<!ENTITY a 'b'>]><x/>"), "XML that spreadsheets"),
        (repacked(small_workbook(), xl__styles_dot_xml='<?xml version="1.0"?>'.encode("utf-16")), "damaged"),
    ],
)
def test_a_hostile_workbook_is_refused_before_it_costs_anything(data: bytes, says: str):
    started = time.process_time()
    assert says in refusal(data, "f.xlsx")
    assert time.process_time() - started < 2


def test_an_archive_that_lies_about_its_sizes_is_refused():
    data = bytearray(repacked(small_workbook(), bomb=b"\0" * 1_000_000))
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"bomb"))
    struct.pack_into("<I", data, entry + 24, 10)
    assert "damaged" in refusal(bytes(data), "f.xlsx")


def test_a_legacy_workbook_with_a_far_cell_is_refused():
    data = bytearray(workbook("2015-08"))
    number = struct.pack("<4H", 0x00FD, 10, 2000, 1)
    at = data.index(number)
    struct.pack_into("<2H", data, at + 4, 65_535, 255)
    assert "reaches row 65,536" in refusal(bytes(data))
    struct.pack_into("<2H", data, at, 0x0006, 10)
    assert "Cell IV65536 holds a formula" in refusal(bytes(data))
    struct.pack_into("<2H", data, at, 0x002F, 10)
    assert "password" in refusal(bytes(data))


@given(st.binary(max_size=400), st.sampled_from([b"", b"PK\x03\x04", bytes.fromhex("d0cf11e0a1b11ae1"), b"id,name\n"]))
def test_any_bytes_are_read_or_refused(noise: bytes, magic: bytes):
    try:
        read(magic + noise)
    except Invalid:
        return


@given(st.integers(0, 427_519), st.binary(min_size=1, max_size=64))
def test_a_damaged_workbook_is_read_or_refused(place: int, noise: bytes):
    data = LEGACY[:place] + noise + LEGACY[place + len(noise) :]
    try:
        read(data, max_rows=3_000, max_columns=20)
    except Invalid:
        return


LEGACY = workbook("2015-08")


def hashed(data: bytes, name: str = "f") -> str:
    table = read_table(data, name)
    return content_hash(table.header, (values for _, values in table.rows))


def test_the_same_rows_under_two_names_have_one_fingerprint():
    first, second = workbook("dup_a"), workbook("dup_b")
    assert first != second
    assert hashed(first) == hashed(second) != hashed(workbook("2015-08"))


def test_format_and_order_do_not_change_the_fingerprint():
    csv_file = b"id,amount,day\na,12.50,2026-03-04\nb,3,2026-03-05\n"
    turned = "\ufeffDay;ID;Amount\n2026-03-05; b ;3.00\n2026-03-04;a;12.5\n".encode()
    rows = [["a", Decimal("12.50"), date(2026, 3, 4)], ["b", 3, date(2026, 3, 5)]]
    book = b"".join(xlsx(["id", "amount", "day"], rows))
    assert hashed(csv_file) == hashed(turned) == hashed(book)


@pytest.mark.parametrize(
    "other",
    [
        b"id,amount,day\na,12.51,2026-03-04\nb,3,2026-03-05\n",
        b"id,amount,day\na,12.50,2026-03-04\n",
        b"id,amount,day\na,12.50,2026-03-04\nb,3,2026-03-05\nb,3,2026-03-05\n",
        b"id,amount,date\na,12.50,2026-03-04\nb,3,2026-03-05\n",
        b"id,amount,day\nb,12.50,2026-03-04\na,3,2026-03-05\n",
        b"id,amount,day\n0a,12.50,2026-03-04\nb,3,2026-03-05\n",
    ],
)
def test_any_difference_in_content_changes_the_fingerprint(other: bytes):
    assert hashed(b"id,amount,day\na,12.50,2026-03-04\nb,3,2026-03-05\n") != hashed(other)
