"""Whose changes of tariffs wait for the CFO: those of the Financial specialist, always (S3:74, domain 8)."""

from collections.abc import Mapping
from typing import Any

from payadmin.approvals import ApprovalGate, Ask, Target
from payadmin.kernel.text import _
from payadmin.models.parties import Organization
from payadmin.models.tariffs import CashbackProfile, Contract
from payadmin.permissions import Permission
from payadmin.work import Actor, Work

WHY = "A Financial specialist proposes it, and the CFO decides."


def _standing(actor: Actor) -> str | None:
    return None if actor.may(Permission.CONTRACTS_CONTRACT_WRITE) else WHY


def _new_contract(arguments: Mapping[str, Any]) -> Target:
    return Target(Contract, None, str(arguments["code"]).strip())


def _new_asks(_work: Work, arguments: Mapping[str, Any]) -> Ask:
    return Ask(_("New contract %(code)s", code=str(arguments["code"]).strip()), {})


def _contract(arguments: Mapping[str, Any]) -> Target:
    return Target(Contract, arguments["contract_id"])


def _code(work: Work, arguments: Mapping[str, Any]) -> str:
    return work.get(Contract, arguments["contract_id"]).code


def _version_asks(work: Work, arguments: Mapping[str, Any]) -> Ask:
    return Ask(_("New version of contract %(code)s", code=_code(work, arguments)), {})


def _withdraw_asks(work: Work, arguments: Mapping[str, Any]) -> Ask:
    number = arguments["number"]
    title = _("Withdraw version %(number)s of contract %(code)s", number=number, code=_code(work, arguments))
    return Ask(title, {})


def _rename_asks(work: Work, arguments: Mapping[str, Any]) -> Ask:
    return Ask(_("Rename contract %(code)s", code=_code(work, arguments)), {})


def _status_asks(work: Work, arguments: Mapping[str, Any]) -> Ask:
    code = _code(work, arguments)
    title = (
        _("Open contract %(code)s again", code=code)
        if arguments["is_open"]
        else _("Close contract %(code)s", code=code)
    )
    return Ask(title, {})


def _organization(arguments: Mapping[str, Any]) -> Target:
    return Target(Organization, arguments["organization_id"])


def _assign_asks(work: Work, arguments: Mapping[str, Any]) -> Ask:
    name = work.get(Organization, arguments["organization_id"]).name
    if arguments["contract_id"] is None:
        return Ask(_("%(name)s without a contract", name=name), {})
    return Ask(_("Contract %(code)s for %(name)s", code=_code(work, arguments), name=name), {})


def _profile(arguments: Mapping[str, Any]) -> Target:
    return Target(CashbackProfile, arguments["profile_id"], str(arguments["name"]).strip())


def _profile_asks(_work: Work, arguments: Mapping[str, Any]) -> Ask:
    name = str(arguments["name"]).strip()
    if arguments["profile_id"] is None:
        return Ask(_("New cashback profile %(name)s", name=name), {})
    return Ask(_("Change cashback profile %(name)s", name=name), {})


def _cashback_asks(work: Work, arguments: Mapping[str, Any]) -> Ask:
    merchant = work.get(Organization, arguments["organization_id"]).name
    if arguments["profile_id"] is None:
        return Ask(_("%(name)s without cashback", name=merchant), {})
    profile = work.get(CashbackProfile, arguments["profile_id"]).name
    return Ask(_("Cashback profile %(profile)s for %(name)s", profile=profile, name=merchant), {})


NEW_GATE = ApprovalGate("contract", _new_contract, _new_asks, standing=_standing)
VERSION_GATE = ApprovalGate("contract", _contract, _version_asks, standing=_standing)
WITHDRAW_GATE = ApprovalGate("contract", _contract, _withdraw_asks, standing=_standing)
RENAME_GATE = ApprovalGate("contract", _contract, _rename_asks, standing=_standing)
STATUS_GATE = ApprovalGate("contract", _contract, _status_asks, standing=_standing)
ASSIGN_GATE = ApprovalGate("contract", _organization, _assign_asks, standing=_standing)
PROFILE_GATE = ApprovalGate("cashback", _profile, _profile_asks, standing=_standing)
CASHBACK_GATE = ApprovalGate("cashback", _organization, _cashback_asks, standing=_standing)
