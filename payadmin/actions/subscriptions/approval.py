"""When decisions about charges, and changes of retry policies, need a second person."""

from collections.abc import Mapping
from typing import Any

from payadmin.approvals import ApprovalGate, Ask, Target, money_words
from payadmin.models.subscriptions import RetryPolicy, ScheduledCharge, Subscription
from payadmin.work import Work


def _policy(arguments: Mapping[str, Any]) -> Target:
    return Target(RetryPolicy, arguments["policy_id"], str(arguments.get("name") or "").strip())


def _save_asks(_work: Work, arguments: Mapping[str, Any]) -> Ask:
    verb = "New retry policy" if arguments["policy_id"] is None else "Change retry policy"
    return Ask(f"{verb} “{arguments['name'].strip()}”", {"retry_policy": 0})


def _delete_asks(work: Work, arguments: Mapping[str, Any]) -> Ask:
    name = work.get(RetryPolicy, arguments["policy_id"]).name
    return Ask(f"Delete retry policy “{name}”", {"retry_policy": 0})


def _charge(arguments: Mapping[str, Any]) -> Target:
    return Target(ScheduledCharge, arguments["charge_id"])


def _unpaid_asks(work: Work, arguments: Mapping[str, Any]) -> Ask:
    return _outcome(work, arguments, "Declare unpaid")


def _paid_asks(work: Work, arguments: Mapping[str, Any]) -> Ask:
    return _outcome(work, arguments, "Book as paid")


def _outcome(work: Work, arguments: Mapping[str, Any], verb: str) -> Ask:
    charge = work.get(ScheduledCharge, arguments["charge_id"])
    minor, unit = charge.amount_minor, charge.unit
    answer = arguments.get("answer")
    if answer is not None and answer.amount_minor is not None and answer.unit == unit:
        minor = answer.amount_minor
    title = f"{verb}: {charge.invoice_number} of {money_words(work, minor, unit)}"
    return Ask(title, {"outcome": minor}, minor, unit)


def _subscription_first(work: Work, charge_id: int) -> None:
    """A subscription is held before its dates, as workers do."""
    subscription_id = work.get(ScheduledCharge, charge_id).subscription_id
    if subscription_id is not None:
        work.get(Subscription, subscription_id, lock=True)


SAVE_POLICY_GATE = ApprovalGate("retry_policy", _policy, _save_asks)
DELETE_POLICY_GATE = ApprovalGate("retry_policy", _policy, _delete_asks)
UNPAID_GATE = ApprovalGate("outcome", _charge, _unpaid_asks, hold_first=_subscription_first)
PAID_GATE = ApprovalGate("outcome", _charge, _paid_asks, hold_first=_subscription_first)
