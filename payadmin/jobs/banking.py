"""Talking to the bank: files go out, reports and statements come in. Every step can be repeated, or killed."""

import hashlib
import logging
import time
from typing import Final, TypeVar

from payadmin.actions import banking
from payadmin.banks import Bank, Handover, bank_for
from payadmin.config import current_settings
from payadmin.db import db
from payadmin.jobs import Later, job
from payadmin.kernel.errors import Invalid, Refusal
from payadmin.kernel.iso20022 import Statements, read_message
from payadmin.queries.banking import is_ours, is_to_be_sent, known_contents, to_be_matched, to_be_sent
from payadmin.work import SYSTEM

log = logging.getLogger(__name__)
T = TypeVar("T")

AGAIN_SECONDS: Final = (5, 15, 60, 300, 900)
ASK_EVERY_SECONDS: Final = 60
_asked: dict[str, float] = {}
# What cannot be read, or is not ours, stays at the bank; a process looks into it once.
_left: set[str] = set()


def keep_bank() -> None:
    """Have the bank asked now and then; every scheduler calls it with each of its turns."""
    url, now = current_settings().bank_url, time.monotonic()
    if url and now >= _asked.get(url, 0.0) + ASK_EVERY_SECONDS:
        _asked[url] = now
        banking.order_question(SYSTEM)


@job("send_payment_file")
def send_payment_file(*, file_id: int) -> Later | None:
    """Give a released file to the bank, or answer when to try again. Without a bank it waits for a person."""
    bank = _bank()
    return None if bank is None else _send(bank, file_id)


@job("ask_bank")
def ask_bank(*, turn: int) -> None:
    """Take in what the bank has ready, send what was not sent, and match what was not matched."""
    del turn  # it only tells one question from the next
    bank = _bank()
    if bank is not None:
        collect(bank)
        for file_id in _read(to_be_sent(db.session())):
            _send(bank, file_id)
    match_lines()


@job("match_bank_lines")
def match_bank_lines(*, message_id: int) -> None:
    """Match the lines of a statement that just came, and whatever else waits for it."""
    del message_id  # a line may settle what the line of an earlier statement returns: all are matched in their order
    match_lines()


def match_lines() -> int:
    """Match every line that nobody looked at; how many. One that is refused does not keep the others."""
    done = 0
    while some := _read(to_be_matched(db.session())):  # as many as are read at once, until none is left
        for line_id in some:
            try:
                banking.settle_line(SYSTEM, line_id)
            except Refusal as refusal:
                banking.keep_line(SYSTEM, line_id, problem=refusal.sentence)
            done += 1
    return done


def collect(bank: Bank) -> int:
    """Take in every message that is new and ours; how many."""
    mails = bank.messages()
    if mails is None:
        log.warning("the bank could not be asked for its messages")
        return 0
    contents = {hashlib.sha256(mail.content).hexdigest(): mail.content for mail in mails}
    known = known_contents(db.session(), contents.keys())
    db.session.rollback()
    taken = 0
    for digest, content in contents.items():
        if digest in known or digest in _left:
            continue
        if not _is_for_us(content):
            _left.add(digest)
            continue
        try:
            taken += banking.receive_message(SYSTEM, content)[1]
        except Refusal:
            log.exception("a message of the bank was not taken in")
            _left.add(digest)
    match_lines()
    return taken


def _send(bank: Bank, file_id: int) -> Later | None:
    sending = banking.claim_file(SYSTEM, file_id)
    if sending is None:
        return None
    if sending.attempt > 1:
        # An earlier try may have reached the bank. Where it has said something about the file, that is the answer.
        collect(bank)
        if not _read(is_to_be_sent(db.session(), file_id)):
            return None
    handed = bank.send(sending.content, message_id=sending.message_id)
    again = banking.note_handover(SYSTEM, file_id, handed=handed)
    if handed.outcome in {Handover.TAKEN, Handover.KNOWN}:
        collect(bank)
    return Later(AGAIN_SECONDS[min(sending.attempt, len(AGAIN_SECONDS)) - 1]) if again else None


def _is_for_us(content: bytes) -> bool:
    """Whether it can be read, and is no statement of somebody else's account: banks put all into one mailbox."""
    try:
        found = read_message(content)
    except Invalid as refusal:
        log.error("the bank sent what cannot be read: %s", refusal.sentence)  # noqa: TRY400 - no trace needed
        return False
    if not isinstance(found, Statements):
        return True
    own = current_settings().bank_iban
    return _read(all(is_ours(db.session(), part.account, own) for part in found.parts))


def _bank() -> Bank | None:
    settings = current_settings()
    return bank_for(settings.bank_url, timeout_seconds=settings.provider_timeout_seconds)


def _read(found: T) -> T:
    """What was read, with its transaction ended: what follows opens its own."""
    db.session.rollback()
    return found
