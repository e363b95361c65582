"""Redeem requests: money is set aside from the beginning, an accountant decides, a desk or the bank pays (RD1-RD3).

Rows are held in one order: the request, then the wallet, then the accounts, which `post` holds. Whoever decides, pays
or cancels does it under the lock of the request's row, so of two at once one wins and the other is told.
"""

import datetime as dt
from typing import Any, Final

from sqlalchemy import select

from payadmin.actions import reveals
from payadmin.approvals import person_of
from payadmin.audit import Event
from payadmin.config import current_settings
from payadmin.kernel import iban, vault
from payadmin.kernel.errors import Conflict, Forbidden, Invalid
from payadmin.kernel.masks import mask_pan_in_text
from payadmin.kernel.money import Money
from payadmin.kernel.text import _
from payadmin.ledger import recipes
from payadmin.ledger.posting import Posting, post
from payadmin.models.redeem import RedeemChannel, RedeemRequest, RedeemStatus
from payadmin.models.system import NoticeKind
from payadmin.models.wallets import KEY_LENGTH, NOTE_LENGTH, REASON_LENGTH, Wallet
from payadmin.notices import notify, those_who_may
from payadmin.permissions import Permission
from payadmin.queries.banking import claimed_paid
from payadmin.queries.redeem import (
    RedeemPlan,
    account_of,
    checked_account,
    over_limit,
    plan_redeem,
    returns_commission,
    why_no_approval,
    why_no_cancel,
    why_not,
)
from payadmin.queries.wallets import amounts_of, scales_of
from payadmin.work import Work, use_case

SUBMIT: Final = Permission.CASH_REDEEM_SUBMIT
DECIDE: Final = Permission.CASH_REDEEM_DECIDE
BUSINESS: Final = RedeemRequest.__tablename__
LONGEST_CODE: Final = 10
OWN = "You entered this request, with this account or another of yours. Somebody else has to approve it."
STALE = "Somebody else changed this request meanwhile. Look at it again."
POOR = "There is not enough money in the wallet."
CLAIMED = "A statement shows this as paid. Decide that line of the statement first."
USED = "This form was used for another request already. Open it again."


@use_case(SUBMIT, about=Wallet)
def submit(
    work: Work,
    wallet_id: int,
    *,
    amount_minor: int,
    channel: RedeemChannel,
    key: str,
    holder_name: str | None = None,
    account: str | None = None,
    bank_code: str | None = None,
    note: str | None = None,
    seen: tuple[int, int] | None = None,
) -> RedeemRequest:
    """Enter a customer's request; amount and commission are set aside at once (J18, RD1).

    A customer who is not identified yet may ask; nobody can approve it before (RD3).

    Args:
        amount_minor: what is asked for; whether the commission comes on top of it, the contract says.
        key: names this request; the same that comes again answers with what it made.
        holder_name, account, bank_code: where a transfer goes, an IBAN; a cash request has none.
        seen: what whoever confirms has seen leave the wallet and be paid out; None: nobody looked.

    Raises:
        Invalid: no amount, no IBAN, no holder, or a note that is too long.
        Conflict: no customer's wallet, above a limit or what is available, a wallet, owner or unit that cannot be used,
            the key stands for another request, or it would cost something else than was seen.
    """
    words = _note(note)
    if not key or len(key) > KEY_LENGTH:
        raise Invalid("This form is out of date. Open it again.")
    to = checked_account(holder_name, account, bank_code) if channel is RedeemChannel.BANK_TRANSFER else None
    wallet = work.get(Wallet, wallet_id, lock=True)
    before: RedeemRequest | None = work.one(select(RedeemRequest).where(RedeemRequest.key == key))
    if before is not None:
        return _same(before, (wallet_id, amount_minor, channel), to)
    found = plan_redeem(work.session, wallet=wallet, channel=channel, asked_minor=amount_minor, at=work.now)
    if (problem := over_limit(work.session, found)) is not None:
        raise Conflict(problem, field="amount")
    if seen is not None and seen != (found.whole_minor, found.amount_minor):
        raise Conflict("What it costs has changed since you looked. Look at it again, then confirm.")
    _refuse_poor(work, wallet, found.whole_minor)
    row = work.add(_row(work, found, key, words, to))
    recipe = recipes.redeem_submitted(**_amounts(row, wallet))
    post(work, [Posting(row.held_as, recipe, BUSINESS, row.id, row.on_day, memo=words, holds=True)])
    work.record(Event.REDEEM_SUBMITTED, row, after=facts(row), **names(row, wallet))
    return row


@use_case(DECIDE, about=RedeemRequest)
def approve(work: Work, request_id: int, *, version: int) -> RedeemRequest:
    """Say yes: a cash request can be paid at a desk then, a transfer goes out with the next payment file (RD1).

    Wallet, customer and unit are looked at again. What failed at the bank may be approved once more. The same yes of
    the same person that comes again changes nothing.

    Raises:
        Forbidden: whoever entered the request would approve it, with this account or another one.
        Conflict: it was decided, paid or changed meanwhile, or the customer is blocked or not identified (RD3).
    """
    row = work.get(RedeemRequest, request_id, lock=True)
    if row.status is RedeemStatus.APPROVED and _is_repeated(work, row, version):
        return row
    return _approve(work, row, version)


@use_case(DECIDE, about=RedeemRequest)
def approve_in_run(
    work: Work, request_id: int, /, *, key: str, run_data: dict[str, Any], row_data: dict[str, Any]
) -> str:
    """The same for one row of many; one that this person approved already stays as it is."""
    del key, run_data, row_data  # the state of the row says whether it was done
    row = work.get(RedeemRequest, request_id, lock=True)
    if row.status is not RedeemStatus.APPROVED or row.decided_by_id != work.actor.staff_id:
        _approve(work, row, row.version)
    return _("Approved.")


@use_case(DECIDE, about=RedeemRequest)
def cancel(work: Work, request_id: int, *, reason: str, version: int) -> RedeemRequest:
    """Say no, or take a yes back, until it is paid: everything that was set aside goes back (J21, RD2).

    Raises:
        Invalid: no reason.
        Conflict: it is at the bank, paid, cancelled or changed meanwhile.
    """
    words = mask_pan_in_text(reason.strip())
    if not words or len(words) > REASON_LENGTH or not words.isprintable():
        raise Invalid(_("Say why, in at most %(most)s characters.", most=REASON_LENGTH), field="reason")
    row = work.get(RedeemRequest, request_id, lock=True)
    if row.status is RedeemStatus.CANCELLED and _is_repeated(work, row, version):
        return row
    if (problem := why_no_cancel(row.status)) is not None:
        raise Conflict(problem)
    if row.version != version:
        raise Conflict(STALE, now=row.version)
    _refuse_claimed(work, row)
    wallet = work.get(Wallet, row.wallet_id, lock=True)
    recipe = recipes.redeem_cancelled(**_amounts(row, wallet))
    post(
        work,
        [Posting(f"{row.fact}:back", recipe, BUSINESS, row.id, _today(work), memo=words, ends=row.held_as)],
    )
    return _move(
        work, row, wallet, Event.REDEEM_CANCELLED, RedeemStatus.CANCELLED, reason=words, said=words, **_decided(work)
    )


@use_case(DECIDE, about=RedeemRequest)
def reveal_account(work: Work, request_id: int, *, reason: str, note: str = "") -> tuple[str, str]:
    """The holder and the number of the account that a transfer goes to, in full, for a reason that the trail keeps.

    Raises:
        Invalid: no known reason, or nothing said about another one.
        Conflict: a cash request, or the actor has looked at too many within an hour.
    """
    row = work.get(RedeemRequest, request_id)
    number = account_of(row)
    reveals.note_reveal(work, row, reason=reason, note=note)
    return row.holder_name or "", iban.grouped(number)


# ---- what the bank says: within the use cases that read its answers ------------------------------------------------


def sent(work: Work, request: RedeemRequest) -> RedeemRequest:
    """A payment file with an approved transfer is on its way: it cannot be cancelled any more. Again changes nothing.

    Raises:
        Conflict: it is no transfer, not approved, or the customer, the wallet or the unit cannot be used any more.
    """
    row, wallet = _held(work, request)
    if row.status is RedeemStatus.SENT:
        return row
    if row.channel is not RedeemChannel.BANK_TRANSFER:
        raise Conflict(_("%(request)s is paid in cash.", request=str(row)))
    if row.status is not RedeemStatus.APPROVED:
        raise Conflict(_("%(request)s is not approved, so it is not sent to the bank.", request=str(row)))
    _refuse_claimed(work, row)
    if (problem := why_not(work.session, wallet)) is not None:
        raise Conflict(problem)
    return _move(work, row, wallet, Event.REDEEM_SENT, RedeemStatus.SENT)


def paid_by_bank(work: Work, request: RedeemRequest, *, at: dt.datetime, was_rejected: bool = False) -> RedeemRequest:
    """The bank paid it: what was set aside leaves (J19). Again, or after it came back, changes nothing.

    Args:
        at: when the bank says it paid; the booking falls on that business day.
        was_rejected: the bank had said that it does not pay, and a person knows that it did; nothing else pays it.

    Raises:
        Conflict: it is not at the bank.
    """
    row, wallet = _held(work, request)
    if row.status in {RedeemStatus.PAID, RedeemStatus.RETURNED}:
        return row
    if not (was_rejected and row.status in {RedeemStatus.FAILED, RedeemStatus.APPROVED}):
        _refuse_unless_sent(row)
    recipe = recipes.redeem_paid_by_bank(**_amounts(row, wallet))
    post(work, [Posting(f"{row.fact}:paid", recipe, BUSINESS, row.id, _day(at), ends=row.held_as)])
    return _move(work, row, wallet, Event.REDEEM_PAID, RedeemStatus.PAID, paid_at=at)


def failed(work: Work, request: RedeemRequest, *, code: str) -> RedeemRequest:
    """The bank did not pay it: the money stays set aside until it is approved again or cancelled. Again: no change.

    Args:
        code: the bank's reason (ISO 20022), such as "AC04".

    Raises:
        Conflict: it is not at the bank.
    """
    row, wallet = _held(work, request)
    if row.status is RedeemStatus.FAILED:
        return row
    _refuse_unless_sent(row)
    return _move(work, row, wallet, Event.REDEEM_FAILED, RedeemStatus.FAILED, failure_code=_code(code))


def returned(work: Work, request: RedeemRequest, *, code: str, at: dt.datetime) -> RedeemRequest:
    """Paid money came back to the bank: the amount is the customer's again. Again changes nothing.

    What J19 did with the amount is undone, so that it is set aside once more, and J21 gives it back, in one step. A
    plain reversal cannot do that: it would leave money set aside that nothing waits for, and give a commission back
    that stays ours unless the contract says otherwise (`returns_commission`). It reaches a blocked or closed wallet
    too: the money is there, and it is the customer's.

    Args:
        code: the bank's reason (ISO 20022).
        at: when the bank says it came back; the booking falls on that business day.

    Raises:
        Conflict: it was not paid by the bank.
    """
    row, wallet = _held(work, request)
    if row.status is RedeemStatus.RETURNED:
        return row
    if row.status is not RedeemStatus.PAID or row.channel is not RedeemChannel.BANK_TRANSFER:
        raise Conflict(_("%(request)s was not paid by the bank, so nothing of it can come back.", request=str(row)))
    amounts = _amounts(row, wallet)
    if not returns_commission(work.session, row):
        amounts["commission"] = 0
    back, day = f"{row.fact}:returned", _day(at)
    undone = recipes.redeem_paid_by_bank(**amounts).reversed()
    given = recipes.redeem_cancelled(**amounts)
    post(
        work,
        [
            Posting(back, undone, BUSINESS, row.id, day, memo=_code(code), holds=True),
            Posting(f"{row.fact}:back", given, BUSINESS, row.id, day, memo=_code(code), ends=back),
        ],
    )
    _tell_of_return(work, row)
    return _move(work, row, wallet, Event.REDEEM_RETURNED, RedeemStatus.RETURNED, failure_code=_code(code))


# ---- the parts -----------------------------------------------------------------------------------------------------


def facts(row: RedeemRequest) -> dict[str, object]:
    """What the trail says about a request."""
    columns = ("channel", "unit", "amount_minor", "commission_minor", "holder_name", "account_shown", "status")
    return {name: found for name in columns if (found := getattr(row, name)) is not None}


def names(row: RedeemRequest, wallet: Wallet) -> dict[str, Any]:
    """What staff find it by in the trail."""
    return {"redeem_request": row.id, "wallets": [wallet.number], "customer_id": wallet.customer_id}


def _row(
    work: Work, found: RedeemPlan, key: str, note: str | None, to: tuple[str, str, str | None] | None
) -> RedeemRequest:
    row = RedeemRequest(
        key=key,
        wallet_id=found.wallet.id,
        unit=found.wallet.unit,
        asked_minor=found.asked_minor,
        amount_minor=found.amount_minor,
        commission_minor=found.commission_minor,
        channel=found.channel,
        on_day=found.day,
        contract_version_id=found.ruling.version_id if found.ruling is not None else None,
        note=note,
        submitted_by_id=work.actor.staff_id,
    )
    if to is not None:
        row.holder_name, number, row.bank_code = to
        row.account_sealed = vault.seal(current_settings().totp_keys, row.seal_owner, number)
        row.account_shown = iban.masked(number)
    return row


def _same(
    row: RedeemRequest, asked: tuple[int, int, RedeemChannel], to: tuple[str, str, str | None] | None
) -> RedeemRequest:
    if (row.wallet_id, row.asked_minor, row.channel) != asked:
        raise Conflict(USED)
    if to is not None and (row.holder_name, account_of(row), row.bank_code) != to:
        raise Conflict(USED)
    return row


def _approve(work: Work, row: RedeemRequest, version: int) -> RedeemRequest:
    if (problem := why_no_approval(row.status)) is not None:
        raise Conflict(problem)
    if row.version != version:
        raise Conflict(STALE, now=row.version)
    if row.submitted_by_id is not None and work.actor.staff_id is not None:
        _refuse_own(work, row.submitted_by_id)
    _refuse_claimed(work, row)
    wallet = work.get(Wallet, row.wallet_id, lock=True)
    if (problem := why_not(work.session, wallet)) is not None:
        raise Conflict(problem)
    return _move(work, row, wallet, Event.REDEEM_APPROVED, RedeemStatus.APPROVED, failure_code=None, **_decided(work))


def _refuse_own(work: Work, submitter_id: int) -> None:
    """Nobody approves a request of their own making: two accounts of one person are one person (MC1)."""
    if person_of(work, work.actor.staff_id) == person_of(work, submitter_id):
        raise Forbidden(OWN)


def _move(
    work: Work,
    row: RedeemRequest,
    wallet: Wallet,
    event: Event,
    status: RedeemStatus,
    *,
    said: str | None = None,
    **values: Any,
) -> RedeemRequest:
    """Change the state once and tell the trail; `values` are further columns that change with it."""
    before = {"status": row.status} | {name: getattr(row, name) for name in values if name == "failure_code"}
    if not work.change(RedeemRequest, row.id, when=(RedeemRequest.version == row.version,), status=status, **values):
        raise Conflict(STALE)
    after = work.get(RedeemRequest, row.id)
    work.record(
        event,
        after,
        before=before,
        after={name: getattr(after, name) for name in before},
        reason=said,
        **names(after, wallet),
    )
    return after


def _tell_of_return(work: Work, row: RedeemRequest) -> None:
    """Tell those who decide about requests, once, that the money of one came back."""
    title = f"{row}: {_('The bank sent it back, and the wallet has its money again.')}"
    told: dict[str, Any] = {"page": "redeem_requests", "row_id": row.id, "key": f"{row.fact}:returned"}
    for staff_id in those_who_may(work.session, DECIDE):
        notify(work.session, staff_id, NoticeKind.ATTENTION, title, **told)


def _held(work: Work, request: RedeemRequest) -> tuple[RedeemRequest, Wallet]:
    """A request and its wallet, held and fresh, whatever the caller has read of it before somebody else changed it."""
    request_id = request.id
    work.session.expire(request)
    row = work.get(RedeemRequest, request_id, lock=True)
    return row, work.get(Wallet, row.wallet_id, lock=True)


def _is_repeated(work: Work, row: RedeemRequest, version: int) -> bool:
    """Whether this is the decision that the same person made already: a form that was sent twice."""
    return row.version == version + 1 and row.decided_by_id is not None and row.decided_by_id == work.actor.staff_id


def _refuse_unless_sent(row: RedeemRequest) -> None:
    if row.status is not RedeemStatus.SENT:
        raise Conflict(_("%(request)s is not at the bank.", request=str(row)))


def _refuse_claimed(work: Work, row: RedeemRequest) -> None:
    """Nothing is paid again or given back that the bank says it has paid, before a person has decided about that."""
    if row.channel is RedeemChannel.BANK_TRANSFER and claimed_paid(work.session, [row.id]):
        raise Conflict(CLAIMED)


def _refuse_poor(work: Work, wallet: Wallet, needed_minor: int) -> None:
    """Say what is missing, to whoever may see it; the books refuse it again, whatever happens between (I3).

    A cashier can enter a request for any wallet, whoever stands at the desk, so a cashier is not told what is in one.
    """
    available = amounts_of(work.session, [wallet])[wallet.id].available_minor
    if available >= needed_minor:
        return
    if not work.actor.may(DECIDE):
        raise Conflict(POOR, field="amount")
    scale = scales_of(work.session, [wallet.unit])[wallet.unit]
    raise Conflict(
        _(
            "Wallet %(wallet)s has %(available)s available, and %(needed)s would leave it.",
            wallet=wallet.number,
            available=Money(available, wallet.unit, scale),
            needed=Money(needed_minor, wallet.unit, scale),
        ),
        field="amount",
    )


def _amounts(row: RedeemRequest, wallet: Wallet) -> dict[str, Any]:
    """What every recipe of redeeming takes."""
    return {
        "unit": row.unit,
        "owner": wallet.owner_key,
        "amount": row.amount_minor,
        "commission": row.commission_minor,
    }


def _decided(work: Work) -> dict[str, Any]:
    return {"decided_at": work.now, "decided_by_id": work.actor.staff_id}


def _day(at: dt.datetime) -> dt.date:
    return at.astimezone(current_settings().zone).date()


def _today(work: Work) -> dt.date:
    return _day(work.now)


def _code(code: str) -> str:
    return code.strip()[:LONGEST_CODE]


def _note(note: str | None) -> str | None:
    words = mask_pan_in_text((note or "").strip())
    if len(words) > NOTE_LENGTH or not words.isprintable():
        raise Invalid(_("Write a note of at most %(most)s characters, on one line.", most=NOTE_LENGTH), field="note")
    return words or None
