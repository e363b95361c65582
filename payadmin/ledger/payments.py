"""What the books say about payments: derived from the rows of a payment, its refunds, voids and waiting approvals.

`follow` looks at what those rows say now and books whatever the books do not say yet. It is called after every change
of state, in the same transaction, and by the command that books what was recorded before there were books; whichever
comes first, the same facts get the same keys. Test payments are no money and are not booked. Commission is zero until
contracts say otherwise, and provider fees come with settlements.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Select, select

from payadmin.config import current_settings
from payadmin.ledger import chart, recipes
from payadmin.ledger.posting import Posting, Writer, post
from payadmin.models.approvals import ApprovalRequest, ApprovalStatus
from payadmin.models.ledger import LedgerTransaction
from payadmin.models.payments import (
    ORDER_MACHINE,
    Mode,
    OrderStatus,
    Payment,
    PaymentStatus,
    Refund,
    VoidRequest,
)

PAYMENT: Final = "payment"
REFUND: Final = "refund"
VOID: Final = "void_request"
APPROVAL: Final = "approval_request"
BATCH: Final = 500

_PAYMENT = (
    Payment.id, Payment.created_at, Payment.updated_at, Payment.settled_at, Payment.status, Payment.unit,
    Payment.provider, Payment.merchant_id, Payment.captured_minor, Payment.refunded_minor,
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
    for start in range(0, len(payment_ids), BATCH):
        ids = payment_ids[start : start + BATCH]
        facts = list(_facts(work, ids, frozenset(released), current_settings().zone))
        there = _booked(work, ids, facts)
        missing = [each for each, needs in facts if each.key not in there and (needs is None or needs in there)]
        post(work, missing)
        booked += len(missing)
    return booked


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
    live = select(*_PAYMENT).where(Payment.id.in_(ids), Payment.mode == Mode.LIVE, Payment.captured_minor > 0)
    payments = session.execute(live.order_by(Payment.id)).all()
    if not payments:
        return
    known = [row.id for row in payments]
    refunds = _by_payment(session.execute(
        select(Refund.id, Refund.payment_id, Refund.amount_minor, Refund.status, Refund.created_at, Refund.updated_at)
        .where(Refund.payment_id.in_(known)).order_by(Refund.id)
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
        paid = _Payment(row, work.now, zone)
        yield from paid.begins()
        yield from paid.refunded_before(refunds.get(row.id, ()))
        for refund in refunds.get(row.id, ()):
            yield from paid.refund(refund)
        for request in waiting.get(row.id, ()):
            yield from paid.approval(request, ended=request.id in released)
        for void in voids.get(row.id, ()):
            yield from paid.void(void)
        yield from paid.ends()


def _by_payment(rows: Iterable[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row.payment_id, []).append(row)
    return found


class _Payment:
    """The facts of one payment."""

    def __init__(self, row: Any, now: dt.datetime, zone: ZoneInfo) -> None:
        self.row = row
        self.now = now
        self.zone = zone
        self.unit: str = row.unit
        self.provider: str = row.provider
        self.merchant = chart.organization(row.merchant_id)

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
        paid = recipes.payment_paid(unit=unit, provider=provider, merchant=self.merchant, amount=amount)
        yield self._fact(PAYMENT, row.id, "paid", paid, row.created_at), None
        if row.settled_at is not None and row.settled_at <= self.now and row.status is not PaymentStatus.VOIDED:
            settled = recipes.settled(unit=unit, provider=provider, amount=amount)
            yield self._fact(PAYMENT, row.id, "settled", settled, row.settled_at), None

    def refund(self, refund: Any) -> Iterator[Fact]:
        amount, unit = refund.amount_minor, self.unit
        reserved = recipes.refund_reserved(unit=unit, merchant=self.merchant, amount=amount)
        first = self._fact(REFUND, refund.id, "reserved", reserved, refund.created_at)
        yield first, None
        if refund.status is OrderStatus.SUCCEEDED:
            given = recipes.refund_succeeded(unit=unit, provider=self.provider, amount=amount)
            yield self._fact(REFUND, refund.id, "succeeded", given, refund.updated_at), None
        elif ORDER_MACHINE.is_final(refund.status):
            back = recipes.refund_failed(unit=unit, merchant=self.merchant, amount=amount)
            yield self._fact(REFUND, refund.id, "failed", back, refund.updated_at), None

    def refunded_before(self, refunds: Sequence[Any]) -> Iterator[Fact]:
        """What an import says was refunded, without saying how."""
        known = sum(each.amount_minor for each in refunds if each.status is OrderStatus.SUCCEEDED)
        amount = self.row.refunded_minor - known
        if amount > 0:
            reserved = recipes.refund_reserved(unit=self.unit, merchant=self.merchant, amount=amount)
            given = recipes.refund_succeeded(unit=self.unit, provider=self.provider, amount=amount)
            at = self.row.updated_at
            yield self._fact(PAYMENT, self.row.id, "refund-imported", reserved, at), None
            yield self._fact(PAYMENT, self.row.id, "refunded-before", given, at), None

    def approval(self, request: Any, *, ended: bool) -> Iterator[Fact]:
        """What a waiting request holds; one that was decided before the books knew it held nothing in them."""
        amount = request.amount_minor
        reserved = recipes.refund_reserved(unit=self.unit, merchant=self.merchant, amount=amount)
        held = self._fact(APPROVAL, request.id, "held", reserved, request.created_at)
        if request.status is ApprovalStatus.PENDING and not ended:
            yield held, None
        else:
            back = recipes.refund_failed(unit=self.unit, merchant=self.merchant, amount=amount)
            yield self._fact(APPROVAL, request.id, "released", back, self.now), held.key

    def void(self, void: Any) -> Iterator[Fact]:
        """While a void is on its way the money that it takes back stays where it is."""
        amount = self.row.captured_minor
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
                unit=unit, provider=provider, merchant=self.merchant, amount=row.captured_minor
            )
            more = {"reverses": paid_key(row.id)}
            yield self._fact(PAYMENT, row.id, "voided", undone, row.updated_at, **more), None
        elif row.status is PaymentStatus.CHARGED_BACK and row.captured_minor > row.refunded_minor:
            left = row.captured_minor - row.refunded_minor
            taken = recipes.chargeback_opened(unit=unit, provider=provider, amount=left)
            yield self._fact(PAYMENT, row.id, "charged-back", taken, row.updated_at), None
