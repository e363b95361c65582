"""Policies: from when on an act needs a second person. Changing them needs one too, once a policy says so."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from payadmin.approvals import RULES, ApprovalGate, Ask, Target, money_words
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.money import MAX_MINOR
from payadmin.kernel.text import _
from payadmin.models.approvals import LONGEST_EXPIRY_HOURS, ApprovalPolicy
from payadmin.models.payments import Unit
from payadmin.permissions import Permission
from payadmin.work import Work, use_case

STALE = "Somebody else changed this policy while you were editing it. Look at what changed, then save again."
TAKEN = "There is a policy for this rule and currency already. Change that one."


def _target(arguments: Mapping[str, Any]) -> Target:
    return Target(ApprovalPolicy, arguments["policy_id"], f"{arguments['rule']}:{arguments['unit'] or ''}")


def _ask(work: Work, arguments: Mapping[str, Any]) -> Ask:
    rule, threshold, unit = RULES.get(arguments["rule"]), arguments["threshold_minor"], arguments["unit"]
    words = rule.label if rule else arguments["rule"]
    if threshold is not None and unit is not None:
        words = f"{words} {money_words(work, threshold, unit)}"
    verb = "Switch on" if arguments["is_on"] else "Switch off"
    return Ask(f"{verb} the approval policy “{words}”", {"policy": 0})


@use_case(Permission.APPROVALS_POLICY_WRITE, gate=ApprovalGate("policy", target=_target, ask=_ask))
def save_policy(
    work: Work,
    *,
    rule: str,
    unit: str | None,
    threshold_minor: int | None,
    is_on: bool,
    expires_hours: int,
    policy_id: int | None = None,
    version: int | None = None,
) -> int:
    """Write a line of the policy table, new (`policy_id` None) or changed; its id. Lines are switched off, not deleted.

    Args:
        rule: a name of `approvals.RULES`; that of a written line stays.
        unit: the currency in which a measured rule counts; that of a written line stays.
        threshold_minor: from how many minor units on it applies; None for a rule that is not measured.
        expires_hours: how long a request may wait.
        version: what the form showed of the line that is changed.

    Raises:
        Invalid: a value that makes no sense, at its field.
        Conflict: there is such a line, or somebody else changed it meanwhile (`data["now"]` is its version).
        NeedsApproval: a policy about policies is on, so somebody else has to approve.
    """
    known = RULES.get(rule)
    if known is None:
        raise Invalid("There is no such rule.", field="rule")
    if known.measured and (unit is None or not work.exists(Unit.code == unit)):
        raise Invalid("Choose the currency in which this rule counts.", field="unit")
    if known.measured and (threshold_minor is None or not 0 <= threshold_minor <= MAX_MINOR):
        raise Invalid("Enter the amount from which on a second person is asked.", field="threshold")
    if not known.measured and (unit is not None or threshold_minor is not None):
        raise Invalid("This rule has no amount: it is on or off.", field="threshold")
    if not 1 <= expires_hours <= LONGEST_EXPIRY_HOURS:
        raise Invalid(_("Enter from 1 to %(most)s hours.", most=LONGEST_EXPIRY_HOURS), field="expires_hours")
    values: dict[str, Any] = {"threshold_minor": threshold_minor, "is_on": is_on, "expires_hours": expires_hours}
    if policy_id is None:
        return _add(work, rule, unit, values)
    policy = work.get(ApprovalPolicy, policy_id, lock=True)
    if (policy.rule, policy.unit) != (rule, unit):
        raise Invalid("A policy keeps its rule and currency. Switch it off and make another one.", field="rule")
    before = {name: getattr(policy, name) for name in values}
    if policy.version == version and before == values:
        return policy.id
    if not work.change(ApprovalPolicy, policy_id, when=(ApprovalPolicy.version == version,), **values):
        raise Conflict(STALE, now=policy.version)
    work.record(Event.APPROVAL_POLICY_SAVED, policy, before=before, after=values, rule=rule, unit=unit)
    return policy.id


def _add(work: Work, rule: str, unit: str | None, values: dict[str, Any]) -> int:
    same = ApprovalPolicy.unit.is_(None) if unit is None else ApprovalPolicy.unit == unit
    if work.one(select(ApprovalPolicy.id).where(ApprovalPolicy.rule == rule, same)) is not None:
        raise Conflict(TAKEN, field="rule")
    policy = work.add(ApprovalPolicy(rule=rule, unit=unit, **values))
    after = {"rule": rule, "unit": unit, **values}
    work.record(Event.APPROVAL_POLICY_SAVED, policy, after=after, rule=rule, unit=unit)
    return policy.id
