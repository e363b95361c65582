"""Contracts: opened, given new versions, withdrawn, renamed, closed, and given to organizations (S3:63, S3:74).

The CFO's changes are done at once; those of a Financial specialist are filed and wait for the CFO.
"""

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from payadmin.actions.tariffs.approval import (
    ASSIGN_GATE,
    NEW_GATE,
    RENAME_GATE,
    STATUS_GATE,
    VERSION_GATE,
    WITHDRAW_GATE,
)
from payadmin.audit import Event
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.money import MAX_MINOR
from payadmin.kernel.tariffs import Term, check_terms, differences, percent_text
from payadmin.kernel.text import _, _n
from payadmin.models.parties import Organization, OrganizationKind, OrganizationStatus
from payadmin.models.tariffs import (
    CODE_LENGTH,
    NAME_LENGTH,
    NOTE_LENGTH,
    Contract,
    ContractStatus,
    ContractTerm,
    ContractVersion,
)
from payadmin.permissions import Permission
from payadmin.queries.tariffs import active_units, count_users, in_force, live, terms_of
from payadmin.work import Work, use_case

PROPOSE: Final = Permission.CONTRACTS_CONTRACT_PROPOSE
STALE: Final = _("Somebody else changed this contract while you were editing it. Look at what changed, then try again.")
LATEST: Final = dt.timedelta(days=3660)
_CODE: Final = re.compile(r"[A-Z0-9][A-Z0-9._-]*", re.ASCII)
_MINOR: Final = tuple(each.name for each in fields(Term) if each.name.endswith("_minor"))


@use_case(PROPOSE, gate=NEW_GATE)
def open_contract(
    work: Work,
    *,
    code: str,
    name: str,
    terms: Sequence[Term],
    valid_from: dt.datetime | None = None,
    note: str | None = None,
) -> int:
    """Make a contract with its first version; the contract's id.

    Args:
        code: what it is called in lists and files: capital letters, digits, dots, dashes.
        terms: at most one for each kind of transaction and unit.
        valid_from: when it begins to be in force; None: when this is done.
        note: why.

    Raises:
        Invalid: a value that makes no sense; `data["position"]` is the place of the term that it is in.
        Conflict: there is such a contract already.
        NeedsApproval: the actor proposes only; the CFO decides.
    """
    shown = code.strip()
    if not _CODE.fullmatch(shown) or len(shown) > CODE_LENGTH:
        raise Invalid("A code has capital letters, digits, dots and dashes, such as RETAIL-2.", field="code")
    if work.exists(Contract.code == shown):
        raise Conflict("There is a contract with this code already.", field="code")
    try:
        contract = work.add(Contract(code=shown, name=_named(name), last_number=1))
    except IntegrityError as error:
        raise Conflict("There is a contract with this code already.", field="code") from error
    work.record(Event.CONTRACT_OPENED, contract, after={"code": shown, "name": contract.name}, contract=shown)
    _write(work, contract, 1, terms, valid_from, note, before=[])
    return contract.id


@use_case(PROPOSE, about=Contract, gate=VERSION_GATE)
def add_version(
    work: Work,
    contract_id: int,
    *,
    terms: Sequence[Term],
    version: int,
    valid_from: dt.datetime | None = None,
    note: str | None = None,
) -> int:
    """Write the next version of a contract; its number. Versions before it stay as they are.

    Args:
        terms: everything that it says; what the version before said and is not here is dropped.
        version: what the form showed of the contract.
        valid_from: when it begins to be in force, never in the past; None: when this is done.

    Raises:
        Invalid: a value that makes no sense, or nothing that differs from what is in force when it begins.
        Conflict: the contract is closed, another version begins at the same moment, or somebody else changed the
            contract meanwhile (`data["now"]` is its version).
        NeedsApproval: the actor proposes only; the CFO decides.
    """
    contract = _open(work, contract_id, version)
    number = contract.last_number + 1
    before = _terms_before(work, contract, _begins(work, valid_from))
    if not any(each.changed or each.before is None or each.after is None for each in differences(before, terms)):
        raise Invalid("This says what is in force then already. Change something first.")
    if not work.change(Contract, contract_id, when=(Contract.version == version,), last_number=number):
        raise Conflict(STALE, now=work.get(Contract, contract_id).version)
    _write(work, work.get(Contract, contract_id), number, terms, valid_from, note, before=before)
    return number


@use_case(PROPOSE, about=Contract, gate=WITHDRAW_GATE)
def withdraw_version(work: Work, contract_id: int, *, number: int, version: int) -> None:
    """Take back a version that has not begun: it will never be in force.

    Raises:
        Conflict: it has begun or was withdrawn already, it is the contract's only one, or somebody else changed the
            contract meanwhile.
        NeedsApproval: the actor proposes only; the CFO decides.
    """
    contract = _open(work, contract_id, version)
    found: ContractVersion | None = work.one(
        select(ContractVersion).where(ContractVersion.contract_id == contract_id, ContractVersion.number == number)
    )
    if found is None or found.withdrawn_at is not None:
        raise Conflict("This version was withdrawn already.")
    if found.valid_from <= work.now:
        raise Conflict("This version has begun. Write a new one instead.")
    others = work.exists(ContractVersion.contract_id == contract_id, ContractVersion.id != found.id, live())
    if not others:
        raise Conflict("A contract keeps at least one version. Close the contract instead.")
    if not work.change(Contract, contract_id, when=(Contract.version == version,), last_number=contract.last_number):
        raise Conflict(STALE, now=work.get(Contract, contract_id).version)
    work.change(ContractVersion, found.id, withdrawn_at=work.now)
    work.record(
        Event.CONTRACT_VERSION_WITHDRAWN,
        work.get(ContractVersion, found.id),
        also=[work.get(Contract, contract_id)],
        before={"number": number, "valid_from": found.valid_from, "withdrawn_at": None},
        after={"number": number, "valid_from": found.valid_from, "withdrawn_at": work.now},
        contract=contract.code,
    )


@use_case(PROPOSE, about=Contract, gate=RENAME_GATE)
def rename_contract(work: Work, contract_id: int, *, name: str, version: int) -> None:
    """Call a contract something else; the same name changes nothing.

    Raises:
        Conflict: somebody else changed the contract meanwhile (`data["now"]` is its version).
        NeedsApproval: the actor proposes only; the CFO decides.
    """
    contract = work.get(Contract, contract_id, lock=True)
    before, after = contract.name, _named(name)
    if contract.version == version and before == after:
        return
    if not work.change(Contract, contract_id, when=(Contract.version == version,), name=after):
        raise Conflict(STALE, now=contract.version)
    work.record(
        Event.CONTRACT_RENAMED,
        work.get(Contract, contract_id),
        before={"name": before},
        after={"name": after},
        contract=contract.code,
    )


@use_case(PROPOSE, about=Contract, gate=STATUS_GATE)
def set_contract_status(work: Work, contract_id: int, *, is_open: bool, version: int) -> None:
    """Close a contract that nobody uses any more, or open it again.

    Raises:
        Conflict: organizations use it, it is so already, or somebody else changed it meanwhile.
        NeedsApproval: the actor proposes only; the CFO decides.
    """
    contract = work.get(Contract, contract_id, lock=True)
    after = ContractStatus.ACTIVE if is_open else ContractStatus.CLOSED
    users = count_users(work.session, Organization.contract_id, [contract_id]).get(contract_id, 0)
    if not is_open and users:
        raise Conflict(
            _n(
                "One organization has this contract: give it another one first.",
                "%(number)s organizations have this contract: give them another one first.",
                users,
            )
        )
    before = contract.status
    if not work.change(Contract, contract_id, when=(Contract.version == version,), status=after):
        raise Conflict(STALE, now=contract.version)
    work.record(
        Event.CONTRACT_CLOSED if after is ContractStatus.CLOSED else Event.CONTRACT_OPENED,
        work.get(Contract, contract_id),
        before={"status": before},
        after={"status": after},
        contract=contract.code,
    )


@use_case(PROPOSE, about=Organization, gate=ASSIGN_GATE)
def assign_contract(
    work: Work, organization_id: int, *, contract_id: int | None, instead_of: int | None = None
) -> None:
    """Give an organization a contract in the place of the one it has; None takes it away. The same changes nothing.

    Args:
        instead_of: the contract that whoever decided saw it have; None: whatever it has.

    Raises:
        Conflict: the contract is closed, or the organization is, or it has another contract than was seen.
        Invalid: payadmin itself has no contract.
        NeedsApproval: the actor proposes only; the CFO decides.
    """
    # The contract first, as closing it does: nobody gets one that is being closed.
    contract = work.get(Contract, contract_id, lock=True) if contract_id is not None else None
    if contract is not None and contract.status is not ContractStatus.ACTIVE:
        raise Conflict("This contract is closed. Choose another one.", field="contract")
    organization = work.get(Organization, organization_id, lock=True)
    if organization.kind is OrganizationKind.SYSTEM:
        raise Invalid("The system itself has no contract.", field="organization")
    if organization.status is OrganizationStatus.CLOSED and contract is not None:
        raise Conflict("This organization is closed.", field="organization")
    old = organization.contract_id
    if old == contract_id:
        return
    if instead_of is not None and old != instead_of:
        raise Conflict("This organization has another contract by now. Look at what changed, then try again.")
    before = work.get(Contract, old).code if old is not None else None
    work.change(Organization, organization_id, contract_id=contract_id)
    after = contract.code if contract is not None else None
    work.record(
        Event.CONTRACT_ASSIGNED,
        work.get(Organization, organization_id),
        before={"contract": before},
        after={"contract": after},
        contract=after or before,
        organization=organization.name,
    )


# --- shared -----------------------------------------------------------------------------------------------------------


def _named(name: str) -> str:
    shown = " ".join(name.split())
    if not shown or len(shown) > NAME_LENGTH or not shown.isprintable():
        raise Invalid(_("Write a name of at most %(most)s characters.", most=NAME_LENGTH), field="name")
    return shown


def _open(work: Work, contract_id: int, version: int) -> Contract:
    contract = work.get(Contract, contract_id, lock=True)
    if contract.status is not ContractStatus.ACTIVE:
        raise Conflict("This contract is closed. Open it again first.")
    if contract.version != version:
        raise Conflict(STALE, now=contract.version)
    return contract


def _terms_before(work: Work, contract: Contract, at: dt.datetime) -> list[Term]:
    """What a version that begins at a moment takes the place of: none where it is the first to begin."""
    found = in_force(work.session, contract.id, at)
    return [row.term for row in terms_of(work.session, [found.id])[found.id]] if found is not None else []


def _begins(work: Work, valid_from: dt.datetime | None) -> dt.datetime:
    if valid_from is None:
        return work.now
    if valid_from < work.now:
        raise Invalid("A version cannot begin in the past. Choose a later day, or leave it empty.", field="valid_from")
    if valid_from > work.now + LATEST:
        raise Invalid("This is more than ten years ahead.", field="valid_from")
    return valid_from


def _write(
    work: Work,
    contract: Contract,
    number: int,
    terms: Sequence[Term],
    valid_from: dt.datetime | None,
    note: str | None,
    *,
    before: Iterable[Term],
) -> None:
    """Write a version with its terms, and what it changes term by term into the trail."""
    check_terms(terms)
    _check_units(work, terms)
    begins, words = _begins(work, valid_from), (note or "").strip() or None
    if words is not None and len(words) > NOTE_LENGTH:
        raise Invalid(_("Keep it within %(most)s characters.", most=NOTE_LENGTH), field="note")
    if work.exists(ContractVersion.contract_id == contract.id, ContractVersion.valid_from == begins, live()):
        raise Conflict("Another version begins at this moment. Choose another one.", field="valid_from")
    version = work.add(
        ContractVersion(
            contract_id=contract.id,
            number=number,
            valid_from=begins,
            note=words,
            author_id=work.actor.staff_id,
            approved_by=work.approved.checker if work.approved is not None else None,
        )
    )
    rows = [
        ContractTerm(version_id=version.id, **{each.name: getattr(term, each.name) for each in fields(Term)})
        for term in terms
    ]
    work.session.add_all(rows)
    work.session.flush()
    by_key = {row.term.key: row for row in rows}
    work.record(
        Event.CONTRACT_VERSION_ADDED,
        version,
        also=[contract, *rows],
        after={"number": number, "valid_from": begins if valid_from is not None else None, "note": words},
        contract=contract.code,
    )
    for each in differences(before, terms):
        if each.after is None:
            dropped: dict[str, object] = {"transaction_type": each.term.transaction_type, "unit": each.term.unit}
            work.record(Event.CONTRACT_TERM_DROPPED, version, after=dropped, contract=contract.code)
        elif each.before is None or each.changed:
            work.record(
                Event.CONTRACT_TERM_SET,
                by_key[each.after.key],
                before=_facts(each.before) if each.before is not None else None,
                after=_facts(each.after),
                contract=contract.code,
            )


def _facts(term: Term) -> dict[str, Any]:
    found = {each.name: getattr(term, each.name) for each in fields(Term) if not each.name.endswith("_ppm")}
    return {name: found.pop(name) for name in ("transaction_type", "unit")} | {
        "percentage": percent_text(term.rate_ppm),
        "spread": percent_text(term.spread_ppm),
        **found,
    }


def _check_units(work: Work, terms: Sequence[Term]) -> None:
    known = active_units(work.session)
    for position, term in enumerate(terms):
        if term.unit not in known:
            raise Invalid(_("%(unit)s is no unit that can be used.", unit=term.unit), field="unit", position=position)
        for name in _MINOR:
            if (getattr(term, name) or 0) > MAX_MINOR:
                raise Invalid("This amount is too large.", field=name, position=position)
