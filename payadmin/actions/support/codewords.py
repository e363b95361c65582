"""Codewords: what a caller says to prove who they are. Five are compared in a quarter of an hour, and no more (TK1)."""

import datetime as dt
import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from payadmin import outbox
from payadmin.actions import reveals
from payadmin.actions.support.scope import person
from payadmin.approvals import person_of
from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel import codewords
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import _, _n
from payadmin.models.parties import Customer
from payadmin.models.support import CodewordTry
from payadmin.permissions import Permission
from payadmin.queries.support import verified_until
from payadmin.work import SYSTEM, Work, use_case

MOST_TRIES: Final = 5
WITHIN: Final = dt.timedelta(minutes=15)
LASTS: Final = dt.timedelta(minutes=15)
REASON_LENGTH: Final = 300
_CONSONANTS: Final = "bdfghklmnprstvz"
_VOWELS: Final = "aeiou"


@dataclass(frozen=True)
class Verdict:
    """What came of one comparison.

    Attributes:
        until: how long whoever asked may see who the customer is, if the word was right and somebody else gave it.
        left: how many more tries there are within the quarter of an hour.
    """

    is_right: bool
    until: dt.datetime | None
    left: int


@use_case(Permission.SUPPORT_TICKET_WRITE, about=Customer)
def compare_codeword(work: Work, customer_id: int, *, codeword: str) -> Verdict:
    """Compare what a caller said with the customer's codeword; a right one opens the customer's data for a while.

    Every comparison is counted in the database, while the customer is held: however many ask at once, from however many
    processes, five are compared in fifteen minutes. Each stands in the trail, right or wrong; the word stands nowhere.
    To whoever gave the customer the word, with this account or another one, it opens nothing: they know it themselves.

    Raises:
        NotFound: no such customer.
        Invalid: nothing was said; `field` is "codeword". It does not count.
        Conflict: the customer has no codeword, or five were compared already.
    """
    staff_id = person(work)
    customer = work.get(Customer, customer_id, lock=True)
    if not codewords.normalised(codeword):
        raise Invalid("Type the codeword that the customer says.", field="codeword")
    if customer.codeword_digest is None:
        raise Conflict("This customer has no codeword. Make sure in another way whom you talk to.", field="codeword")
    # Now, not when this began: it may have waited for whoever compared before it.
    now = outbox.database_now(work.session)
    since = now - WITHIN
    lately = select(func.count()).where(CodewordTry.customer_id == customer_id, CodewordTry.at > since)
    tries = work.session.scalar(lately) or 0
    if tries >= MOST_TRIES:
        raise Conflict(
            _(
                "%(most)s codewords were tried for this customer within %(minutes)s minutes. Wait, and be careful.",
                most=MOST_TRIES,
                minutes=int(WITHIN.total_seconds()) // 60,
            ),
            field="codeword",
        )
    is_right = codewords.matches(current_settings().totp_keys, codeword, customer.codeword_digest)
    given_by = customer.codeword_by_id
    is_own = given_by is not None and person_of(work, given_by) == person_of(work, staff_id)
    until = now + LASTS if is_right and not is_own else None
    work.add(CodewordTry(customer_id=customer_id, staff_id=staff_id, at=now, is_right=is_right, until=until))
    left = MOST_TRIES - tries - 1
    work.record(
        Event.SUPPORT_CODEWORD_COMPARED,
        customer,
        after={"tries_left": left},
        outcome="done" if is_right else "failed",
        customer_id=customer_id,
        external_id=customer.external_id,
    )
    return Verdict(is_right, until, left)


@use_case(Permission.SUPPORT_CODEWORD_WRITE, about=Customer)
def set_codeword(work: Work, customer_id: int, *, codeword: str, reason: str) -> None:
    """Give a customer a codeword, or another one; only its keyed digest is kept.

    Somebody who takes calls must have verified the customer by the present one just now; an administrator, who does
    not, answers for it with the reason. Who gave it is kept: see `compare_codeword`.

    Args:
        codeword: 6 to 64 characters; case and spaces do not count.
        reason: how the customer was identified.

    Raises:
        NotFound: no such customer.
        Invalid: no usable word, or no reason, at its field.
        Conflict: the customer has a codeword and has not said it to the actor within the last minutes, or none and the
            actor has revealed too many within an hour: a first word is given on the actor's word alone.
    """
    customer = work.get(Customer, customer_id, lock=True)
    said = " ".join(reason.split())
    if not said or len(said) > REASON_LENGTH:
        raise Invalid("Say how you made sure who the customer is.", field="reason")
    if not codewords.is_usable(codeword):
        raise Invalid(
            _n(
                "A codeword has at least %(number)s character.",
                "A codeword has at least %(number)s characters.",
                codewords.SHORTEST,
            ),
            field="codeword",
        )
    had = customer.codeword_digest is not None
    takes_calls = work.actor is not SYSTEM and work.actor.may(Permission.SUPPORT_TICKET_WRITE)
    if had and takes_calls and verified_until(work.session, person(work), customer_id, work.now) is None:
        raise Conflict("The customer has to say the present codeword first.")
    if not had and takes_calls:
        # Nobody but the actor says that this was the customer: it counts among what they reveal.
        reveals.note_reveal(work, customer, reason=reveals.REASONS[0], note=said[: reveals.LONGEST_NOTE])
    digest = codewords.digests(current_settings().totp_keys, codeword)[0]
    work.change(Customer, customer_id, codeword_digest=digest, codeword_by_id=work.actor.staff_id)
    work.record(
        Event.SUPPORT_CODEWORD_SET,
        work.get(Customer, customer_id),
        after={"codeword_digest": "set"},
        reason=said,
        customer_id=customer_id,
        external_id=customer.external_id,
    )


@use_case(Permission.SUPPORT_TICKET_WRITE)
def note_search(work: Work, *, looked_for: str, found: int) -> None:
    """Write into the trail that somebody looked for a customer: beginnings can be tried, so whoever tries is known.

    Args:
        looked_for: the term, masked.
    """
    work.record(Event.SUPPORT_CLIENTS_SEARCHED, after={"found": found}, looked_for=looked_for)


def new_codeword() -> str:
    """A word that can be said and typed: two times three syllables, of more than 10^11 possible ones."""
    syllables = [secrets.choice(_CONSONANTS) + secrets.choice(_VOWELS) for _number in range(6)]
    return f"{''.join(syllables[:3])} {''.join(syllables[3:])}"
