"""Messages of banks: what is written is what was ordered; what comes in is read only if it can be relied on."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payadmin.kernel import iso20022
from payadmin.kernel.errors import Invalid
from payadmin.kernel.iso20022 import Orders, Report, Statements, Transfer, name_for_bank, read_message, write_orders
from tests.banking.conftest import entry, report, statement

pytestmark = pytest.mark.once

NS = "{urn:iso:std:iso:20022:tech:xsd:pain.001.001.09}"
IBAN = "DE89370400440532013000"


def orders(*transfers: Transfer, **more: Any) -> Orders:
    facts = {
        "message_id": "PA-1", "made_at": dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC), "execute_on": dt.date(2026, 3, 2),
        "unit": "EUR", "scale": 2, "payer": "payadmin", "payer_account": IBAN, "payer_bank_code": None,
        "transfers": transfers or (Transfer("RD-1", 10_05, "Ada", IBAN), Transfer("RD-2", 7, "B", "12", "COBADEFFXXX")),
    }  # fmt: skip
    return Orders(**(facts | more))


def test_a_file_says_what_was_ordered() -> None:
    data = write_orders(orders())
    root = ET.fromstring(data)
    assert [node.text for node in root.iter(f"{NS}InstdAmt")] == ["10.05", "0.07"]
    assert {node.text for node in root.iter(f"{NS}CtrlSum")} == {"10.12"}
    assert {node.text for node in root.iter(f"{NS}NbOfTxs")} == {"2"}
    assert [node.text for node in root.iter(f"{NS}EndToEndId")] == ["RD-1", "RD-2"]
    assert data == write_orders(orders())


@pytest.mark.parametrize(("unit", "scale", "minor", "text"), [("JPY", 0, 1234, "1234"), ("KWD", 3, 1_005, "1.005")])
def test_amounts_have_the_decimals_of_their_currency(unit: str, scale: int, minor: int, text: str) -> None:
    data = write_orders(orders(Transfer("R", minor, "A", IBAN), unit=unit, scale=scale))
    assert f'<InstdAmt Ccy="{unit}">{text}</InstdAmt>'.encode() in data


@pytest.mark.parametrize(
    ("name", "written"),
    [("Zoë Müller-Łącka", "Zoe Muller-Lacka"), ("Straße & Søn", "Strasse + Son"), ("A\u202eB\x00", "AB"), ("李雷", "")],
)
def test_names_are_written_in_letters_that_banks_take(name: str, written: str) -> None:
    assert name_for_bank(name) == written


def test_a_name_that_no_bank_can_write_and_a_unit_that_none_has_are_refused() -> None:
    with pytest.raises(Invalid, match="Latin letters") as caught:
        write_orders(orders(Transfer("R", 1, "李雷", IBAN)))
    assert "李雷" not in caught.value.sentence, "refusals stand in the trail, and whole names do not"
    with pytest.raises(Invalid, match="do not pay in"):
        write_orders(orders(unit="BONUS"))


@given(st.text(max_size=90))
def test_no_name_breaks_out_of_its_element(name: str) -> None:
    try:
        data = write_orders(orders(Transfer("R", 1, name, IBAN)))
    except Invalid:
        return
    assert len(list(ET.fromstring(data).iter(f"{NS}CdtTrfTxInf"))) == 1


# ---- what comes in -------------------------------------------------------------------------------------------------

BOMB = b"""<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY c "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>&c;</BkToCstmrStmt></Document>"""
XXE = b"""<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">&a;</Document>"""
REMOTE = b'<!DOCTYPE b SYSTEM "http://127.0.0.1:9/x.dtd"><Document/>'
PARAMETER = b'<!DOCTYPE b [<!ENTITY % a SYSTEM "http://127.0.0.1:9/x.dtd"> %a;]><Document/>'
DEEP = b"<a>" * 5_000 + b"</a>" * 5_000
WIDE = b"<Document>" + b"<a/>" * (iso20022.MAX_ELEMENTS + 1) + b"</Document>"
LONG = b"<Document>" + b"x" * (iso20022.MAX_TEXT + 1) + b"</Document>"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(BOMB, "document type", id="bomb"),
        pytest.param(XXE, "document type", id="xxe"),
        pytest.param(REMOTE, "document type", id="remote dtd"),
        pytest.param(PARAMETER, "document type", id="parameter entity"),
        pytest.param(DEEP, "larger or deeper", id="deep"),
        pytest.param(WIDE, "larger or deeper", id="wide"),
        pytest.param(LONG, "larger or deeper", id="long"),
        pytest.param(b" " * (iso20022.MAX_BYTES + 1), "too large", id="huge"),
        pytest.param(b"", "no XML", id="empty"),
        pytest.param(b"PK\x03\x04", "no XML", id="zip"),
        pytest.param(b"<a>\xff</a>", "no XML", id="bytes"),
        pytest.param(b'<?xml version="1.0" encoding="utf-7"?><a/>', "no XML", id="encoding"),
        pytest.param(b"<a>&b;</a>", "no XML", id="entity"),
        pytest.param(statement().replace(b"camt.053", b"camt.054"), "neither", id="another message"),
        pytest.param(statement().replace(b"urn:iso", b"urn:iso2"), "neither", id="another namespace"),
        pytest.param(statement().replace(b"Document", b"Documents"), "neither", id="another root"),
    ],
)
def test_what_no_bank_sends_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read_message(data)


def balances(opening: str, closing: str) -> str:
    def balance(code: str, amount: str) -> str:
        side = "DBIT" if amount.startswith("-") else "CRDT"
        return (
            f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy='EUR'>{amount.lstrip('-')}</Amt>"
            f"<CdtDbtInd>{side}</CdtDbtInd></Bal>"
        )

    return balance("OPBD", opening) + balance("CLBD", closing)


def summary(count: int, total: str) -> str:
    return f"<TxsSummry><TtlNtries><NbOfNtries>{count}</NbOfNtries><Sum>{total}</Sum></TtlNtries></TxsSummry>"


def test_a_statement_says_what_moved() -> None:
    data = statement(
        entry(reference="RD-1", minor=10_00),
        entry(reference=None, minor=3, side="CRDT"),
        entry(reference="RD-2", minor=5_00, side="CRDT", code="AC04"),
        entry(reference="RD-3", minor=9_00, status="PDNG"),
        extra=balances("100.00", "95.03") + summary(4, "24.03"),
    )
    found = read_message(data)
    assert isinstance(found, Statements)
    (part,) = found.parts
    assert [(e.number, e.end_to_end_id, e.amount_minor, e.is_credit, e.code) for e in part.entries] == [
        (1, "RD-1", 10_00, False, None), (2, None, 3, True, None), (3, "RD-2", 5_00, True, "AC04"),
    ]  # fmt: skip
    assert part.adds_up is True


def test_a_statement_with_a_hole_does_not_add_up() -> None:
    found = read_message(statement(entry(reference="R", minor=1_00), extra=balances("-5.00", "-7.00")))
    assert isinstance(found, Statements)
    assert found.parts[0].adds_up is False


BATCH = (
    '<Ntry><Amt Ccy="EUR">{whole}</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2026-03-02</Dt></BookgDt>'
    "<NtryDtls><TxDtls><Refs><EndToEndId>A</EndToEndId></Refs><Amt Ccy='EUR'>4.00</Amt></TxDtls>"
    "<TxDtls><Refs><EndToEndId>B</EndToEndId></Refs><AmtDtls><TxAmt><Amt Ccy='EUR'>6.00</Amt></TxAmt></AmtDtls>"
    "</TxDtls>"
    "</NtryDtls></Ntry>"
)


def test_a_batch_is_taken_apart_only_where_its_parts_come_to_it() -> None:
    whole, torn = (read_message(statement(BATCH.format(whole=each))) for each in ("10.00", "11.00"))
    assert isinstance(whole, Statements)
    assert isinstance(torn, Statements)
    assert [(e.number, e.end_to_end_id, e.amount_minor) for e in whole.parts[0].entries] == [
        (1, "A", 4_00),
        (2, "B", 6_00),
    ]
    assert [(e.end_to_end_id, e.amount_minor) for e in torn.parts[0].entries] == [(None, 11_00)]
    # 4 EUR and 6 USD are not 10 EUR.
    mixed = read_message(statement(BATCH.format(whole="10.00").replace("'EUR'>6", "'USD'>6")))
    assert isinstance(mixed, Statements)
    assert [(e.end_to_end_id, e.unit, e.amount_minor) for e in mixed.parts[0].entries] == [(None, "EUR", 10_00)]


def changed(old: bytes, new: bytes) -> Callable[[], bytes]:
    return lambda: statement(entry(reference="R", minor=1_00), extra=summary(1, "1.00")).replace(old, new)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(
            lambda: statement(entry(reference="R", minor=1_00), extra=summary(2, "1.00")), "count", id="count"
        ),
        pytest.param(
            lambda: statement(entry(reference="R", minor=1_00), extra=summary(1, "2.00")), "total", id="total"
        ),
        pytest.param(changed(b'Ccy="EUR"', b'Ccy="eur"'), "no currency", id="currency"),
        pytest.param(changed(b'"EUR">1.00', b'"EUR">1.005'), "no amount in EUR", id="decimals"),
        pytest.param(changed(b'"EUR">1.00', b'"EUR">-1.00'), "amount that is none", id="negative"),
        pytest.param(changed(b'"EUR">1.00', b'"EUR">1e9'), "amount that is none", id="exponent"),
        pytest.param(changed(b'"EUR">1.00', b'"EUR">NaN'), "amount that is none", id="nan"),
        pytest.param(changed(b'"EUR">1.00', '"EUR">\uff11.00'.encode()), "amount that is none", id="digits"),
        pytest.param(changed(b"DBIT", b"BOTH"), "neither in nor out", id="side"),
        pytest.param(changed(b"2026-11-20", b"2026-02-30"), "date that is none", id="date"),
        pytest.param(changed(b"2026-11-20", b"0026-11-20"), "date that is none", id="antiquity"),
        pytest.param(changed(b"<Id>S-1</Id>", b"<Id>S-1</Id><Id>S-2</Id>"), "says Id twice", id="twice"),
        pytest.param(changed(b"<Id>S-1</Id>", b""), "does not say Id", id="missing"),
        pytest.param(changed(b"<EndToEndId>R<", b"<EndToEndId>" + b"R" * 36 + b"<"), "longer than 35", id="reference"),
    ],
)
def test_a_statement_that_cannot_be_relied_on_is_refused_whole(make: Callable[[], bytes], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read_message(make())


def test_a_report_says_what_becomes_of_each_payment() -> None:
    extra = "<OrgnlNbOfTxs>2</OrgnlNbOfTxs><OrgnlCtrlSum>3.50</OrgnlCtrlSum>"
    found = read_message(report("PA-1", ("A", "ACCP", None), ("B", "RJCT", "AC04"), group="PART", extra=extra))
    assert isinstance(found, Report)
    assert (found.original_id, found.status, found.count, found.total) == ("PA-1", "PART", 2, Decimal("3.50"))
    assert [(line.end_to_end_id, line.status, line.code) for line in found.lines] == [
        ("A", "ACCP", None),
        ("B", "RJCT", "AC04"),
    ]


def test_a_report_that_speaks_twice_of_a_payment_or_says_nothing_is_refused() -> None:
    with pytest.raises(Invalid, match="speaks twice"):
        read_message(report("PA-1", ("A", "ACCP", None), ("A", "RJCT", "AC04")))
    with pytest.raises(Invalid, match="says nothing"):
        read_message(report("PA-1"))


@given(st.binary(max_size=300))
def test_no_bytes_do_anything_but_be_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        read_message(data)
