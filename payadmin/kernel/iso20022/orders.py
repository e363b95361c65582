"""Orders to a bank: files of payments (pain.001.001.09)."""

import datetime as dt
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from payadmin.kernel.errors import Invalid
from payadmin.kernel.iban import is_iban
from payadmin.kernel.iso20022.nodes import UNIT
from payadmin.kernel.masks import mask_name
from payadmin.kernel.money import decimal_text
from payadmin.kernel.text import _, one_line

ORDERS: Final = "pain.001.001.09"
# What every bank takes in a name (EPC217-08, the Latin set).
_TAKEN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-?:().,'+ ")
_SPELLED: Final = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ł": "l", "Ł": "L",
     "þ": "th", "Þ": "Th", "ð": "d", "\u0131": "i", "&": "+", "\u2019": "'", "–": "-"}
)  # fmt: skip


@dataclass(frozen=True)
class Transfer:
    """One payment of a file; `name` as the customer gave it."""

    end_to_end_id: str
    amount_minor: int
    name: str
    account: str
    bank_code: str | None = None


@dataclass(frozen=True)
class Orders:
    """A file of payments out of one account, all in one currency."""

    message_id: str
    made_at: dt.datetime
    execute_on: dt.date
    unit: str
    scale: int
    payer: str
    payer_account: str
    payer_bank_code: str | None
    transfers: Sequence[Transfer]


def name_for_bank(name: str) -> str:
    """A name in the letters that every bank takes; empty where nothing of it can be written in them."""
    apart = unicodedata.normalize("NFKD", one_line(name).translate(_SPELLED))
    kept = "".join(char if char in _TAKEN else "" if unicodedata.combining(char) else " " for char in apart)
    return " ".join(kept.split())[:70].strip()


def write_orders(orders: Orders) -> bytes:
    """The file as `pain.001.001.09`; the same orders give the same bytes.

    Raises:
        Invalid: nothing to pay, no currency that banks have, or a payee whose name cannot be written.
    """
    if not orders.transfers:
        raise Invalid("There is nothing to pay.")
    if not UNIT.fullmatch(orders.unit):
        raise Invalid(_("Banks do not pay in %(unit)s.", unit=orders.unit))
    total = decimal_text(sum(each.amount_minor for each in orders.transfers), orders.scale)
    count = str(len(orders.transfers))
    payer = _element("Nm", _named(orders.payer))
    head = _group(
        "GrpHdr",
        _element("MsgId", orders.message_id),
        _element("CreDtTm", orders.made_at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")),
        _element("NbOfTxs", count),
        _element("CtrlSum", total),
        _group("InitgPty", payer),
    )
    batch = _group(
        "PmtInf",
        _element("PmtInfId", orders.message_id),
        _element("PmtMtd", "TRF"),
        _element("NbOfTxs", count),
        _element("CtrlSum", total),
        _group("ReqdExctnDt", _element("Dt", orders.execute_on.isoformat())),
        _group("Dbtr", payer),
        _group("DbtrAcct", _account(orders.payer_account)),
        _group("DbtrAgt", _agent(orders.payer_bank_code)),
        *(_transfer(each, orders.unit, orders.scale) for each in orders.transfers),
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{ORDERS}">'
        f"{_group('CstmrCdtTrfInitn', head, batch)}</Document>\n"
    )
    return text.encode()


def _transfer(each: Transfer, unit: str, scale: int) -> str:
    amount = decimal_text(each.amount_minor, scale)
    return _group(
        "CdtTrfTxInf",
        _group("PmtId", _element("EndToEndId", each.end_to_end_id)),
        _group("Amt", f'<InstdAmt Ccy="{unit}">{amount}</InstdAmt>'),
        _group("CdtrAgt", _agent(each.bank_code)) if each.bank_code else "",
        _group("Cdtr", _element("Nm", _named(each.name))),
        _group("CdtrAcct", _account(each.account)),
        _group("RmtInf", _element("Ustrd", each.end_to_end_id)),
    )


def _named(name: str) -> str:
    found = name_for_bank(name)
    if not found:
        raise Invalid(_("No bank can write the name %(name)s. Have it given in Latin letters.", name=mask_name(name)))
    return found


def _account(number: str) -> str:
    return _group("Id", _element("IBAN", number) if is_iban(number) else _group("Othr", _element("Id", number)))


def _agent(bank_code: str | None) -> str:
    known = _element("BICFI", bank_code) if bank_code else _group("Othr", _element("Id", "NOTPROVIDED"))
    return _group("FinInstnId", known)


def _group(name: str, *inner: str) -> str:
    return f"<{name}>{''.join(inner)}</{name}>"


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>"
