"""When refunds, voids and decisions about them need a second person, and what is set aside while they wait (PY4)."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from payadmin.actions.payments.orders import ORDERS, add_event
from payadmin.approvals import ApprovalGate, Ask, Target, money_words
from payadmin.kernel.errors import Conflict
from payadmin.ledger.payments import follow
from payadmin.models.approvals import ApprovalRequest, ApprovalStatus
from payadmin.models.payments import REFUNDABLE, OrderStatus, Payment, Refund
from payadmin.models.system import ActionItem, ActionRun
from payadmin.work import Work

CAME_TO_NOTHING = (OrderStatus.FAILED, OrderStatus.REJECTED, OrderStatus.CANCELLED, OrderStatus.EXPIRED)
STEP_UP = frozenset({"offer", "code"})


def _payment(arguments: Mapping[str, Any]) -> Target:
    return Target(Payment, arguments["payment_id"])


def _refund_asks(work: Work, arguments: Mapping[str, Any]) -> Ask:
    return _ask(work, arguments, arguments["amount_minor"], {})


def _row_asks(work: Work, arguments: Mapping[str, Any]) -> Ask:
    payment = work.get(Payment, arguments["payment_id"])
    given = arguments["row_data"].get("amount")
    amount = payment.refundable_minor if given is None else int(given)
    return _ask(work, arguments, amount, {"refund_bulk": _total_of_run(work, arguments["key"], payment.unit)})


def _ask(work: Work, arguments: Mapping[str, Any], amount: int, more: dict[str, int]) -> Ask:
    payment = work.get(Payment, arguments["payment_id"])
    rules = {"refund": amount, **more}
    if was_refunded(work.session, payment.id, but=arguments["key"]):
        rules["refund_again"] = amount
    title = f"Refund {money_words(work, amount, payment.unit)} of {payment.transaction_id}"
    return Ask(title, rules, amount, payment.unit)


def was_refunded(session: Session, payment_id: int, *, but: str | None = None) -> bool:
    """Whether a refund of a payment succeeded or is on its way.

    Args:
        but: the key of a form whose own refund does not count.
    """
    others = [Refund.key != but] if but is not None else []
    found = select(1).where(Refund.payment_id == payment_id, Refund.status.not_in(CAME_TO_NOTHING), *others)
    return bool(session.scalar(select(found.exists())))


def _total_of_run(work: Work, key: str, unit: str) -> int:
    """What a bulk run gives back in one currency: everything that was confirmed, whatever became of it since."""
    chosen = (
        select(ActionItem.answers, Payment.captured_minor - Payment.refunded_minor)
        .join(ActionRun, ActionRun.id == ActionItem.run_id)
        .join(Payment, Payment.id == ActionItem.row_id)
        .where(ActionRun.token == key.partition(":")[0], Payment.unit == unit, ActionItem.answers.is_not(None))
    )
    return sum(int((answers or {}).get("amount") or left) for answers, left in work.session.execute(chosen))


def _void_asks(work: Work, arguments: Mapping[str, Any]) -> Ask:
    payment = work.get(Payment, arguments["payment_id"])
    amount = payment.captured_minor or payment.amount_minor
    title = f"Void {payment.transaction_id} of {money_words(work, amount, payment.unit)}"
    return Ask(title, {"void": amount}, amount, payment.unit)


def _hold(work: Work, request: ApprovalRequest) -> None:
    """Reserve the money of a refund that waits, so that nobody else can spend it."""
    amount, payment_id = request.amount_minor, request.target_id
    assert amount is not None
    assert payment_id is not None
    left = Payment.captured_minor - Payment.refunded_minor - Payment.reserved_minor
    held = work.change(
        Payment,
        payment_id,
        when=(Payment.status.in_(REFUNDABLE), Payment.in_flight.is_(None), left >= amount),
        reserved_minor=Payment.reserved_minor + amount,
    )
    if not held:
        raise Conflict("That is more than is left to refund on this payment.", field="amount")
    _tell(work, request, "Approval requested")


def _held(work: Work, request: ApprovalRequest) -> None:
    """Book what the request holds, now that it has a number to be found by."""
    assert request.target_id is not None
    follow(work, [request.target_id])


def _release(work: Work, request: ApprovalRequest, status: ApprovalStatus) -> None:
    amount, payment_id = request.amount_minor, request.target_id
    assert amount is not None
    assert payment_id is not None
    back = {"reserved_minor": Payment.reserved_minor - amount}
    if not work.change(Payment, payment_id, when=(Payment.reserved_minor >= amount,), **back):
        msg = f"request {request.id} held {amount} on payment {payment_id}, and they are gone"
        raise RuntimeError(msg)
    follow(work, [payment_id], released=[request.id])
    _tell_end(work, request, status)


def _tell_start(work: Work, request: ApprovalRequest) -> None:
    _tell(work, request, "Approval requested")


def _tell_end(work: Work, request: ApprovalRequest, status: ApprovalStatus) -> None:
    words = {ApprovalStatus.APPLIED: "Approval given", ApprovalStatus.FAILED: "Approved, but refused"}
    _tell(work, request, words.get(status, f"Approval {status.lower()}"))


def _tell(work: Work, request: ApprovalRequest, event: str) -> None:
    """A line in the payment's history (PY11)."""
    assert request.target_id is not None
    add_event(work, work.get(Payment, request.target_id), event, minor=None, detail=request.title)


REFUND_GATE = ApprovalGate("refund", _payment, _refund_asks, secret=STEP_UP, hold=_hold, held=_held, release=_release)
RUN_GATE = ApprovalGate("refund", _payment, _row_asks, hold=_hold, held=_held, release=_release)
VOID_GATE = ApprovalGate("void", _payment, _void_asks, secret=STEP_UP, hold=_tell_start, release=_tell_end)


def _order(arguments: Mapping[str, Any]) -> Target:
    return Target(ORDERS[arguments["kind"]], arguments["order_id"])


def _order_asks(work: Work, arguments: Mapping[str, Any]) -> Ask:
    order = work.get(ORDERS[arguments["kind"]], arguments["order_id"])
    payment = work.get(Payment, order.payment_id)
    amount = order.amount_minor if isinstance(order, Refund) else payment.captured_minor or payment.amount_minor
    verb = "succeeded" if arguments["succeeded"] else "failed"
    title = f"Say that the {arguments['kind']} of {money_words(work, amount, payment.unit)} {verb}: {order.reference}"
    return Ask(title, {"outcome": amount}, amount, payment.unit)


OUTCOME_GATE = ApprovalGate("outcome", _order, _order_asks, secret=STEP_UP)
