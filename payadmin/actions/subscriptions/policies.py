"""Retry policies: when a declined charge is tried again, and what follows when no try is left."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.exc import IntegrityError

from payadmin.actions.subscriptions.approval import DELETE_POLICY_GATE, SAVE_POLICY_GATE
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.text import _, _n
from payadmin.models.subscriptions import ENDED, OnExhausted, RetryPolicy, Subscription
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

MOST_ATTEMPTS = 20
MOST_DAYS = 60
NAME_LENGTH = 80
CODE_LENGTH = 80
MOST_CODES = 50
STALE = "Somebody else changed this policy while you were editing it. Look at what changed, then save again."
TAKEN = "There is a retry policy of this name already."


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, gate=SAVE_POLICY_GATE)
def save_retry_policy(
    work: Work,
    *,
    name: str,
    delays_days: Sequence[int],
    max_attempts: int,
    retryable_codes: Sequence[str],
    on_exhausted: OnExhausted,
    policy_id: int | None = None,
    version: int | None = None,
) -> RetryPolicy:
    """Write a retry policy, new (`policy_id` None) or changed; attempts that wait already keep their day.

    Args:
        delays_days: days before the second, third … attempt; the last one counts for all further attempts.
        retryable_codes: which refusals are tried again; none named: all of them.
        version: what the form showed of the policy that is changed.

    Returns:
        The policy; saving what it already says changes and records nothing.

    Raises:
        Invalid: a value that makes no sense, at its field.
        Conflict: the name is taken, or somebody else changed the policy meanwhile (`data["now"]` is its version).
        NeedsApproval: an approval policy asks for a second person.
    """
    values = {
        "name": name.strip(),
        "delays_days": list(delays_days),
        "max_attempts": max_attempts,
        "retryable_codes": sorted({code.strip() for code in retryable_codes if code.strip()}),
        "on_exhausted": on_exhausted,
    }
    _check(name.strip(), delays_days, max_attempts, retryable_codes)
    if work.exists(RetryPolicy.name == values["name"], RetryPolicy.id != (policy_id or 0)):
        raise Conflict(TAKEN, field="name")
    if policy_id is None:
        try:
            policy = work.add(RetryPolicy(**values))
        except IntegrityError as error:
            raise Conflict(TAKEN, field="name") from error
        work.record(Event.RETRY_POLICY_SAVED, policy, after=values)
        return policy
    policy = work.get(RetryPolicy, policy_id, lock=True)
    before = {key: getattr(policy, key) for key in values}
    if policy.version == version and before == values:
        return policy
    try:
        changed = work.change(RetryPolicy, policy_id, when=(RetryPolicy.version == version,), **values)
    except IntegrityError as error:
        raise Conflict(TAKEN, field="name") from error
    if not changed:
        raise Conflict(STALE, now=policy.version)
    work.record(Event.RETRY_POLICY_SAVED, policy, before=before, after=values)
    return policy


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=RetryPolicy, gate=DELETE_POLICY_GATE)
def delete_retry_policy(work: Work, policy_id: int) -> None:
    """Remove a retry policy that no subscription follows any more.

    Subscriptions that have ended or were deleted can follow nothing, so they do not keep it: they let go of it.

    Raises:
        NotFound: it is gone already.
        Conflict: subscriptions follow it.
        NeedsApproval: an approval policy asks for a second person.
    """
    policy = work.get(RetryPolicy, policy_id, lock=True)
    followers = work.one(select(func.count()).where(Subscription.retry_policy_id == policy_id, ~over()))
    if followers:
        raise Conflict(
            _n(
                "One subscription follows this policy: give it another one first.",
                "%(number)s subscriptions follow this policy: give them another one first.",
                followers,
            )
        )
    free = (
        update(Subscription)
        .where(Subscription.retry_policy_id == policy_id)
        .values(retry_policy_id=None, version=Subscription.version + 1, updated_at=work.now)
    )
    work.session.execute(free.execution_options(synchronize_session=False, explained=True))
    work.record(Event.RETRY_POLICY_DELETED, policy, before={"name": policy.name})
    work.session.delete(policy)


def over() -> ColumnElement[bool]:
    """The condition that a subscription has ended or was deleted, so that no policy matters to it any more."""
    return Subscription.status.in_(ENDED) | Subscription.deleted_at.is_not(None)


def _check(name: str, delays_days: Sequence[int], max_attempts: int, retryable_codes: Sequence[str]) -> None:
    if not name or len(name) > NAME_LENGTH or not name.isprintable():
        raise Invalid(_("Enter a name of at most %(name_length)s characters.", name_length=NAME_LENGTH), field="name")
    if not 1 <= max_attempts <= MOST_ATTEMPTS:
        raise Invalid(
            _("Enter from 1 to %(most_attempts)s attempts.", most_attempts=MOST_ATTEMPTS), field="max_attempts"
        )
    if max_attempts > 1 and not delays_days:
        raise Invalid("Say how many days to wait before the second attempt.", field="delays_days")
    if len(delays_days) > MOST_ATTEMPTS or any(not 1 <= days <= MOST_DAYS for days in delays_days):
        raise Invalid(
            _("Wait from 1 to %(most_days)s days before each attempt.", most_days=MOST_DAYS), field="delays_days"
        )
    if len(retryable_codes) > MOST_CODES:
        raise Invalid(
            _("Name at most %(most_codes)s codes, or none for all of them.", most_codes=MOST_CODES),
            field="retryable_codes",
        )
    if any(len(code) > CODE_LENGTH or not code.isprintable() for code in retryable_codes):
        raise Invalid("A provider's code is short and printable.", field="retryable_codes")
