"""Payment files: one makes them, another releases them, a worker gives them to the bank (S3:116, RD1).

Before a file can leave, its requests are at the bank for us and its bytes are committed, in one transaction. So a file
that left is never forgotten, and a request is never in two files. Rows are held in one order: the file, its requests by
their numbers, then their wallets.
"""

import datetime as dt
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select

from payadmin import step_up
from payadmin.actions.redeem.requests import failed, sent
from payadmin.approvals import person_of
from payadmin.audit import Event
from payadmin.banks import Handed, Handover
from payadmin.config import current_settings
from payadmin.db import utcnow
from payadmin.kernel import vault
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.kernel.iso20022 import Orders, Transfer, write_orders
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.text import _
from payadmin.models.banking import (
    PROBLEM_LENGTH,
    FileStatus,
    PaymentFile,
    PaymentFileLine,
    TransferStatus,
)
from payadmin.models.redeem import RedeemRequest, RedeemStatus
from payadmin.models.system import NoticeKind
from payadmin.models.wallets import REASON_LENGTH, Wallet
from payadmin.notices import notify, those_who_may
from payadmin.permissions import Permission
from payadmin.queries.banking import claimed_paid, in_files, is_asking, lines_of, waiting_requests
from payadmin.queries.blocks import Blocked, refuse
from payadmin.queries.redeem import account_of, why_not
from payadmin.queries.wallets import owner_of, scales_of, stopped
from payadmin.work import Work, tell_witnesses, use_case

MAKE: Final = Permission.BANKING_FILE_MAKE
READ_FILES: Final = Permission.BANKING_FILE_READ
RELEASE: Final = Permission.BANKING_FILE_RELEASE
RELEASE_ACT: Final = "banking.release"
GIVE_UP_ACT: Final = "banking.give_up"
PAGE: Final = "payment_files"
# What a person writes who knows that the bank will not pay: "the reason is given in words".
IN_WORDS: Final = "NARR"
CANNOT_READ: Final = "FF01"
# No attempt to give a file to the bank takes so long.
STILL_AFTER: Final = dt.timedelta(minutes=15)
_KEY: Final = re.compile(r"[0-9a-f]{12}")
STALE = "Somebody else changed this payment file meanwhile. Look at it again."
OWN = "You made this file, with this account or another of yours. Somebody else has to release it."
OWN_RELEASE = "You released this file, with this account or another of yours. Somebody else has to give it up."
NO_ACCOUNT = "payadmin does not know our account at the bank. An administrator sets BANK_IBAN."
CHANGED = "What waits for the bank has changed since you looked. Look at it again, then confirm."
NOTHING = "No approved request in this currency waits for the bank."


def new_key() -> str:
    """What names a file that is to be made: a form carries it, so that it is made once."""
    return secrets.token_hex(6)


@use_case(MAKE)
def make_file(work: Work, *, unit: str, key: str, seen: tuple[int, int] | None = None) -> PaymentFile:
    """Put the approved requests of a unit into one file; nothing leaves before somebody else releases it.

    Requests whose customer, wallet or unit cannot be used at the moment are left out: they could not be released.

    Args:
        key: of `new_key`; the same that comes again answers with the file that it made.
        seen: how many payments, and their total, whoever confirms has seen; None: nobody looked.

    Raises:
        Invalid: the form is out of date, banks do not have the unit, or a name cannot be written in a bank's letters.
        Conflict: no account of ours is known, nothing waits, or something else than was seen.
    """
    if not _KEY.fullmatch(key):
        raise Invalid("This form is out of date. Open it again.")
    settings = current_settings()
    if not settings.bank_iban:
        raise Conflict(NO_ACCOUNT)
    message_id = f"PA-{key.upper()}"
    before: PaymentFile | None = work.one(select(PaymentFile).where(PaymentFile.message_id == message_id))
    if before is not None:
        return _made_before(work, before, unit)
    found = [each for each in waiting_requests(work.session, unit) if why_not(work.session, each.wallet) is None]
    held = [work.get(RedeemRequest, each.id, lock=True) for each in found]
    # Of two who make a file at once, the second sees here what the first took while its locks were waited for.
    numbers = [each.id for each in held]
    taken = in_files(work.session, numbers) | claimed_paid(work.session, numbers)
    rows = [each for each in held if each.status is RedeemStatus.APPROVED and each.id not in taken]
    total = sum(each.amount_minor for each in rows)
    if not rows:
        raise Conflict(NOTHING)
    if seen is not None and seen != (len(rows), total):
        raise Conflict(CHANGED)
    transfers = [
        Transfer(
            end_to_end_id=f"RD-{row.id}-{key.upper()}",
            amount_minor=row.amount_minor,
            name=row.holder_name or "",
            account=account_of(row),
            bank_code=row.bank_code,
        )
        for row in rows
    ]
    today = work.now.astimezone(settings.zone).date()
    content = write_orders(
        Orders(
            message_id=message_id,
            made_at=work.now,
            execute_on=today,
            unit=unit,
            scale=scales_of(work.session, [unit])[unit],
            payer=settings.bank_holder or settings.company_name,
            payer_account=settings.bank_iban,
            payer_bank_code=settings.bank_bic or None,
            transfers=transfers,
        )
    )
    assert work.actor.staff_id is not None, "people make files"
    file = work.add(
        PaymentFile(
            message_id=message_id,
            unit=unit,
            amount_minor=total,
            payments=len(rows),
            execute_on=today,
            payer_account=settings.bank_iban,
            sha256=hashlib.sha256(content).hexdigest(),
            content_sealed=vault.seal(settings.totp_keys, _owner(message_id), content.decode()),
            made_by_id=work.actor.staff_id,
        )
    )
    lines = [
        PaymentFileLine(
            file_id=file.id,
            redeem_request_id=row.id,
            end_to_end_id=transfer.end_to_end_id,
            unit=unit,
            amount_minor=row.amount_minor,
        )
        for row, transfer in zip(rows, transfers, strict=True)
    ]
    work.session.add_all(lines)
    work.record(Event.BANK_FILE_MADE, file, after=facts(file), also=lines, message_id=message_id)
    return file


def release_facts(file: PaymentFile) -> dict[str, object]:
    """What a code confirms: this file, to the last byte."""
    return {"file": file.id, "sha256": file.sha256, "payments": file.payments, "amount": file.amount_minor}


@use_case(RELEASE, about=PaymentFile)
def release_file(work: Work, file_id: int, *, version: int, offer: str = "", code: str = "") -> PaymentFile:
    """Let a file leave: from here on its requests are at the bank, and only the bank's word changes them.

    Args:
        version: of the file that was looked at.
        offer: the step-up offer that the form carried (`step_up.offer(actor, RELEASE_ACT, release_facts(file))`).
        code: the authenticator's code.

    Raises:
        Forbidden: whoever made the file would release it, with this account or another one.
        Invalid: a wrong code.
        Conflict: the file or one of its requests was changed meanwhile, or one of them cannot be paid any more.
    """
    file = work.get(PaymentFile, file_id, lock=True)
    if (
        file.status is FileStatus.RELEASED
        and file.released_by_id == work.actor.staff_id
        and file.version == version + 1
    ):
        return file
    if file.status is not FileStatus.DRAFT or file.version != version:
        raise Conflict(STALE, now=file.version)
    if person_of(work, work.actor.staff_id) == person_of(work, file.made_by_id):
        raise Forbidden(OWN)
    step_up.spend(work, offer, code, RELEASE_ACT, release_facts(file))
    for request in _held(work, lines_of(work.session, file.id)):
        sent(work, request)
    _move(
        work, file, FileStatus.RELEASED, Event.BANK_FILE_RELEASED,
        released_at=work.now, released_by_id=work.actor.staff_id,
    )  # fmt: skip
    work.promise("send_payment_file", file_id=file.id)
    return work.get(PaymentFile, file.id)


@use_case(MAKE, about=PaymentFile)
def discard_file(work: Work, file_id: int, *, version: int) -> PaymentFile:
    """Take a file back that was not released: its requests wait for the next one.

    Raises:
        Conflict: it was released, discarded or changed meanwhile.
    """
    file = work.get(PaymentFile, file_id, lock=True)
    if file.status is not FileStatus.DRAFT or file.version != version:
        raise Conflict(STALE, now=file.version)
    lines = lines_of(work.session, file.id)
    for line in lines:
        work.change(PaymentFileLine, line.id, status=TransferStatus.DISCARDED)
    _move(work, file, FileStatus.DISCARDED, Event.BANK_FILE_DISCARDED, also=lines)
    return file


# ---- by hand -------------------------------------------------------------------------------------------------------


@use_case(RELEASE, about=PaymentFile)
def download_file(work: Work, file_id: int) -> tuple[str, bytes]:
    """Its name and its bytes, for whoever gives it to the bank by hand; from then on no worker sends it.

    Raises:
        Blocked: one of its payments is of somebody blocked, and it was not given to the bank yet.
        Conflict: it was not released, or payadmin sends it to the bank itself.
    """
    file = work.get(PaymentFile, file_id, lock=True)
    if file.released_at is None:
        raise Conflict("The file was not released yet, so it cannot leave.")
    if file.status is FileStatus.RELEASED:
        refuse(_blocked(work, file))
    if not file.by_hand:
        if current_settings().bank_url or file.status is not FileStatus.RELEASED:
            raise Conflict("payadmin gives this file to the bank itself. A second copy could be paid twice.")
        work.change(PaymentFile, file.id, when=(PaymentFile.status == FileStatus.RELEASED,), by_hand=True)
    work.record(Event.BANK_FILE_DOWNLOADED, file, after={"sha256": file.sha256}, message_id=file.message_id)
    return f"{file.message_id}.xml", _content(file)


@use_case(RELEASE, about=PaymentFile)
def hand_over_file(work: Work, file_id: int, *, version: int) -> PaymentFile:
    """Say that the downloaded file was given to the bank.

    Raises:
        Conflict: nobody downloaded it, or it was changed meanwhile.
    """
    file = work.get(PaymentFile, file_id, lock=True)
    if file.status is FileStatus.SENT and file.version == version + 1:
        return file
    if file.status is FileStatus.RELEASED and not file.by_hand:
        raise Conflict("Download the file first, then give it to the bank.")
    if file.status is not FileStatus.RELEASED or file.version != version:
        raise Conflict(STALE, now=file.version)
    _move(work, file, FileStatus.SENT, Event.BANK_FILE_HANDED_OVER, sent_at=work.now)
    return file


@use_case(RELEASE, about=PaymentFile)
def give_up_file(
    work: Work, file_id: int, *, reason: str, version: int, offer: str = "", code: str = ""
) -> PaymentFile:
    """Say, having asked the bank, that it will pay nothing of the file: its requests failed, their money stays aside.

    Never whoever released it: one person alone could let it leave and have its money given back.

    Args:
        reason: what the bank said; for the trail.
        offer: the step-up offer that the form carried (`step_up.offer(actor, GIVE_UP_ACT, release_facts(file))`).
        code: the authenticator's code.

    Raises:
        Forbidden: whoever released the file would give it up, with this account or another one.
        Invalid: no reason, or a wrong code.
        Conflict: the bank spoke about it already, payadmin is still asking the bank, or it was changed meanwhile.
    """
    words = mask_pan_in_text(reason.strip())
    if not words or len(words) > REASON_LENGTH or not words.isprintable():
        raise Invalid(_("Say why, in at most %(most)s characters.", most=REASON_LENGTH), field="reason")
    file = work.get(PaymentFile, file_id, lock=True)
    if file.version != version:
        raise Conflict(STALE, now=file.version)
    lines = lines_of(work.session, file.id)
    if (problem := why_not_given_up(file, lines)) is not None:
        raise Conflict(problem)
    if person_of(work, work.actor.staff_id) == person_of(work, file.released_by_id):
        raise Forbidden(OWN_RELEASE)
    step_up.spend(work, offer, code, GIVE_UP_ACT, release_facts(file))
    reject_file(work, file, lines, code=IN_WORDS, said=words)
    return file


def why_not_given_up(file: PaymentFile, lines: Sequence[PaymentFileLine]) -> str | None:
    """Why nobody may say yet that the bank pays nothing of it; None: somebody may."""
    if file.status not in {FileStatus.RELEASED, FileStatus.UNKNOWN, FileStatus.SENT}:
        return _("The bank, or nobody yet, has to say what becomes of this file.")
    if file.status is not FileStatus.SENT and not file.by_hand and current_settings().bank_url and not _is_still(file):
        return _("payadmin is still asking the bank about this file.")
    if any(line.status is not TransferStatus.WAITING for line in lines):
        return _("The bank has said something about this file already.")
    return None


def _is_still(file: PaymentFile) -> bool:
    """Whether a block keeps it here and no attempt can be under way: then nobody asks the bank about it."""
    return file.held_at is not None and (file.attempts == 0 or file.held_at < utcnow() - STILL_AFTER)


# ---- the worker ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sending:
    """A file that is given to the bank now; `attempt` counts from 1."""

    message_id: str
    content: bytes
    attempt: int


@use_case(Permission.SYSTEM_JOB_RUN, about=PaymentFile)
def claim_file(work: Work, file_id: int) -> Sending | None:
    """What to give to the bank now; None when there is nothing to give any more.

    A file with a payment of somebody who was blocked after its release stays here: its bytes were released as a whole,
    so no payment can be taken out. It leaves when the block is lifted, and asking again changes nothing till then.

    The attempt is kept before it is made: after a crash the next one knows that the bank may have the file.
    """
    file = work.get(PaymentFile, file_id, lock=True)
    if file.status not in {FileStatus.RELEASED, FileStatus.UNKNOWN} or file.by_hand:
        return None
    if (blocked := _blocked(work, file)) is not None:
        _hold_back(work, file, blocked)
        return None
    attempt = file.attempts + 1
    work.change(
        PaymentFile, file.id, attempts=attempt, held_at=None, problem=file.problem if file.held_at is None else None
    )
    work.record(Event.BANK_FILE_TRIED, file, after={"attempts": attempt}, message_id=file.message_id)
    return Sending(file.message_id, _content(file), attempt)


@use_case(Permission.SYSTEM_JOB_RUN, about=PaymentFile)
def note_handover(work: Work, file_id: int, *, handed: Handed) -> bool:
    """Write what came of giving a file to the bank. Once the bank has it, nothing worse is believed.

    Returns:
        Whether it has to be tried again.
    """
    file = work.get(PaymentFile, file_id, lock=True)
    if file.status not in {FileStatus.RELEASED, FileStatus.UNKNOWN}:
        return False
    said: dict[str, object] = {"answer": handed.outcome, "code": handed.code}
    match handed.outcome:
        case Handover.TAKEN | Handover.KNOWN:
            _move(work, file, FileStatus.SENT, Event.BANK_FILE_SENT, sent_at=work.now, problem=None, said=said)
            return False
        case Handover.REFUSED:
            reject_file(work, file, lines_of(work.session, file.id), code=handed.code or CANNOT_READ)
            return False
        case Handover.NOT_SENT:
            problem = str(
                _("The bank cannot be reached, or turns us away (%(code)s). It will be tried again.", code=handed.code)
            )
            work.change(PaymentFile, file.id, problem=problem[:PROBLEM_LENGTH])
            work.record(Event.BANK_FILE_NOT_SENT, file, after=said, message_id=file.message_id)
        case Handover.UNKNOWN:
            problem = str(
                _(
                    "The bank did not say whether it has the file (%(code)s). It is being asked;"
                    " it takes a file with this name only once.",
                    code=handed.code,
                )
            )
            if file.status is FileStatus.RELEASED:
                _move(
                    work, file, FileStatus.UNKNOWN, Event.BANK_FILE_UNKNOWN, problem=problem[:PROBLEM_LENGTH], said=said
                )
            else:
                work.change(PaymentFile, file.id, problem=problem[:PROBLEM_LENGTH])
                work.record(Event.BANK_FILE_UNKNOWN, file, after=said, message_id=file.message_id)
    return True


@use_case(Permission.SYSTEM_JOB_RUN)
def order_question(work: Work) -> bool:
    """Have a worker ask the bank for what is new, unless one is about to; whether it was ordered."""
    if not current_settings().bank_url or is_asking(work.session):
        return False
    work.promise("ask_bank", turn=int(work.now.timestamp()))
    return True


# ---- the parts -----------------------------------------------------------------------------------------------------


def facts(file: PaymentFile) -> dict[str, object]:
    """What the trail says about a file."""
    return {
        "unit": file.unit,
        "amount_minor": file.amount_minor,
        "payments": file.payments,
        "sha256": file.sha256,
        "execute_on": file.execute_on,
    }


def reject_file(
    work: Work, file: PaymentFile, lines: Sequence[PaymentFileLine], *, code: str, said: str | None = None
) -> None:
    """The bank pays nothing of the file: every payment that it did not speak of otherwise has failed."""
    reject_lines(work, {line: code for line in lines if line.status is not TransferStatus.REJECTED})
    _move(
        work, file, FileStatus.REJECTED, Event.BANK_FILE_REFUSED,
        also=lines, reason_code=code, problem=None, reason=said,
    )  # fmt: skip
    tell_of_file(work, file, _("The bank rejected payment file %(file)s.", file=file.message_id))


def reject_lines(work: Work, codes: dict[PaymentFileLine, str]) -> None:
    """Payments that the bank does not make: their requests failed, and their money stays set aside."""
    for line, code in codes.items():
        if not work.change(PaymentFileLine, line.id, status=TransferStatus.REJECTED, reason_code=code):
            raise Conflict(STALE)
    by_request = {line.redeem_request_id: code for line, code in codes.items()}
    for request in _held(work, list(codes)):
        failed(work, request, code=by_request[request.id])


def _blocked(work: Work, file: PaymentFile) -> Blocked | None:
    """Why a file may not leave: the first of its payments whose wallet or owner is blocked; None: it may."""
    for request in _held(work, lines_of(work.session, file.id)):
        wallet = work.get(Wallet, request.wallet_id, lock=True)
        if (found := stopped(work.session, wallet, owner_of(work.session, wallet), pays=True)) is not None:
            words = _("%(request)s keeps the file here. %(why)s", request=str(request), why=found.sentence)
            return Blocked(words, found.block_id)
    return None


def _hold_back(work: Work, file: PaymentFile, blocked: Blocked) -> None:
    """Write down, once for each reason, that a block keeps a file here, and tell who made and released it."""
    problem = str(blocked.sentence)[:PROBLEM_LENGTH]
    if file.held_at is not None and file.problem == problem:
        return
    work.change(PaymentFile, file.id, held_at=file.held_at or work.now, problem=problem)
    work.record(Event.BANK_FILE_NOT_SENT, file, reason=problem, outcome="refused", message_id=file.message_id)
    tell_witnesses(work.session, blocked, act=work.name, actor_name=work.actor.name)
    tell_of_file(work, file, blocked.sentence)


def tell_of_file(work: Work, file: PaymentFile, sentence: str) -> None:
    """Tell who made and who released a file, and who decides about its requests, once for each sentence.

    One line of the bell for a file, however many of its payments it is about.
    """
    concerned = {file.made_by_id, file.released_by_id, *those_who_may(work.session, Permission.CASH_REDEEM_DECIDE)}
    for staff_id in sorted(each for each in concerned if each is not None):
        key = f"bank:{file.id}:{hashlib.sha256(sentence.encode()).hexdigest()[:16]}"
        notify(work.session, staff_id, NoticeKind.ATTENTION, sentence, page=PAGE, row_id=file.id, key=key)


def _made_before(work: Work, file: PaymentFile, unit: str) -> PaymentFile:
    if file.unit != unit or file.made_by_id != work.actor.staff_id:
        raise Conflict("This form was used for another file already. Open it again.")
    return file


def _held(work: Work, lines: Sequence[PaymentFileLine]) -> list[RedeemRequest]:
    """The requests of these lines, held in the order of their numbers, and given in that of their wallets.

    What moves them holds their wallets one after the other: in the same order as everybody who holds several.
    """
    held = [work.get(RedeemRequest, number, lock=True) for number in sorted(line.redeem_request_id for line in lines)]
    return sorted(held, key=lambda request: (request.wallet_id, request.id))


def _move(
    work: Work,
    file: PaymentFile,
    status: FileStatus,
    event: Event,
    *,
    said: dict[str, object] | None = None,
    reason: str | None = None,
    also: Sequence[PaymentFileLine] = (),
    **values: Any,
) -> None:
    before = file.status
    if not work.change(PaymentFile, file.id, when=(PaymentFile.status == before,), status=status, **values):
        raise Conflict(STALE)
    after: dict[str, object] = {"status": status} | (said or {})
    work.record(
        event, file, before={"status": before}, after=after, reason=reason, also=also, message_id=file.message_id
    )


def _owner(message_id: str) -> str:
    return f"payment_file:{message_id}"


def _content(file: PaymentFile) -> bytes:
    content = vault.unseal(current_settings().totp_keys, _owner(file.message_id), file.content_sealed).encode()
    if hashlib.sha256(content).hexdigest() != file.sha256:
        msg = f"the content of payment file {file.id} is not what was released"
        raise RuntimeError(msg)
    return content
