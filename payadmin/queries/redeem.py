"""Questions about redeem requests: what one costs, its limits, why one may not be approved."""

import datetime as dt
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from payadmin.config import current_settings
from payadmin.kernel import iban, vault
from payadmin.kernel.errors import Conflict, Invalid
from payadmin.kernel.iso20022 import name_for_bank
from payadmin.kernel.money import MAX_MINOR, Money
from payadmin.kernel.tariffs import Commission, Term, TransactionType, commission, told
from payadmin.kernel.text import Text, _
from payadmin.models.parties import Customer, CustomerStatus, IdentificationStatus
from payadmin.models.redeem import RedeemChannel, RedeemRequest, RedeemStatus
from payadmin.models.tariffs import ContractTerm
from payadmin.models.wallets import LimitRule, Wallet
from payadmin.queries.tariffs import Ruling
from payadmin.queries.treasury import exceeded, ruling_of, why_no_cash
from payadmin.queries.wallets import Exceeded, owner_of, scales_of, why_unusable

# What contracts have terms for.
TERMS_OF: Final[dict[RedeemChannel, TransactionType]] = {
    RedeemChannel.CASH_DESK: TransactionType.CASH_WITHDRAWAL,
    RedeemChannel.BANK_TRANSFER: TransactionType.BANK_WITHDRAWAL,
}
# What an accountant may still say yes or no to; what the bank has, only the bank decides.
APPROVABLE: Final = (RedeemStatus.SUBMITTED, RedeemStatus.FAILED)
CANCELLABLE: Final = (RedeemStatus.SUBMITTED, RedeemStatus.APPROVED, RedeemStatus.FAILED)


# ---- what it costs -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RedeemPlan:
    """What a request would do, and why: shown before it is submitted, and carried out exactly so.

    Attributes:
        asked_minor: what was asked for; limits count it.
        amount_minor: what would be paid out; `whole_minor` leaves the wallet.
        ruling: the contract's term that holds; None: nothing is charged, nothing limited.
        why: how it came to that, one sentence for each step.
        exceeded: the limits that it would pass, the one that is passed by most first.
    """

    wallet: Wallet
    channel: RedeemChannel
    day: dt.date
    asked_minor: int
    amount_minor: int
    commission_minor: int
    ruling: Ruling | None
    why: tuple[str, ...]
    exceeded: tuple[Exceeded, ...]

    @property
    def whole_minor(self) -> int:
        """What is set aside: the amount and its commission."""
        return self.amount_minor + self.commission_minor


def plan_redeem(
    session: Session, *, wallet: Wallet, channel: RedeemChannel, asked_minor: int, at: dt.datetime
) -> RedeemPlan:
    """What a request for `asked_minor` would come to at a moment, by the contract version in force (LI1).

    The contract is that of the organization to which the customer belongs; without one nothing is charged or limited.

    Raises:
        Invalid: no amount, or more than any wallet holds.
        Conflict: no customer's wallet, one that cannot be used, or the commission is as much as the amount.
    """
    if not 0 < asked_minor <= MAX_MINOR:
        raise Invalid("Write an amount above zero.", field="amount")
    if wallet.customer_id is None:
        raise Conflict("Redeem requests are for wallets of customers.", field="wallet")
    if (problem := why_no_cash(session, wallet, pays=True)) is not None:
        raise Conflict(problem, field="wallet")
    kind, unit = TERMS_OF[channel], wallet.unit
    day = at.astimezone(current_settings().zone).date()
    ruled = ruling_of(session, wallet, kind, at)
    term = ruled.term if ruled is not None else Term(kind, unit)
    found = commission(term, asked_minor)
    if found.payer_minor > MAX_MINOR:
        raise Invalid("That is more than a wallet can hold.", field="amount")
    if found.payee_minor <= 0:
        raise Conflict("The commission is as much as the amount: nothing would be paid out.", field="amount")
    return RedeemPlan(
        wallet,
        channel,
        day,
        asked_minor,
        found.payee_minor,
        found.minor,
        ruled,
        _why(session, term, found) if ruled is not None else (_("No contract says anything about it: it is free."),),
        exceeded(session, wallet.id, term, asked_minor, day),
    )


def _why(session: Session, term: Term, found: Commission) -> tuple[str, ...]:
    """The steps of the commission; the last one, about payer and payee, in the words of a withdrawal."""
    scale = scales_of(session, [term.unit])[term.unit]
    facts = {
        "whole": Money(found.payer_minor, term.unit, scale),
        "amount": Money(found.payee_minor, term.unit, scale),
    }
    last = (
        _("It is paid on top: %(whole)s leave the wallet, %(amount)s are paid out.", **facts)
        if found.payer_minor > found.amount_minor
        else _("It is taken from the amount: %(whole)s leave the wallet, %(amount)s are paid out.", **facts)
    )
    return (*told(term, found, scale)[:-1], last)


# ---- limits --------------------------------------------------------------------------------------------------------


def over_limit(session: Session, plan: RedeemPlan) -> str | None:
    """The sentence with which a request above a limit is refused, with the limit's numbers; None when it is within."""
    if not plan.exceeded:
        return None
    over, unit = plan.exceeded[0], plan.wallet.unit
    scale = scales_of(session, [unit])[unit]
    facts = {
        "rule": Text(over.rule.value).lower(),
        "limit": Money(over.limit_minor, unit, scale),
        "counted": Money(over.counted_minor, unit, scale),
        "excess": Money(over.excess_minor, unit, scale),
    }
    if over.rule is LimitRule.SINGLE:
        return _("That is above the %(rule)s, %(limit)s, by %(excess)s.", **facts)
    return _(
        "That is above the %(rule)s, %(limit)s: %(counted)s count already, so it is too much by %(excess)s.", **facts
    )


# ---- whether it may be approved and paid ---------------------------------------------------------------------------


def why_not(session: Session, wallet: Wallet) -> str | None:
    """Why nobody may approve or pay a request of this wallet now, or None (RD3)."""
    if (problem := why_unusable(session, wallet, pays=True)) is not None:
        return problem
    owner = owner_of(session, wallet)
    return why_not_customer(owner) if isinstance(owner, Customer) else None


def why_not_customer(customer: Customer) -> str | None:
    """The same, as far as the customer is concerned: blocked or not identified."""
    if customer.status is CustomerStatus.BLOCKED:
        return _("The customer is blocked.")
    if customer.identification is not IdentificationStatus.IDENTIFIED:
        return _("The customer is not identified. Redeeming needs that.")
    return None


def why_no_approval(status: RedeemStatus) -> str | None:
    """Why a request in this state is not to be approved, or None."""
    return None if status in APPROVABLE else _REFUSED_APPROVAL[status]


def why_no_cancel(status: RedeemStatus) -> str | None:
    """Why a request in this state is not to be cancelled, or None."""
    return None if status in CANCELLABLE else _REFUSED_CANCEL[status]


_REFUSED_APPROVAL: Final = {
    RedeemStatus.APPROVED: _("It is approved already."),
    RedeemStatus.SENT: _("It is approved already, and at the bank."),
    RedeemStatus.PAID: _("It is paid already."),
    RedeemStatus.RETURNED: _("The bank sent it back, and the wallet has its money again. Enter a new request."),
    RedeemStatus.CANCELLED: _("It was cancelled, and the wallet has its money again. Enter a new request."),
}
_REFUSED_CANCEL: Final = {
    RedeemStatus.SENT: _("The bank has it: it cannot be cancelled before the bank says what became of it."),
    RedeemStatus.PAID: _("It is paid: what was paid out cannot be cancelled."),
    RedeemStatus.RETURNED: _("The bank sent it back, and the wallet has its money again."),
    RedeemStatus.CANCELLED: _("It was cancelled already."),
}


# ---- its account ---------------------------------------------------------------------------------------------------


def account_of(request: RedeemRequest) -> str:
    """The number of the account that a transfer is paid to, in full: for the payment file, or a logged reveal.

    Raises:
        Conflict: there is none, or no configured key opens it.
    """
    if request.account_sealed is None:
        raise Conflict("It is paid in cash: there is no account.")
    try:
        return vault.unseal(current_settings().totp_keys, request.seal_owner, request.account_sealed)
    except vault.Unreadable as error:
        raise Conflict("The account's number cannot be read: no configured key opens it.") from error


def checked_account(holder: str | None, account: str | None, bank_code: str | None) -> tuple[str, str, str | None]:
    """Where a transfer is paid to, as it is kept: holder, number, bank.

    Raises:
        Invalid: no holder, a number that is no IBAN, or a code that is no BIC.
    """
    name = " ".join((holder or "").split())
    if not name or len(name) > 140 or not name.isprintable():  # noqa: PLR2004 - what a payment file takes
        raise Invalid("Write the name of the account's holder, in at most 140 characters.", field="holder_name")
    if not name_for_bank(name):  # one such name would keep the payments of everybody else from the bank
        raise Invalid("No bank can write this name. Have it given in Latin letters.", field="holder_name")
    number = iban.normalised(account or "")
    if not iban.is_iban(number):
        raise Invalid("This is no IBAN. Check every sign of it.", field="account")
    code = iban.normalised(bank_code or "")
    if code and not iban.is_bic(code):
        raise Invalid("A BIC has 8 or 11 letters and digits. Leave it empty if nobody knows it.", field="bank_code")
    return name, number, code or None


def returns_commission(session: Session, request: RedeemRequest) -> bool:
    """Whether the contract under which a request was submitted gives the commission back with a returned transfer."""
    found = select(ContractTerm.returns_commission).where(
        ContractTerm.version_id == request.contract_version_id,
        ContractTerm.transaction_type == TERMS_OF[request.channel],
        ContractTerm.unit == request.unit,
    )
    return bool(session.scalar(found))
