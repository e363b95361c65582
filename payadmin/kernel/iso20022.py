"""Messages between a company and its bank: orders (pain.001), status reports (pain.002) and statements (camt.053).

What comes in is written by others. It is read by a parser that takes no DTD and no entities, so that nothing is
fetched and nothing grows; sizes, depth and counts are limited, and of the standard only what payadmin relies on is
read: anything there that is missing, doubled or does not add up refuses the whole message. Amounts are whole minor
units of the currency that stands beside them.

Source: ISO 20022 messages pain.001.001.09, pain.002.001.03 and later, camt.053.001.02 and later.
"""

import datetime as dt
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import escape

from payadmin.kernel.errors import Invalid
from payadmin.kernel.iban import is_iban
from payadmin.kernel.masks import mask_name
from payadmin.kernel.money import decimal_text, scale_of
from payadmin.kernel.text import _, one_line

MAX_BYTES: Final = 8 * 2**20
MAX_DEPTH: Final = 40
MAX_ELEMENTS: Final = 400_000
MAX_TEXT: Final = 4_000
MAX_LINES: Final = 20_000
REFERENCE_LENGTH: Final = 35
FIRST_YEAR, LAST_YEAR = 2000, 2200
ORDERS: Final = "pain.001.001.09"
NOT_GIVEN: Final = frozenset({"", "NOTPROVIDED", "NONREF"})
# The bank has had a file with this name before: what it says of that one counts, and this is no refusal of it.
DUPLICATES: Final = frozenset({"DUPL", "AM05"})
ACCEPTED: Final = frozenset({"ACCP", "ACSP", "ACSC", "ACTC", "ACWC", "ACCC"})
REJECTED: Final = "RJCT"

_NAMESPACE: Final = re.compile(r"urn:iso:std:iso:20022:tech:xsd:((?:pain\.002|camt\.053)\.001\.[0-9]{2})")
_AMOUNT: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,5})?")
_UNIT: Final = re.compile(r"[A-Z]{3}")
_CODE: Final = re.compile(r"[A-Z0-9]{1,10}")
# What every bank takes in a name (EPC217-08, the Latin set).
_TAKEN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-?:().,'+ ")
_SPELLED: Final = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ł": "l", "Ł": "L",
     "þ": "th", "Þ": "Th", "ð": "d", "\u0131": "i", "&": "+", "\u2019": "'", "–": "-"}
)  # fmt: skip

# Why a bank does not pay, or sends money back (ISO 20022 external code sets), in words.
REASONS: Final[dict[str, str]] = {
    "AC01": _("The account number is wrong"),
    "AC03": _("The account number of the payee is wrong"),
    "AC04": _("The account is closed"),
    "AC06": _("The account is blocked"),
    "AC13": _("The account is of a kind that cannot be paid to"),
    "AG01": _("The account takes no such payments"),
    "AG02": _("The bank does not know the kind of payment"),
    "AM02": _("The amount is above what is allowed"),
    "AM03": _("The account takes no payments in this currency"),
    "AM04": _("There is not enough money in our account"),
    "AM05": _("The bank takes it for a duplicate"),
    "AM09": _("The amount is wrong"),
    "AM10": _("The total of the file is wrong"),
    "AM18": _("The number of payments in the file is wrong"),
    "BE01": _("The name does not belong to the account"),
    "BE04": _("The payee's address is missing"),
    "BE05": _("The bank does not know who sent the file"),
    "CNOR": _("The payee's bank cannot be reached"),
    "CUST": _("Cancelled at the request of the customer"),
    "DNOR": _("Our bank cannot be reached this way"),
    "DT01": _("The date is wrong"),
    "DUPL": _("The bank has had this file before"),
    "ED05": _("The settlement failed"),
    "FF01": _("The bank cannot read the file"),
    "FOCR": _("Sent back after a recall"),
    "FR01": _("The bank suspects fraud"),
    "MD06": _("The payee asked for it to be sent back"),
    "MD07": _("The payee has died"),
    "MS02": _("The payee refuses it, without a reason"),
    "MS03": _("The bank gives no reason"),
    "NARR": _("The bank says why in words"),
    "NOAS": _("The payee did not answer"),
    "NOOR": _("The bank received no original payment"),
    "RC01": _("The BIC is wrong"),
    "RR01": _("Our account is not stated, which the law asks for"),
    "RR02": _("Our name or address is missing, which the law asks for"),
    "RR03": _("The payee's name or address is missing, which the law asks for"),
    "RR04": _("The law does not allow it"),
    "TM01": _("It came after the bank's closing time"),
}


def reason_words(code: str | None) -> str:
    """A bank's reason code in words; a code that nobody explained stands for itself."""
    if not code:
        return _("The bank gives no reason")
    return REASONS.get(code, code)


# ---- what goes out -------------------------------------------------------------------------------------------------


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
    if not _UNIT.fullmatch(orders.unit):
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


# ---- what comes in -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReportLine:
    """What the bank says of one payment; `code` is its reason, where it has one."""

    end_to_end_id: str
    status: str
    code: str | None


@dataclass(frozen=True)
class Report:
    """A status report: what the bank says of one file.

    Attributes:
        status: of the whole file, or None where the bank speaks of single payments only.
        code: why the whole file is rejected.
        count: how many payments the bank counted, where it says so.
        total: what they come to in the file's currency, as it was written.
    """

    bank_id: str
    original_id: str
    status: str | None
    code: str | None
    count: int | None
    total: Decimal | None
    lines: tuple[ReportLine, ...]

    @property
    def is_duplicate(self) -> bool:
        """Whether it only says that the file came before."""
        return self.status == REJECTED and self.code in DUPLICATES and not self.lines


@dataclass(frozen=True)
class Entry:
    """One movement of a statement.

    Attributes:
        number: its place on the statement, from 1.
        end_to_end_id: the reference of whoever ordered it; None: none was given.
        is_credit: money came in; it went out otherwise.
        code: why it was sent back, where it was.
        party: whom it went to, or came from, as far as the bank says.
    """

    number: int
    end_to_end_id: str | None
    bank_reference: str | None
    amount_minor: int
    unit: str
    is_credit: bool
    booked_on: dt.date
    value_date: dt.date
    is_return: bool
    code: str | None
    party: str | None


@dataclass(frozen=True)
class Statement:
    """What moved on one account.

    Attributes:
        adds_up: whether opening balance and movements come to the closing balance; None: it names no balances.
    """

    statement_id: str
    account: str
    entries: tuple[Entry, ...]
    adds_up: bool | None


@dataclass(frozen=True)
class Statements:
    """A message with one or more statements."""

    bank_id: str
    parts: tuple[Statement, ...]


def read_message(data: bytes) -> Report | Statements:
    """What a bank sent.

    Raises:
        Invalid: it is neither a status report nor a statement, or something in it cannot be relied on.
    """
    root = _parse(data)
    match = _NAMESPACE.fullmatch(root.namespace)
    if root.name != "Document" or match is None:
        raise Invalid("This is neither a status report (pain.002) nor a statement (camt.053) of a bank.")
    if match[1].startswith("pain"):
        return _report(root.one("CstmrPmtStsRpt"))
    return _statements(root.one("BkToCstmrStmt"))


def _report(body: "_Node") -> Report:
    group = body.one("OrgnlGrpInfAndSts")
    lines: list[ReportLine] = []
    seen: set[str] = set()
    for batch in body.every("OrgnlPmtInfAndSts"):
        # A batch that is rejected as a whole may name none of its payments: they follow from the file's own status.
        for line in batch.every("TxInfAndSts"):
            reference = _reference(line.text("OrgnlEndToEndId"))
            if reference is None:
                raise Invalid("The status report says something about a payment without naming it.")
            if reference in seen:
                raise Invalid(_("The status report speaks twice of the payment %(reference)s.", reference=reference))
            seen.add(reference)
            lines.append(ReportLine(reference, _code(line.needed("TxSts")) or "", _reason(line)))
    status = group.text("GrpSts")
    batches = [each.text("PmtInfSts") for each in body.every("OrgnlPmtInfAndSts")]
    code = _reason(group)
    if status is None and not lines and batches and set(batches) == {REJECTED}:
        status = REJECTED
    if status == REJECTED and code is None:
        codes = {_reason(each) for each in body.every("OrgnlPmtInfAndSts")} - {None}
        code = next(iter(codes)) if len(codes) == 1 else None
    if status is None and not lines:
        raise Invalid("The status report says nothing.")
    return Report(
        bank_id=_named_by(body),
        original_id=_reference(group.needed("OrgnlMsgId")) or "",
        status=_code(status),
        code=code,
        count=_count(group.text("OrgnlNbOfTxs")),
        total=_decimal(group.text("OrgnlCtrlSum")),
        lines=tuple(lines),
    )


def _statements(body: "_Node") -> Statements:
    parts = tuple(_statement(each) for each in body.every("Stmt"))
    if not parts:
        raise Invalid("The message holds no statement.")
    if len({(part.account, part.statement_id) for part in parts}) < len(parts):
        raise Invalid("The message holds a statement twice.")
    return Statements(_named_by(body), parts)


def _statement(part: "_Node") -> Statement:
    entries: list[Entry] = []
    for node in part.every("Ntry"):
        entries.extend(_entries(node, len(entries) + 1))
        if len(entries) > MAX_LINES:
            raise Invalid(_("A statement has at most %(most)s lines.", most=MAX_LINES))
    _check_summary(part)
    statement_id = _reference(part.needed("Id"))
    if statement_id is None:
        raise Invalid("A statement has no number.")
    identity = part.one("Acct").one("Id")
    other = identity.maybe("Othr")
    account = identity.text("IBAN") or (other.text("Id") if other is not None else None)
    if not account or len(account) > 34:  # noqa: PLR2004 - the longest number an account has (ISO 20022)
        raise Invalid("A statement does not say of which account it is.")
    return Statement(statement_id, account, tuple(entries), _adds_up(part))


def _entries(node: "_Node", number: int) -> Iterator[Entry]:
    """The movements of an entry: one, or each payment of a batch where the bank says what each came to."""
    status = node.maybe("Sts")
    said = (status.text("Cd") or status.own) if status is not None else None
    if said not in {None, "BOOK"}:
        return  # expected, or for information: nothing has moved
    unit, whole = _money(node.one("Amt"))
    is_credit = _side(node)
    booked_on = _day(node, "BookgDt")
    value_date = _day(node, "ValDt") or booked_on
    booked_on = booked_on or value_date
    if booked_on is None or value_date is None:
        raise Invalid("A line of the statement has no date.")
    details = [each for group in node.every("NtryDtls") for each in group.every("TxDtls")]
    parts = [_amount_of(each) for each in details]
    is_whole = all(each is not None and each[0] == unit for each in parts)
    if len(details) > 1 and not (is_whole and sum(each[1] for each in parts if each) == whole):
        details = []  # a batch that does not say what each came to: one line, which a person looks at
    taken: list[_Node | None] = [*details] or [None]
    for place, one in enumerate(taken):
        amount = (parts[place] or (unit, whole)) if one is not None and len(taken) > 1 else (unit, whole)
        refs = one.maybe("Refs") if one is not None else None
        back = one.maybe("RtrInf") if one is not None else None
        yield Entry(
            number=number + place,
            end_to_end_id=_reference(refs.text("EndToEndId")) if refs is not None else None,
            bank_reference=_reference(node.text("AcctSvcrRef"), cut=True),
            amount_minor=amount[1],
            unit=amount[0],
            is_credit=is_credit,
            booked_on=booked_on,
            value_date=value_date,
            is_return=back is not None,
            code=_returned(back),
            party=_party(one, is_credit=is_credit),
        )


def _check_summary(part: "_Node") -> None:
    """Refuse a statement whose own count or sum of its entries is wrong: some of it is missing, or was added."""
    summary = part.maybe("TxsSummry")
    if summary is None:
        return
    nodes = list(part.every("Ntry"))
    for name, side in (("TtlNtries", None), ("TtlCdtNtries", True), ("TtlDbtNtries", False)):
        total = summary.maybe(name)
        if total is None:
            continue
        meant = [each for each in nodes if side is None or _side(each) is side]
        count, amount = _count(total.text("NbOfNtries")), _decimal(total.text("Sum"))
        if count is not None and count != len(meant):
            raise Invalid("The statement's count of its lines is wrong.")
        if amount is not None and amount != sum((_positive(each.one("Amt").own) for each in meant), Decimal(0)):
            raise Invalid("The statement's total of its lines is wrong.")


def _adds_up(part: "_Node") -> bool | None:
    opening = closing = None
    for node in part.every("Bal"):
        kind = node.one("Tp").one("CdOrPrtry").text("Cd")
        amount = _positive(node.one("Amt").own) * (1 if _side(node) else -1)
        if kind in {"OPBD", "PRCD"}:
            opening = amount
        elif kind == "CLBD":
            closing = amount
    if opening is None or closing is None:
        return None
    booked = [each for each in part.every("Ntry") if _is_booked(each)]
    moved = sum((_positive(each.one("Amt").own) * (1 if _side(each) else -1) for each in booked), Decimal(0))
    return opening + moved == closing


def _is_booked(node: "_Node") -> bool:
    status = node.maybe("Sts")
    return status is None or (status.text("Cd") or status.own) == "BOOK"


def _amount_of(details: "_Node") -> tuple[str, int] | None:
    amount = details.maybe("Amt")
    if amount is None:
        outer = details.maybe("AmtDtls")
        inner = outer.maybe("TxAmt") if outer is not None else None
        amount = inner.maybe("Amt") if inner is not None else None
    return _money(amount) if amount is not None else None


def _money(node: "_Node") -> tuple[str, int]:
    unit = node.attributes.get("Ccy", "")
    if not _UNIT.fullmatch(unit):
        raise Invalid("An amount of the message has no currency.")
    minor = _positive(node.own).scaleb(scale_of(unit))
    if minor != minor.to_integral_value() or minor >= 2**63:
        raise Invalid(_("%(amount)s is no amount in %(unit)s.", amount=node.own[:30], unit=unit))
    return unit, int(minor)


def _positive(text: str) -> Decimal:
    if not _AMOUNT.fullmatch(text):
        raise Invalid(_("The message holds an amount that is none: %(amount)s.", amount=one_line(text)[:30] or "–"))
    return Decimal(text)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else _positive(text)


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 15):  # noqa: PLR2004 - Max15NumericText
        raise Invalid("The message holds a count that is none.")
    return int(text)


def _side(node: "_Node") -> bool:
    side = node.needed("CdtDbtInd")
    if side not in {"CRDT", "DBIT"}:
        raise Invalid("A line of the statement says neither in nor out.")
    return side == "CRDT"


def _day(node: "_Node", name: str) -> dt.date | None:
    found = node.maybe(name)
    if found is None:
        return None
    text = found.text("Dt") or found.text("DtTm") or ""
    try:
        day = dt.date.fromisoformat(text[:10])
    except ValueError:
        day = dt.date.min
    if not FIRST_YEAR <= day.year < LAST_YEAR:  # a line is booked on its day, whatever the bank's computer had in mind
        raise Invalid("A line of the statement has a date that is none.")
    return day


def _returned(back: "_Node | None") -> str | None:
    reason = back.maybe("Rsn") if back is not None else None
    return _code(reason.text("Cd")) if reason is not None else None


def _reason(node: "_Node") -> str | None:
    for info in node.every("StsRsnInf"):
        reason = info.maybe("Rsn")
        if reason is not None and (code := _code(reason.text("Cd"))):
            return code
    return None


def _party(details: "_Node | None", *, is_credit: bool) -> str | None:
    parties = details.maybe("RltdPties") if details is not None else None
    found = parties.maybe("Dbtr" if is_credit else "Cdtr") if parties is not None else None
    if found is None:
        return None
    inner = found.maybe("Pty")
    return one_line((inner or found).text("Nm") or "")[:140] or None


def _named_by(body: "_Node") -> str:
    found = _reference(body.one("GrpHdr").needed("MsgId"))
    if found is None:
        raise Invalid("The message has no number.")
    return found


def _reference(text: str | None, *, cut: bool = False) -> str | None:
    found = one_line(text or "")
    if len(found) > REFERENCE_LENGTH and not cut:
        raise Invalid(_("A reference in the message is longer than %(most)s characters.", most=REFERENCE_LENGTH))
    found = found[:REFERENCE_LENGTH]
    return None if found in NOT_GIVEN else found


def _code(text: str | None) -> str | None:
    if text is None:
        return None
    if not _CODE.fullmatch(text):
        raise Invalid("The message holds a code that is none.")
    return text


# ---- XML -----------------------------------------------------------------------------------------------------------


@dataclass
class _Node:
    """An element; only elements of the message's own namespace count."""

    namespace: str
    name: str
    attributes: dict[str, str]
    inner: "list[_Node]" = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    length: int = 0

    @property
    def own(self) -> str:
        return "".join(self.pieces).strip()

    def every(self, name: str) -> "Iterable[_Node]":
        return (each for each in self.inner if each.name == name and each.namespace == self.namespace)

    def maybe(self, name: str) -> "_Node | None":
        found = list(self.every(name))
        if len(found) > 1:
            raise Invalid(_("The message says %(name)s twice where it can be said once.", name=name))
        return found[0] if found else None

    def one(self, name: str) -> "_Node":
        found = self.maybe(name)
        if found is None:
            raise Invalid(_("The message does not say %(name)s.", name=name))
        return found

    def text(self, name: str) -> str | None:
        found = self.maybe(name)
        return None if found is None else found.own

    def needed(self, name: str) -> str:
        return self.one(name).own


class _Builder:
    """Builds the tree and refuses, while it reads, what no bank sends."""

    def __init__(self) -> None:
        self.root: _Node | None = None
        self._open: list[_Node] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _blank, local = name.rpartition(" ")
        node = _Node(namespace, local, attributes)
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise Invalid("The message is larger or deeper than any that a bank sends.")
        if self._open:
            self._open[-1].inner.append(node)
        else:
            self.root = node
        self._open.append(node)

    def end(self, _name: str) -> None:
        self._open.pop()

    def text(self, data: str) -> None:
        node = self._open[-1]
        node.length += len(data)
        if node.length > MAX_TEXT:
            raise Invalid("The message is larger or deeper than any that a bank sends.")
        node.pieces.append(data)


def _parse(data: bytes) -> _Node:
    if len(data) > MAX_BYTES:
        raise Invalid(_("The message is too large: at most %(most)s MB are read.", most=MAX_BYTES // 2**20))
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    # A document type is the door to entities that grow and to files that are fetched. No bank sends one.
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.ExternalEntityRefHandler = _refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError):
        raise Invalid("The file is no XML, or a damaged one.") from None
    if builder.root is None:
        raise Invalid("The file is no XML, or a damaged one.")
    return builder.root


def _refuse(*_args: object) -> int:
    raise Invalid("The message declares a document type or entities. Such files are not read.")
