"""What the bank says: status reports about files, and statements whose lines settle or return payments.

A message is kept as it came before anything is done with it, and the same content is kept once. A status report acts
at once. The lines of a statement are each booked in a transaction of their own: one that cannot be booked does not keep
the others, and a line that matches nothing is kept for a person, never booked by itself.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from payadmin.actions.banking.files import reject_file, reject_lines, tell_of_file
from payadmin.actions.redeem.requests import paid_by_bank, returned
from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel import iban, vault
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.iso20022 import ACCEPTED, REJECTED, Entry, Report, Statement, Statements, read_message
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.money import decimal_text
from payadmin.kernel.text import Text, _
from payadmin.models.banking import (
    FILE_MACHINE,
    OUT,
    PROBLEM_LENGTH,
    BankLine,
    BankMessage,
    FileStatus,
    LineStatus,
    MessageKind,
    Mismatch,
    PaymentFile,
    PaymentFileLine,
    TransferStatus,
)
from payadmin.models.redeem import RedeemRequest
from payadmin.models.system import NoticeKind
from payadmin.models.wallets import REASON_LENGTH
from payadmin.notices import notify, those_who_may
from payadmin.permissions import Permission
from payadmin.queries.banking import OWED, RETURNED_FROM, SETTLED_FROM, in_files, is_ours, lines_of
from payadmin.queries.wallets import scales_of
from payadmin.work import Work, use_case

DECIDE_LINES: Final = Permission.BANKING_STATEMENT_DECIDE
_AT_ONCE: Final = 500  # lines of a statement for one INSERT
# A bank that sends money back without saying why.
NO_REASON: Final = "MS03"
STALE = "Somebody else decided this line meanwhile. Look at it again."
UNKNOWN_FILE = "It is about a file that payadmin does not know, so nothing was done."
NOT_RELEASED = "It is about a file that was never released, so nothing was done."
OTHER_COUNT = "It speaks of another number of payments, or another total, than the file has, so nothing was done."
OTHER_PAYMENTS = "It speaks of payments that are not in the file, so nothing was done."
PAID_BEFORE = "It rejects payments that a statement has shown as paid; these were left as they are."
REJECTED_BEFORE = "It accepts payments that were rejected before; these were left as they are. Ask the bank."
ONLY_DUPLICATE = "The bank had this file before; what it said about the first copy counts."
OTHER_LINES = "It shows lines that an earlier copy of the statement showed otherwise; those were left as they are."
TOO_MUCH = (
    "The bank paid a request that was cancelled, or that another payment pays: this money is too much. Ask the bank for"
    " it, then mark the line as not ours."
)
NOT_BALANCED = "Its lines do not add up to its balances: the bank has left something out. Ask the bank."


@use_case(DECIDE_LINES)
def receive_message(work: Work, content: bytes) -> tuple[BankMessage, bool]:
    """Keep a message of the bank, and act on it. The same content that comes again changes nothing.

    Returns:
        The message, and whether it is new.

    Raises:
        Invalid: it cannot be read or relied on, or it is of an account that is not ours; `field` is "file".
    """
    try:
        found = read_message(content)
    except Invalid as refusal:
        raise Invalid(refusal.sentence, field="file") from None
    if isinstance(found, Statements):
        _refuse_foreign(work, found)
    kind = MessageKind.STATEMENT if isinstance(found, Statements) else MessageKind.STATUS_REPORT
    message, is_new = _keep(work, kind, found.bank_id, content)
    if not is_new:
        return message, False
    if isinstance(found, Statements):
        lines, problems = _take_lines(work, message, found)
        after: dict[str, object] = {"lines": lines}
        work.promise("match_bank_lines", message_id=message.id)
    else:
        file, problems = _hear(work, found)
        after = {"file": found.original_id, "status": found.status}
        if file is not None:
            work.change(BankMessage, message.id, file_id=file.id)
    if problems:
        work.change(BankMessage, message.id, problem=" ".join(problems)[:PROBLEM_LENGTH])
        after["problem"] = " ".join(problems)[:PROBLEM_LENGTH]
    facts = {"kind": kind, "bank_id": found.bank_id, "sha256": message.sha256}
    work.record(Event.BANK_MESSAGE_RECEIVED, message, after=facts | after, bank_id=found.bank_id)
    return work.get(BankMessage, message.id), True


def _keep(work: Work, kind: MessageKind, bank_id: str, content: bytes) -> tuple[BankMessage, bool]:
    digest = hashlib.sha256(content).hexdigest()
    values = {
        "kind": kind,
        "bank_id": bank_id,
        "sha256": digest,
        "content_sealed": vault.seal(
            current_settings().totp_keys, f"bank_message:{digest}", content.decode("utf-8", "replace")
        ),
        "received_at": work.now,
        "uploaded_by_id": work.actor.staff_id,
    }
    fresh = _insert(work, BankMessage, [values], ("kind", "bank_id", "sha256"))
    same = (BankMessage.kind == kind, BankMessage.bank_id == bank_id, BankMessage.sha256 == digest)
    message: BankMessage = work.one(select(BankMessage).where(*same))
    return message, bool(fresh)


def _insert(work: Work, model: type[Any], rows: list[dict[str, Any]], alone: tuple[str, ...]) -> list[int]:
    """Add the rows that are not there yet; their numbers. Of two who bring the same at once, one adds it."""
    make = postgresql.insert if work.session.get_bind().dialect.name == "postgresql" else sqlite.insert
    added: list[int] = []
    for first in range(0, len(rows), _AT_ONCE):
        some = rows[first : first + _AT_ONCE]
        fresh = make(model).values(some).on_conflict_do_nothing(index_elements=list(alone)).returning(model.id)
        added += work.session.scalars(fresh.execution_options(explained=True))
    return added


# ---- status reports ------------------------------------------------------------------------------------------------


def _hear(work: Work, report: Report) -> tuple[PaymentFile | None, list[str]]:
    """Do what a status report says about a file: all of it, or nothing with the reason why."""
    number = work.one(select(PaymentFile.id).where(PaymentFile.message_id == report.original_id))
    if number is None:
        return None, [UNKNOWN_FILE]
    file = work.get(PaymentFile, number, lock=True)
    lines = lines_of(work.session, file.id)
    if file.released_at is None:
        return file, [NOT_RELEASED]
    if report.is_duplicate:
        _answered(work, file, FileStatus.SENT, [])
        return file, [ONLY_DUPLICATE]
    if (problem := _another_file(work, file, lines, report)) is not None:
        return file, [problem]
    heard = _sorted(report, lines)
    _do_what_was_heard(work, file, lines, heard)
    for problem in heard.contradictions:
        _contradicted(work, file, problem)
    return file, heard.contradictions


def _do_what_was_heard(work: Work, file: PaymentFile, lines: Sequence[PaymentFileLine], heard: "_Heard") -> None:
    gone = len(heard.rejected) + sum(line.status is TransferStatus.REJECTED for line in lines)
    waits = sum(line.status is TransferStatus.WAITING for line in lines) > len(heard.accepted)
    codes = set(heard.rejected.values())
    if gone == len(lines) and len(codes) == 1:
        reject_file(work, file, lines, code=codes.pop())
        return
    for line in heard.accepted:
        work.change(PaymentFileLine, line.id, status=TransferStatus.ACCEPTED)
    reject_lines(work, heard.rejected)
    if gone:
        after = FileStatus.REJECTED if gone == len(lines) else FileStatus.PARTLY_ACCEPTED
    else:
        after = FileStatus.SENT if waits else FileStatus.ACCEPTED
    _answered(work, file, after, [*heard.accepted, *heard.rejected])
    if heard.rejected:
        sentence = _(
            "The bank rejected %(number)s of %(all)s payments of file %(file)s.",
            number=gone, all=len(lines), file=file.message_id,
        )  # fmt: skip
        tell_of_file(work, file, sentence)


def _contradicted(work: Work, file: PaymentFile, problem: str) -> None:
    """The bank says the opposite of what it said: nothing is done by itself, and the file says so until it moves on."""
    before = file.problem
    work.change(PaymentFile, file.id, problem=problem)
    work.record(
        Event.BANK_FILE_ANSWERED, file, before={"problem": before}, after={"problem": problem},
        message_id=file.message_id,
    )  # fmt: skip
    tell_of_file(work, file, f"{file.message_id}: {problem}")


@dataclass
class _Heard:
    """What a report changes: payments that are accepted now, and those that failed with their codes.

    Attributes:
        contradictions: what it says that cannot be, after what the bank said before; nothing is changed by that.
    """

    accepted: list[PaymentFileLine] = field(default_factory=list)
    rejected: dict[PaymentFileLine, str] = field(default_factory=dict)
    contradictions: list[str] = field(default_factory=list)


def _another_file(work: Work, file: PaymentFile, lines: Sequence[PaymentFileLine], report: Report) -> str | None:
    """Why a report cannot be about this file as it was sent; None: it can."""
    scale = scales_of(work.session, [file.unit])[file.unit]
    total = decimal_text(file.amount_minor, scale)
    if report.count not in {None, file.payments} or (report.total is not None and f"{report.total:.{scale}f}" != total):
        return OTHER_COUNT
    known = {line.end_to_end_id for line in lines}
    return OTHER_PAYMENTS if any(each.end_to_end_id not in known for each in report.lines) else None


def _sorted(report: Report, lines: Sequence[PaymentFileLine]) -> _Heard:
    said = {each.end_to_end_id: (each.status, each.code) for each in report.lines}
    # What is said of the whole file is said of every payment, unless the bank names those that it means.
    unnamed = (report.status, report.code) if report.status == REJECTED or not report.lines else (None, None)
    heard = _Heard()
    for line in lines:
        status, code = said.get(line.end_to_end_id, unnamed)
        if status == REJECTED and line.status in SETTLED_FROM:
            heard.rejected[line] = code or report.code or NO_REASON
        elif status == REJECTED and line.status is not TransferStatus.REJECTED:
            heard.contradictions.append(PAID_BEFORE)
        elif status in ACCEPTED and line.status is TransferStatus.WAITING:
            heard.accepted.append(line)
        elif status in ACCEPTED and line.status is TransferStatus.REJECTED:
            heard.contradictions.append(REJECTED_BEFORE)
    heard.contradictions = list(dict.fromkeys(heard.contradictions))
    return heard


def _answered(work: Work, file: PaymentFile, after: FileStatus, lines: list[PaymentFileLine]) -> None:
    before = file.status
    if after is not before and FILE_MACHINE.allows(before, after):
        values: dict[str, Any] = {"status": after, "problem": None}
        if file.sent_at is None:
            values["sent_at"] = work.now
        work.change(PaymentFile, file.id, when=(PaymentFile.status == before,), **values)
    elif not lines:
        return
    else:
        after = before
    work.record(
        Event.BANK_FILE_ANSWERED,
        file,
        before={"status": before},
        after={"status": after},
        also=lines,
        message_id=file.message_id,
    )


# ---- statements ----------------------------------------------------------------------------------------------------


def _refuse_foreign(work: Work, found: Statements) -> None:
    own = current_settings().bank_iban
    for part in found.parts:
        if not is_ours(work.session, part.account, own):
            raise Invalid(
                _("The statement is of the account %(account)s, which is not ours.", account=iban.masked(part.account)),
                field="file",
            )


def _take_lines(work: Work, message: BankMessage, found: Statements) -> tuple[int, list[str]]:
    added, problems = 0, []
    for part in found.parts:
        rows = [_line(message, part, entry) for entry in part.entries]
        fresh = len(_insert(work, BankLine, rows, ("account", "statement_id", "number")))
        added += fresh
        if fresh < len(rows) and _differ(work, part):
            problems.append(OTHER_LINES)
        if part.adds_up is False:
            problems.append(NOT_BALANCED)
    return added, problems


def _line(message: BankMessage, part: Statement, entry: Entry) -> dict[str, Any]:
    return {
        "message_id": message.id,
        "account": part.account,
        "statement_id": part.statement_id,
        "number": entry.number,
        "reference": entry.end_to_end_id,
        "bank_reference": entry.bank_reference,
        "is_credit": entry.is_credit,
        "unit": entry.unit,
        "amount_minor": entry.amount_minor,
        "booked_on": entry.booked_on,
        "value_date": entry.value_date,
        "code": entry.code,
        "party": entry.party,
        "status": LineStatus.NEW,
    }


def _differ(work: Work, part: Statement) -> bool:
    """Whether the kept lines of a statement say something else than this copy of it."""
    of_it = (BankLine.account == part.account, BankLine.statement_id == part.statement_id)
    columns = (BankLine.number, BankLine.reference, BankLine.is_credit, BankLine.unit, BankLine.amount_minor)
    kept = {tuple(row) for row in work.session.execute(select(*columns).where(*of_it))}
    return kept != {
        (each.number, each.end_to_end_id, each.is_credit, each.unit, each.amount_minor) for each in part.entries
    }


@use_case(Permission.SYSTEM_JOB_RUN, about=BankLine)
def settle_line(work: Work, line_id: int) -> Mismatch | None:
    """Book what a line says about a payment of ours, once; or keep the line for a person, and why.

    Raises:
        Conflict: the books or the request refuse it; nothing has changed then.
    """
    line = work.get(BankLine, line_id, lock=True)
    if line.status is not LineStatus.NEW:
        return line.mismatch
    payment, mismatch = _payment_of(work, line)
    if payment is None or mismatch is not None:
        problem = _why_too_much(work, line, payment) if mismatch is Mismatch.AFTER_REJECTION else None
        _keep_for_a_person(work, line, mismatch or Mismatch.NOTHING, problem)
        return mismatch
    _book(work, line, payment)
    return None


@use_case(Permission.SYSTEM_JOB_RUN, about=BankLine)
def keep_line(work: Work, line_id: int, *, problem: str) -> None:
    """Keep a line for a person that could not be booked, and say why."""
    line = work.get(BankLine, line_id, lock=True)
    if line.status is LineStatus.NEW:
        _keep_for_a_person(work, line, Mismatch.REFUSED, problem)


def _keep_for_a_person(work: Work, line: BankLine, mismatch: Mismatch, problem: str | None) -> None:
    cut = problem[:PROBLEM_LENGTH] if problem else None
    work.change(BankLine, line.id, status=LineStatus.UNMATCHED, mismatch=mismatch, problem=cut)
    work.record(Event.BANK_LINE_KEPT, line, after={"mismatch": mismatch}, **_names(line))


def _payment_of(work: Work, line: BankLine) -> tuple[PaymentFileLine | None, Mismatch | None]:
    """The payment that a line names, held with its file; or why it is none."""
    if line.reference is None:
        return None, Mismatch.NO_REFERENCE
    number = work.one(select(PaymentFileLine.id).where(PaymentFileLine.end_to_end_id == line.reference))
    if number is None:
        return None, Mismatch.NOTHING
    return _checked(work, line, number)


def _checked(work: Work, line: BankLine, number: int) -> tuple[PaymentFileLine | None, Mismatch | None]:
    file_id = work.one(select(PaymentFileLine.file_id).where(PaymentFileLine.id == number))
    file = work.get(PaymentFile, file_id, lock=True)
    payment = work.get(PaymentFileLine, number, lock=True)
    return payment, _mismatch(line, file, payment)


def _mismatch(line: BankLine, file: PaymentFile, payment: PaymentFileLine) -> Mismatch | None:
    if file.status not in OUT and file.status is not FileStatus.REJECTED:
        return Mismatch.NOT_RELEASED
    if line.unit != payment.unit:
        return Mismatch.OTHER_UNIT
    if line.amount_minor != payment.amount_minor:
        return Mismatch.OTHER_AMOUNT
    if payment.status is TransferStatus.REJECTED:
        return Mismatch.AFTER_REJECTION
    if payment.status is TransferStatus.RETURNED:
        return Mismatch.RETURNED_TWICE if line.is_credit else Mismatch.TWICE
    if line.is_credit:
        return None if payment.status in RETURNED_FROM else Mismatch.NOT_PAID
    return None if payment.status in SETTLED_FROM else Mismatch.TWICE


def _is_paid_after_all(work: Work, line: BankLine, payment: PaymentFileLine) -> bool:
    """Whether a rejected payment may be what the bank made all the same: nothing else has paid its request, or will."""
    request = work.get(RedeemRequest, payment.redeem_request_id, lock=True)
    return not line.is_credit and request.status in OWED and not in_files(work.session, [request.id])


def _why_too_much(work: Work, line: BankLine, payment: PaymentFileLine | None) -> str | None:
    """What is wrong with a debit of a rejected payment whose request needs no payment any more; None: it may need it.

    Whoever decides about lines is told by the bell: the customer may have the money twice.
    """
    if payment is None or line.is_credit:
        return None
    if work.get(RedeemRequest, payment.redeem_request_id, lock=True).status in OWED:
        return None
    told: dict[str, Any] = {"page": "bank_statements", "row_id": line.id, "key": f"bank_line:{line.id}"}
    for staff_id in those_who_may(work.session, DECIDE_LINES):
        notify(work.session, staff_id, NoticeKind.ATTENTION, TOO_MUCH, **told)
    return TOO_MUCH


def _book(work: Work, line: BankLine, payment: PaymentFileLine, **decided: Any) -> None:
    """The one place where a line moves money: the payment, its request and the books, all or nothing."""
    request = work.get(RedeemRequest, payment.redeem_request_id, lock=True)
    at = _moment(work, line.booked_on)
    after = TransferStatus.RETURNED if line.is_credit else TransferStatus.PAID
    was_rejected = payment.status is TransferStatus.REJECTED
    values: dict[str, Any] = {"reason_code": line.code or NO_REASON} if line.is_credit else {}
    if not work.change(
        PaymentFileLine, payment.id, when=(PaymentFileLine.status == payment.status,), status=after, **values
    ):
        raise Conflict(STALE)
    if line.is_credit:
        returned(work, request, code=line.code or NO_REASON, at=at)
    else:
        paid_by_bank(work, request, at=at, was_rejected=was_rejected)
    work.change(BankLine, line.id, status=LineStatus.MATCHED, payment_line_id=payment.id, **decided)
    work.record(
        Event.BANK_LINE_MATCHED,
        line,
        after={"payment": payment.end_to_end_id, "status": after},
        reason=decided.get("note"),
        also=[payment],
        redeem_request=request.id,
        **_names(line),
    )


def _moment(work: Work, day: dt.date) -> dt.datetime:
    """Midday of the bank's day in business time; never later than now, whatever the bank's clock says."""
    midday = dt.datetime.combine(day, dt.time(12), current_settings().zone)
    return min(midday.astimezone(dt.UTC), work.now)


# ---- what a person decides -----------------------------------------------------------------------------------------


@use_case(DECIDE_LINES, about=BankLine)
def match_line(work: Work, line_id: int, *, payment_line_id: int, note: str, version: int) -> BankLine:
    """Say which payment an unmatched line settles or returns; currency and amount must be the same to the last unit.

    A payment that the bank rejected and made all the same is settled here alone, while nothing else pays its request.

    Args:
        payment_line_id: the payment (`PaymentFileLine`).
        note: how that is known; for the trail.

    Raises:
        Invalid: no reason.
        Conflict: the line was decided meanwhile, or it cannot be this payment; the sentence says why.
    """
    words = _reason(note)
    line = _undecided(work, line_id, version)
    payment, mismatch = _checked(work, line, payment_line_id)
    if mismatch is Mismatch.AFTER_REJECTION and payment is not None and _is_paid_after_all(work, line, payment):
        mismatch = None
    if payment is None or mismatch is not None:
        raise Conflict(_("It cannot be this payment. %(why)s.", why=Text(mismatch.value) if mismatch else "–"))
    _book(work, line, payment, **_decided(work, words))
    return line


@use_case(DECIDE_LINES, about=BankLine)
def ignore_line(work: Work, line_id: int, *, reason: str, version: int) -> BankLine:
    """Say that an unmatched line has nothing to do with redeem requests.

    Raises:
        Invalid: no reason.
        Conflict: the line was decided meanwhile.
    """
    words = _reason(reason)
    line = _undecided(work, line_id, version)
    work.change(BankLine, line.id, status=LineStatus.IGNORED, **_decided(work, words))
    work.record(Event.BANK_LINE_IGNORED, line, reason=words, **_names(line))
    return line


def _undecided(work: Work, line_id: int, version: int) -> BankLine:
    line = work.get(BankLine, line_id, lock=True)
    if line.status is not LineStatus.UNMATCHED or line.version != version:
        raise Conflict(STALE, now=line.version)
    return line


def _reason(text: str) -> str:
    words = mask_pan_in_text(text.strip())
    if not words or len(words) > REASON_LENGTH or not words.isprintable():
        raise Invalid(_("Say why, in at most %(most)s characters.", most=REASON_LENGTH), field="reason")
    return words


def _decided(work: Work, note: str) -> dict[str, Any]:
    return {"decided_at": work.now, "decided_by_id": work.actor.staff_id, "note": note}


def _names(line: BankLine) -> dict[str, Any]:
    return {"statement": line.statement_id, "reference": line.reference}
