"""The tables of moves, word by word: a state can only become what the specification says it may become."""

import pytest

from payadmin.kernel.errors import Conflict
from payadmin.models.payments import (
    DISPLAY_STATUS,
    ORDER_MACHINE,
    PAYMENT_MACHINE,
    REFUNDABLE,
    VOIDABLE,
    OrderStatus,
    Payment,
    PaymentStatus,
    Refund,
    VoidRequest,
)

pytestmark = pytest.mark.once

PAYMENT_MOVES = {
    "CREATED": {"AUTHORIZED", "PENDING", "PAID", "FAILED", "CANCELLED"},
    "AUTHORIZED": {"PAID", "VOIDED", "FAILED"},
    "PENDING": {"PAID", "FAILED", "UNKNOWN"},
    "UNKNOWN": {"PAID", "FAILED"},
    "PAID": {"VOIDED", "PARTIALLY_REFUNDED", "TOTALLY_REFUNDED", "CHARGED_BACK"},
    "PARTIALLY_REFUNDED": {"PARTIALLY_REFUNDED", "TOTALLY_REFUNDED", "CHARGED_BACK"},
    "TOTALLY_REFUNDED": set(),
    "CHARGED_BACK": {"PAID", "PARTIALLY_REFUNDED"},
    "VOIDED": set(),
    "FAILED": set(),
    "CANCELLED": set(),
}
REFUND_MOVES = {
    "REQUESTED": {"PENDING_APPROVAL", "QUEUED", "CANCELLED"},
    "PENDING_APPROVAL": {"QUEUED", "REJECTED", "CANCELLED", "EXPIRED", "STALE"},
    "STALE": {"CANCELLED"},
    "QUEUED": {"SUBMITTED", "CANCELLED"},
    "SUBMITTED": {"SUCCEEDED", "FAILED", "UNKNOWN"},
    "UNKNOWN": {"SUCCEEDED", "FAILED"},
    "SUCCEEDED": set(),
    "FAILED": set(),
    "REJECTED": set(),
    "CANCELLED": set(),
    "EXPIRED": set(),
}
TABLES = [
    pytest.param(Payment, PaymentStatus, PAYMENT_MACHINE, "CREATED", PAYMENT_MOVES, id="payment"),
    pytest.param(Refund, OrderStatus, ORDER_MACHINE, "REQUESTED", REFUND_MOVES, id="refund"),
    pytest.param(VoidRequest, OrderStatus, ORDER_MACHINE, "REQUESTED", REFUND_MOVES, id="void"),
]
EVERY_TABLE = pytest.mark.parametrize(("model", "states", "machine", "initial", "moves"), TABLES)


@EVERY_TABLE
def test_the_machine_is_the_specified_table(model, states, machine, initial, moves) -> None:
    assert machine.initial is states[initial]
    assert {state.name: {after.name for after in machine.moves.get(state, ())} for state in states} == moves
    assert model.machine is machine


@EVERY_TABLE
def test_every_state_is_reached_and_every_end_is_meant(model, states, machine, initial, moves) -> None:
    assert machine.unreachable() == frozenset()
    assert {state.name for state in states if machine.is_final(state)} == {name for name in moves if not moves[name]}


@EVERY_TABLE
def test_a_row_makes_exactly_the_moves_of_the_table(model, states, machine, initial, moves) -> None:
    for before in states:
        for after in states:
            row = model(status=before)
            if after is before or after.name in moves[before.name]:
                row.status = after
            else:
                with pytest.raises(Conflict):
                    row.status = after
                assert row.status is before


@EVERY_TABLE
def test_the_sources_of_a_state_are_the_moves_read_backwards(model, states, machine, initial, moves) -> None:
    for after in states:
        assert {state.name for state in machine.sources(after)} == {
            name for name, targets in moves.items() if after.name in targets
        }


def test_every_payment_status_has_its_word_on_the_list() -> None:
    assert set(DISPLAY_STATUS) == set(PaymentStatus)


def test_what_can_be_refunded_or_voided_can_become_refunded_or_voided() -> None:
    assert set(REFUNDABLE) == PAYMENT_MACHINE.sources(PaymentStatus.TOTALLY_REFUNDED)
    assert set(VOIDABLE) == PAYMENT_MACHINE.sources(PaymentStatus.VOIDED)
