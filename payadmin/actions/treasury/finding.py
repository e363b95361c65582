"""Who stands at a desk, told by a codeword: few tries, each in the trail, and the word itself nowhere (S3:97)."""

import datetime as dt
from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, func, select

from payadmin.audit import Event
from payadmin.kernel import codewords
from payadmin.kernel.errors import Conflict, Forbidden
from payadmin.kernel.text import _
from payadmin.models.access import StaffUser
from payadmin.models.audit import AuditEvent
from payadmin.models.parties import Customer
from payadmin.permissions import Permission
from payadmin.queries.treasury import find_customers
from payadmin.work import Work, use_case

MOST_MISSES: Final = 5
WITHIN: Final = dt.timedelta(minutes=15)
# Of all cashiers together, and of one over a day: many accounts, or much patience, find no word either.
MOST_MISSES_OF_ALL: Final = 50
MOST_MISSES_A_DAY: Final = 25
ONE_DAY: Final = dt.timedelta(days=1)


@use_case(Permission.CASH_DAY_OPERATE)
def find_by_codeword(work: Work, *, word: str, keys: Sequence[bytes]) -> list[Customer]:
    """The customers whose codeword this is; usually one, but two may have chosen the same word.

    A word that nobody has counts as a miss and stands in the trail, without the word. Somebody with five misses within
    a quarter of an hour is told to wait, whatever they type, so that words cannot be found by trying; so is everybody
    after 50 misses of all within a quarter of an hour, and whoever has 25 within a day.

    Args:
        word: what the customer says; case and spaces around it do not count.
        keys: the keys of codewords, as configured.

    Raises:
        Conflict: too many misses (field "codeword").
        Forbidden: not a person.
    """
    if work.actor.staff_id is None:
        raise Forbidden("Only a person can ask for a codeword.")
    work.get(StaffUser, work.actor.staff_id, lock=True)  # tries at once are counted one after the other
    mine = AuditEvent.actor_id == work.actor.staff_id
    if _misses(work, WITHIN, mine) >= MOST_MISSES:
        raise Conflict(
            _("Five codewords were wrong. Wait a quarter of an hour, or ask for the phone number or the Customer ID."),
            field="codeword",
        )
    if _misses(work, ONE_DAY, mine) >= MOST_MISSES_A_DAY or _misses(work, WITHIN) >= MOST_MISSES_OF_ALL:
        raise Conflict("Too many codewords were wrong. Ask for the phone number or the Customer ID.", field="codeword")
    digests = set(codewords.digests(keys, word))
    # The same words are looked up as phone numbers too; only who has it as the codeword counts.
    found = [each for each in find_customers(work.session, word, keys) if each.codeword_digest in digests]
    if not found:
        work.record(Event.CASH_CODEWORD_MISSED, outcome="refused")
        return []
    for each in found:
        work.record(Event.CASH_CUSTOMER_RECOGNISED, each, customer_id=each.external_id)
    return found


def _misses(work: Work, within: dt.timedelta, *whose: ColumnElement[bool]) -> int:
    lately = (AuditEvent.event == str(Event.CASH_CODEWORD_MISSED), AuditEvent.at > work.now - within, *whose)
    return work.session.scalar(select(func.count()).where(*lately)) or 0
