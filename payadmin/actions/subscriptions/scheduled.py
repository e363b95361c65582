"""Single due dates: cancel some with one confirmation, catch up or let go what was missed, decide the unknown."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select, update

from payadmin import outbox, step_up
from payadmin.actions.subscriptions.approval import UNPAID_GATE
from payadmin.actions.subscriptions.attempts import open_attempt
from payadmin.actions.subscriptions.planning import settle_date
from payadmin.actions.subscriptions.terms import joined, terms_of, with_terms
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import Text, _
from payadmin.models.subscriptions import (
    NOT_BEGUN,
    RETRIED,
    UNDECIDED,
    AttemptState,
    ChargeAttempt,
    ChargeStatus,
    Purpose,
    ScheduledCharge,
    SubscriptionStatus,
    why_not_cancellable,
)
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

CANCEL_ACT = "subscriptions.cancel_scheduled"
MOST_AT_ONCE = 200
CATCH_UP_MOST = 3
REASON_LENGTH = 200


@dataclass
class Chosen:
    """What became of each chosen row: done, or the sentence that says why not."""

    done: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)


def cancel_subject(charge_ids: Sequence[int]) -> dict[str, list[int]]:
    """What the step-up of a cancellation is about; pages offer exactly this for `CANCEL_ACT`."""
    return {"charges": sorted(set(charge_ids))}


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE)
def cancel_scheduled(work: Work, *, charge_ids: Sequence[int], reason: str, offer: str, code: str) -> Chosen:
    """Cancel the chosen execute dates, confirmed by one authenticator code; each that was sent is refused by itself.

    One that waits in hand, as while its provider is paused, is taken back before any worker claims it. Nothing is
    cancelled when the code is wrong or used. A cancelled date is never planned again (SC7, SC13).

    Raises:
        Invalid: nothing or too much chosen, a reason that is too long, a wrong, used or stale confirmation.
    """
    ids = _chosen(charge_ids)
    text = reason.strip()
    if not text or len(text) > REASON_LENGTH:
        raise Invalid(
            _("Say why, in at most %(reason_length)s characters.", reason_length=REASON_LENGTH), field="reason"
        )
    step_up.spend(work, offer, code, CANCEL_ACT, cancel_subject(ids))
    outcome = Chosen()
    for charge_id in ids:
        # Held until the end: a worker that takes it after this look would charge a date that is shown as cancelled.
        charge = work.session.get(ScheduledCharge, charge_id, populate_existing=True, with_for_update=True)
        if charge is None:
            outcome.refused[charge_id] = "There is no such execute date."
        elif why := why_not_cancellable(charge):
            outcome.refused[charge_id] = why
        elif charge.status is ChargeStatus.ENQUEUED and not _take_back(work, charge_id, text):
            outcome.refused[charge_id] = "It is already being charged."
        else:
            work.change(ScheduledCharge, charge_id, is_touched=True)
            free = (*NOT_BEGUN, ChargeStatus.ENQUEUED)
            settle_date(work, charge_id, ChargeStatus.CANCELLED, Event.CHARGE_CANCELLED, text, sources=free)
            outcome.done.append(charge_id)
    return outcome


def _take_back(work: Work, charge_id: int, reason: str) -> bool:
    """Cancel the attempt of an enqueued charge that no worker has claimed, as while its provider is paused.

    A worker holds the attempt before the charge, and here it is the other way round: whoever finds the attempt held
    lets it be instead of waiting in a circle.
    """
    unsent = (ChargeAttempt.state == AttemptState.DUE, ChargeAttempt.first_sent_at.is_(None))
    free = select(ChargeAttempt.id).where(ChargeAttempt.scheduled_charge_id == charge_id, *unsent)
    attempt_id = work.one(free.with_for_update(skip_locked=True))
    if attempt_id is None:
        return False
    statement = update(ChargeAttempt).where(ChargeAttempt.id == attempt_id, *unsent)
    done = {"state": AttemptState.CANCELLED, "done_at": outbox.database_now(work.session), "message": reason}
    result = work.session.execute(statement.values(**done).execution_options(synchronize_session=False))
    return bool(result.rowcount == 1)  # type: ignore[attr-defined]


def why_not_caught_up(
    status: ChargeStatus, subscription_status: SubscriptionStatus | None, purpose: Purpose | None, *, taken: int
) -> str | None:
    """Why a date cannot be charged after all, or None when it can (SC8).

    Args:
        status: where the date is now.
        subscription_status, purpose: what its subscription is and does; None for what a batch ordered.
        taken: how many older dates of the same subscription are charged in the same go.
    """
    if status is not ChargeStatus.MISSED:
        return _("It is %(status)s, not missed.", status=Text(status.value).lower())
    if subscription_status is not None and subscription_status not in RETRIED:
        return _("The subscription is %(status)s.", status=Text(subscription_status.value).lower())
    if purpose is Purpose.REMINDER:
        return "A reminder that was missed is not sent late."
    if taken >= CATCH_UP_MOST:
        return _(
            "At most %(catch_up_most)s dates of a subscription are caught up at a time.", catch_up_most=CATCH_UP_MOST
        )
    return None


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE)
def catch_up(work: Work, *, charge_ids: Sequence[int]) -> Chosen:
    """Charge missed dates after all: oldest first, and at most three of a subscription at a time (SC8).

    Raises:
        Invalid: nothing or too much chosen.
    """
    outcome = Chosen()
    rows = work.session.execute(
        joined(with_terms().select_from(ScheduledCharge))
        .where(ScheduledCharge.id.in_(_chosen(charge_ids)))
        .order_by(ScheduledCharge.due_date, ScheduledCharge.id)
        .with_for_update(of=ScheduledCharge)
        .execution_options(populate_existing=True)
    ).all()
    taken: dict[int, int] = {}
    for charge, *others in rows:
        terms = terms_of(charge, *others)
        subscription = terms.subscription
        # What a batch ordered stands alone: no subscription holds it back, and it has no other dates.
        status = subscription.status if subscription is not None else None
        count = taken.get(subscription.id, 0) if subscription is not None else 0
        if why := why_not_caught_up(charge.status, status, terms.purpose, taken=count):
            outcome.refused[charge.id] = why
        elif not open_attempt(work, charge, terms):
            outcome.refused[charge.id] = "It is already being charged."
        else:
            work.change(ScheduledCharge, charge.id, is_touched=True)
            work.record(Event.CHARGE_CAUGHT_UP, charge, invoice_number=charge.invoice_number)
            if subscription is not None:
                taken[subscription.id] = count + 1
            outcome.done.append(charge.id)
    return outcome


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=ScheduledCharge)
def let_go(work: Work, charge_id: int, *, reason: str | None = None) -> None:
    """Decide that a missed date is not charged.

    Raises:
        Conflict: it is not missed (any more).
    """
    charge = work.get(ScheduledCharge, charge_id, lock=True)
    sentence = (reason or "").strip()[:REASON_LENGTH] or _("Staff decided not to charge this date.")
    if charge.status is not ChargeStatus.MISSED or not settle_date(
        work, charge_id, ChargeStatus.SKIPPED, Event.CHARGE_SKIPPED, sentence
    ):
        raise Conflict(_("This date is %(status)s, not missed.", status=Text(charge.status.value).lower()))


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=ScheduledCharge)
def ask_again(work: Work, charge_id: int) -> None:
    """Have the provider asked once more what became of a charge that waits for a decision.

    Raises:
        Conflict: nothing about it is undecided.
    """
    charge, attempt = _undecided(work, charge_id)
    attempt.state = AttemptState.UNKNOWN
    attempt.act_at = outbox.database_now(work.session)
    attempt.checks = 0
    work.change(ScheduledCharge, charge_id, needs_staff=False)
    work.record(Event.CHARGE_ASKED_AGAIN, charge, invoice_number=charge.invoice_number)


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=ScheduledCharge, gate=UNPAID_GATE)
def declare_unpaid(work: Work, charge_id: int, *, reason: str) -> None:
    """Close a charge whose outcome nobody could tell, after the provider was asked by other means: no money moved.

    Raises:
        Invalid: no reason.
        Conflict: nothing about it is undecided.
        NeedsApproval: a policy asks for a second person.
    """
    text = reason.strip()
    if not text or len(text) > REASON_LENGTH:
        raise Invalid(
            _("Say how you know, in at most %(reason_length)s characters.", reason_length=REASON_LENGTH), field="reason"
        )
    charge, attempt = _undecided(work, charge_id)
    attempt.state = AttemptState.DECLINED
    attempt.done_at = outbox.database_now(work.session)
    attempt.message = text
    work.change(ScheduledCharge, charge_id, status=ChargeStatus.FAILED, needs_staff=False, message=text)
    work.record(
        Event.CHARGE_DECLARED_UNPAID,
        charge,
        after={"status": ChargeStatus.FAILED},
        reason=text,
        invoice_number=charge.invoice_number,
    )


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=ScheduledCharge)
def close_finding(work: Work, charge_id: int, *, reason: str) -> None:
    """Say what was done about a difference that no other act settles, such as a date that was charged twice.

    It moves no money and no status: staff refund or book by the usual acts first.

    Raises:
        Invalid: no reason.
        Conflict: there is nothing (any more) to look after, or its outcome is still open and wants a decision.
    """
    text = reason.strip()
    if not text or len(text) > REASON_LENGTH:
        raise Invalid(
            _("Say what was done, in at most %(reason_length)s characters.", reason_length=REASON_LENGTH),
            field="reason",
        )
    charge = work.get(ScheduledCharge, charge_id, lock=True)
    if work.exists(ChargeAttempt.scheduled_charge_id == charge_id, ChargeAttempt.state.in_(UNDECIDED)):
        raise Conflict("Its outcome is not known. Ask the provider again or declare it unpaid.")
    if not charge.needs_staff:
        raise Conflict("Somebody has looked after this charge already.")
    work.change(ScheduledCharge, charge_id, needs_staff=False, message=_("Looked after: %(text)s", text=text))
    work.record(Event.CHARGE_FINDING_CLOSED, charge, reason=text, invoice_number=charge.invoice_number)


def _undecided(work: Work, charge_id: int) -> tuple[ScheduledCharge, ChargeAttempt]:
    charge = work.get(ScheduledCharge, charge_id, lock=True)
    attempt: ChargeAttempt | None = work.one(
        select(ChargeAttempt)
        .where(
            ChargeAttempt.scheduled_charge_id == charge_id,
            # One that is still asked about is decided by people once they were called to it.
            ChargeAttempt.state.in_(UNDECIDED),
        )
        .with_for_update()
    )
    if attempt is None or not charge.needs_staff:
        raise Conflict("Nothing about this charge is undecided any more.")
    return charge, attempt


def _chosen(charge_ids: Sequence[int]) -> list[int]:
    ids = sorted(set(charge_ids))
    if not ids:
        raise Invalid("Choose at least one execute date.", field="charge_ids")
    if len(ids) > MOST_AT_ONCE:
        raise Invalid(
            _("Choose at most %(most_at_once)s execute dates at a time.", most_at_once=MOST_AT_ONCE), field="charge_ids"
        )
    return ids
