"""Retry policies: when a declined charge is tried again, and what follows when no try is left."""

from collections.abc import Sequence

from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.models.subscriptions import OnExhausted, RetryPolicy, Subscription
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

MOST_ATTEMPTS = 20
MOST_DAYS = 60
NAME_LENGTH = 80
CODE_LENGTH = 80


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE)
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

    Raises:
        Invalid: a value that makes no sense, at its field.
        Conflict: the name is taken, or somebody else changed the policy meanwhile.
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
        raise Conflict("There is a retry policy of this name already.", field="name")
    if policy_id is None:
        policy = work.add(RetryPolicy(**values))
        work.record(Event.RETRY_POLICY_SAVED, policy, after=values)
        return policy
    policy = work.get(RetryPolicy, policy_id, lock=True)
    before = {key: getattr(policy, key) for key in values}
    if not work.change(RetryPolicy, policy_id, when=(RetryPolicy.version == version,), **values):
        raise Conflict("Somebody else changed this policy meanwhile. Reload it and try again.")
    work.record(Event.RETRY_POLICY_SAVED, policy, before=before, after=values)
    return policy


@use_case(Permission.SUBSCRIPTIONS_SUBSCRIPTION_WRITE, about=RetryPolicy)
def delete_retry_policy(work: Work, policy_id: int) -> None:
    """Remove a retry policy that no subscription follows.

    Raises:
        Conflict: subscriptions follow it.
    """
    policy = work.get(RetryPolicy, policy_id, lock=True)
    if work.exists(Subscription.retry_policy_id == policy_id):
        raise Conflict("Subscriptions follow this policy: give them another one first.")
    work.record(Event.RETRY_POLICY_DELETED, policy, before={"name": policy.name})
    work.session.delete(policy)


def _check(name: str, delays_days: Sequence[int], max_attempts: int, retryable_codes: Sequence[str]) -> None:
    if not name or len(name) > NAME_LENGTH or not name.isprintable():
        raise Invalid(f"Enter a name of at most {NAME_LENGTH} characters.", field="name")
    if not 1 <= max_attempts <= MOST_ATTEMPTS:
        raise Invalid(f"Enter from 1 to {MOST_ATTEMPTS} attempts.", field="max_attempts")
    if max_attempts > 1 and not delays_days:
        raise Invalid("Say how many days to wait before the second attempt.", field="delays_days")
    if len(delays_days) > MOST_ATTEMPTS or any(not 1 <= days <= MOST_DAYS for days in delays_days):
        raise Invalid(f"Wait from 1 to {MOST_DAYS} days before each attempt.", field="delays_days")
    if any(len(code) > CODE_LENGTH or not code.isprintable() for code in retryable_codes):
        raise Invalid("A provider's code is short and printable.", field="retryable_codes")
