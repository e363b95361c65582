"""The invoice as a PDF: the same bytes every time, whatever the facts say."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest

from payadmin.kernel.invoice_pdf import InvoiceFacts, InvoiceLine, render_invoice
from payadmin.kernel.pdf import FONTS
from payadmin.kernel.text import one_line

pytestmark = pytest.mark.once

FACTS = InvoiceFacts(
    number="INV-2026-000001", issued="21 Nov 2026", seller="Lakeside", merchant="Corner Shop",
    customer=("Ada Lovelace", "ada@example.com"), transaction_id="T-1", invoice_number="I-1", paid_on="20 Nov 2026",
    method="Card", lines=(InvoiceLine("Two tickets", "20 Nov 2026", "10.00 EUR"),), refunds=(),
    paid="10.00 EUR", refunded="0.00 EUR", kept="10.00 EUR", test=False,
)  # fmt: skip
HOSTILE = "<para>&lt;<img src='file:///etc/passwd'/> {{7*7}} \x00\x07\u202egnp.exe\u2066 e\u0301 日本 Жук 🎟"


def pages(document: bytes) -> int:
    return document.count(b"/Type /Page\n") + document.count(b"/Type /Page ")


def test_equal_facts_are_equal_bytes_even_when_drawn_at_once() -> None:
    with ThreadPoolExecutor(4) as pool:
        drawn = set(pool.map(lambda _: render_invoice(FACTS), range(12)))
    assert len(drawn) == 1
    assert render_invoice(dataclasses.replace(FACTS, test=True)) not in drawn


def test_every_font_is_inside_the_file() -> None:
    document = render_invoice(FACTS)
    assert b"DejaVuSans" in document
    assert document.count(b"/FontFile2") == 2
    assert b"/Helvetica" not in document
    assert (FONTS / "DejaVu-LICENSE.txt").is_file()


def test_hostile_and_endless_text_stays_text_and_flows_over_pages() -> None:
    facts = dataclasses.replace(
        FACTS, seller=HOSTILE, merchant="M" * 500, customer=("W" * 200, HOSTILE * 4), transaction_id="T" * 64,
        lines=(InvoiceLine(HOSTILE * 8, "20 Nov 2026", "10,000,000,000,000.00 LONGUNITCODE"),),
        refunds=tuple(InvoiceLine(HOSTILE, "21 Nov 2026", "-1.00 EUR") for _ in range(60)),
    )  # fmt: skip
    assert pages(render_invoice(FACTS)) == 1
    assert pages(render_invoice(facts)) > 2
    assert pages(render_invoice(dataclasses.replace(FACTS, seller="", merchant="", customer=("",)))) == 1


def test_one_line_keeps_letters_and_drops_what_hides_or_turns() -> None:
    assert one_line("a\r\nBcc: b\t\x00c\u202ed\u200be\ud800 e\u0301") == "a Bcc: b cde é"
