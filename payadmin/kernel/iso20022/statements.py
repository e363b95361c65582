"""Statements: what moved on an account (camt.053.001.02 and later)."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from payadmin.kernel.errors import Invalid
from payadmin.kernel.iso20022.nodes import (
    Node,
    as_code,
    as_count,
    as_decimal,
    as_money,
    as_positive,
    as_reference,
    named_by,
)
from payadmin.kernel.text import _, one_line

MAX_LINES: Final = 20_000
FIRST_YEAR, LAST_YEAR = 2000, 2200


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


def read_statements(body: Node) -> Statements:
    """Every statement of a message; one whose lines are not what it says they are is refused (Invalid)."""
    parts = tuple(_statement(each) for each in body.every("Stmt"))
    if not parts:
        raise Invalid("The message holds no statement.")
    if len({(part.account, part.statement_id) for part in parts}) < len(parts):
        raise Invalid("The message holds a statement twice.")
    return Statements(named_by(body), parts)


def _statement(part: Node) -> Statement:
    entries: list[Entry] = []
    for node in part.every("Ntry"):
        entries.extend(_entries(node, len(entries) + 1))
        if len(entries) > MAX_LINES:
            raise Invalid(_("A statement has at most %(most)s lines.", most=MAX_LINES))
    _check_summary(part)
    statement_id = as_reference(part.needed("Id"))
    if statement_id is None:
        raise Invalid("A statement has no number.")
    identity = part.one("Acct").one("Id")
    other = identity.maybe("Othr")
    account = identity.text("IBAN") or (other.text("Id") if other is not None else None)
    if not account or len(account) > 34:  # noqa: PLR2004 - the longest number an account has (ISO 20022)
        raise Invalid("A statement does not say of which account it is.")
    return Statement(statement_id, account, tuple(entries), _adds_up(part))


def _entries(node: Node, number: int) -> Iterator[Entry]:
    """The movements of an entry: one, or each payment of a batch where the bank says what each came to."""
    status = node.maybe("Sts")
    said = (status.text("Cd") or status.own) if status is not None else None
    if said not in {None, "BOOK"}:
        return  # expected, or for information: nothing has moved
    unit, whole = as_money(node.one("Amt"))
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
    taken: list[Node | None] = [*details] or [None]
    for place, one in enumerate(taken):
        amount = (parts[place] or (unit, whole)) if one is not None and len(taken) > 1 else (unit, whole)
        refs = one.maybe("Refs") if one is not None else None
        back = one.maybe("RtrInf") if one is not None else None
        yield Entry(
            number=number + place,
            end_to_end_id=as_reference(refs.text("EndToEndId")) if refs is not None else None,
            bank_reference=as_reference(node.text("AcctSvcrRef"), cut=True),
            amount_minor=amount[1],
            unit=amount[0],
            is_credit=is_credit,
            booked_on=booked_on,
            value_date=value_date,
            is_return=back is not None,
            code=_returned(back),
            party=_party(one, is_credit=is_credit),
        )


def _check_summary(part: Node) -> None:
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
        count, amount = as_count(total.text("NbOfNtries")), as_decimal(total.text("Sum"))
        if count is not None and count != len(meant):
            raise Invalid("The statement's count of its lines is wrong.")
        if amount is not None and amount != sum((as_positive(each.one("Amt").own) for each in meant), Decimal(0)):
            raise Invalid("The statement's total of its lines is wrong.")


def _adds_up(part: Node) -> bool | None:
    opening = closing = None
    for node in part.every("Bal"):
        kind = node.one("Tp").one("CdOrPrtry").text("Cd")
        amount = as_positive(node.one("Amt").own) * (1 if _side(node) else -1)
        if kind in {"OPBD", "PRCD"}:
            opening = amount
        elif kind == "CLBD":
            closing = amount
    if opening is None or closing is None:
        return None
    booked = [each for each in part.every("Ntry") if _is_booked(each)]
    moved = sum((as_positive(each.one("Amt").own) * (1 if _side(each) else -1) for each in booked), Decimal(0))
    return opening + moved == closing


def _is_booked(node: Node) -> bool:
    status = node.maybe("Sts")
    return status is None or (status.text("Cd") or status.own) == "BOOK"


def _amount_of(details: Node) -> tuple[str, int] | None:
    amount = details.maybe("Amt")
    if amount is None:
        outer = details.maybe("AmtDtls")
        inner = outer.maybe("TxAmt") if outer is not None else None
        amount = inner.maybe("Amt") if inner is not None else None
    return as_money(amount) if amount is not None else None


def _side(node: Node) -> bool:
    side = node.needed("CdtDbtInd")
    if side not in {"CRDT", "DBIT"}:
        raise Invalid("A line of the statement says neither in nor out.")
    return side == "CRDT"


def _day(node: Node, name: str) -> dt.date | None:
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


def _returned(back: Node | None) -> str | None:
    reason = back.maybe("Rsn") if back is not None else None
    return as_code(reason.text("Cd")) if reason is not None else None


def _party(details: Node | None, *, is_credit: bool) -> str | None:
    parties = details.maybe("RltdPties") if details is not None else None
    found = parties.maybe("Dbtr" if is_credit else "Cdtr") if parties is not None else None
    if found is None:
        return None
    inner = found.maybe("Pty")
    return one_line((inner or found).text("Nm") or "")[:140] or None
