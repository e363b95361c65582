"""The operational report as a PDF: the same bytes every time, over as many pages as it needs."""

import dataclasses

import pytest

from payadmin.kernel import report_pdf
from payadmin.kernel.pdf import TextMark
from payadmin.kernel.report_pdf import Cell, ReportFacts, ReportRow, render_report

pytestmark = pytest.mark.once

ROW = ReportRow(Cell("2026-11", "2026-11-01 to 2026-11-30"), (Cell("1,234"), Cell("12,345.60")), current=True)
FACTS = ReportFacts(
    title="Operational report", about="2026-11, compared with the 2 months before", notes=("Amounts in EUR.",),
    test=False, heads=("Period", "Payments", "Captured amount"), rows=(ROW,),
)  # fmt: skip


def pages(document: bytes) -> int:
    return document.count(b"/Type /Page\n") + document.count(b"/Type /Page ")


def test_equal_facts_are_equal_bytes_with_their_fonts_inside() -> None:
    document = render_report(FACTS)
    assert document == render_report(FACTS)
    assert document.startswith(b"%PDF-")
    assert document.count(b"/FontFile2") == 2
    assert document != render_report(dataclasses.replace(FACTS, test=True))


def test_many_periods_flow_over_pages_and_endless_numbers_stay_in_their_column() -> None:
    endless = ReportRow(Cell("<b>" * 40, "\u202e" * 9), (Cell("9" * 200, "+1" * 90), Cell("")))
    assert pages(render_report(FACTS)) == 1
    assert pages(render_report(dataclasses.replace(FACTS, rows=(ROW, *(endless,) * 40)))) > 2
    assert pages(render_report(dataclasses.replace(FACTS, rows=(), notes=(), heads=("Period",)))) == 1


def test_many_numbers_stand_below_each_other_in_a_size_that_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    laid = []
    monkeypatch.setattr(report_pdf, "render", lambda _document, lay_out, _footer: laid.extend(lay_out()) or b"")
    heads = tuple(f"Number{place:02} subscriptions" for place in range(15))
    row = ReportRow(Cell("2017"), (Cell("4,086,412.91", "nothing to compare"),) * len(heads), current=True)
    render_report(dataclasses.replace(FACTS, heads=("Period", *heads), rows=(row,) * 7))
    assert len(laid) == 2
    texts = [mark for page in laid for mark in page if isinstance(mark, TextMark)]
    said = [mark.text for mark in texts]
    assert [word for head in heads for word in head.split() if word not in said] == []
    assert (said.count("2017"), said.count("4,086,412.91")) == (2 * 7, len(heads) * 7)
    assert min(mark.style.size for mark in texts) > 6
