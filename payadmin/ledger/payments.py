"""What the books say about payments: derived from the rows of a payment, its refunds, voids and waiting approvals.

`follow` looks at what those rows say now and books whatever the books do not say yet. It is called after every change
of state, in the same transaction, and by the command that books what was recorded before there were books; whichever
comes first, the same facts get the same keys. Test payments are no money and are not booked. What a payment costs and
gives back is worked out with its booking (`tariffs.py`) and kept; provider fees come with settlements.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Select, select

from payadmin.config import current_settings
from payadmin.kernel.tariffs import FundedBy, returned, taken_back
from payadmin.ledger import chart, recipes
from payadmin.ledger.posting import Posting, Writer, available, hold_accounts, post
from payadmin.ledger.tariffs import NOTHING, Applied, apply
from payadmin.models.approvals import ApprovalRequest, ApprovalStatus
from payadmin.models.ledger import LedgerTransaction
from payadmin.models.parties import Customer, Organization
from payadmin.models.payments import (
    ORDER_MACHINE,
    Mode,
    OrderStatus,
    Payment,
    PaymentStatus,
    Refund,
    RefundReason,
    VoidRequest,
)
from payadmin.models.tariffs import PaymentTariff

PAYMENT: Final = "payment"
REFUND: Final = "refund"
VOID: Final = "void_request"
APPROVAL: Final = "approval_request"
BATCH: Final = 500
TAKEN_BACK: Final = ":cashback-taken-back"

_PAYMENT = (
    Payment.id, Payment.created_at, Payment.updated_at, Payment.settled_at, Payment.status, Payment.unit,
    Payment.provider, Payment.merchant_id, Payment.customer_id, Payment.captured_minor, Payment.refunded_minor,
    PaymentTariff.commission_minor, PaymentTariff.returns_commission, PaymentTariff.customer_id.label("credited_id"),
    PaymentTariff.cashback_minor, PaymentTariff.funded_by,
)  # fmt: skip


def follow(work: Writer, payment_ids: Sequence[int], *, released: Collection[int] = ()) -> int:
    """Book everything about these payments that is not booked yet. Doing it again books nothing.

    Args:
        released: approval requests that give back what they held although they still say that they wait.

    Returns:
        How many facts were booked.

    Raises:
        Conflict: a wallet does not hold what has to leave it.
    """
    booked = 0
    if len(payment_ids) > BATCH:
        _hold(work, payment_ids)
    for start in range(0, len(payment_ids), BATCH):
        ids = payment_ids[start : start + BATCH]
        facts = list(_facts(work, ids, frozenset(released), current_settings().zone))
        there = _booked(work, ids, facts)
        missing = [each for each, needs in facts if each.key not in there and (needs is None or needs in there)]
        missing = [each for each in missing if not _is_lost(each, there)]
        missing = _as_far_as_it_goes(work, missing)
        post(work, missing)
        booked += len(missing)
    return booked


def _hold(work: Writer, payment_ids: Sequence[int]) -> None:
    """Hold what all turns book on before the first of them: each would otherwise take it in an order of its own (I10).

    Customers come before accounts, as in a single turn.
    """
    session = work.session
    among = Payment.id.between(min(payment_ids), max(payment_ids))
    rewarded = (
        select(Payment.customer_id)
        .join(Organization, Organization.id == Payment.merchant_id)
        .where(among, Organization.cashback_profile_id.is_not(None))
    )
    held = select(Customer.id).where(Customer.id.in_(rewarded)).order_by(Customer.id)
    owners = {chart.customer(each) for each in session.scalars(held.with_for_update(key_share=True))}
    for merchant_id, provider in session.execute(select(Payment.merchant_id, Payment.provider).where(among).distinct()):
        owners |= {chart.organization(merchant_id), chart.provider_owner(provider)}
    hold_accounts(session, owners)


def _as_far_as_it_goes(work: Writer, postings: Sequence[Posting]) -> list[Posting]:
    """Cashback that is taken back: no more than the customer's wallet holds. What was spent already is lost."""
    takers = {each.key: leg.account for each in postings if _takes_back(each) for leg in each.recipe.legs[-1:]}
    if not takers:
        return list(postings)
    among = {leg.account for each in postings for leg in each.recipe.legs}
    left = available(work.session, takers.values(), among=among)
    found = []
    for each in postings:
        posting = each
        if (account := takers.get(each.key)) is not None:
            wanted = each.recipe.legs[-1].minor
            if (most := min(wanted, left[account])) <= 0:
                continue
            first, last = each.recipe.legs
            legs = (replace(first, minor=-most), replace(last, minor=most))
            posting = replace(each, recipe=replace(each.recipe, legs=legs))
        for leg in posting.recipe.legs:
            if leg.account in left:
                left[leg.account] -= leg.minor
        found.append(posting)
    return found


def _takes_back(posting: Posting) -> bool:
    return posting.key.endswith(TAKEN_BACK)


def _is_lost(posting: Posting, there: Collection[str]) -> bool:
    """Whether nothing was left to take back when the refund or void was booked: what came in since is other money."""
    name = posting.key.removesuffix(TAKEN_BACK)
    ends = ("succeeded", "voided", "refunded-before")
    return _takes_back(posting) and any(f"{name}:{end}" in there for end in ends)


def missing_payments(after_id: int, limit: int) -> "Select[Any]":
    """The payments with money that the books do not know, from `after_id` on."""
    known = select(LedgerTransaction.id).where(
        LedgerTransaction.business == PAYMENT,
        LedgerTransaction.business_id == Payment.id,
    )
    return (
        select(Payment.id)
        .where(Payment.id > after_id, Payment.mode == Mode.LIVE, Payment.captured_minor > 0, ~known.exists())
        .order_by(Payment.id)
        .limit(limit)
    )


def paid_key(payment_id: int) -> str:
    """The fact that a payment was paid."""
    return f"payment:{payment_id}:paid"


Fact = tuple[Posting, str | None]


def _booked(work: Writer, ids: Sequence[int], facts: Sequence[Fact]) -> set[str]:
    """What is booked of these facts, and of these payments at all."""
    keys = [each.key for each, _ in facts] + [needs for _, needs in facts if needs]
    found = set(work.session.scalars(select(LedgerTransaction.key).where(LedgerTransaction.key.in_(keys))))
    assert len(ids) <= BATCH
    return found


def _facts(work: Writer, ids: Sequence[int], released: frozenset[int], zone: ZoneInfo) -> Iterator[Fact]:
    """What the rows say happened, oldest first within a payment; each fact with the key that it needs in the books."""
    session = work.session
    is_known = select(LedgerTransaction.id).where(
        LedgerTransaction.business == PAYMENT, LedgerTransaction.business_id == Payment.id
    )
    live = (
        select(*_PAYMENT, is_known.exists().label("is_known"))
        .outerjoin(PaymentTariff, PaymentTariff.payment_id == Payment.id)
        .where(Payment.id.in_(ids), Payment.mode == Mode.LIVE, Payment.captured_minor > 0)
    )
    payments = session.execute(live.order_by(Payment.id)).all()
    if not payments:
        return
    new = [row for row in payments if not row.is_known]
    applied = apply(session, new, zone) if new else {}
    known = [row.id for row in payments]
    refunds = _by_payment(session.execute(
        select(
            Refund.id, Refund.payment_id, Refund.amount_minor, Refund.status, Refund.reason, Refund.created_at,
            Refund.updated_at,
        ).where(Refund.payment_id.in_(known)).order_by(Refund.id)
    ).all())  # fmt: skip
    voids = _by_payment(session.execute(
        select(VoidRequest.id, VoidRequest.payment_id, VoidRequest.status, VoidRequest.created_at)
        .where(VoidRequest.payment_id.in_(known)).order_by(VoidRequest.id)
    ).all())  # fmt: skip
    waiting = _by_payment(session.execute(
        select(
            ApprovalRequest.id, ApprovalRequest.target_id.label("payment_id"), ApprovalRequest.amount_minor,
            ApprovalRequest.status, ApprovalRequest.created_at,
        )
        .where(
            ApprovalRequest.target_table == PAYMENT, ApprovalRequest.target_id.in_(known),
            ApprovalRequest.kind == REFUND,
        ).order_by(ApprovalRequest.id)
    ).all())  # fmt: skip
    for row in payments:
        paid = _Payment(row, work.now, zone, applied.get(row.id))
        paid.learn(refunds.get(row.id, ()))
        yield from paid.begins()
        yield from paid.refunded_before(refunds.get(row.id, ()))
        for refund in refunds.get(row.id, ()):
            yield from paid.refund(refund)
        for request in waiting.get(row.id, ()):
            yield from paid.approval(request, ended=request.id in released)
        for void in voids.get(row.id, ()):
            yield from paid.void(void)
        yield from paid.ends()


def _kept(row: Any) -> Applied:
    """What was worked out when the payment was booked."""
    return Applied(
        month_on=NOTHING.month_on,
        commission_minor=row.commission_minor,
        returns_commission=row.returns_commission,
        customer_id=row.credited_id,
        cashback_minor=row.cashback_minor,
        funded_by=row.funded_by,
    )


def _by_payment(rows: Iterable[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row.payment_id, []).append(row)
    return found


class _Payment:
    """The facts of one payment."""

    def __init__(self, row: Any, now: dt.datetime, zone: ZoneInfo, applied: Applied | None) -> None:
        self.row = row
        self.now = now
        self.zone = zone
        self.unit: str = row.unit
        self.provider: str = row.provider
        self.merchant = chart.organization(row.merchant_id)
        kept = applied or (_kept(row) if row.commission_minor is not None else NOTHING)
        self.commission = kept.commission_minor
        self.returns_commission = kept.returns_commission
        self.cashback = kept.cashback_minor
        self.customer = chart.customer(kept.customer_id) if kept.customer_id is not None else ""
        self.funder = self.merchant if kept.funded_by is FundedBy.MERCHANT else None
        # What had been refunded before each refund that succeeded.
        self.before: dict[int, int] = {}

    def learn(self, refunds: Sequence[Any]) -> None:
        """In which order refunds succeeded, after what an import says was refunded."""
        done = [each for each in refunds if each.status is OrderStatus.SUCCEEDED]
        total = self.row.refunded_minor - sum(each.amount_minor for each in done)
        for each in sorted(done, key=lambda one: (one.updated_at, one.id)):
            self.before[each.id] = max(0, total)
            total += each.amount_minor

    def _returned(self, refund_minor: int) -> int:
        if not self.returns_commission:
            return 0
        return returned(self.commission, amount_minor=self.row.captured_minor, refund_minor=refund_minor)

    def _taken_back(self, business: str, row_id: int, *, before: int, refund: int, at: dt.datetime) -> Iterator[Fact]:
        """The share of the cashback that goes with a refund."""
        amount: int = self.row.captured_minor
        refund = min(refund, amount - before)
        share = taken_back(self.cashback, amount_minor=amount, refunded_minor=before, refund_minor=refund)
        if share > 0:
            given = recipes.cashback(unit=self.unit, owner=self.customer, amount=share, merchant=self.funder)
            yield self._fact(business, row_id, TAKEN_BACK[1:], given.reversed(), at), None

    def _day(self, moment: dt.datetime) -> dt.date:
        return moment.astimezone(self.zone).date()

    def _fact(
        self, business: str, row_id: int, what: str, recipe: recipes.Recipe, at: dt.datetime, **more: Any
    ) -> Posting:
        name = {VOID: "void", APPROVAL: "approval"}.get(business, business)
        return Posting(f"{name}:{row_id}:{what}", recipe, business, row_id, self._day(at), **more)

    def begins(self) -> Iterator[Fact]:
        row, unit, provider = self.row, self.unit, self.provider
        amount: int = row.captured_minor
        paid = recipes.payment_paid(
            unit=unit, provider=provider, merchant=self.merchant, amount=amount, commission=self.commission
        )
        yield self._fact(PAYMENT, row.id, "paid", paid, row.created_at), None
        if self.cashback:
            given = recipes.cashback(unit=unit, owner=self.customer, amount=self.cashback, merchant=self.funder)
            yield self._fact(PAYMENT, row.id, "cashback", given, row.created_at), None
        if row.settled_at is not None and row.settled_at <= self.now and row.status is not PaymentStatus.VOIDED:
            settled = recipes.settled(unit=unit, provider=provider, amount=amount)
            yield self._fact(PAYMENT, row.id, "settled", settled, row.settled_at), None

    def refund(self, refund: Any) -> Iterator[Fact]:
        amount, unit = refund.amount_minor, self.unit
        back = self._returned(amount)
        if refund.status is OrderStatus.SUCCEEDED:
            before = self.before[refund.id]
            if refund.reason is RefundReason.IMPORTED:
                # It was refunded before we charged anything; in parts, all of the commission goes back in the end.
                back = taken_back(
                    self.commission, amount_minor=self.row.captured_minor, refunded_minor=before, refund_minor=amount
                )
            # First what comes back to whoever paid for the cashback: a refund that is booked late may need it.
            yield from self._taken_back(REFUND, refund.id, before=before, refund=amount, at=refund.updated_at)
        reserved = recipes.refund_reserved(unit=unit, merchant=self.merchant, amount=amount, returned=back)
        first = self._fact(REFUND, refund.id, "reserved", reserved, refund.created_at)
        yield first, None
        if refund.status is OrderStatus.SUCCEEDED:
            given = recipes.refund_succeeded(unit=unit, provider=self.provider, amount=amount)
            yield self._fact(REFUND, refund.id, "succeeded", given, refund.updated_at), None
        elif ORDER_MACHINE.is_final(refund.status):
            failed = recipes.refund_failed(unit=unit, merchant=self.merchant, amount=amount, returned=back)
            yield self._fact(REFUND, refund.id, "failed", failed, refund.updated_at), None

    def refunded_before(self, refunds: Sequence[Any]) -> Iterator[Fact]:
        """What an import says was refunded, without saying how; its share of the commission is never kept."""
        known = sum(each.amount_minor for each in refunds if each.status is OrderStatus.SUCCEEDED)
        amount = self.row.refunded_minor - known
        if amount > 0:
            back = returned(self.commission, amount_minor=self.row.captured_minor, refund_minor=amount)
            reserved = recipes.refund_reserved(unit=self.unit, merchant=self.merchant, amount=amount, returned=back)
            given = recipes.refund_succeeded(unit=self.unit, provider=self.provider, amount=amount)
            at = self.row.updated_at
            yield from self._taken_back(PAYMENT, self.row.id, before=0, refund=amount, at=at)
            yield self._fact(PAYMENT, self.row.id, "refund-imported", reserved, at), None
            yield self._fact(PAYMENT, self.row.id, "refunded-before", given, at), None

    def approval(self, request: Any, *, ended: bool) -> Iterator[Fact]:
        """What a waiting request holds; one that was decided before the books knew it held nothing in them."""
        amount = request.amount_minor
        share = self._returned(amount)
        reserved = recipes.refund_reserved(unit=self.unit, merchant=self.merchant, amount=amount, returned=share)
        held = self._fact(APPROVAL, request.id, "held", reserved, request.created_at)
        if request.status is ApprovalStatus.PENDING and not ended:
            yield held, None
        else:
            back = recipes.refund_failed(unit=self.unit, merchant=self.merchant, amount=amount, returned=share)
            yield self._fact(APPROVAL, request.id, "released", back, self.now), held.key

    def void(self, void: Any) -> Iterator[Fact]:
        """While a void is on its way what the merchant got of the payment stays where it is."""
        amount = self.row.captured_minor - self.commission
        if not amount:
            return
        held = self._fact(
            VOID, void.id, "held", recipes.set_aside(unit=self.unit, owner=self.merchant, amount=amount),
            void.created_at, holds=True,
        )  # fmt: skip
        if not ORDER_MACHINE.is_final(void.status):
            yield held, None
        else:
            back = recipes.given_back(unit=self.unit, owner=self.merchant, amount=amount)
            yield self._fact(VOID, void.id, "released", back, self.now, ends=held.key), held.key

    def ends(self) -> Iterator[Fact]:
        row, unit, provider = self.row, self.unit, self.provider
        if row.status is PaymentStatus.VOIDED:
            undone = recipes.payment_voided(
                unit=unit, provider=provider, merchant=self.merchant, amount=row.captured_minor,
                commission=self.commission,
            )  # fmt: skip
            more = {"reverses": paid_key(row.id)}
            yield self._fact(PAYMENT, row.id, "voided", undone, row.updated_at, **more), None
            whole = row.captured_minor
            yield from self._taken_back(PAYMENT, row.id, before=0, refund=whole, at=row.updated_at)
        elif row.status is PaymentStatus.CHARGED_BACK and row.captured_minor > row.refunded_minor:
            left = row.captured_minor - row.refunded_minor
            taken = recipes.chargeback_opened(unit=unit, provider=provider, amount=left)
            yield self._fact(PAYMENT, row.id, "charged-back", taken, row.updated_at), None
