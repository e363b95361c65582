"""Files that nobody should send: refused, or taken with their mistakes named, in bounded time and memory (P40)."""

import io
import os
import struct
import time
import zipfile
import zlib
from collections.abc import Callable

import psutil
import pytest

from payadmin.actions.batches import MAX_ROWS
from payadmin.actions.batches.reading import read_sheet
from payadmin.kernel.errors import Invalid
from payadmin.kernel.sheets import read_table
from payadmin.kernel.xlsx import xlsx
from payadmin.models.batches import BatchKind
from tests.support.batches import PAYMENT_COLUMNS, csv_file

pytestmark = pytest.mark.once

SECONDS = 2.0
# Read to its last row, and only then found too long: as much as any file may cost.
WHOLE_FILE = {"one row too many": 8.0}
MEMORY_MB = 200
HEAD = ",".join(PAYMENT_COLUMNS)
ROW = {
    "billing_number": "BN-1",
    "invoice_number": "INV-1",
    "amount": "12.50",
    "currency": "EUR",
    "card_token": "tok_visa",
    "card_holder_name": "Ana",
    "execute_date": "2027-01-31",
    "description": "Two chairs",
}
LINE = "BN-1,,INV-1,12.50,EUR,,tok_visa,Ana,,2027-01-31,Two chairs"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def lines(*rows: str, end: str = "\n") -> bytes:
    return (end.join((HEAD, *rows)) + end).encode()


def workbook() -> bytes:
    return b"".join(xlsx(PAYMENT_COLUMNS, [[ROW.get(name) for name in PAYMENT_COLUMNS]]))


def repacked(changed: dict[str, bytes | str | None], data: bytes | None = None) -> bytes:
    """A workbook with parts replaced, added, or (None) left out."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data or workbook())) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new,
    ):
        for name in old.namelist():
            if name not in changed:
                new.writestr(name, old.read(name))
        for name, content in changed.items():
            if content is not None:
                new.writestr(name, content)
    return out.getvalue()


def sheet(inside: str, *, before: str = "", after: str = "") -> bytes:
    text = f'{before}<worksheet xmlns="{MAIN}"><sheetData>{inside}</sheetData>{after}</worksheet>'
    return repacked({"xl/worksheets/sheet1.xml": text})


def cells(*texts: str, row: int = 1) -> str:
    found = "".join(f'<c t="inlineStr"><is><t>{text}</t></is></c>' for text in texts)
    return f'<row r="{row}">{found}</row>'


def good_rows() -> str:
    return cells(*PAYMENT_COLUMNS) + cells(*(ROW.get(name, "") for name in PAYMENT_COLUMNS), row=2)


def lying_sizes() -> bytes:
    """A workbook whose directory declares a part of one byte that unpacks to much more."""
    data = bytearray(repacked({"xl/worksheets/sheet1.xml": f'<worksheet xmlns="{MAIN}">' + " " * 3_000_000}))
    at = 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        if b"sheet1.xml" in data[at + 46 : at + 80]:
            struct.pack_into("<I", data, at + 24, 1)
        at += 4
    return bytes(data)


def encrypted() -> bytes:
    data = bytearray(workbook())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = 0
        while (at := data.find(mark, at)) >= 0:
            data[at + offset] |= 1
            at += 4
    return bytes(data)


def twin_parts() -> bytes:
    out = io.BytesIO(workbook())
    with zipfile.ZipFile(out, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return out.getvalue()


def noise(size: int) -> str:
    """A comment that does not compress, so that what stands beside it may compress very well."""
    return f"<!--{os.urandom(size).hex()}-->"


def only_hidden_sheets() -> bytes:
    with zipfile.ZipFile(io.BytesIO(workbook())) as archive:
        book = archive.read("xl/workbook.xml").decode()
    return repacked({"xl/workbook.xml": book.replace("<sheet name", '<sheet state="hidden" name')})


def shared(texts: list[str], inside: str, sheet_name: str = "worksheets/sheet1.xml") -> bytes:
    """A workbook whose cells point to shared texts, with its sheet under any name."""
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    kinds = (("worksheet", sheet_name), ("sharedStrings", "sharedStrings.xml"))
    links = "".join(
        f'<Relationship Id="rId{n}" Type="{relations}/{kind}" Target="{target}"/>'
        for n, (kind, target) in enumerate(kinds, 1)
    )
    items = "".join(f"<si><t>{text}</t></si>" for text in texts)
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    with zipfile.ZipFile(io.BytesIO(workbook())) as archive:
        old_sheet = next(name for name in archive.namelist() if "worksheets/" in name)
    return repacked(
        {
            old_sheet: None,
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}">{links}</Relationships>',
            "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">{items}</sst>',
            f"xl/{sheet_name}": f'<worksheet xmlns="{MAIN}"><sheetData>{inside}</sheetData></worksheet>',
        }
    )


def text_bomb(cell: str, sheet_name: str = "worksheets/sheet1.xml", extra: str = "") -> bytes:
    """A few kilobytes that point 40,000 times to one text of 30 kB: 1.2 GB in memory."""
    rows = "<row>" + "".join(f'<c t="s"><v>{n}</v></c>' for n in range(1, 21)) + "</row>"
    rows += ("<row>" + cell * 20 + "</row>") * 2_000
    return shared(["a" * 30_000, *(f"c{n}" for n in range(20))], rows + extra, sheet_name)


def old_workbook(texts: list[str], cells: int) -> bytes:
    """A legacy workbook of one sheet, 20 columns wide, whose cells all point to the first shared text."""

    def record(kind: int, body: bytes) -> bytes:
        return struct.pack("<2H", kind, len(body)) + body

    begin = struct.pack("<2H3I", 0x0600, 5, 0, 0, 6)[:16]
    shared_texts = b"".join(struct.pack("<HB", len(text), 0) + text.encode() for text in texts)
    table = struct.pack("<2I", cells, len(texts)) + shared_texts
    pieces = [table[:8_000]]
    rest = table[8_000:]
    while rest:
        pieces.append(b"\0" + rest[:8_000])
        rest = rest[8_000:]
    strings = record(0x00FC, pieces[0]) + b"".join(record(0x003C, piece) for piece in pieces[1:])
    head = record(0x0809, begin) + record(0x0085, struct.pack("<IHBB", 0, 0, 1, 0) + b"S") + strings + record(0x0A, b"")
    at = len(head)
    head = head.replace(struct.pack("<2H", 0x0085, 9) + b"\0\0\0\0", struct.pack("<2HI", 0x0085, 9, at))
    body = b"".join(record(0x00FD, struct.pack("<3HI", n // 20, n % 20, 0, 0)) for n in range(cells))
    stream = head + record(0x0809, begin) + body + record(0x0A, b"")
    sectors = -(-max(len(stream), 4_096) // 512)
    tables = -(-(sectors + 1) // 127) + 1
    chain = [*range(1, sectors), 0xFFFFFFFE, 0xFFFFFFFE, *[0xFFFFFFFD] * tables]
    chain += [0xFFFFFFFF] * (tables * 128 - len(chain))
    places = [*range(sectors + 1, sectors + 1 + tables)]
    header = OLE + b"\0" * 16 + struct.pack("<5H", 62, 3, 0xFFFE, 9, 6) + b"\0" * 6
    header += struct.pack("<9I", 0, tables, sectors, 0, 4_096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
    header += struct.pack("<109I", *places, *[0xFFFFFFFF] * (109 - tables))

    def entry(name: str, kind: int, start: int, size: int, child: int) -> bytes:
        label = name.encode("utf-16-le") + b"\0\0"
        links = struct.pack("<HBB3I", len(label), kind, 1, 0xFFFFFFFF, 0xFFFFFFFF, child)
        return label.ljust(64, b"\0") + links + b"\0" * 36 + struct.pack("<3I", start, size, 0)

    directory = entry("Root Entry", 5, 0xFFFFFFFE, 0, 1) + entry("Workbook", 2, 0, len(stream), 0xFFFFFFFF)
    padded = stream.ljust(sectors * 512, b"\0")
    return header + padded + directory.ljust(512, b"\0") + struct.pack(f"<{tables * 128}I", *chain)


def plain_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("rows.csv", lines(LINE))
    return out.getvalue()


def nested_bomb() -> bytes:
    """The 4.8 kB file with one cell at the far corner, which costs tablib 4 GiB."""
    return sheet(good_rows() + '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>')


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
OLE = bytes.fromhex("d0cf11e0a1b11ae1")

REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "The file is empty."),
    "white space": (lambda: b" \n\r\n\t ", "The file is empty."),
    "a byte order mark alone": (lambda: b"\xef\xbb\xbf", "first row is empty"),
    "a header without rows": (lines, "a header but no rows"),
    "a header and blank rows": (lambda: lines(",,,,,,,,,,", ""), "a header but no rows"),
    "NUL bytes": (lambda: lines(LINE.replace("Ana", "A\0a")), "Line 2 holds a NUL byte"),
    "UTF-16": (lambda: lines(LINE).decode().encode("utf-16"), "UTF-16"),
    "bytes of no known encoding": (
        lambda: lines(LINE.replace("Ana", "A@a")).replace(b"@", b"\x81\xfe"),
        "Line 2 is not UTF-8",
    ),
    "a web page named .xls": (lambda: b"<html><table><tr><td>1</td></tr></table></html>", "web page"),
    "an XML spreadsheet": (lambda: b'<?xml version="1.0"?><Workbook/>', "web page or XML"),
    "a PDF": (lambda: b"%PDF-1.7 ...", "not a table"),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n" + b"x" * 100, "not a table"),
    "gzip": (lambda: b"\x1f\x8b\x08" + b"x" * 100, "not a table"),
    "a ZIP that is no workbook": (plain_zip, "not an XLSX workbook"),
    "ten megabytes and more": (lambda: lines(LINE) + b"x" * 10_500_000, "at most 10,485,760 are read"),
    "one row too many": (
        lambda: lines(*["x,,,,,,,,,,"] * (MAX_ROWS + 1)),
        "more than 100,000 rows",
    ),
    "a million rows": (lambda: (HEAD + "\n").encode() + b"x,,,,,,,,,\n" * 900_000, "Row 2 has 10 cells instead of 11"),
    "a million short rows": (lambda: b"a\n" + b"1\n" * 1_000_000, "more than 100,000 rows"),
    "too many columns": (lambda: b"%s\n" % b",".join(b"c%d" % n for n in range(65)), "65 columns; at most 64"),
    "a repeated column": (lambda: lines(LINE).replace(b"customer_id", b"amount"), 'have the same name, "amount"'),
    "a column without a name": (lambda: lines(LINE).replace(b"customer_id", b""), "Column B has no name"),
    "hidden signs in the header": (
        lambda: lines(LINE).replace(b"customer_id", "custo\u202emer".encode()),
        "hidden characters",
    ),
    "a mirrored cell": (
        lambda: lines(LINE.replace("Ana", "A\u202ena")),
        "Row 2, column H (card_holder_name) holds hidden",
    ),
    "a bell in a cell": (
        lambda: lines(LINE.replace("Ana", "A\x07na")),
        "Row 2, column H (card_holder_name) holds hidden",
    ),
    "a quote that never closes": (lambda: lines(LINE.replace("Ana", '"Ana'), LINE), "quote"),
    "text after a closing quote": (lambda: lines(LINE.replace("Ana", '"An"a')), "text after a closing quote"),
    "a short row": (lambda: lines(LINE, "BN-1,x"), "Row 3 has 2 cells instead of 11"),
    "a long row": (lambda: lines(LINE + ",more"), "Row 2 has 12 cells"),
    "an endless cell": (
        lambda: lines(LINE.replace("Ana", "A" * 40_000)),
        "Row 2, column H (card_holder_name) is too long",
    ),
    "a cell of nine megabytes": (lambda: lines(LINE.replace("Ana", "A" * 9_000_000)), "too long"),
    "a zip bomb": (lambda: sheet(good_rows() + " " * 50_000_000), "suspiciously much data"),
    "a hundred megabytes in one cell": (
        lambda: sheet(cells(*PAYMENT_COLUMNS) + cells("A" * 70_000_000, row=2)),
        "unpacks to",
    ),
    "a cell at the far corner": (nested_bomb, "The sheet reaches row 1,048,576"),
    "a column too far out": (
        lambda: sheet(good_rows() + '<row r="3"><c r="ZZ3"><v>1</v></c></row>'),
        "reaches column ZZ",
    ),
    "a hundred parts": (lambda: repacked({f"xl/media/{n}.bin": "x" for n in range(100)}), "at most 64 different ones"),
    "the same part twice": (twin_parts, "different ones are read"),
    "macros": (lambda: repacked({"xl/vbaProject.bin": b"x"}), "contains macros"),
    "links to other files": (lambda: repacked({"xl/externalLinks/externalLink1.xml": "<x/>"}), "links to other files"),
    "embedded files": (lambda: repacked({"xl/embeddings/oleObject1.bin": b"x"}), "embedded files"),
    "controls": (lambda: repacked({"xl/activeX/activeX1.bin": b"x"}), "controls"),
    "a formula": (
        lambda: sheet(good_rows() + '<row r="3"><c r="D3"><f>1+1</f><v>2</v></c></row>'),
        "Cell D3 holds a formula",
    ),
    "a billion laughs": (lambda: sheet(good_rows(), before=LAUGHS), "XML that spreadsheets do not write"),
    "a password": (encrypted, "protected by a password"),
    "half a workbook": (lambda: workbook()[: len(workbook()) // 2], "damaged"),
    "sizes that lie": (lying_sizes, ""),
    "XML that does not end": (
        lambda: repacked({"xl/worksheets/sheet1.xml": f'<worksheet xmlns="{MAIN}"><sheetData><row'}),
        "",
    ),
    "one text in forty thousand cells": (lambda: text_bomb('<c t="s"><v>0</v></c>'), "more than 64 MB of text"),
    "one text in oddly written cells": (
        lambda: text_bomb("<c t = 's' ><v>&#48;</v></c>", extra=noise(20_000)),
        "more than 64 MB of text",
    ),
    "one text in a sheet of another name": (
        lambda: text_bomb('<c t="s"><v>0</v></c>', "other/part.bin"),
        "more than 64 MB of text",
    ),
    "one text in forty thousand old cells": (lambda: old_workbook(["a" * 30_000], 40_000), "more than 64 MB of text"),
    "a formula in a sheet of another name": (
        lambda: shared(["x"], '<row r="1"><c r="A1"><f>1+1</f><v>2</v></c></row>', "other/part.bin"),
        "Cell A1 holds a formula",
    ),
    "millions of empty rows": (lambda: sheet("<row/>" * 1_000_000 + noise(80_000)), "The sheet reaches row"),
    "millions of empty cells": (lambda: sheet(f"<row>{'<c/>' * 1_000_000}</row>{noise(80_000)}"), "reaches column BM"),
    "hidden sheets only": (only_hidden_sheets, "no visible sheet"),
    "an empty sheet": (lambda: sheet(""), "The first sheet is empty"),
    "an old container of nothing": (lambda: OLE + b"\0" * 5_000, ""),
    "an old container of noise": (lambda: OLE + os.urandom(50_000), ""),
    "half an old workbook": (lambda: OLE + zlib.compress(b"x" * 9_000), ""),
}

# What is taken as a table, and what is to be said of it: rows, notes, problems of its columns.
TAKEN: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "commas": (lambda: lines(LINE), 1, ""),
    "semicolons": (lambda: lines(LINE).replace(b",", b";"), 1, ""),
    "tabs": (lambda: lines(LINE).replace(b",", b"\t"), 1, ""),
    "bars": (lambda: lines(LINE).replace(b",", b"|"), 1, ""),
    "a byte order mark": (lambda: b"\xef\xbb\xbf" + lines(LINE), 1, ""),
    "Windows line ends": (lambda: lines(LINE, end="\r\n"), 1, ""),
    "old Mac line ends": (lambda: lines(LINE, end="\r"), 1, ""),
    "Windows-1252": (lambda: lines(LINE.replace("Ana", "José")).decode().encode("cp1252"), 1, "Windows-1252"),
    "a line break in a cell": (lambda: lines(LINE.replace("Ana", '"Ana\nLopez"')), 1, ""),
    "doubled quotes": (lambda: lines(LINE.replace("Ana", '"Ana ""the"" Lopez"')), 1, ""),
    "blank rows between": (lambda: lines(LINE, ",,,,,,,,,,", "", LINE.replace("INV-1", "INV-2")), 2, ""),
    "blank rows before": (lambda: b"\n\n" + lines(LINE), 1, ""),
    "no last line end": (lambda: lines(LINE).rstrip(), 1, ""),
    "a workbook": (workbook, 1, ""),
    "merged cells": (
        lambda: sheet(good_rows(), after='<mergeCells count="1"><mergeCell ref="A2:C2"/></mergeCells>'),
        1,
        "",
    ),
    "text that looks like a formula": (lambda: lines(LINE.replace("Two chairs", "=1+1")), 1, ""),
    "a number that is none": (lambda: sheet(cells(*PAYMENT_COLUMNS) + '<row r="2"><c><v>NaN</v></c></row>'), -1, ""),
    "JSON": (lambda: b'{"billing_number": "BN-1"}\n1\n', 1, "problems"),
    "another table": (lambda: b"name,age\nAna,30\n", 1, "problems"),
}


def test_an_old_workbook_as_these_tests_write_it_is_read() -> None:
    table = read_table(old_workbook(["name", "x" * 20_000, "y"], 1), "old.xls")
    assert (table.header, table.kind) == (("name",), "XLS")


def bounded(data: bytes, name: str, seconds: float = SECONDS) -> object:
    """Read a file within the time and memory that any file may take; the refusal or the sheet."""
    process = psutil.Process()
    memory, began = process.memory_info().rss, time.process_time()
    try:
        return read_sheet(data, name, BatchKind.SINGLE_PAYMENT, [b"k" * 32])
    except Invalid as refusal:
        return refusal
    finally:
        assert time.process_time() - began < seconds
        assert process.memory_info().rss - memory < MEMORY_MB * 2**20


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_trusted_is_refused_with_a_sentence(case: str) -> None:
    make, says = REFUSED[case]
    refusal = bounded(make(), "file.xls", WHOLE_FILE.get(case, SECONDS))
    assert isinstance(refusal, Invalid), refusal
    assert says in refusal.sentence
    assert refusal.sentence.isprintable()
    assert refusal.sentence.endswith(".")


@pytest.mark.parametrize("case", TAKEN)
def test_a_table_is_taken_in_whatever_form_it_comes(case: str) -> None:
    make, rows, says = TAKEN[case]
    found = bounded(make(), "file")
    if rows < 0:
        assert isinstance(found, Invalid)
        return
    assert not isinstance(found, Invalid), found
    assert len(found.rows) == rows  # type: ignore[attr-defined]
    assert bool(found.problems) is (says == "problems")  # type: ignore[attr-defined]
    if says and says != "problems":
        assert says in " ".join(found.notes)  # type: ignore[attr-defined]


def test_the_catalogue_holds_seventy_cases() -> None:
    assert len(REFUSED) + len(TAKEN) >= 70


def test_a_name_that_says_something_else_is_noted() -> None:
    sheet_ = read_sheet(csv_file([ROW], PAYMENT_COLUMNS), "file.xlsx", BatchKind.SINGLE_PAYMENT, [b"k" * 32])
    assert sheet_.notes == ["The name ends in .xlsx but the content is CSV; it was read as CSV."]
